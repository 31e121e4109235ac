//! What ARCHITECTURE.md says about who may do what, where Cargo cannot hold it. Each list is whole: what is in it and does
//! the thing no more has to leave it.

use std::collections::BTreeSet;
use std::path::Path;

use super::rooms::without_comments;
use super::{ROOT, protocols, sources};

/// Files of ours whose code, without comments and tests, fits.
fn files(room: &str, fits: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let below = sources().into_iter();
    let below = below.filter(|(path, _)| path.starts_with(room));
    let fitting = below.filter(|(_, text)| fits(&without_comments(text)));
    let names = fitting.map(|(path, _)| path.to_string_lossy().into_owned());
    names.collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What reaches outside of the process, waits, or depends on chance.
const OUTSIDE: [&str; 13] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::env",
    "std::process",
    "std::io::std",
    "thread::spawn",
    "thread::sleep",
    "tokio::",
    "rand::",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
];

#[test]
fn pure_rooms_reach_nothing_outside() {
    for room in ["core", "decode", "lane", "rules", "adapters"] {
        let impure = files(&format!("{room}/"), |code| {
            OUTSIDE.iter().any(|word| code.contains(word))
        });
        let may = match room {
            // `SystemClock`: the one place in which a wall clock is read.
            "core" => set(&["core/src/time.rs"]),
            _ => BTreeSet::new(),
        };
        let impure: BTreeSet<_> = impure
            .into_iter()
            .filter(|path| !path.contains("/examples/"))
            .collect();
        assert_eq!(
            impure, may,
            "{room}/ is pure: take time, chance and bytes as arguments, and let src/ do what reaches outside"
        );
    }
}

#[test]
fn the_wall_clock_is_read_at_the_start_and_by_commands() {
    let readers = files("", |code| code.contains("SystemClock"));
    let others: Vec<_> = readers
        .iter()
        .filter(|path| !path.starts_with("src/cli/") && !path.contains("/examples/"))
        .collect();
    assert_eq!(
        others,
        [
            "core/src/lib.rs",
            "core/src/time.rs",
            "src/gateway.rs",
            // `faceway check` opens everything for a moment.
            "src/topology/open/trial.rs",
        ],
        "take a `Clock` as an argument"
    );
}

#[test]
fn events_are_appended_in_one_place() {
    assert_eq!(
        files("src/", |code| code.contains("log.append(")),
        set(&["src/topology/counted.rs"]),
        "let inbounds append by `Intake`, so that what is kept is counted"
    );
    assert_eq!(
        files("src/", |code| code.contains("spool.append(")),
        set(&["src/inbound/keep/no_room.rs"]),
        "append by `Inbound::keep`, which answers only afterwards"
    );
}

#[test]
fn lanes_are_changed_by_who_works_for_them() {
    let dispatch = |what: &str| {
        files("src/", |code| {
            code.contains(&format!("lanes.{what}(")) || code.contains(&format!("store.{what}("))
        })
    };
    assert_eq!(
        dispatch("claim"),
        set(&[
            "src/dispatch/mod.rs",
            "src/dispatch/offline.rs",
            "src/dispatch/runner.rs"
        ]),
        "only src/dispatch claims lanes: send the lane a `Command`"
    );
    assert_eq!(
        dispatch("commit"),
        set(&["src/dispatch/offline.rs", "src/dispatch/runner/keep.rs"]),
        "only the owner of a lane commits: send the lane a `Command`"
    );
    assert_eq!(
        dispatch("delete"),
        set(&["src/topology/open.rs", "src/topology/retired.rs"]),
        "only src/topology knows which outbounds there are"
    );
    assert_eq!(
        files("src/", |code| code.contains(".append_rules(")),
        set(&["src/topology/rules_store.rs"]),
        "an entry is the history of the rules"
    );
}

#[test]
fn only_the_admin_listener_gets_the_history() {
    let known = files("src/", |code| {
        let words = code.split(|char: char| !char.is_alphanumeric());
        words.into_iter().any(|word| word == "History")
    });
    assert_eq!(
        known,
        set(&["src/admin/mod.rs", "src/gateway/open.rs"]),
        "delivery never looks at the history: ask the log, or let src/admin ask"
    );
}

/// Files that name a crate or its folder, but for documents, lock files and tests.
fn naming(names: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut places = vec![Path::new(ROOT).to_owned()];
    while let Some(place) = places.pop() {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        if place.is_dir() {
            let is_ours = !name.starts_with('.') || place == Path::new(ROOT);
            let is_built = ["target", "tests", "docs", "corpus", "artifacts"].contains(&&*name);
            if is_ours && !is_built {
                let inner = std::fs::read_dir(&place).unwrap();
                places.extend(inner.map(|entry| entry.unwrap().path()));
            }
        } else if (name.ends_with(".rs") && name != "tests.rs") || name.ends_with(".toml") {
            let text = std::fs::read_to_string(&place).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            // A dependency of tests is one of tests.
            let code = code.split("\n[dev-dependencies]").next().unwrap();
            let names_it = |line: &str| names.iter().any(|name| line.contains(name.as_str()));
            let comment =
                |line: &&str| !line.trim_start().starts_with(['#', '/']) || line.starts_with("#[");
            if code.lines().filter(comment).any(names_it) {
                let path = place.strip_prefix(ROOT).unwrap();
                found.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// The gateway asks the list; `docs/adding-an-adapter.md` names these places.
#[test]
fn a_vendor_is_known_in_six_places_and_its_folder() {
    for adapter in faceway_adapters::all() {
        let vendor = adapter.name();
        let names = [
            format!("faceway-adapter-{vendor}"),
            format!("faceway_adapter_{vendor}"),
            format!("adapters/{vendor}"),
        ];
        let mut known = naming(&names);
        known.retain(|path| !path.starts_with(&format!("adapters/{vendor}/")));
        let fuzz = format!("fuzz/fuzz_targets/{vendor}.rs");
        let places = [
            "Cargo.toml",
            "adapters/Cargo.toml",
            "adapters/src/lib.rs",
            "fuzz/Cargo.toml",
            &fuzz,
            "src/admin/docs.rs",
        ];
        assert_eq!(
            known,
            set(&places),
            "{vendor} is named elsewhere: ask the adapter; or name the place in docs/adding-an-adapter.md and here"
        );
    }
}

/// Code is held by `a_protocol_is_known_to_its_crate_and_to_the_list_alone`.
#[test]
fn a_protocol_is_known_in_two_places_and_its_folder() {
    for protocol in protocols() {
        let names = [
            format!("faceway-outbound-{protocol}"),
            format!("faceway_outbound_{protocol}"),
            format!("outbounds/{protocol}"),
        ];
        let mut known = naming(&names);
        known.retain(|path| !path.starts_with(&format!("outbounds/{protocol}/")));
        assert_eq!(
            known,
            set(&["outbounds/Cargo.toml", "outbounds/src/lib.rs"]),
            "{protocol} is named elsewhere: ask its `KIND`; or name the place in docs/adding-an-outbound.md and here"
        );
    }
}

#[test]
fn an_engine_is_known_to_what_opens_it_alone() {
    let folders = std::fs::read_dir(Path::new(ROOT).join("spools")).unwrap();
    let crates: Vec<String> = folders
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .map(|name| format!("faceway_spool_{name}::"))
        .collect();
    assert!(!crates.is_empty());
    assert_eq!(
        files("src/", |code| crates.iter().any(|name| code.contains(name))),
        // `faceway spool` looks at files that only the engine itself can read.
        set(&[
            "src/cli/spool.rs",
            "src/gateway/open.rs",
            "src/gateway/open/jetstream.rs",
        ]),
        "take an `Arc<dyn Log>`, `LaneStore` or `History`"
    );
}

/// A guide that leaves a method out, or names one that is gone, leads astray.
#[test]
fn the_guide_of_engines_names_every_method() {
    let guide = std::fs::read_to_string(Path::new(ROOT).join("docs/adding-an-engine.md")).unwrap();
    for (contract, file, section) in [
        ("Log", "log", "## 3. "),
        ("LaneStore", "lane_store", "## 4. "),
        ("History", "history", "## 5. "),
        ("Duties", "duties", "## 6. "),
    ] {
        let text =
            std::fs::read_to_string(Path::new(ROOT).join(format!("core/src/{file}.rs"))).unwrap();
        let contract_begins = format!("pub trait {contract}: ");
        let body = text.split(&contract_begins).nth(1).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        let methods: Vec<&str> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    fn "))
            .map(|line| line.split('(').next().unwrap())
            .collect();
        let told = guide.split(section).nth(1).unwrap();
        let told = told.split("\n## ").next().unwrap();
        let told: Vec<&str> = told
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        assert_eq!(
            told, methods,
            "the table of {contract} in docs/adding-an-engine.md"
        );
        let row = format!(
            "| `{contract}` | `core/src/{file}.rs` | {} |",
            methods.len()
        );
        assert!(
            guide.contains(&row),
            "docs/adding-an-engine.md has no {row:?}"
        );
    }
}

#[test]
fn what_is_private_has_no_text() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("core/src/private.rs")).unwrap();
    let code = without_comments(&text);
    for word in [
        "Display",
        "Serialize",
        "Deref",
        "ToString",
        "AsRef<T>",
        "derive(Debug",
    ] {
        assert!(
            !code.contains(word),
            "core/src/private.rs has {word}: then a person's name is one `{{}}` away from a log"
        );
    }
}

#[test]
fn libraries_are_known_where_they_are_tamed() {
    assert_eq!(
        files("", |code| code.contains("figment::")
            || code.contains("use figment")),
        set(&["src/config/merge.rs"])
    );
    let mqtt = files("", |code| code.contains("rumqttc"));
    assert!(
        mqtt.iter().all(|path| path.starts_with("outbounds/mqtt/")),
        "{mqtt:?}"
    );
    let loops = files("outbounds/mqtt/", |code| {
        code.contains("EventLoop") || code.contains("AsyncClient")
    });
    assert!(
        loops.is_empty(),
        "{loops:?}: the library writes and reads packets only"
    );
    let amqp = files("", |code| code.contains("lapin"));
    assert!(
        amqp.iter().all(|path| path.starts_with("outbounds/amqp/")),
        "{amqp:?}"
    );
}

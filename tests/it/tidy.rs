//! What Cargo cannot enforce about the shape of the code. Each message says what to write instead.

mod architecture;
mod claims;
mod rooms;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Lines of a file without its tests.
const FILE_LINES_MAX: usize = 400;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

fn sources() -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    let mut directories: Vec<PathBuf> = [
        "core",
        "decode",
        "lane",
        "rules",
        "adapters",
        "simulators",
        "spools",
        "outbounds",
        "tls",
        "src",
    ]
    .iter()
    .map(|room| Path::new(ROOT).join(room))
    .collect();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path
                    .components()
                    .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                sources.push((
                    path.strip_prefix(ROOT).unwrap().to_owned(),
                    without_tests(&text),
                ));
            }
        }
    }
    assert!(sources.len() > 40, "the tidy tests look at the wrong place");
    sources
}

/// Tests come last in a file, so everything from their marker on is theirs.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn crates_depend_only_towards_the_core() {
    let metadata = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(ROOT)
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let allowed: &[&str] = match name {
            "faceway-benches" | "faceway-sim" => continue,
            // It knows vendors by the list alone.
            "faceway" => &[
                "faceway-adapters",
                "faceway-core",
                "faceway-decode",
                "faceway-lane",
                "faceway-outbound",
                "faceway-rules",
                "faceway-simulators",
                "faceway-spool-",
                "faceway-tls",
            ],
            "faceway-core" => &[],
            "faceway-spool-disk" => &["faceway-core", "faceway-segments"],
            // What is dialled shares one room for TLS.
            "faceway-spool-jetstream" => &["faceway-core", "faceway-tls"],
            // What it asks of adapters, it asks of them as the gateway does.
            "faceway-testkit" => &["faceway-core", "faceway-decode"],
            "faceway-adapters" => &["faceway-core", "faceway-adapter-"],
            "faceway-outbounds" => &["faceway-core", "faceway-outbound-"],
            // What is dialled shares one room for TLS.
            name if name.starts_with("faceway-outbound-") => &["faceway-core", "faceway-tls"],
            _ => &["faceway-core"],
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            let ours = to.starts_with("faceway") && dependency["kind"].is_null();
            let fine = allowed.iter().any(|prefix| to.starts_with(prefix));
            assert!(
                !ours || fine,
                "{name} depends on {to}: crates know only faceway-core; let src/ bring the two together"
            );
        }
    }
}

#[test]
fn files_and_functions_can_be_read_in_one_go() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!(
                "{}: {lines} lines; split it by topic",
                path.display()
            ));
        }
        for (name, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                wrong.push(format!(
                    "{}: fn {name} has {length} lines; name its parts",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Name and length of each function, by its indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(at) = code
            .find("fn ")
            .filter(|at| *at == 0 || code[..*at].ends_with(' '))
        else {
            continue;
        };
        if code.starts_with("//") {
            continue;
        }
        // A method of a trait without a body ends where its signature does.
        let signature_ends = lines[start..]
            .iter()
            .find(|line| line.ends_with('{') || line.ends_with(';'));
        if signature_ends.is_none_or(|line| line.ends_with(';')) {
            continue;
        }
        let name: String = code[at + 3..]
            .chars()
            .take_while(|char| char.is_alphanumeric() || *char == '_')
            .collect();
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        if let Some(length) = lines[start..].iter().position(|line| *line == end) {
            functions.push((name, length + 1));
        }
    }
    functions
}

#[test]
fn the_fence_around_personal_data_is_opened_where_it_may_be() {
    // Where `reveal()` may be called, and how often. A new caller says here why it may.
    let allowed: BTreeMap<&str, &str> = [
        ("core/src/codec.rs", "writes events for the spool"),
        ("core/src/event/image.rs", "asks for the size of a picture"),
        ("core/src/private.rs", "is the fence"),
        ("src/dispatch/render/mod.rs", "writes messages"),
        (
            "src/dispatch/render/batch.rs",
            "writes several events into one message",
        ),
        (
            "src/dispatch/render/pictures.rs",
            "writes pictures into events",
        ),
        (
            "src/dispatch/decide.rs",
            "asks the rules, which answer yes or no",
        ),
        (
            "src/topology/rules_history/matches.rs",
            "asks the rules, which answer with numbers of routes",
        ),
        ("src/inbound/admission.rs", "digests the token"),
        (
            "src/inbound/images.rs",
            "serves a picture to who has its link",
        ),
        (
            "src/topology/fingerprint.rs",
            "digests secrets, to see whether they have changed",
        ),
        (
            "src/inbound/dialled/connect.rs",
            "sends a source the secret parameters of its URL",
        ),
        (
            "src/inbound/converse.rs",
            "logs in at a device, and tells it our address",
        ),
        ("tls/src/lib.rs", "reads the client's key"),
        ("src/admin/auth.rs", "digests the token"),
        ("src/admin/events.rs", "shows a buried event to the admin"),
        (
            "src/admin/quarantine.rs",
            "shows a body to the admin, and reads it again",
        ),
        (
            "src/topology/open/outbounds.rs",
            "sets the header that a secret is for",
        ),
    ]
    .into();
    let rooms = [
        ("spools/", "stores bytes, and gives them back"),
        ("outbounds/", "sends a rendered message"),
        ("adapters/", "passes on what it has just read"),
        ("src/cli/", "shows the operator his own file"),
    ];
    let mut listed: BTreeSet<&str> = allowed.keys().copied().collect();
    listed.remove("core/src/private.rs");
    for (path, text) in sources() {
        let path = path.to_string_lossy();
        let calls = text.matches(".reveal()").count() + text.matches(".into_revealed()").count();
        let may =
            allowed.contains_key(&*path) || rooms.iter().any(|(room, _)| path.starts_with(room));
        if calls > 0 {
            listed.remove(&*path);
        }
        assert!(
            calls == 0 || may,
            "{path} opens the fence around personal data: let it pass `Private` on, or say in tests/it/tidy.rs why it may"
        );
    }
    assert!(
        listed.is_empty(),
        "{listed:?} open the fence no more: take them out of the list"
    );
}

/// Vendors' names stand in their own folders and in the list. What the gateway has to know, it asks the adapter.
#[test]
fn the_gateway_names_no_vendor() {
    let may: BTreeMap<&str, &str> = [
        ("src/admin/docs.rs", "builds in the READMEs of adapters"),
        ("src/cli/explain.rs", "shows an example"),
        ("src/cli/quarantine.rs", "shows an example"),
        ("src/cli/read.rs", "shows an example"),
    ]
    .into();
    let adapters = faceway_adapters::all();
    let names: Vec<&str> = adapters.iter().map(|adapter| adapter.name()).collect();
    let mut named = BTreeMap::new();
    for (path, text) in sources() {
        if !path.starts_with("src") && !path.starts_with("simulators") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let mut words = line.split(|letter: char| !letter.is_alphanumeric());
            if words.any(|word| names.contains(&word)) {
                let at = format!("{}:{}", path.display(), number + 1);
                named.insert(path.to_string_lossy().into_owned(), at);
            }
        }
    }
    for (path, at) in &named {
        assert!(
            may.contains_key(path.as_str()),
            "{at} names a vendor: ask the adapter or its simulator, or say in tests/it/tidy.rs why it may"
        );
    }
    for path in may.keys() {
        assert!(named.contains_key(*path), "{path} names no vendor any more");
    }
}

/// The names of the protocols: their folders.
fn protocols() -> Vec<String> {
    let folders = std::fs::read_dir(Path::new(ROOT).join("outbounds")).unwrap();
    let folders = folders.map(|folder| folder.unwrap().path());
    let crates = folders.filter(|folder| folder.join("Cargo.toml").exists());
    crates
        .map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn outbounds_are_registered() {
    let list = std::fs::read_to_string(Path::new(ROOT).join("outbounds/src/lib.rs")).unwrap();
    for name in protocols() {
        assert!(
            list.contains(&format!("&faceway_outbound_{name}::KIND,")),
            "add a line for {name} to outbounds/src/lib.rs"
        );
    }
}

/// Code that may name a protocol though it is neither in the protocol's crate nor in the list: where, the name, and why.
const MAY_NAME_A_PROTOCOL: &[(&str, &str, &str)] = &[
    ("adapters/", "webhook", "a vendor's word for what it posts"),
    ("src/cli/demo/", "webhook", "the demo writes a routes.toml"),
    ("src/cli/streams.rs", "stdout", "the command's own output"),
    ("src/cli/top.rs", "stdout", "the command's own output"),
    ("spools/disk/examples/", "stdout", "the example's output"),
    ("rules/examples/", "stdout", "the example's output"),
];

/// Names of protocols that are ordinary words too, so that code may say them and mean something else.
const ORDINARY_WORDS: &[&str] = &[];

#[test]
fn a_protocol_is_known_to_its_crate_and_to_the_list_alone() {
    let mut protocols = protocols();
    protocols.retain(|name| !ORDINARY_WORDS.contains(&name.as_str()));
    let mut wrong = Vec::new();
    let mut used = vec![false; MAY_NAME_A_PROTOCOL.len()];
    for (path, text) in sources() {
        let path = path.to_string_lossy();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let named = protocols.iter().filter(|name| names(code, name));
            for name in named.filter(|name| {
                !path.starts_with(&format!("outbounds/{name}/")) && *path != *"outbounds/src/lib.rs"
            }) {
                let may = MAY_NAME_A_PROTOCOL.iter().position(|(room, known, _)| {
                    path.starts_with(room) && (known.is_empty() || known == name)
                });
                match may {
                    Some(index) => used[index] = true,
                    None => wrong.push(format!("{path}:{}: {name}", number + 1)),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "this names a protocol outside its crate; let the protocol declare in its KIND (core/src/outbound_kind.rs) what is \
         to be known of it, or say in tests/it/tidy.rs why it must be named:\n{}",
        wrong.join("\n")
    );
    for ((room, name, _), used) in MAY_NAME_A_PROTOCOL.iter().zip(used) {
        assert!(
            used,
            "{room} does not name {name:?} any more: take that out of the list"
        );
    }
}

/// Whether the code has a word that begins with this one: `mqtt`, `MQTT`, `mqtts`, `mqtt_plan`, `OldMqttPlan`.
fn names(code: &str, word: &str) -> bool {
    let (first, rest) = word.split_at(1);
    let in_a_type = code.contains(&(first.to_uppercase() + rest));
    let code = code.to_lowercase();
    let mut found = code.match_indices(word);
    in_a_type
        || found.any(|(at, _)| {
            let before = code[..at].chars().next_back();
            before.is_none_or(|before| !before.is_alphanumeric())
        })
}

#[test]
fn the_architecture_can_be_read_in_one_sitting() {
    let lines = std::fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md"))
        .unwrap()
        .lines()
        .count();
    assert!(
        lines <= 250,
        "ARCHITECTURE.md has {lines} lines: keep stable facts only"
    );
}

/// Test builds get the feature through other crates, so no test of behaviour can miss it; the shipped binary would.
#[test]
fn scores_are_read_to_the_last_bit() {
    let manifest = std::fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let line = manifest
        .lines()
        .find(|line| line.starts_with("serde_json = "))
        .unwrap();
    for feature in ["float_roundtrip", "arbitrary_precision", "raw_value"] {
        assert!(
            line.contains(feature),
            "serde_json needs the feature {feature}: numbers would silently change"
        );
    }
}

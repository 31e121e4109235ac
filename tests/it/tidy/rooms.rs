//! Which room of `src/` may know which: Cargo cannot hold that, as they are one crate.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::sources;

/// The rooms from the ground up, each with those that it knows. A room stands below all that know it, so there are no
/// cycles. What is missing here is not there to save a line: `inbound` knows neither the rules nor who counts, `dispatch`
/// knows no inbound, and `observe` knows none that it shows.
pub(super) const ROOMS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("config", &[]),
    ("console", &[]),
    ("duty", &[]),
    ("link", &[]),
    ("memory", &[]),
    ("notify", &[]),
    ("process", &[]),
    ("throttle", &[]),
    ("visible", &[]),
    // A room within another: lanes ask it, and the rest of the topology sets lanes to work.
    ("topology/rules_history", &[]),
    ("observe", &["visible"]),
    ("context", &["config", "link", "memory"]),
    (
        "inbound",
        &["context", "duty", "link", "memory", "throttle"],
    ),
    (
        "dispatch",
        &[
            "context",
            "duty",
            "link",
            "throttle",
            "topology/rules_history",
        ],
    ),
    (
        "topology",
        &["config", "context", "dispatch", "inbound", "link"],
    ),
    (
        "admin",
        &[
            "api",
            "console",
            "context",
            "dispatch",
            "inbound",
            "observe",
            "topology",
            "topology/rules_history",
        ],
    ),
    (
        "gateway",
        &[
            "admin",
            "config",
            "context",
            "inbound",
            "link",
            "memory",
            "observe",
            "process",
            "topology",
            "topology/rules_history",
        ],
    ),
    (
        "cli",
        &[
            "api", "config", "gateway", "notify", "observe", "process", "topology", "visible",
        ],
    ),
];

/// What to write instead of an edge that is not allowed.
fn instead(from: &str, to: &str) -> &'static str {
    match (from, to) {
        (_, "cli" | "gateway" | "admin") => {
            "it knows others and is known by none: return a value, and let it ask"
        }
        ("inbound", "dispatch") | ("dispatch", "inbound") => {
            "the two meet only at the spool: append there, and let lanes fetch it"
        }
        (_, "observe") => {
            "count with the macros of `metrics` in a metrics.rs of this room, and describe the name in src/observe.rs"
        }
        ("observe", _) => {
            "let that room count by itself, or hand the value in as a number or a text"
        }
        (_, "topology") => {
            "let the topology hand it in: as a value when it opens something, or through a channel of values"
        }
        ("inbound" | "dispatch", "config") => {
            "take it from the Context, or let src/topology/open resolve it and hand the value in"
        }
        (_, "topology/rules_history") => {
            "only lanes, the admin listener and the gateway ask for rules: hand in what follows from them"
        }
        (_, "api") => {
            "these are the shapes of the admin API: let src/admin make them from a value of this room"
        }
        (_, "console") => "only src/admin serves it",
        _ => "hand the value in, or move what both need into a room below them",
    }
}

#[test]
fn rooms_know_only_rooms_below_them() {
    let mut wrong = Vec::new();
    for (at, (room, known)) in ROOMS.iter().enumerate() {
        for known in *known {
            if !ROOMS[..at].iter().any(|(below, _)| below == known) {
                wrong.push(format!(
                    "{room} may not know {known}, which does not stand above it in this table: {}",
                    instead(room, known)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_room_knows_no_other_than_its_row_says() {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (path, text) in sources() {
        let Ok(below) = path.strip_prefix("src") else {
            continue;
        };
        let module = module(below);
        if matches!(module.as_slice(), [] | [_] if is_root(below)) {
            continue;
        }
        let Some(room) = room(&module) else {
            wrong.push(format!(
                "{}: no room of src/ is called {}; put it into one, or give it a row in tests/it/tidy/rooms.rs",
                path.display(),
                module.join("/")
            ));
            continue;
        };
        for known in knows(below, &module, &text) {
            let Some(to) = self::room(&known) else {
                wrong.push(format!(
                    "{}: no room is called {}",
                    path.display(),
                    known.join("::")
                ));
                continue;
            };
            // A room within another is a part of it.
            if to == room || to.starts_with(&format!("{room}/")) {
                continue;
            }
            used.insert((room, to));
            if !allowed(room).contains(&to) {
                let instead = instead(room, to);
                wrong.push(format!(
                    "{}: {room} may not know {to}: {instead}",
                    path.display()
                ));
            }
        }
        for supers in climbs(&module, room, &text) {
            wrong.push(format!(
                "{}: `{supers}` leaves its room; write `crate::…`, so that the edge is seen",
                path.display()
            ));
        }
    }
    for (room, known) in ROOMS {
        for to in *known {
            if !used.contains(&(*room, *to)) {
                wrong.push(format!(
                    "{room} does not know {to} any more: take it out of its row"
                ));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn allowed(room: &str) -> &'static [&'static str] {
    let row = ROOMS.iter().find(|(name, _)| *name == room);
    row.map_or(&[], |(_, known)| *known)
}

fn is_root(below: &Path) -> bool {
    below == Path::new("lib.rs") || below == Path::new("main.rs")
}

/// The module of a file below `src/`.
fn module(below: &Path) -> Vec<String> {
    let path = below.with_extension("");
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) if part != "mod" => part.to_str().map(str::to_owned),
        _ => None,
    });
    parts.collect()
}

/// The room of a module, or of a path that begins at `crate`: the longest name in the table that it begins with.
fn room(module: &[String]) -> Option<&'static str> {
    let path = module.join("/") + "/";
    let rooms = ROOMS.iter().map(|(room, _)| *room);
    rooms
        .filter(|room| path.starts_with(&format!("{room}/")))
        .max_by_key(|room| room.len())
}

/// What a file names of the crate, each by its first two words.
fn knows(below: &Path, module: &[String], text: &str) -> Vec<Vec<String>> {
    let code = without_comments(text);
    let mut known = Vec::new();
    // Commands are another crate, which knows the gateway's by its name; its own has no rooms.
    let root = if module[0] == "cli" {
        "faceway::"
    } else {
        "crate::"
    };
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|char| char.is_alphanumeric() || "_:$".contains(char)) {
            known.extend(paths(&code[at + root.len()..], 2));
        }
    }
    for (at, quoted) in code.match_indices("include_str!(\"") {
        let file = code[at + quoted.len()..].split('"').next();
        known.extend(file.and_then(|file| included(below, file)));
    }
    known
}

/// The first `most` words of each path that a use tree names, such as `a::{b, c::d}` or `a::b(…)`.
fn paths(tree: &str, most: usize) -> Vec<Vec<String>> {
    let tree = tree.trim_start();
    if let Some(group) = tree.strip_prefix('{') {
        return branches(group)
            .into_iter()
            .flat_map(|branch| paths(branch, most))
            .collect();
    }
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let word = &tree[..tree.find(|char| !is_word(char)).unwrap_or(tree.len())];
    if word.is_empty() || most == 0 {
        return Vec::new();
    }
    let rest = tree[word.len()..].strip_prefix("::");
    let below = rest.map_or_else(Vec::new, |rest| paths(rest, most - 1));
    if below.is_empty() {
        return vec![vec![word.to_owned()]];
    }
    let with_word = |below| [vec![word.to_owned()], below].concat();
    below.into_iter().map(with_word).collect()
}

/// The parts of a group between its commas, to the bracket that ends it.
fn branches(group: &str) -> Vec<&str> {
    let (mut branches, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&group[from..at]);
                from = at + 1;
            }
            '}' => {
                branches.push(&group[from..at]);
                break;
            }
            _ => {}
        }
    }
    branches
}

/// The module beside which a file is that another one includes; `None` for what is not below `src/`.
fn included(below: &Path, file: &str) -> Option<Vec<String>> {
    let mut path: Vec<String> = module(below.parent()?);
    let mut climbed = 0;
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir if path.pop().is_none() => climbed += 1,
            Component::Normal(part) => path.push(part.to_str()?.to_owned()),
            _ => {}
        }
    }
    (climbed == 0).then_some(path)
}

/// Paths by `super` that leave the room.
fn climbs(module: &[String], room: &str, text: &str) -> BTreeSet<String> {
    let most = module.len() - room.split('/').count();
    let chain = "super::".repeat(most + 1);
    let code = without_comments(text);
    let climbs = code.match_indices(&chain);
    climbs.map(|(_, chain)| chain.to_owned()).collect()
}

pub(super) fn without_comments(text: &str) -> String {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

#[test]
fn paths_are_found_in_every_form() {
    let found = |tree: &str| -> Vec<String> {
        let paths = paths(tree, 2).into_iter();
        paths.map(|words| words.join("::")).collect()
    };
    assert_eq!(found("dispatch;"), ["dispatch"]);
    assert_eq!(found("config::tls::Pair;"), ["config::tls"]);
    assert_eq!(found("dispatch) fn f() {}"), ["dispatch"]);
    assert_eq!(found("observe::as_float(1)"), ["observe::as_float"]);
    assert_eq!(
        found("topology::{\n    Reloader, rules_history::{A, B},\n};"),
        ["topology::Reloader", "topology::rules_history"]
    );
    assert_eq!(
        found("{admin::{self, Admin}, link}; use x::{y};"),
        ["admin::self", "admin::Admin", "link"]
    );
}

//! One word for each thing: `docs/glossary.md`. This test holds old words out of the rooms that have the new ones.

use super::{Path, ROOT};

/// Rooms that speak by the glossary already. A room that is gone through joins the list.
const ROOMS: [&str; 15] = [
    "adapters",
    "benches",
    "core",
    "decode",
    "lane",
    "outbounds",
    "rules",
    "segments",
    "simulators",
    "spools",
    "src",
    "testkit",
    "tests/it",
    "tests/sim",
    "tls",
];

/// Persons before a camera, and where they are told of.
const PERSONS: [&str; 2] = ["nobody", "somebody"];
const ROOMS_OF_PERSONS: [&str; 2] = ["adapters/", "core/src/event"];

/// A word, and what to write instead.
const OLD: [(&str, &str); 23] = [
    ("shelf", "log"),
    ("book", "rules history"),
    ("edition", "rules version"),
    ("seat", "claim, supervisor"),
    ("seated", "supervised"),
    ("judge", "breaker"),
    ("judgement", "ruling"),
    ("wearied", "poison candidate"),
    ("take_apart", "split"),
    ("asides", "suspended"),
    ("grounds", "context"),
    ("adopt", "apply"),
    ("keep_working", "supervisor"),
    ("keep_again", "ingest again"),
    ("lease", "fetch, in flight"),
    ("leases", "in flight"),
    ("rhythm", "throttle"),
    ("whoever", "the component, the request, the operator that"),
    ("anybody", "any device, any client"),
    ("everybody", "all, every one"),
    ("nobody", "the component that does not"),
    ("somebody", "the component that does"),
    ("judged", "ruled"),
];

#[test]
fn rooms_speak_by_the_glossary() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        let mut places = vec![Path::new(ROOT).join(room)];
        while let Some(place) = places.pop() {
            if place.is_dir() {
                places.extend(
                    std::fs::read_dir(place)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            } else if place.ends_with("tidy/words.rs") {
                // It names them.
            } else if place.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&place).unwrap();
                wrong.extend(
                    text.lines()
                        .enumerate()
                        .flat_map(|(line, text)| old_words(text, &place, line)),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn old_words(text: &str, place: &Path, line: usize) -> Vec<String> {
    let words: Vec<String> = text
        .split(|char: char| !char.is_alphanumeric() && char != '_')
        .map(str::to_lowercase)
        .collect();
    let old = OLD
        .iter()
        .filter(|(old, _)| words.iter().any(|word| word == old));
    let place = place.strip_prefix(ROOT).unwrap_or(place).display();
    let shown = place.to_string();
    let is_of_persons = ROOMS_OF_PERSONS.iter().any(|room| shown.starts_with(room));
    let old = old.filter(|(old, _)| !is_of_persons || !PERSONS.contains(old));
    let say = |(old, new): &(&str, &str)| {
        format!(
            "{place}:{}: \"{old}\": write \"{new}\" (docs/glossary.md)",
            line + 1
        )
    };
    old.map(say).collect()
}

#[test]
fn an_old_word_is_found_in_any_case() {
    let found = old_words("    // Nobody has the book.", Path::new("x.rs"), 6);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(old_words("a bookkeeper", Path::new("x.rs"), 0).is_empty());
}

//! What every adapter reads with: a body is checked once, taken apart without a copy, scrubbed, and put together again.
#![no_main]

use faceway_core::{Members, Scrub, document};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(text) = document(body) else { return };
    let Ok(members) = Members::parse(text) else {
        return;
    };
    let names: Vec<String> = members.iter().map(|(name, _)| name.to_owned()).collect();
    for name in &names {
        assert!(members.has(name), "a member that cannot be found");
    }
    let again = serde_json::to_string(&members).expect("members can be written");
    assert_eq!(meaning(&again), meaning(text), "members mean what was sent");
    let scrub = Scrub {
        pictures: &["image"],
        drops: |name| name == "facefeature",
    };
    let scrubbed = scrub.members(members, &mut Vec::new());
    let scrubbed = serde_json::to_string(&scrubbed).expect("scrubbed members can be written");
    document(scrubbed.as_bytes()).expect("scrubbed members are a document");
});

fn meaning(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

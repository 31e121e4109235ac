//! Credentials leave every URL, wherever it stands in a text, and a text without any stays as it is.
#![no_main]

use faceway_core::scrub_urls;
use libfuzzer_sys::fuzz_target;

const PASSWORD: &str = "Zq9vX7";

fuzz_target!(|text: &str| {
    let once = scrub_urls(text);
    // Not the same again: what looks like a port is doubtful before a later `@`, and then more goes, never less.
    assert!(scrub_urls(&once).len() <= once.len() && once.len() <= text.len());
    if !text.contains("//") && !text.contains('=') && !text.contains('@') {
        assert_eq!(once, text, "nothing was there to take out");
    }
    // The fuzzer learns the password from the comparison.
    if !text.contains(PASSWORD) {
        let hidden = format!("{text} rtsp://admin:{PASSWORD}@192.0.2.7/1 {text}");
        let found = scrub_urls(&hidden).contains(PASSWORD);
        assert!(!found, "a password between other words");
    }
});

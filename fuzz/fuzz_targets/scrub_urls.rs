//! Credentials leave every URL, wherever it stands in a text, and a text without any stays as it is.
#![no_main]

use faceway_core::scrub_urls;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let once = scrub_urls(text);
    assert_eq!(scrub_urls(&once), once, "what was scrubbed is clean");
    if !text.contains("//") && !text.contains('=') && !text.contains('@') {
        assert_eq!(once, text, "nothing was there to take out");
    }
    let hidden = format!("{text} rtsp://admin:Zq9vX7@192.0.2.7/1 {text}");
    assert!(
        !scrub_urls(&hidden).contains("Zq9vX7"),
        "a password between other words"
    );
});

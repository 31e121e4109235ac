//! Bodies in any character set. The first byte is the length of the label that the header names, which comes next.
#![no_main]

use faceway_core::document;
use faceway_decode::recode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first() else {
        return;
    };
    let (label, body) = rest.split_at(usize::from(length % 24).min(rest.len()));
    let mut headers = HeaderMap::new();
    let kind = [b"application/json; charset=", label].concat();
    if let Ok(kind) = HeaderValue::from_bytes(&kind) {
        headers.insert(CONTENT_TYPE, kind);
    }
    match recode(&headers, body) {
        // Three bytes for one is the most that UTF-8 needs.
        Ok(Some(text)) => assert!(text.len() <= body.len() * 3, "{} bytes", text.len()),
        Ok(None) => drop(document(body)),
        Err(undecoded) => assert!(!undecoded.to_string().trim().is_empty()),
    }
});

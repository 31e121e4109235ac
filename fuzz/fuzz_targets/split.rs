//! A batch taken apart by its brackets and quotes: whatever it is, what is found are parts of it, in their order; and of
//! a batch that a parser takes, they are the parser's.
#![no_main]

use faceway_core::{element, split};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

const ELEMENTS_MAX: usize = 1000;

fuzz_target!(|body: &[u8]| {
    let parsed: Result<Vec<&RawValue>, _> = serde_json::from_slice(body);
    let Some(parts) = split(body, ELEMENTS_MAX) else {
        let is_batch = parsed.is_ok_and(|items| items.len() <= ELEMENTS_MAX);
        assert!(!is_batch, "a batch that is not taken apart");
        return;
    };
    assert!(parts.len() <= ELEMENTS_MAX);
    let mut behind = body.as_ptr();
    for part in &parts {
        let range = part.as_ptr_range();
        assert!(range.start >= behind, "parts overlap");
        assert!(
            body.as_ptr_range().end >= range.end,
            "a part from elsewhere"
        );
        assert!(
            !part.is_empty() && part.trim_ascii() == *part,
            "a part with blanks around it"
        );
        let _ = element(part);
        behind = range.end;
    }
    if let Ok(items) = parsed {
        let items: Vec<&[u8]> = items.iter().map(|item| item.get().as_bytes()).collect();
        assert_eq!(parts, items, "a parser takes it apart in another way");
    }
});

//! JSON that is mended: what is well-formed is left alone, and mending once is enough.
#![no_main]

use faceway_core::mend;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|body: &[u8]| {
    let Some(mended) = mend(body) else { return };
    let strict: Result<&RawValue, _> = serde_json::from_slice(body);
    let is_strict = strict.is_ok() && faceway_core::document(body).is_ok();
    assert!(!is_strict, "well-formed JSON was mended");
    assert!(
        (1..=20).contains(&mended.notes.len()),
        "told: {:?}",
        mended.notes
    );
    assert_eq!(mend(mended.json.as_bytes()), None, "mended twice");
});

//! Packed bodies: whatever comes out keeps to the limit, and no more memory is taken than for that. The first byte chooses
//! how the body is said to be packed.
#![no_main]

use faceway_decode::{Limits, unpack};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 100_000;
/// What is taken at once, at least.
const STEP_BYTES: usize = 16 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let Some((coding, body)) = bytes.split_first() else {
        return;
    };
    let coding = ["gzip", "deflate", "x-gzip", "identity", "br"][usize::from(*coding) % 5];
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    let mut taken = 0;
    let mut limits = Limits {
        bytes_max: BYTES_MAX,
        room: &mut |bytes| {
            taken = bytes;
            true
        },
    };
    let unpacked = unpack(&headers, body, &mut limits);
    if let Ok(Some(unpacked)) = unpacked {
        assert!(
            unpacked.len() <= BYTES_MAX.min(taken),
            "more than was asked for"
        );
    }
    assert!(
        taken <= BYTES_MAX.max(STEP_BYTES),
        "{taken} bytes were taken"
    );
});

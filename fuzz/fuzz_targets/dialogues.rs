//! What is said to devices over their own APIs, whatever they answer. The first byte chooses the adapter.
#![no_main]

use faceway_testkit::adapter::converse_bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let [chosen, rest @ ..] = bytes {
        let adapters = faceway_adapters::all();
        let adapter = &adapters[usize::from(*chosen) % adapters.len()];
        converse_bytes(&**adapter, rest);
    }
});

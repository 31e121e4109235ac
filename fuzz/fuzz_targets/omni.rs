//! What the adapter `omni` reads, whatever is sent to it.
#![no_main]

use faceway_adapter_omni::Omni;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| faceway_testkit::adapter::read_bytes(&Omni, bytes));

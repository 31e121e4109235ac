//! What the adapter `nebula` reads, whatever is sent to it.
#![no_main]

use faceway_adapter_nebula::Nebula;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| faceway_testkit::adapter::read_bytes(&Nebula, bytes));

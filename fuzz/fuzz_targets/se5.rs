//! What the adapter `se5` reads, whatever is sent to it.
#![no_main]

use faceway_adapter_se5::Se5;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| faceway_testkit::adapter::read_bytes(&Se5, bytes));

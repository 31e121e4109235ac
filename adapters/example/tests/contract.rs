//! The adapter through the suite of its contract.

use std::path::Path;

#[test]
fn holds_the_contract() {
    faceway_testkit::adapter::contract(
        &faceway_adapter_example::Example,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
    );
}

#[test]
fn the_simulator_holds_the_contract() {
    faceway_testkit::simulator::contract(&faceway_adapter_example::Example);
}

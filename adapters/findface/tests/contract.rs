//! The adapter through the suite of its contract.

use std::path::Path;

use faceway_adapter_findface::Findface;
use faceway_testkit::adapter::contract;

#[test]
fn holds_the_contract() {
    contract(
        &Findface,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
    );
}

//! Seeds for the fuzz targets: the golden cases, as the bytes that a target reads.

use std::path::Path;

use faceway_core::Adapter;

use super::case::{Case, folders};
use super::{Sent, examine};

/// The golden cases of an adapter: each folder's name, and the bytes for a fuzz target.
///
/// # Errors
/// What is wrong with a case.
pub fn seeds(adapter: &dyn Adapter, fixtures: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let seed = |folder: &std::path::PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let case = Case::load(adapter, folder)?;
        Ok((name.into_owned(), case.sent.to_bytes(adapter)))
    };
    folders(fixtures).iter().map(seed).collect()
}

/// Every golden case can be a seed, and what a target makes of it holds the contract.
///
/// # Panics
/// When a case is another one after it was a seed, or breaks the contract.
pub(super) fn can_be_seeds(adapter: &dyn Adapter, fixtures: &Path) {
    for folder in folders(fixtures) {
        let Ok(case) = Case::load(adapter, &folder) else {
            continue;
        };
        let seed = case.sent.to_bytes(adapter);
        let again = Sent::of_bytes(adapter, &seed);
        let shown = folder.display();
        assert!(again.body == case.sent.body, "{shown}: another body");
        assert_eq!(again.to_bytes(adapter), seed, "{shown}: other settings");
        let result = examine(adapter, &again);
        assert!(result.is_ok(), "{shown}, as a seed: {result:?}");
    }
}

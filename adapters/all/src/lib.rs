//! The list of adapters, one line each. `docs/adding-an-adapter.md` walks through a new one.

use faceway_core::Adapter;

/// Every adapter that an inbound can name, in the order in which they are shown.
pub fn all() -> Vec<Box<dyn Adapter>> {
    vec![
        Box::new(faceway_adapter_nebula::Nebula),
        Box::new(faceway_adapter_findface::Findface),
        Box::new(faceway_adapter_omni::Omni),
        Box::new(faceway_adapter_se5::Se5),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    /// `all` is this crate, and `example` is there to be copied.
    const NOT_REGISTERED: [&str; 2] = ["all", "example"];

    #[test]
    fn every_folder_is_registered() {
        let adapters = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let registered: BTreeSet<&str> =
            super::all().iter().map(|adapter| adapter.name()).collect();
        assert_eq!(
            registered.len(),
            super::all().len(),
            "two adapters have the same name"
        );
        for entry in std::fs::read_dir(adapters).unwrap().flatten() {
            let folder = entry.file_name().into_string().unwrap();
            let is_adapter = entry.path().join("Cargo.toml").exists();
            assert!(
                !is_adapter
                    || NOT_REGISTERED.contains(&folder.as_str())
                    || registered.contains(folder.as_str()),
                "adapters/{folder} is not in the list: add its line to `all` in adapters/all/src/lib.rs, \
                 and its crate to adapters/all/Cargo.toml",
            );
        }
    }
}

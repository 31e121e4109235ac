//! What every adapter has beside its code: its line in the list, a fuzz target, and a place for each of its golden cases in `docs/sources.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folders(path: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// The crates beside the list.
fn adapters() -> BTreeSet<String> {
    let path = root().join("adapters");
    let is_crate = |name: &String| path.join(name).join("Cargo.toml").exists();
    let adapters: BTreeSet<String> = folders(&path).into_iter().filter(is_crate).collect();
    assert!(adapters.len() >= 5, "looked for adapters at a wrong place");
    adapters
}

#[test]
fn every_adapter_is_in_the_list() {
    let list = faceway_adapters::all();
    let listed: BTreeSet<&str> = list.iter().map(|adapter| adapter.name()).collect();
    for adapter in adapters() {
        // It is there to be copied.
        assert!(
            adapter == "example" || listed.contains(adapter.as_str()),
            "adapters/{adapter} is not in the list: add its line to `all` in adapters/src/lib.rs, and its crate to \
             adapters/Cargo.toml"
        );
    }
}

/// A page's sections that are named after an adapter, with the names in the column `fixtures` of their tables.
fn named(page: &str) -> BTreeSet<String> {
    let mut adapter = "";
    let mut named = BTreeSet::new();
    for line in page.lines() {
        adapter = line.strip_prefix("## ").unwrap_or(adapter);
        let Some(cell) = line.strip_prefix('|').and_then(|row| row.split('|').nth(2)) else {
            continue;
        };
        for name in cell.split('`').skip(1).step_by(2) {
            let case = format!("{adapter}/{name}");
            assert!(named.insert(case.clone()), "{case} is named twice");
        }
    }
    named
}

#[test]
fn every_golden_case_is_in_the_table_of_sources() {
    let page = std::fs::read_to_string(root().join("docs/sources.md")).unwrap();
    let named = named(&page);
    let mut there = BTreeSet::new();
    for adapter in adapters() {
        let fixtures = root().join("adapters").join(&adapter).join("fixtures");
        there.extend(
            folders(&fixtures)
                .iter()
                .map(|case| format!("{adapter}/{case}")),
        );
    }
    assert!(
        there.len() > 100,
        "looked for golden cases at a wrong place"
    );
    let missing: Vec<_> = there.difference(&named).collect();
    assert!(
        missing.is_empty(),
        "docs/sources.md does not name {missing:?}: say of which version and type each is, and what of it is documented"
    );
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(
        gone.is_empty(),
        "docs/sources.md names {gone:?}, and there are no such folders under adapters/<adapter>/fixtures"
    );
}

#[test]
fn every_adapter_has_a_fuzz_target() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for adapter in adapters() {
        let path = format!("fuzz_targets/{adapter}.rs");
        let target = std::fs::read_to_string(root().join("fuzz").join(&path)).unwrap_or_default();
        assert!(
            manifest.contains(&format!("path = \"{path}\"")) && target.contains("read_bytes("),
            "add fuzz/{path}, and its [[bin]] to fuzz/Cargo.toml: copy those of the adapter `example`"
        );
    }
}

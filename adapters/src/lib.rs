//! The list of adapters, one line each. `docs/adding-an-adapter.md` walks through a new one.
//!
//! The gateway knows vendors by this list alone: it asks each adapter how it is reached, and which settings it has.

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

    #[test]
    fn names_are_there_once() {
        let all = super::all();
        let names: BTreeSet<&str> = all.iter().map(|adapter| adapter.name()).collect();
        assert_eq!(names.len(), all.len(), "two adapters have the same name");
    }
}

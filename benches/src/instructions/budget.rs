//! What the repository allows: `benches/instructions.toml`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use toml::{Table, Value};

/// A count may be so much over its budget: that far the same program's counts differ from each other, and not farther.
const MARGIN_PERCENT: u64 = 3;
/// The same of a history that drains. How many of its events are committed together depends on the machine.
const DRAIN_MARGIN_PERCENT: u64 = 15;

const HEAD: &str = "\
# Instructions that the gateway may execute for an event of 1 KB, by its way and by how many events come together, or for one
# of a history that drains: what `benches/instructions` counts. A count may exceed that by no more than 3 %, a drain's by 15 %.
# A change that needs more says why in its commit, and writes this file anew: FACEWAY_BLESS=1 benches/instructions
";

/// The counts that are allowed, and those that were found.
pub(super) struct Budget {
    path: PathBuf,
    allowed: Table,
    found: Table,
}

/// By how much a count may exceed its budget.
pub(super) const fn margin_percent(is_drain: bool) -> u64 {
    if is_drain {
        DRAIN_MARGIN_PERCENT
    } else {
        MARGIN_PERCENT
    }
}

pub(super) fn is_over(count: u64, allowed: u64, margin_percent: u64) -> bool {
    u128::from(count) * 100 > u128::from(allowed) * u128::from(100 + margin_percent)
}

impl Budget {
    /// The one of this repository.
    pub(super) fn read() -> anyhow::Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        let allowed: Table = text
            .parse()
            .with_context(|| format!("reading {}", path.display()))?;
        Ok(Self {
            path,
            found: allowed.clone(),
            allowed,
        })
    }

    pub(super) fn of(&self, way: &str, coming: &str) -> Option<u64> {
        let way = self.allowed.get(way)?;
        u64::try_from(way.get(coming)?.as_integer()?).ok()
    }

    pub(super) fn note(&mut self, way: &str, coming: &str, count: u64) {
        let way = self.found.entry(way);
        if let Value::Table(way) = way.or_insert_with(|| Value::Table(Table::new())) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            way.insert(coming.to_owned(), Value::Integer(count));
        }
    }

    /// Makes what was found the budget.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        std::fs::write(&self.path, format!("{HEAD}\n{}", self.found))?;
        println!("\nwrote {}", self.path.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{is_over, margin_percent};

    #[test]
    fn what_is_in_the_margin_is_not_over() {
        let is_over = |count, allowed| is_over(count, allowed, margin_percent(false));
        assert!(!is_over(100_000, 100_000) && !is_over(103_000, 100_000) && !is_over(1, 2));
        assert!(is_over(103_001, 100_000) && is_over(1, 0));
    }
}

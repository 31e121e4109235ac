//! What became of an arrival.

use faceway_core::Outcome;
use http::StatusCode;

/// What became of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// What the source is to be told.
    pub outcome: Outcome,
    /// With which status, where that is not the adapter's to say.
    pub status: Option<StatusCode>,
    /// It is a piece of a body: what comes behind it on the connection is its rest.
    pub cut_off: bool,
    /// Events that are new.
    pub stored: usize,
    /// Events that are new, of records that were known with another content.
    pub conflicts: usize,
    /// Events that were known.
    pub duplicates: usize,
    /// Records that could not be read, now in quarantine.
    pub quarantined: usize,
}

impl Kept {
    /// Nothing of it was kept.
    pub(super) const fn nothing(outcome: Outcome) -> Self {
        Self {
            outcome,
            status: None,
            cut_off: false,
            stored: 0,
            conflicts: 0,
            duplicates: 0,
            quarantined: 0,
        }
    }
}

//! Records that come again with another content are told in the log: a firmware that uses an id twice is heard of there
//! first.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::rhythm::Rhythm;

/// When it was told last.
#[derive(Debug, Default)]
pub(super) struct Conflicts(Mutex<Rhythm<()>>);

impl Conflicts {
    /// So many records of this inbound were known with another content.
    pub(super) fn told(&self, inbound: &str, conflicts: usize) {
        if conflicts == 0 {
            return;
        }
        let mut rhythm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = rhythm.note((), Instant::now()) {
            tracing::warn!(
                inbound,
                times,
                "a record came again with another person, verdict, kind or device; both are kept"
            );
        }
    }
}

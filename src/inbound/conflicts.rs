//! Records that come again with another content are told in the log: a firmware that uses an id twice is heard of there
//! first.

use crate::throttle::SharedThrottle;

/// When it was told last.
#[derive(Debug, Default)]
pub(super) struct Conflicts(SharedThrottle<()>);

impl Conflicts {
    /// So many records of this inbound were known with another content.
    pub(super) fn told(&self, inbound: &str, conflicts: usize) {
        if conflicts == 0 {
            return;
        }
        if let Some(times) = self.0.note(()) {
            tracing::warn!(
                inbound,
                times,
                "a record came again with another person, verdict, kind or device; both are kept"
            );
        }
    }
}

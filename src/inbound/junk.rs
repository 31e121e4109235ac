//! What cannot be read, and what is refused of a dialled source, is told in the log in a throttle: a device that sends nothing
//! else would fill the disk with lines. How often it was is in the metrics, and in quarantine what it was.

use crate::throttle::SharedThrottle;

/// When it was told last, by reason.
#[derive(Debug, Default)]
pub(super) struct Junk(SharedThrottle<String>);

impl Junk {
    /// A body of this inbound could not be read, or parts of it: so many entries of quarantine.
    pub(super) fn quarantined(&self, inbound: &str, entries: usize, reason: &str) {
        if let Some(times) = self.note(reason) {
            // The reason names no value of the body.
            tracing::warn!(
                inbound,
                quarantined = entries,
                %reason,
                times,
                "a body could not be read; it is in quarantine"
            );
        }
    }

    /// Quarantine has no room for what this inbound cannot read: so many bodies, or elements of one.
    pub(super) fn no_room(&self, inbound: &str, unreadable: usize) {
        if let Some(times) = self.note("quarantine is full") {
            tracing::error!(
                inbound,
                unreadable,
                times,
                "quarantine is full, so what cannot be read of this inbound is not kept (pushes are answered 503, messages \
                 of a stream are left out); what can be read is kept. Look with `faceway quarantine list`, mend the source, \
                 then `faceway quarantine drop`; or raise spool.quarantine_bytes_max"
            );
        }
    }

    /// A message of a dialled source was refused.
    pub(super) fn refused(&self, inbound: &str, reason: &str) {
        if let Some(times) = self.note(reason) {
            tracing::warn!(inbound, %reason, times, "a message was refused");
        }
    }

    fn note(&self, reason: &str) -> Option<u64> {
        self.0.note(kind(reason))
    }
}

/// The reason without its numbers: a place in the text, which is another one each time, makes no other reason.
fn kind(reason: &str) -> String {
    reason
        .chars()
        .filter(|char| !char.is_ascii_digit())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Junk, kind};

    #[test]
    fn another_place_is_no_other_reason() {
        let junk = Junk::default();
        let text = |at| format!("expected `,` at line 1 column {at}");
        assert_eq!(junk.note(&text(7)), Some(1));
        assert_eq!(junk.note(&text(1234)), None);
        assert_eq!(junk.note("it is empty"), Some(1));
        assert_eq!(kind("x 10"), kind("x 2"));
    }
}

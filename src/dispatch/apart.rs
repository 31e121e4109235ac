//! Which events may not share a message: a batch says nothing about any one of its events, so what may be to blame for
//! its failure goes alone until it has a verdict of its own.

use std::collections::HashSet;

use faceway_core::Lease;

/// Events that are remembered, far more than a lane has on its way. Who is forgotten goes with others once more, which
/// costs one more refused message and no event.
const SEQS_MAX: usize = 16 * 1024;

/// The memory of one lane about batches that failed.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// They go alone.
    alone: HashSet<u64>,
    /// They were in a batch that the destination did not answer. Once is an outage; twice, and one of them may be what
    /// it cannot answer.
    unanswered: HashSet<u64>,
}

impl Apart {
    /// Whether this event goes alone.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        // It was parked on its own account, perhaps before the gateway was started.
        lease.failures > 0 || self.alone.contains(&lease.seq)
    }

    /// The far side blamed a message with these events: one of them may be to blame, or several.
    pub(super) fn refused(&mut self, batch: &[Lease]) {
        self.make_room();
        self.alone.extend(batch.iter().map(|lease| lease.seq));
    }

    /// The destination was down for a message with these events.
    pub(super) fn unanswered(&mut self, batch: &[Lease]) {
        self.make_room();
        for lease in batch {
            if !self.unanswered.insert(lease.seq) {
                self.alone.insert(lease.seq);
            }
        }
    }

    /// It has its own verdict.
    pub(super) fn settled(&mut self, seq: u64) {
        self.alone.remove(&seq);
        self.unanswered.remove(&seq);
    }

    fn make_room(&mut self) {
        for seqs in [&mut self.alone, &mut self.unanswered] {
            if seqs.len() > SEQS_MAX {
                seqs.clear();
            }
        }
    }
}

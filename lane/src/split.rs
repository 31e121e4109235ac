//! Which events share no message: a batch that fails says nothing about any one of its events, so each that may be to blame
//! goes alone until it has a verdict of its own.

use std::collections::HashSet;

use crate::Queued;

/// Events that are remembered, far more than a lane has in flight. One that is forgotten goes with others once more, which
/// costs one more refused message and no event.
const SEQS_MAX: usize = 16 * 1024;

/// The memory of one lane about batches that failed.
#[derive(Debug, Default)]
pub(crate) struct Split {
    /// They go alone.
    alone: HashSet<u64>,
    /// They were in a batch that the destination did not answer. Once is an outage; twice, and one of them may be what
    /// it cannot answer.
    unanswered: HashSet<u64>,
}

impl Split {
    /// Whether this event goes alone.
    pub(crate) fn holds(&self, seq: u64) -> bool {
        self.alone.contains(&seq)
    }

    /// The far side blamed a message with these events: one of them may be to blame, or several.
    pub(crate) fn refused(&mut self, batch: &[Queued]) {
        self.make_room();
        self.alone.extend(batch.iter().map(|event| event.seq));
    }

    /// The destination was down for a message with these events.
    pub(crate) fn unanswered(&mut self, batch: &[Queued]) {
        self.make_room();
        for event in batch {
            if !self.unanswered.insert(event.seq) {
                self.alone.insert(event.seq);
            }
        }
    }

    /// It has its own verdict.
    pub(crate) fn settled(&mut self, seq: u64) {
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

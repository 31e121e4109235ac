//! A device of which an event has failed in a lane: who blocks, who waits.

use std::collections::BTreeSet;

use super::queue::Ascending;

/// Waiting events of one device that are in hand at a time once its block is gone. Few, because its holder delivers
/// them one after another: the other devices' events should not find all hands full.
const IN_HAND_MAX: usize = 16;

/// The order of one device. It exists only as long as something of the device is blocked.
#[derive(Debug, Default)]
pub(crate) struct Device {
    /// Events that have failed and are not through: none later than the first of them is handed out.
    pub(crate) blockers: BTreeSet<u64>,
    /// Waiting events with an entry of their own, because they were in somebody's hands before.
    pub(crate) known: BTreeSet<u64>,
    /// Waiting events of which only the number is kept.
    pub(crate) queue: Ascending,
    /// How many taken from `queue` are not through yet.
    pub(crate) in_hand: usize,
}

/// What comes next of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is among the known.
    Known(u64),
    /// It is the front of the queue.
    Queued(u64),
}

impl Device {
    /// Whether `seq` has to wait for an earlier event.
    pub(crate) fn blocks(&self, seq: u64) -> bool {
        let earlier = |first: Option<u64>| first.is_some_and(|first| first < seq);
        earlier(self.blockers.first().copied())
            || earlier(self.known.first().copied())
            || earlier(self.queue.front())
    }

    /// The waiting event that may be handed out now.
    pub(crate) fn next(&self) -> Option<Next> {
        let next = match (self.known.first().copied(), self.queue.front()) {
            (Some(known), Some(queued)) if known < queued => Next::Known(known),
            (Some(known), None) => Next::Known(known),
            (_, Some(queued)) => Next::Queued(queued),
            (None, None) => return None,
        };
        let (Next::Known(seq) | Next::Queued(seq)) = next;
        let blocked = self.blockers.first().is_some_and(|first| *first < seq);
        let full = matches!(next, Next::Queued(_)) && self.in_hand >= IN_HAND_MAX;
        (!blocked && !full).then_some(next)
    }

    /// Whether nothing of the device is blocked any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.blockers.is_empty() && self.known.is_empty() && self.queue.front().is_none()
    }
}

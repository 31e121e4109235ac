//! How a lane stands, for surveys, stories and the writer.

use faceway_core::Standing;

use super::change::{Range, Snapshot};
use super::{LaneState, State};
use crate::row::{Published, pack_ascending};

/// A survey, but for the time of the oldest event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) backlog: u64,
    pub(crate) parked: u64,
    pub(crate) buried: u64,
    pub(crate) next_due: Option<i64>,
    /// The oldest of those whose time is known: its number, and when it was received.
    pub(crate) oldest: Option<(u64, i64)>,
    /// The others: the oldest of each kind is the first event at or after one of these.
    pub(crate) unread: Vec<u64>,
    /// No event with a lower number is among them.
    pub(crate) first: Option<u64>,
}

impl LaneState {
    /// The first event of the log that was not handed out.
    pub(crate) fn position(&self) -> u64 {
        self.buffer.front().map_or(self.next, |row| row.seq)
    }

    /// How the lane stands.
    pub(crate) fn counts(&self, log: Published) -> Counts {
        let remaining: u64 = self.ranges.iter().map(|range| range.remaining).sum();
        let unread = log.total.saturating_sub(self.read);
        let known = || {
            (self.entries.iter())
                .filter(|(_, entry)| entry.at != 0)
                .map(|(seq, entry)| (*seq, entry.at))
        };
        let mut counts = Counts {
            backlog: unread + self.entries.len() as u64 + self.queued + remaining,
            parked: self.dues.len() as u64,
            buried: self.buried,
            next_due: self.dues.first().map(|(due, _)| *due),
            oldest: known().min(),
            unread: Vec::new(),
            first: None,
        };
        if unread > 0 {
            counts.unread.push(self.position());
        }
        let remaining = self.ranges.iter().filter(|range| range.remaining > 0);
        counts.unread.extend(remaining.map(Range::position));
        let unknown = |(seq, entry): (&u64, &super::Entry)| (entry.at == 0).then_some(*seq);
        counts
            .unread
            .extend(self.entries.iter().filter_map(unknown).min());
        let queued = self
            .devices
            .values()
            .filter_map(|device| device.queue.front());
        counts.unread.extend(queued.min());
        let known = self.entries.keys().copied();
        counts.first = known.chain(counts.unread.iter().copied()).min();
        counts
    }

    /// How an event stands and when it is due; `None` when only the store can tell.
    pub(crate) fn standing(&self, seq: u64) -> Option<(Standing, Option<i64>)> {
        if let Some(entry) = self.entries.get(&seq) {
            return Some(match entry.state {
                State::Ready if entry.blocker => (Standing::Parked, None),
                State::Ready => (Standing::Waiting, None),
                State::Leased => (Standing::Leased, None),
                State::Parked { due, .. } => (Standing::Parked, Some(due)),
                State::Behind => (Standing::Behind, None),
            });
        }
        let ahead = |range: &Range| (range.position()..range.end).contains(&seq);
        let waiting = seq >= self.position() || self.ranges.iter().any(ahead);
        waiting.then_some((Standing::Waiting, None))
    }

    /// Rows that wait to be written, so that a reader can wait for the writer instead of filling the memory.
    pub(crate) fn pending_rows(&self) -> usize {
        self.pending.rows.len()
    }

    /// What has to be written, taken out; `None` when nothing changed.
    pub(crate) fn snapshot(&mut self) -> Option<Snapshot> {
        if !self.pending.touched {
            return None;
        }
        let plain = |range: &Range| Range {
            next: range.position(),
            buffer: std::collections::VecDeque::new(),
            ..*range
        };
        Some(Snapshot {
            position: self.position(),
            read: self.read,
            outstanding: pack_ascending(self.outstanding.iter().copied()),
            ranges: self.ranges.iter().map(plain).collect(),
            need: self.need_from(),
            pending: std::mem::take(&mut self.pending),
        })
    }

    /// Takes a snapshot back that could not be written.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) {
        self.pending.restore(snapshot.pending);
    }

    /// Nothing from here on may be trimmed.
    pub(crate) fn need_from(&self) -> u64 {
        let ranges = self.ranges.iter().map(Range::position).min();
        let outstanding = self.outstanding.first().copied();
        [Some(self.position()), ranges, outstanding]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(0)
    }
}

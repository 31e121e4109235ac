//! What becomes of events in a lane.

use faceway_core::{Parked, Passed, Settled, Settlement};

use super::change::{BuryRow, Range};
use super::{Entry, LaneState, State};

impl LaneState {
    /// Takes a settlement. `true` when it lets other events go that were waiting. One of an event that is not leased
    /// is void: it was given back by [`Self::give_back`], or its lane was opened again.
    pub(crate) fn settle(&mut self, settlement: Settlement, now: i64) -> bool {
        let Settlement {
            seq,
            outcome,
            attempt,
        } = settlement;
        if (self.entries.get(&seq)).is_none_or(|entry| entry.state != State::Leased) {
            return false;
        }
        let at = attempt
            .as_ref()
            .map_or(now, |attempt| attempt.at.as_millis());
        if let Some(attempt) = attempt {
            self.ticks += 1;
            self.pending.attempt(seq, attempt, self.ticks);
        }
        self.pending.touched = true;
        match outcome {
            Settled::Done => self.remove(seq),
            Settled::Bury { code } => {
                let failures = self.entries.get(&seq).map_or(0, |entry| entry.failures);
                self.buried += 1;
                self.pending.buries.push(BuryRow {
                    seq,
                    at,
                    code,
                    failures,
                });
                self.remove(seq)
            }
            Settled::Release => {
                self.make_ready(seq);
                false
            }
            Settled::Park { until, why } => {
                self.park(seq, until.as_millis(), why);
                false
            }
        }
    }

    /// Notes what the rules have let pass.
    pub(crate) fn remember(&mut self, passed: Vec<Passed>) {
        self.pending.remember(passed);
    }

    fn park(&mut self, seq: u64, due: i64, why: Parked) {
        let Some(entry) = self.entries.get_mut(&seq) else {
            return;
        };
        entry.failures += u32::from(why == Parked::Alone);
        entry.routed = true;
        entry.row = true;
        entry.blocker = true;
        entry.state = State::Parked { due, why };
        let (device, row) = (entry.device, entry.held());
        self.outstanding.remove(&seq);
        self.dues.insert((due, seq));
        self.devices.entry(device).or_default().blockers.insert(seq);
        self.write(seq, Some(row));
    }

    /// The event is through. `true` when that lets others go.
    fn remove(&mut self, seq: u64) -> bool {
        let Some(entry) = self.entries.remove(&seq) else {
            return false;
        };
        self.ready.remove(&seq);
        self.shelf.remove(&seq);
        if entry.row {
            self.write(seq, None);
        } else {
            self.outstanding.remove(&seq);
            self.pending.touched = true;
        }
        let Some(device) = self.devices.get_mut(&entry.device) else {
            return false;
        };
        device.blockers.remove(&seq);
        device.known.remove(&seq);
        device.in_hand -= usize::from(entry.queued && device.in_hand > 0);
        self.refresh(entry.device)
    }

    /// An event whose row cannot be read cannot be delivered: it is let go, so that its device goes on.
    pub(super) fn let_go(&mut self, seq: u64) {
        if let Some(State::Parked { due, .. }) = self.entries.get(&seq).map(|entry| entry.state) {
            self.dues.remove(&(due, seq));
        }
        self.remove(seq);
    }

    /// What was leased and not settled is ready again.
    pub(crate) fn give_back(&mut self) {
        let leased = |(seq, entry): (&u64, &Entry)| (entry.state == State::Leased).then_some(*seq);
        let seqs: Vec<u64> = self.entries.iter().filter_map(leased).collect();
        for seq in seqs {
            self.make_ready(seq);
        }
    }

    /// The outage is over.
    pub(crate) fn wake(&mut self) -> bool {
        let mut woken = Vec::new();
        for (seq, entry) in &mut self.entries {
            if let State::Parked { due, why } = entry.state
                && why == Parked::Probe
                && due > 0
            {
                entry.state = State::Parked { due: 0, why };
                woken.push((due, *seq, entry.held()));
            }
        }
        for (due, seq, row) in &woken {
            self.dues.remove(&(*due, *seq));
            self.dues.insert((0, *seq));
            self.write(*seq, Some(*row));
        }
        !woken.is_empty()
    }

    /// A buried event lives again. Its row is written already.
    pub(crate) fn revive(&mut self, seq: u64, device: u64, at: i64) {
        self.buried = self.buried.saturating_sub(1);
        if let Some(entry) = self.entries.get_mut(&seq) {
            // It was replayed and is in hand already; its row goes when it is through.
            entry.routed = true;
            entry.row = true;
            self.outstanding.remove(&seq);
            return;
        }
        let mut entry = Entry::fresh(device, at, State::Ready);
        entry.routed = true;
        entry.row = true;
        self.entries.insert(seq, entry);
        self.make_ready(seq);
    }

    /// Buried entries were removed, or replaced by one that had been buried before.
    pub(crate) fn forget_buried(&mut self, number: u64) {
        self.buried = self.buried.saturating_sub(number);
    }

    /// A stretch of the log comes once more. Its row is written already.
    pub(crate) fn add_range(&mut self, range: Range) {
        self.ranges.push_back(range);
    }
}

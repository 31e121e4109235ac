//! One lane in memory: what is handed out, what waits and for what. No I/O here, so its rules are tested by tables.
//!
//! **Where an event of a lane is.** The log is handed out in order; `position` is the first event that was not. Of the
//! events before it, those in hand without a failure are `outstanding` (their numbers are written with the lane, so
//! that they come again after a crash), those that failed or wait behind one that failed have a row of `held`, those
//! given up are `buried`; all others are through. So a blocked device never holds `position` back, and a lane that
//! keeps up writes a few bytes a group.
//!
//! **Invariant:** an event has an entry, or is in its device's queue, or is not ours; never two of these.

pub(crate) mod change;
mod device;
mod queue;
mod settle;
mod take;
mod view;

use std::collections::hash_map::Entry::Vacant;
use std::collections::{BTreeSet, HashMap, VecDeque};

use faceway_core::Parked;

use crate::row::{Row, unpack_ascending};
use change::{HeldRow, Pending, Range};
use device::{Device, Next};

/// Rows that a lane reads ahead.
pub(crate) const READ_AHEAD_ROWS: usize = 256;
/// The same in bytes.
pub(crate) const READ_AHEAD_BYTES: usize = 1 << 20;

/// What a lane knows of an event that it has handed out.
#[derive(Clone, Copy, Debug)]
struct Entry {
    device: u64,
    /// When the gateway had it; 0 until it has been read.
    at: i64,
    failures: u32,
    routed: bool,
    /// Whether `held` has a row of it.
    row: bool,
    /// Whether it has failed: later ones of its device wait.
    blocker: bool,
    /// Whether it came out of its device's queue.
    queued: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Leased,
    Parked { due: i64, why: Parked },
    Behind,
}

/// What has to be read before events can be handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// These events.
    pub(crate) seqs: Vec<u64>,
    /// The log from … to ….
    pub(crate) log: Option<(u64, u64)>,
    /// The first range that is handed out once more.
    pub(crate) range: Option<RangeNeed>,
}

/// A part of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeNeed {
    pub(crate) number: i64,
    pub(crate) from: u64,
    pub(crate) end: u64,
    pub(crate) since: i64,
    pub(crate) until: i64,
}

/// Rows that were read, up to `next`.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) rows: Vec<Row>,
    pub(crate) next: u64,
    /// Rows that could not be read and are given up.
    pub(crate) damaged: u64,
}

/// The answer to a [`Need`].
#[derive(Debug, Default)]
pub(crate) struct Stock {
    /// Each with its row, or `None` when it is not there or damaged.
    pub(crate) seqs: Vec<(u64, Option<Row>)>,
    pub(crate) log: Option<Chunk>,
    pub(crate) range: Option<(i64, Chunk)>,
}

/// What the store has of a lane.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) position: u64,
    pub(crate) read: u64,
    pub(crate) outstanding: Vec<u8>,
    pub(crate) held: Vec<(u64, HeldRow)>,
    pub(crate) ranges: Vec<Range>,
    pub(crate) buried: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LaneState {
    /// The next of the log to read.
    next: u64,
    /// Read and not handed out.
    buffer: VecDeque<Row>,
    /// Events of the log before `position`, ever.
    read: u64,
    ranges: VecDeque<Range>,
    entries: HashMap<u64, Entry>,
    /// Entries that may be handed out.
    ready: BTreeSet<u64>,
    /// Entries in hand or ready that have no row.
    outstanding: BTreeSet<u64>,
    dues: BTreeSet<(i64, u64)>,
    devices: HashMap<u64, Device>,
    /// How many are in the devices' queues.
    queued: u64,
    buried: u64,
    /// Rows of ready entries, read for the next lease.
    shelf: HashMap<u64, Row>,
    pending: Pending,
    ticks: u64,
    /// Events that were counted and are not in the log.
    unseen: u64,
}

impl LaneState {
    /// A lane as it was stored. `device_of` tells the device and time of an event that was outstanding; one that is
    /// not there any more is let go.
    pub(crate) fn load(
        stored: Stored,
        mut device_of: impl FnMut(u64) -> Option<(u64, i64)>,
    ) -> Self {
        let mut lane = Self {
            next: stored.position,
            read: stored.read,
            buried: stored.buried,
            ranges: stored.ranges.into(),
            ..Self::default()
        };
        for (seq, row) in stored.held {
            lane.load_held(seq, row);
        }
        for seq in unpack_ascending(&stored.outstanding) {
            if lane.entries.contains_key(&seq) {
                continue;
            }
            if let Some((device, at)) = device_of(seq) {
                lane.outstanding.insert(seq);
                lane.enter(seq, Entry::fresh(device, at, State::Ready));
                lane.ready.insert(seq);
            }
        }
        let devices: Vec<u64> = lane.devices.keys().copied().collect();
        for device in devices {
            lane.refresh(device);
        }
        lane.pending = Pending::default();
        lane
    }

    fn load_held(&mut self, seq: u64, row: HeldRow) {
        let device = self.devices.entry(row.device).or_default();
        let fresh = row.failures == 0 && !row.routed && row.parked.is_none();
        if fresh && device.queue.push(seq) {
            self.queued += 1;
            return;
        }
        let mut entry = Entry::fresh(row.device, row.at, State::Behind);
        entry.failures = row.failures;
        entry.routed = row.routed;
        entry.row = true;
        if let Some((due, why)) = row.parked {
            entry.blocker = true;
            entry.state = State::Parked { due, why };
            device.blockers.insert(seq);
            self.dues.insert((due, seq));
        } else {
            device.known.insert(seq);
        }
        self.enter(seq, entry);
    }

    fn enter(&mut self, seq: u64, entry: Entry) {
        self.entries.insert(seq, entry);
    }

    fn write(&mut self, seq: u64, row: Option<HeldRow>) {
        self.pending.touched = true;
        self.pending.rows.insert(seq, row);
    }

    /// Lets those waiting events of a device go that nothing blocks any more. `true` when there were some.
    fn refresh(&mut self, device_key: u64) -> bool {
        let mut moved = false;
        while let Some(device) = self.devices.get_mut(&device_key)
            && let Some(next) = device.next()
        {
            match next {
                Next::Known(seq) => {
                    device.known.remove(&seq);
                    if let Some(entry) = self.entries.get_mut(&seq) {
                        entry.state = State::Ready;
                        self.ready.insert(seq);
                    }
                }
                Next::Queued(seq) => {
                    device.queue.pop();
                    self.queued -= 1;
                    if let Vacant(place) = self.entries.entry(seq) {
                        device.in_hand += 1;
                        let mut entry = Entry::fresh(device_key, 0, State::Ready);
                        entry.row = true;
                        entry.queued = true;
                        place.insert(entry);
                        self.ready.insert(seq);
                    }
                }
            }
            moved = true;
        }
        if self.devices.get(&device_key).is_some_and(Device::is_idle) {
            self.devices.remove(&device_key);
        }
        moved
    }
}

impl Entry {
    fn fresh(device: u64, at: i64, state: State) -> Self {
        Self {
            device,
            at,
            failures: 0,
            routed: false,
            row: false,
            blocker: false,
            queued: false,
            state,
        }
    }

    fn held(&self) -> HeldRow {
        HeldRow {
            device: self.device,
            at: self.at,
            failures: self.failures,
            routed: self.routed,
            parked: match self.state {
                State::Parked { due, why } => Some((due, why)),
                // A failed one that waits again is due as soon as it may be.
                _ if self.blocker => Some((0, Parked::Alone)),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests;

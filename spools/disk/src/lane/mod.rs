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
mod view;

use std::collections::{BTreeSet, HashMap, VecDeque};

use faceway_core::{Lease, Parked};

use crate::row::{Published, Row, unpack_ascending};
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
}

impl LaneState {
    /// A lane as it was stored. `device_of` tells the device and time of an event that was outstanding; one that is
    /// not there any more is let go.
    pub(crate) fn load(stored: Stored, mut device_of: impl FnMut(u64) -> Option<(u64, i64)>) -> Self {
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

    /// Hands out up to `max` events, or says what has to be read first. Nothing is changed by a `Need` that a caller
    /// who goes away could leave half done.
    pub(crate) fn try_take(
        &mut self,
        max: usize,
        now: i64,
        log: Published,
    ) -> Result<Vec<Lease>, Need> {
        self.promote(now);
        loop {
            self.retreat(max);
            self.digest();
            let need = self.need(max, log);
            if need != Need::default() {
                return Err(need);
            }
            let leases = self.take(max);
            if !leases.is_empty() || max == 0 || !self.has_unread(log) {
                return Ok(leases);
            }
        }
    }

    /// Whether rows of the log or of a range have not been looked at.
    fn has_unread(&self, log: Published) -> bool {
        !self.buffer.is_empty() || self.next <= log.last || !self.ranges.is_empty()
    }

    /// Parked events whose time has come are ready, or wait behind an earlier one.
    fn promote(&mut self, now: i64) {
        while let Some(&(due, seq)) = self.dues.first() {
            if due > now {
                break;
            }
            self.dues.pop_first();
            self.make_ready(seq);
        }
    }

    /// Ready, or behind when an earlier event of its device is in the way.
    fn make_ready(&mut self, seq: u64) {
        let Some(entry) = self.entries.get_mut(&seq) else {
            return;
        };
        match self.devices.get_mut(&entry.device) {
            Some(device) if device.blocks(seq) => {
                entry.state = State::Behind;
                device.known.insert(seq);
                if !entry.row {
                    entry.row = true;
                    let row = Some(entry.held());
                    self.outstanding.remove(&seq);
                    self.write(seq, row);
                }
            }
            _ => {
                entry.state = State::Ready;
                self.ready.insert(seq);
            }
        }
    }

    /// Ready events that an earlier one has come to block go behind it.
    fn retreat(&mut self, max: usize) {
        if self.devices.is_empty() {
            return;
        }
        let mut free = 0;
        let mut blocked = Vec::new();
        for &seq in &self.ready {
            if free >= max {
                break;
            }
            match self.device_of(seq) {
                Some(device) if device.blocks(seq) => blocked.push(seq),
                _ => free += 1,
            }
        }
        for seq in blocked {
            self.ready.remove(&seq);
            self.shelf.remove(&seq);
            self.make_ready(seq);
        }
    }

    fn device_of(&self, seq: u64) -> Option<&Device> {
        self.devices.get(&self.entries.get(&seq)?.device)
    }

    /// Rows at the front of the log that have to wait go to their device, so that they hold up nobody else.
    fn digest(&mut self) {
        while let Some(row) = self.buffer.front() {
            let (seq, device, at) = (row.seq, row.device, row.at);
            if !self.devices.get(&device).is_some_and(|d| d.blocks(seq)) {
                break;
            }
            self.buffer.pop_front();
            self.read += 1;
            self.put_behind(seq, device, at);
        }
    }

    fn put_behind(&mut self, seq: u64, device: u64, at: i64) {
        let waiting = self.devices.entry(device).or_default();
        let mut entry = Entry::fresh(device, at, State::Behind);
        entry.row = true;
        if waiting.queue.push(seq) {
            self.queued += 1;
        } else {
            waiting.known.insert(seq);
            self.enter(seq, entry);
        }
        self.write(seq, Some(entry.held()));
    }

    fn need(&self, max: usize, log: Published) -> Need {
        let mut need = Need {
            seqs: (self.ready.iter().take(max))
                .filter(|seq| !self.shelf.contains_key(seq))
                .copied()
                .collect(),
            ..Need::default()
        };
        if self.ready.len() >= max || !self.buffer.is_empty() {
            return need;
        }
        if self.next <= log.last {
            need.log = Some((self.next, log.last));
        } else if let Some(range) = self.ranges.front()
            && range.buffer.is_empty()
            && range.next < range.end
        {
            need.range = Some(RangeNeed {
                number: range.number,
                from: range.next,
                end: range.end,
                since: range.since,
                until: range.until,
            });
        }
        need
    }

    /// Puts what was read where [`Self::try_take`] looks for it.
    pub(crate) fn stock(&mut self, stock: Stock, log: Published) {
        for (seq, row) in stock.seqs {
            match row {
                Some(row) if self.ready.contains(&seq) => {
                    self.shelf.insert(seq, row);
                }
                Some(_) => {}
                None => self.let_go(seq),
            }
        }
        if let Some(chunk) = stock.log {
            self.next = chunk.next;
            self.read += chunk.damaged;
            self.buffer.extend(chunk.rows);
            if self.buffer.is_empty() && self.next > log.last {
                // Whatever was lost unseen is not waited for.
                self.read = log.total;
            }
            self.pending.touched = true;
        }
        if let Some((number, chunk)) = stock.range
            && let Some(range) = self.ranges.front_mut()
            && range.number == number
        {
            range.next = chunk.next;
            range.remaining = range.remaining.saturating_sub(chunk.damaged);
            range.buffer.extend(chunk.rows);
            self.pending.touched = true;
        }
    }

    fn take(&mut self, max: usize) -> Vec<Lease> {
        let mut leases = Vec::new();
        while leases.len() < max
            && let Some(&seq) = self.ready.first()
            && let Some(row) = self.shelf.remove(&seq)
        {
            self.ready.pop_first();
            if let Some(entry) = self.entries.get_mut(&seq) {
                entry.state = State::Leased;
                entry.at = row.at;
                leases.push(row.lease(entry.failures, entry.routed));
            }
        }
        if self.ready.is_empty() {
            self.take_log(max, &mut leases);
            self.take_ranges(max, &mut leases);
        }
        leases.sort_unstable_by_key(|lease| lease.seq);
        leases
    }

    fn take_log(&mut self, max: usize, leases: &mut Vec<Lease>) {
        while leases.len() < max {
            self.digest();
            let Some(row) = self.buffer.pop_front() else {
                break;
            };
            self.read += 1;
            leases.push(self.hand_out(row));
        }
    }

    /// Ranges come after the log ("ahead of nothing"), so that a replay never delays what is new.
    fn take_ranges(&mut self, max: usize, leases: &mut Vec<Lease>) {
        while leases.len() < max && self.buffer.is_empty() {
            let Some(range) = self.ranges.front_mut() else {
                break;
            };
            if let Some(row) = range.buffer.pop_front() {
                range.remaining = range.remaining.saturating_sub(1);
                let held = self.entries.contains_key(&row.seq)
                    || self.pending.rows.get(&row.seq).is_some_and(Option::is_some);
                let blocked = self.devices.get(&row.device).is_some_and(|d| d.blocks(row.seq));
                if held {
                    // It is in the lane's hands already and will be delivered from there.
                } else if blocked {
                    self.put_behind(row.seq, row.device, row.at);
                } else {
                    leases.push(self.hand_out(row));
                }
            } else if range.is_through() {
                self.ranges.pop_front();
            } else {
                break;
            }
            self.pending.touched = true;
        }
    }

    fn hand_out(&mut self, row: Row) -> Lease {
        self.outstanding.insert(row.seq);
        self.pending.touched = true;
        self.enter(row.seq, Entry::fresh(row.device, row.at, State::Leased));
        row.lease(0, false)
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
                    if !self.entries.contains_key(&seq) {
                        device.in_hand += 1;
                        let mut entry = Entry::fresh(device_key, 0, State::Ready);
                        entry.row = true;
                        entry.queued = true;
                        self.entries.insert(seq, entry);
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

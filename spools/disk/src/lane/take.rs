//! How events are handed out.

use faceway_core::Lease;

use super::device::Device;
use super::{Entry, LaneState, Need, RangeNeed, State, Stock};
use crate::row::{Published, Row};

impl LaneState {
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
            self.pass_unseen(log);
            if !leases.is_empty() || max == 0 || !self.has_unread(log) {
                return Ok(leases);
            }
        }
    }

    /// At the end of the log nothing is waited for any more: what was counted and never read has been lost.
    fn pass_unseen(&mut self, log: Published) {
        if self.buffer.is_empty() && self.next > log.last && self.read < log.total {
            self.unseen += log.total - self.read;
            self.read = log.total;
            self.pending.touched = true;
        }
    }

    /// How many events were passed unseen since this was asked last.
    pub(crate) fn take_unseen(&mut self) -> u64 {
        std::mem::take(&mut self.unseen)
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
    pub(super) fn make_ready(&mut self, seq: u64) {
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
    pub(crate) fn stock(&mut self, stock: Stock) {
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
                let blocked = self
                    .devices
                    .get(&row.device)
                    .is_some_and(|d| d.blocks(row.seq));
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
}

//! What is kept and what gives way: delivered history first, undelivered events never.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use faceway_core::{AppendError, Batch, LaneState, NewUnreadable, Private, Sha256, waiting};

use super::{Kept, MemoryDisk, Stored};

/// How much a [`MemoryDisk`] takes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// Bytes of bodies and pictures, the share of quarantine among them whether it is used or not.
    pub bytes_max: u64,
    /// The share of quarantine. One inbound may use half of it.
    pub quarantine_bytes_max: u64,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            bytes_max: u64::MAX,
            quarantine_bytes_max: u64::MAX / 2,
        }
    }
}

/// What lanes need of the log.
struct Needed {
    waiting: BTreeSet<u64>,
    /// From here on a lane has not asked the rules.
    unrouted_from: u64,
    /// Stretches that are to be handed out once more.
    replays: Vec<(u64, u64)>,
}

impl Needed {
    fn of<'l>(lanes: impl Iterator<Item = &'l LaneState>) -> Self {
        let mut needed = Self {
            waiting: BTreeSet::new(),
            unrouted_from: u64::MAX,
            replays: Vec::new(),
        };
        for lane in lanes {
            let ranges = lane.waiting.iter();
            let events = ranges.filter_map(|(range, bytes)| waiting::decode(*range, bytes));
            needed.waiting.extend(events.flatten().map(|(seq, _)| seq));
            needed.waiting.extend(&lane.undecided);
            needed.unrouted_from = needed.unrouted_from.min(lane.routed_through + 1);
            let jobs = lane.replays.iter();
            let jobs = jobs.map(|job| (job.routed_through, job.through_seq));
            needed.replays.extend(jobs);
        }
        needed
    }

    fn has(&self, seq: u64) -> bool {
        let mut replays = self.replays.iter();
        seq >= self.unrouted_from
            || self.waiting.contains(&seq)
            || replays.any(|(after, through)| (after + 1..=*through).contains(&seq))
    }
}

impl MemoryDisk {
    /// Time goes by: what no lane needs of the log up to here is old enough to leave.
    pub fn age_events(&self, through_seq: u64) {
        let mut kept = self.lock();
        kept.trimmed_through = kept.trimmed_through.max(through_seq.min(kept.last));
        kept.remove_stragglers();
    }

    /// Time goes by: pictures of events that are delivered everywhere are old enough to leave.
    pub fn age_pictures(&self) {
        let mut kept = self.lock();
        let needed = kept.needed();
        kept.sweep_pictures(|seq| needed.has(seq));
    }

    /// Time goes by: what lies in quarantine is old enough to leave.
    pub fn age_quarantine(&self) {
        self.lock().quarantine.clear();
    }

    /// Everything up to here that no lane needs has left.
    pub fn trimmed_through(&self) -> u64 {
        self.lock().trimmed_through
    }
}

impl Kept {
    fn needed(&self) -> Needed {
        Needed::of(self.lanes.values().map(|lane| &lane.state))
    }

    pub(super) fn put(&mut self, stored: Stored) {
        self.bytes += stored.entry.body.size() as u64;
        let before = self.entries.insert(stored.entry.seq, stored);
        self.bytes -= before.map_or(0, |before| before.entry.body.size() as u64);
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some(stored) = self.entries.remove(&seq) {
            self.bytes -= stored.entry.body.size() as u64;
        }
    }

    pub(super) fn put_picture(&mut self, sha256: Sha256, bytes: Private<Bytes>) {
        self.bytes += bytes.size() as u64;
        let before = self.pictures.insert(sha256, bytes);
        self.bytes -= before.map_or(0, |before| before.size() as u64);
    }

    /// Bytes that a batch adds.
    fn wanted(&self, batch: &Batch) -> u64 {
        let new = batch.events.iter().filter(|event| self.is_new(event));
        let (mut bytes, mut images) = (0, HashSet::<Sha256>::new());
        for event in new {
            bytes += event.body.size() as u64;
            images.extend(event.images.iter().copied());
        }
        let named = batch.pictures.iter().filter(|picture| {
            // Removed: a batch may bring one picture twice.
            images.remove(&picture.sha256) && !self.pictures.contains_key(&picture.sha256)
        });
        bytes + named.map(|it| it.bytes.size() as u64).sum::<u64>()
    }

    fn takes(&self, batch: &Batch) -> bool {
        let limits = self.limits;
        let wanted = self.wanted(batch);
        wanted == 0 || self.bytes + wanted <= limits.bytes_max - limits.quarantine_bytes_max
    }

    /// Delivered history gives way, the oldest first and its pictures before it, until there is room.
    pub(super) fn make_room(&mut self, batch: &Batch) -> Result<(), AppendError> {
        if self.takes(batch) {
            return Ok(());
        }
        let needed = self.needed();
        self.sweep_pictures(|seq| needed.has(seq));
        let seqs = self.entries.keys().copied();
        let free: Vec<u64> = seqs.filter(|seq| !needed.has(*seq)).collect();
        for seq in free {
            if self.takes(batch) {
                break;
            }
            self.remove(seq);
            self.trimmed_through = self.trimmed_through.max(seq);
        }
        if self.takes(batch) {
            Ok(())
        } else {
            Err(AppendError::Full)
        }
    }

    /// What is behind the trim point leaves when the last lane lets go of it.
    pub(super) fn remove_stragglers(&mut self) {
        let mut behind = self.entries.range(..=self.trimmed_through);
        if behind.next().is_none() {
            return;
        }
        let needed = self.needed();
        let behind = self.entries.range(..=self.trimmed_through);
        let stragglers: Vec<u64> = (behind.map(|(seq, _)| *seq))
            .filter(|seq| !needed.has(*seq))
            .collect();
        if stragglers.is_empty() {
            return;
        }
        for seq in stragglers {
            self.remove(seq);
        }
        self.sweep_pictures(|_| true);
    }

    /// Removes the pictures that none of these events names.
    fn sweep_pictures(&mut self, holds: impl Fn(u64) -> bool) {
        if self.pictures.is_empty() {
            return;
        }
        let holding = self.entries.iter().filter(|(seq, _)| holds(**seq));
        let named: HashSet<Sha256> = holding
            .flat_map(|(_, stored)| stored.images.iter().copied())
            .collect();
        let bytes = &mut self.bytes;
        self.pictures.retain(|sha256, picture| {
            let is_named = named.contains(sha256);
            if !is_named {
                *bytes -= picture.size() as u64;
            }
            is_named
        });
    }

    /// Whether there is room for these bodies: in the whole, and in each inbound's half.
    pub(super) fn quarantine_takes(&self, entries: &[NewUnreadable]) -> bool {
        let bytes_max = self.limits.quarantine_bytes_max;
        let all = || self.quarantine.iter().chain(entries);
        let bytes = |inbound: Option<&str>| -> u64 {
            let of = all().filter(|entry| inbound.is_none_or(|it| it == entry.inbound));
            of.map(|entry| entry.body.size() as u64).sum()
        };
        let mut inbounds = entries.iter().map(|entry| entry.inbound.as_str());
        entries.is_empty()
            || bytes(None) <= bytes_max
                && inbounds.all(|inbound| bytes(Some(inbound)) <= bytes_max / 2)
    }
}

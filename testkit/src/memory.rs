//! An engine that keeps everything in memory: it proves that the contracts are free of any engine, and serves the
//! simulation. What is durable outlives its handles, so a gateway that dies is a handle that is dropped.
//!
//! It keeps what an engine must keep and no more: [`MemoryLimits`] give it a capacity, delivered history gives way when space
//! is short, an event stays as long as a lane needs it, and so do its pictures (`memory/capacity.rs`).

mod capacity;
mod contract;
mod duties;
mod lanes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, Entry, EventId, LaneState, NewEvent, NewUnreadable, Newest, Private,
    Receipt, RecordId, RulesEntry, Sha256,
};
use tokio::sync::watch;
use tokio::time::Instant;

pub use capacity::MemoryLimits;
use lanes::KeptLane;

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    limits: MemoryLimits,
    entries: BTreeMap<u64, Stored>,
    ids: HashMap<EventId, u64>,
    newest: HashMap<RecordId, Newest>,
    last: u64,
    /// Everything up to here that no lane needs has left.
    trimmed_through: u64,
    pictures: HashMap<Sha256, Private<Bytes>>,
    quarantine: Vec<NewUnreadable>,
    /// Bodies and pictures, copies of buried events among them.
    bytes: u64,
    rules: Option<RulesEntry>,
    secrets: HashMap<String, [u8; 32]>,
    lanes: BTreeMap<String, KeptLane>,
    epochs: u64,
    is_full: bool,
    batch_max: Option<usize>,
    failing_appends: u32,
    failing_commits: u32,
    commits: u64,
    holds_commits: watch::Sender<bool>,
    tail: Option<watch::Sender<u64>>,
    shared: duties::Shared,
    /// Handles that were opened.
    handles: u64,
}

/// An event with the names of its pictures.
#[derive(Clone)]
struct Stored {
    entry: Entry,
    images: Vec<Sha256>,
}

impl MemoryDisk {
    /// A disk with a capacity.
    pub fn with_limits(limits: MemoryLimits) -> Self {
        let disk = Self::default();
        disk.lock().limits = limits;
        disk
    }

    /// A handle, as a gateway opens one.
    pub fn open(&self) -> Arc<MemorySpool> {
        let mut kept = self.lock();
        let last = kept.last;
        let tail = kept.tail.get_or_insert_with(|| watch::Sender::new(last));
        let tail = tail.subscribe();
        kept.handles += 1;
        Arc::new(MemorySpool {
            number: kept.handles,
            name: format!("gw-{}", kept.handles),
            disk: self.clone(),
            tail,
            frozen: watch::Sender::new(false),
            owned: Mutex::default(),
        })
    }

    /// Whether appends are refused for want of capacity.
    pub fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    /// Batches of more events find no room.
    pub fn set_batch_max(&self, events: usize) {
        self.lock().batch_max = Some(events);
    }

    /// The next `count` appends fail, though every second of them arrives.
    pub fn fail_appends(&self, count: u32) {
        self.lock().failing_appends = count;
    }

    /// The next `count` commits of lanes fail, though every second of them arrives.
    pub fn fail_commits(&self, count: u32) {
        self.lock().failing_commits = count;
    }

    /// How often a lane's change was committed.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// While `holds`, commits of lanes are not answered.
    pub fn hold_commits(&self, holds: bool) {
        self.lock().holds_commits.send_replace(holds);
    }

    /// What is buried in a lane, ascending.
    pub fn buried(&self, lane: &str) -> Vec<(u64, EventId)> {
        let kept = self.lock();
        let buried = kept
            .lanes
            .get(lane)
            .into_iter()
            .flat_map(|lane| &lane.buried);
        let entries = buried.filter_map(|(seq, (_, copy))| Some((*seq, copy.as_ref()?.entry.id)));
        entries.collect()
    }

    /// The sequence numbers of what is in the log, ascending.
    pub fn seqs(&self) -> Vec<u64> {
        self.lock().entries.keys().copied().collect()
    }

    /// Under which sequence number an event was appended, whether or not it is still in the log.
    pub fn seq_of(&self, id: EventId) -> Option<u64> {
        self.lock().ids.get(&id).copied()
    }

    /// The pictures that are kept.
    pub fn pictures(&self) -> BTreeSet<Sha256> {
        self.lock().pictures.keys().copied().collect()
    }

    /// Removes an entry from the log, as if it were damaged.
    pub fn damage(&self, seq: u64) {
        self.lock().remove(seq);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One gateway's handle of a [`MemoryDisk`].
pub struct MemorySpool {
    /// Which of the disk's handles it is.
    number: u64,
    /// `gw-` and the number.
    name: String,
    disk: MemoryDisk,
    tail: watch::Receiver<u64>,
    frozen: watch::Sender<bool>,
    owned: Mutex<BTreeMap<String, Owned>>,
}

/// A lane that this handle has claimed.
#[derive(Clone)]
struct Owned {
    epoch: u64,
    /// As it was claimed.
    state: LaneState,
    /// When a commit of this claim was first answered so.
    fenced_at: Option<Instant>,
}

impl MemorySpool {
    /// While it is frozen nothing that it is asked is answered, nor begun: its gateway is frozen, or cut off.
    pub fn freeze(&self, is_frozen: bool) {
        self.frozen.send_replace(is_frozen);
    }

    /// Resolves when the handle is not frozen.
    pub async fn thawed(&self) {
        if *self.frozen.borrow() {
            // The sender is the handle's own, so it is there.
            let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
        }
    }

    /// Whether this handle has claimed the lane last.
    pub fn owns(&self, lane: &str) -> bool {
        let epoch = self.disk.lock().lanes.get(lane).map(|lane| lane.epoch);
        let owned = self.owned();
        owned
            .get(lane)
            .is_some_and(|owned| Some(owned.epoch) == epoch)
    }

    /// When this handle was told that another one owns the lane.
    pub fn fenced_at(&self, lane: &str) -> Option<Instant> {
        self.owned().get(lane)?.fenced_at
    }

    /// A lane as this handle claimed it, and by which epoch.
    pub fn claimed(&self, lane: &str) -> Option<(u64, LaneState)> {
        let owned = self.owned();
        owned
            .get(lane)
            .map(|owned| (owned.epoch, owned.state.clone()))
    }

    /// The epoch of this handle's claim; 0 when there is none.
    pub fn epoch(&self, lane: &str) -> u64 {
        self.owned().get(lane).map_or(0, |owned| owned.epoch)
    }

    fn owned(&self) -> MutexGuard<'_, BTreeMap<String, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.disk.lock()
    }
}

impl Kept {
    fn append(&mut self, batch: Batch) -> Result<Vec<Receipt>, AppendError> {
        if self.is_full || self.batch_max.is_some_and(|max| batch.events.len() > max) {
            return Err(AppendError::Full);
        }
        let failing = self.failing_appends;
        self.failing_appends = failing.saturating_sub(1);
        if failing % 2 == 1 {
            return Err(AppendError::Failing);
        }
        if !self.quarantine_takes(&batch.unreadable) {
            return Err(AppendError::QuarantineFull);
        }
        self.make_room(&batch)?;
        self.quarantine.extend(batch.unreadable);
        let is_new: Vec<bool> = batch
            .events
            .iter()
            .map(|event| self.is_new(event))
            .collect();
        for picture in batch.pictures {
            let mut naming = batch.events.iter().zip(&is_new);
            // One that only known events name would have no holder.
            let is_known =
                naming.any(|(event, is_new)| !is_new && event.images.contains(&picture.sha256));
            let mut naming = batch.events.iter().zip(&is_new);
            if !is_known
                || naming.any(|(event, is_new)| *is_new && event.images.contains(&picture.sha256))
            {
                self.put_picture(picture.sha256, picture.bytes);
            }
        }
        let receipts = batch.events.into_iter().map(|event| self.keep(event));
        let receipts = receipts.collect();
        if let Some(tail) = &self.tail {
            tail.send_replace(self.last);
        }
        if failing > 0 {
            return Err(AppendError::Failing);
        }
        Ok(receipts)
    }

    fn is_new(&self, event: &NewEvent) -> bool {
        !self.ids.contains_key(&event.id)
    }

    fn keep(&mut self, event: NewEvent) -> Receipt {
        if !self.is_new(&event) {
            return Receipt::Duplicate;
        }
        self.last += 1;
        let (seq, id) = (self.last, event.id);
        self.ids.insert(id, seq);
        let newest = Newest { seq, id };
        let is_conflict = self.newest.insert(id.record(), newest).is_some();
        let entry = Entry {
            seq,
            id,
            device: event.device,
            received_at: event.received_at,
            trace_context: event.trace_context,
            body: event.body,
        };
        let images = event.images;
        self.put(Stored { entry, images });
        if is_conflict {
            Receipt::Conflict(seq)
        } else {
            Receipt::Appended(seq)
        }
    }
}

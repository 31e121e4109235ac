//! An engine that keeps everything in memory: it proves that the contracts are free of any engine, and serves the
//! simulation. What is durable outlives its handles, so a gateway that dies is a handle that is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, BoxFuture, Burial, Claim, CommitError, Entry, EventId, LaneChange,
    LaneState, LaneStore, Log, Newest, Private, ReadMax, Receipt, RecordId, Room, Sha256, Span,
    SpoolError, Start, Stretch, Timestamp,
};
use tokio::sync::watch;

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    entries: BTreeMap<u64, Entry>,
    ids: HashMap<EventId, u64>,
    last: u64,
    pictures: HashMap<Sha256, Private<Bytes>>,
    notes: HashMap<String, Bytes>,
    lanes: BTreeMap<String, KeptLane>,
    epochs: u64,
    is_full: bool,
    batch_max: Option<usize>,
    failing_commits: u32,
    commits: u64,
    holds_commits: watch::Sender<bool>,
    tail: Option<watch::Sender<u64>>,
}

#[derive(Default)]
struct KeptLane {
    epoch: u64,
    state: LaneState,
    buried: BTreeMap<u64, (Burial, Option<Entry>)>,
}

impl MemoryDisk {
    /// A handle, as a gateway opens one.
    pub fn open(&self) -> Arc<MemorySpool> {
        let mut kept = self.lock();
        let last = kept.last;
        let tail = kept.tail.get_or_insert_with(|| watch::Sender::new(last));
        let tail = tail.subscribe();
        Arc::new(MemorySpool {
            disk: self.clone(),
            tail,
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
        let entries = buried.filter_map(|(seq, (_, entry))| Some((*seq, entry.as_ref()?.id)));
        entries.collect()
    }

    /// Removes an entry from the log, as if it were damaged.
    pub fn damage(&self, seq: u64) {
        self.lock().entries.remove(&seq);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One gateway's handle of a [`MemoryDisk`].
pub struct MemorySpool {
    disk: MemoryDisk,
    tail: watch::Receiver<u64>,
}

impl MemorySpool {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.disk.lock()
    }
}

impl Kept {
    fn append(&mut self, batch: Batch) -> Result<Vec<Receipt>, AppendError> {
        if self.is_full || self.batch_max.is_some_and(|max| batch.events.len() > max) {
            return Err(AppendError::Full);
        }
        for picture in batch.pictures {
            self.pictures.insert(picture.sha256, picture.bytes);
        }
        let receipts = batch.events.into_iter().map(|event| {
            if self.ids.contains_key(&event.id) {
                return Receipt::Duplicate;
            }
            let mut ids = self.ids.keys();
            let is_conflict = ids.any(|id| id.record() == event.id.record());
            self.last += 1;
            let seq = self.last;
            self.ids.insert(event.id, seq);
            let entry = Entry {
                seq,
                id: event.id,
                device: event.device,
                received_at: event.received_at,
                trace_context: event.trace_context,
                body: event.body,
            };
            self.entries.insert(seq, entry);
            if is_conflict {
                Receipt::Conflict(seq)
            } else {
                Receipt::Appended(seq)
            }
        });
        let receipts = receipts.collect();
        if let Some(tail) = &self.tail {
            tail.send_replace(self.last);
        }
        Ok(receipts)
    }

    fn claim(&mut self, name: &str, start: Start) -> (Claim, LaneState) {
        self.epochs += 1;
        let routed_through = match start {
            Start::Now => self.last,
            Start::Oldest => self
                .entries
                .keys()
                .next()
                .map_or(self.last, |first| first - 1),
        };
        let lane = self
            .lanes
            .entry(name.to_owned())
            .or_insert_with(|| KeptLane {
                state: LaneState {
                    routed_through,
                    ..LaneState::default()
                },
                ..KeptLane::default()
            });
        lane.epoch = self.epochs;
        let claim = Claim {
            lane: name.into(),
            epoch: lane.epoch,
        };
        (claim, lane.state.clone())
    }

    fn commit(&mut self, claim: &Claim, mut change: LaneChange) -> Result<u64, CommitError> {
        self.commits += 1;
        let failing = self.failing_commits;
        self.failing_commits = failing.saturating_sub(1);
        if failing % 2 == 1 {
            return Err(CommitError::Unavailable);
        }
        let lane = self
            .lanes
            .get_mut(&*claim.lane)
            .ok_or(CommitError::Fenced)?;
        if lane.epoch != claim.epoch {
            return Err(CommitError::Fenced);
        }
        for (seq, burial) in std::mem::take(&mut change.burials) {
            match burial {
                Some(burial) => {
                    let entry = self.entries.get(&seq).cloned();
                    lane.buried.insert(seq, (burial, entry));
                }
                None => {
                    if let Some((_, Some(entry))) = lane.buried.remove(&seq) {
                        self.entries.insert(seq, entry);
                    }
                }
            }
        }
        for seq in std::mem::take(&mut change.dropped) {
            lane.buried.remove(&seq);
        }
        lane.state.apply(change);
        lane.state.buried = lane.buried.len() as u64;
        if failing > 0 {
            return Err(CommitError::Unavailable);
        }
        Ok(lane.state.buried)
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Log for MemorySpool {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        ready(self.lock().append(batch))
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        let kept = self.lock();
        let newest = records.into_iter().map(|record| {
            let ids = kept.ids.iter().filter(|(id, _)| id.record() == record);
            ids.max_by_key(|(_, seq)| **seq)
                .map(|(id, seq)| Newest { seq: *seq, id: *id })
        });
        ready(Ok(newest.collect()))
    }

    fn read(
        &self,
        after_seq: u64,
        through_seq: u64,
        max: ReadMax,
    ) -> BoxFuture<'_, Result<Stretch, SpoolError>> {
        let kept = self.lock();
        let end = through_seq.min(kept.last);
        let mut stretch = Stretch {
            entries: Vec::new(),
            through_seq: end.max(after_seq),
        };
        if after_seq >= end {
            return ready(Ok(stretch));
        }
        let mut bytes = 0;
        for (seq, entry) in kept.entries.range(after_seq + 1..=end) {
            let is_full = stretch.entries.len() >= max.entries || bytes >= max.bytes;
            if is_full && !stretch.entries.is_empty() {
                stretch.through_seq = seq - 1;
                break;
            }
            bytes += entry.body.size();
            stretch.entries.push(entry.clone());
        }
        ready(Ok(stretch))
    }

    fn fetch(&self, seqs: Vec<u64>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, SpoolError>> {
        let kept = self.lock();
        let entries = seqs.iter().map(|seq| kept.entries.get(seq).cloned());
        ready(Ok(entries.collect()))
    }

    fn tail(&self) -> u64 {
        self.lock().last
    }

    fn watch_tail(&self, seen: u64) -> BoxFuture<'_, u64> {
        let mut tail = self.tail.clone();
        Box::pin(async move {
            let moved = tail.wait_for(|tail| *tail > seen).await.map(|tail| *tail);
            match moved {
                Ok(tail) => tail,
                // The disk is gone with all its handles.
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn span(&self, since: Timestamp, until: Timestamp) -> BoxFuture<'_, Result<Span, SpoolError>> {
        let kept = self.lock();
        let entries = kept.entries.values();
        let within = entries.filter(|entry| (since..until).contains(&entry.received_at));
        let seqs: Vec<u64> = within.map(|entry| entry.seq).collect();
        ready(Ok(Span {
            first_seq: seqs.first().copied().unwrap_or_default(),
            through_seq: seqs.last().copied().unwrap_or_default(),
            events: seqs.len() as u64,
        }))
    }

    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>> {
        ready(Ok(self.lock().pictures.get(&sha256).cloned()))
    }

    fn keep_note(&self, name: &str, note: Bytes) -> BoxFuture<'_, Result<(), SpoolError>> {
        self.lock().notes.insert(name.to_owned(), note);
        ready(Ok(()))
    }

    fn note(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, SpoolError>> {
        ready(Ok(self.lock().notes.get(name).cloned()))
    }

    fn capacity(&self) -> Room {
        let kept = self.lock();
        Room {
            bytes: kept
                .entries
                .values()
                .map(|entry| entry.body.size() as u64)
                .sum(),
            free: u64::MAX,
            quarantined: 0,
            quarantine_bytes: 0,
            damaged: 0,
            damaged_pictures: 0,
            failures: 0,
            degraded: None,
            accepting: if kept.is_full {
                Err(AppendError::Full)
            } else {
                Ok(())
            },
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        ready(())
    }
}

impl LaneStore for MemorySpool {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, SpoolError>> {
        ready(Ok(self.lock().lanes.keys().cloned().collect()))
    }

    fn claim(
        &self,
        name: &str,
        start: Start,
    ) -> BoxFuture<'_, Result<(Claim, LaneState), SpoolError>> {
        ready(Ok(self.lock().claim(name, start)))
    }

    fn commit(&self, claim: &Claim, change: LaneChange) -> BoxFuture<'_, Result<u64, CommitError>> {
        let mut holds = self.lock().holds_commits.subscribe();
        let claim = claim.clone();
        Box::pin(async move {
            // The sender lives as long as the disk.
            let _ = holds.wait_for(|holds| !holds).await;
            self.lock().commit(&claim, change)
        })
    }

    fn look(&self, name: &str) -> BoxFuture<'_, Result<Option<LaneState>, SpoolError>> {
        let kept = self.lock();
        ready(Ok(kept.lanes.get(name).map(|lane| lane.state.clone())))
    }

    fn delete(&self, name: &str) -> BoxFuture<'_, Result<bool, SpoolError>> {
        ready(Ok(self.lock().lanes.remove(name).is_some()))
    }
}

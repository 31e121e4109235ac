//! The two contracts, by one handle.

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, BoxFuture, Capacity, Claim, CommitError, Entry, LaneChange, LaneState,
    LaneStore, Log, Mark, Newest, Private, ReadMax, Receipt, RecordId, RulesEntry, RulesError,
    Sha256, Span, SpoolError, Start, Stretch, Timestamp,
};

use tokio::time::Instant;

use super::{Kept, MemorySpool, Owned};

impl MemorySpool {
    /// Does it as soon as the handle is not frozen.
    fn ask<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut Kept) -> T + Send + 'a,
    ) -> BoxFuture<'a, T> {
        Box::pin(async move {
            self.thawed().await;
            work(&mut self.lock())
        })
    }
}

impl Log for MemorySpool {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        self.ask(|kept| kept.append(batch))
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        self.ask(move |kept| {
            let newest = records
                .iter()
                .map(|record| kept.newest.get(record).copied());
            Ok(newest.collect())
        })
    }

    fn read(
        &self,
        after_seq: u64,
        through_seq: u64,
        max: ReadMax,
    ) -> BoxFuture<'_, Result<Stretch, SpoolError>> {
        self.ask(move |kept| Ok(kept.read(after_seq, through_seq, max)))
    }

    fn fetch(&self, seqs: Vec<u64>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, SpoolError>> {
        self.ask(move |kept| {
            let entry = |seq| kept.entries.get(seq).map(|stored| stored.entry.clone());
            Ok(seqs.iter().map(entry).collect())
        })
    }

    fn tail(&self) -> Result<u64, SpoolError> {
        Ok(self.lock().last)
    }

    fn watch_tail(&self, seen: u64) -> BoxFuture<'_, Result<u64, SpoolError>> {
        let mut tail = self.tail.clone();
        Box::pin(async move {
            self.thawed().await;
            let moved = tail.wait_for(|tail| *tail > seen).await.map(|tail| *tail);
            match moved {
                Ok(tail) => Ok(tail),
                // The disk is gone with all its handles.
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn span(&self, since: Timestamp, until: Timestamp) -> BoxFuture<'_, Result<Span, SpoolError>> {
        self.ask(move |kept| {
            let entries = kept.entries.values().map(|stored| &stored.entry);
            let within = entries.filter(|entry| (since..until).contains(&entry.received_at));
            let seqs: Vec<u64> = within.map(|entry| entry.seq).collect();
            Ok(Span {
                first_seq: seqs.first().copied().unwrap_or_default(),
                through_seq: seqs.last().copied().unwrap_or_default(),
                events: seqs.len() as u64,
            })
        })
    }

    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>> {
        self.ask(move |kept| Ok(kept.pictures.get(&sha256).cloned()))
    }

    fn append_rules(&self, text: Bytes, expected: u64) -> BoxFuture<'_, Result<Mark, RulesError>> {
        self.ask(move |kept| kept.append_rules(text, expected))
    }

    fn rules(&self) -> BoxFuture<'_, Result<Option<RulesEntry>, SpoolError>> {
        self.ask(|kept| Ok(kept.rules.clone()))
    }

    fn rules_version(&self) -> u64 {
        self.version()
    }

    fn watch_rules(&self, seen: u64) -> BoxFuture<'_, Result<u64, SpoolError>> {
        Box::pin(async move { Ok(self.newer(seen).await) })
    }

    fn secret(&self, name: &str) -> BoxFuture<'_, Result<[u8; 32], SpoolError>> {
        let name = name.to_owned();
        // Not random, so that a simulated life is the same by its seed.
        self.ask(move |kept| {
            let made = Sha256::of(name.as_bytes()).0;
            Ok(*kept.secrets.entry(name).or_insert(made))
        })
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, SpoolError>> {
        self.ask(|kept| Ok(kept.capacity()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Kept {
    fn append_rules(&mut self, text: Bytes, expected: u64) -> Result<Mark, RulesError> {
        let known = self.rules.as_ref().map_or(0, |rules| rules.mark.version);
        if known != expected {
            return Err(RulesError::Conflict(known));
        }
        let mark = Mark {
            version: known + 1,
            after_seq: self.last,
        };
        self.rules = Some(RulesEntry { mark, text });
        self.shared.changed();
        Ok(mark)
    }

    fn capacity(&self) -> Capacity {
        let kept = self;
        let quarantined = kept.quarantine.iter();
        Capacity {
            bytes: kept.bytes,
            free: u64::MAX,
            quarantined: kept.quarantine.len() as u64,
            quarantine_bytes: quarantined.map(|entry| entry.body.size() as u64).sum(),
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

    fn read(&self, after_seq: u64, through_seq: u64, max: ReadMax) -> Stretch {
        let end = through_seq.min(self.last);
        let mut stretch = Stretch {
            entries: Vec::new(),
            through_seq: end.max(after_seq),
        };
        if after_seq >= end {
            return stretch;
        }
        let mut bytes = 0;
        for (seq, stored) in self.entries.range(after_seq + 1..=end) {
            let is_full = stretch.entries.len() >= max.entries || bytes >= max.bytes;
            if is_full && !stretch.entries.is_empty() {
                stretch.through_seq = seq - 1;
                break;
            }
            bytes += stored.entry.body.size();
            stretch.entries.push(stored.entry.clone());
        }
        stretch
    }
}

impl LaneStore for MemorySpool {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, SpoolError>> {
        self.ask(|kept| Ok(kept.lanes.keys().cloned().collect()))
    }

    fn claim(
        &self,
        name: &str,
        start: Start,
    ) -> BoxFuture<'_, Result<(Claim, LaneState), SpoolError>> {
        let name = name.to_owned();
        self.ask(move |kept| {
            let (claim, state) = kept.claim(&name, start);
            let owned = Owned {
                epoch: claim.epoch,
                state: state.clone(),
                fenced_at: None,
            };
            self.owned().insert(name, owned);
            Ok((claim, state))
        })
    }

    fn commit(&self, claim: &Claim, change: LaneChange) -> BoxFuture<'_, Result<u64, CommitError>> {
        let mut holds = self.lock().holds_commits.subscribe();
        let claim = claim.clone();
        Box::pin(async move {
            // The sender lives as long as the disk.
            let _ = holds.wait_for(|holds| !holds).await;
            self.thawed().await;
            let committed = self.lock().commit(&claim, change);
            if committed == Err(CommitError::Fenced)
                && let Some(owned) = self.owned().get_mut(&*claim.lane)
                && owned.epoch == claim.epoch
            {
                owned.fenced_at.get_or_insert_with(Instant::now);
            }
            committed
        })
    }

    fn look(&self, name: &str) -> BoxFuture<'_, Result<Option<LaneState>, SpoolError>> {
        let name = name.to_owned();
        self.ask(move |kept| Ok(kept.lanes.get(&name).map(|lane| lane.state.clone())))
    }

    fn delete(&self, name: &str) -> BoxFuture<'_, Result<bool, SpoolError>> {
        let name = name.to_owned();
        self.ask(move |kept| Ok(kept.delete(&name)))
    }
}

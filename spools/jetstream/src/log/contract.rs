//! The contract of the log.

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, BoxFuture, Capacity, Entry, Log, Mark, Newest, Private, ReadMax, Receipt,
    RecordId, RulesEntry, RulesError, Sha256, Span, SpoolError, Stretch, Timestamp,
};

use crate::{JetStreamSpool, lock};

impl Log for JetStreamSpool {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        Box::pin(self.shared.append(batch))
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        Box::pin(async move {
            if !self.shared.is_live() {
                return Err(AppendError::Failing);
            }
            let known = lock(&self.shared.known);
            let newest = records.into_iter().map(|record| known.newest_of(record));
            Ok(newest.collect())
        })
    }

    fn read(
        &self,
        after_seq: u64,
        through_seq: u64,
        max: ReadMax,
    ) -> BoxFuture<'_, Result<Stretch, SpoolError>> {
        Box::pin(async move { Ok(self.shared.read(after_seq, through_seq, max).await?) })
    }

    fn fetch(&self, seqs: Vec<u64>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.fetch(seqs).await?) })
    }

    fn tail(&self) -> Result<u64, SpoolError> {
        if self.shared.is_live() {
            Ok(self.shared.seen())
        } else {
            Err(SpoolError(
                "the end of the log is not known: the cluster does not answer".into(),
            ))
        }
    }

    fn watch_tail(&self, seen: u64) -> BoxFuture<'_, Result<u64, SpoolError>> {
        let mut tail = self.shared.tail.subscribe();
        Box::pin(async move {
            let moved = tail.wait_for(|tail| tail.seen > seen).await;
            moved
                .map(|tail| tail.seen)
                .map_err(|_| SpoolError("the spool is closed".into()))
        })
    }

    fn span(&self, since: Timestamp, until: Timestamp) -> BoxFuture<'_, Result<Span, SpoolError>> {
        Box::pin(async move { Ok(self.shared.span(since, until).await?) })
    }

    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.picture(sha256).await?) })
    }

    fn append_rules(&self, text: Bytes, expected: u64) -> BoxFuture<'_, Result<Mark, RulesError>> {
        Box::pin(self.shared.append_rules(text, expected))
    }

    fn rules(&self) -> BoxFuture<'_, Result<Option<RulesEntry>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.rules().await?) })
    }

    fn rules_version(&self) -> u64 {
        *self.shared.rules.borrow()
    }

    fn watch_rules(&self, seen: u64) -> BoxFuture<'_, Result<u64, SpoolError>> {
        let mut rules = self.shared.rules.subscribe();
        Box::pin(async move {
            let moved = rules.wait_for(|version| *version > seen).await;
            moved
                .map(|version| *version)
                .map_err(|_| SpoolError("the spool is closed".into()))
        })
    }

    fn secret(&self, name: &str) -> BoxFuture<'_, Result<[u8; 32], SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.shared.secret(&name).await?) })
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, SpoolError>> {
        Box::pin(std::future::ready(self.shared.capacity()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.close_all())
    }
}

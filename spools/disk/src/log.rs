//! The contract of the log ([`Log`]).

mod append;
mod read;
mod span;

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, BoxFuture, Capacity, Entry, Log, Mark, Newest, Private, ReadMax, Receipt,
    RecordId, RulesEntry, RulesError, Sha256, Span, SpoolError, Stretch, Timestamp,
};

use crate::DiskSpool;
use crate::inbox::{Ask, Done};
use crate::secret;
use crate::shared::Shared;

impl Log for DiskSpool {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        Box::pin(self.append_batch(batch))
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        Box::pin(async move {
            match self.shared.ask(Ask::NewestOf(records)).await? {
                Done::Newest(newest) => Ok(newest),
                _ => Err(AppendError::Failing),
            }
        })
    }

    fn read(
        &self,
        after_seq: u64,
        through_seq: u64,
        max: ReadMax,
    ) -> BoxFuture<'_, Result<Stretch, SpoolError>> {
        Box::pin(self.shared.read_log(after_seq, through_seq, max))
    }

    fn fetch(&self, seqs: Vec<u64>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, SpoolError>> {
        Box::pin(self.shared.fetch_entries(seqs))
    }

    fn tail(&self) -> Result<u64, SpoolError> {
        Ok(self.shared.tail())
    }

    fn watch_tail(&self, seen: u64) -> BoxFuture<'_, Result<u64, SpoolError>> {
        Box::pin(async move { Ok(self.shared.tail_beyond(seen).await) })
    }

    fn span(&self, since: Timestamp, until: Timestamp) -> BoxFuture<'_, Result<Span, SpoolError>> {
        let read = move |shared: &Shared| shared.span((since.as_millis(), until.as_millis()));
        Box::pin(async move { self.shared.blocking(read).await })
    }

    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>> {
        Box::pin(self.shared.picture(sha256))
    }

    fn append_rules(&self, text: Bytes, expected: u64) -> BoxFuture<'_, Result<Mark, RulesError>> {
        Box::pin(self.write_rules(text, expected))
    }

    fn rules(&self) -> BoxFuture<'_, Result<Option<RulesEntry>, SpoolError>> {
        Box::pin(self.read_rules())
    }

    fn secret(&self, name: &str) -> BoxFuture<'_, Result<[u8; 32], SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move {
            let read = move |shared: &Shared| secret::read_or_make(&shared.settings.dir, &name);
            self.shared.blocking(read).await
        })
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, SpoolError>> {
        Box::pin(std::future::ready(Ok(self.shared.capacity())))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.close_all())
    }
}

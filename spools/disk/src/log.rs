//! The contract of the log ([`Log`]), beside the former one: appends and notes are the same for both.

mod read;
mod span;

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, BoxFuture, Entry, Log, Newest, Private, ReadMax, Receipt, RecordId, Room,
    Sha256, Span, Spool, SpoolError, Stretch, Timestamp,
};

use crate::DiskSpool;
use crate::shared::Shared;

impl Log for DiskSpool {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        Spool::append(self, batch)
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        Spool::newest_of(self, records)
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

    fn tail(&self) -> u64 {
        self.shared.newest()
    }

    fn watch_tail(&self, seen: u64) -> BoxFuture<'_, u64> {
        Box::pin(self.shared.tail_beyond(seen))
    }

    fn span(&self, since: Timestamp, until: Timestamp) -> BoxFuture<'_, Result<Span, SpoolError>> {
        let read = move |shared: &Shared| shared.span(since.as_millis(), until.as_millis());
        Box::pin(async move { self.shared.blocking(read).await })
    }

    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>> {
        Spool::picture(self, sha256)
    }

    fn keep_note(&self, name: &str, note: Bytes) -> BoxFuture<'_, Result<(), SpoolError>> {
        Spool::keep_note(self, name, note)
    }

    fn note(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, SpoolError>> {
        Spool::note(self, name)
    }

    fn capacity(&self) -> Room {
        Spool::room(self)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Spool::close(self)
    }
}

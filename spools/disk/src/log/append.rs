//! Appending: the way of a batch to the writer, and the memory that it may take until it is answered.

use std::sync::Arc;

use faceway_core::{AppendError, Batch, Receipt};

use crate::DiskSpool;
use crate::inbox::{Ask, Done};
use crate::settings::IN_FLIGHT_BYTES_MAX;

impl DiskSpool {
    /// See [`faceway_core::Log::append`].
    pub(super) async fn append_batch(&self, batch: Batch) -> Result<Vec<Receipt>, AppendError> {
        if batch.events.is_empty() && batch.unreadable.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = weight(&batch);
        let permits = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .min(IN_FLIGHT_BYTES_MAX);
        let semaphore = Arc::clone(&self.shared.permits);
        let permit = tokio::select! {
            biased;
            permit = semaphore.acquire_many_owned(permits) => permit.ok(),
            () = self.shared.gauge.until_it_hangs() => return Err(AppendError::Failing),
        };
        let ask = Ask::Append {
            batch,
            bytes,
            permit,
        };
        match self.shared.ask(ask).await? {
            Done::Receipts(receipts) => Ok(receipts),
            _ => Err(AppendError::Failing),
        }
    }
}

/// Bytes that a batch holds in memory, near enough. Lengths only: the fence stays shut.
fn weight(batch: &Batch) -> usize {
    const EACH: usize = 256;
    let events = batch.events.iter().map(|event| event.body.reveal().len());
    let pictures = batch
        .pictures
        .iter()
        .map(|picture| picture.bytes.reveal().len());
    let unreadable = batch
        .unreadable
        .iter()
        .map(|entry| entry.body.reveal().len());
    events
        .chain(pictures)
        .chain(unreadable)
        .map(|bytes| bytes + EACH)
        .sum()
}

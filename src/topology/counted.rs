//! The spool as inbounds see it: what they keep is counted by route. Inbounds know nothing of rules, and rules nothing of
//! inbounds.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{AppendError, Batch, BoxFuture, Log, Newest, Private, Receipt, RecordId};

use super::rules_history::ActiveRules;
use crate::dispatch::Tally;
use crate::inbound::Intake;

/// A spool to which inbounds can only append, and a tally of what is kept. Of a source that goes away before it is answered
/// nothing is counted, here as in all that inbounds count; what it sent may be kept all the same.
pub(super) struct Counted {
    log: Arc<dyn Log>,
    tally: Tally,
}

impl Counted {
    pub(super) fn new(log: Arc<dyn Log>, rules: ActiveRules) -> Self {
        let tally = Tally::new(rules);
        Self { log, tally }
    }
}

impl Intake for Counted {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        Box::pin(async move {
            let bodies = batch.events.iter().map(|event| event.body.clone());
            let bodies: Vec<Private<Bytes>> = bodies.collect();
            let receipts = self.log.append(batch).await?;
            let new = |(receipt, body): (&Receipt, Private<Bytes>)| Some((receipt.seq()?, body));
            let events = receipts.iter().zip(bodies).filter_map(new).collect();
            self.tally.kept(events, self.log.rules_version()).await;
            Ok(receipts)
        })
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        self.log.newest_of(records)
    }
}

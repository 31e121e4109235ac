//! Forgetting a lane.

use crate::client::Failure;
use crate::names::StreamKind;
use crate::shared::Shared;

impl Shared {
    /// The record first: from then on no commit of its owner succeeds.
    pub(crate) async fn delete_lane(&self, lane: &str) -> Result<bool, Failure> {
        let subject = self.client.names.lane(lane);
        let found = self
            .client
            .last_at_leader(StreamKind::State, &subject)
            .await?;
        if found.is_none() {
            return Ok(false);
        }
        self.client.purge(StreamKind::State, &subject, None).await?;
        self.remove_rows(lane).await?;
        self.lanes.remove(lane);
        Ok(true)
    }
}

//! Marks of once windows are forgotten when nothing waits that they could silence.

use std::sync::Arc;

use crate::client::Failure;
use crate::lock;
use crate::names::{Row, StreamKind};
use crate::shared::Shared;

use super::Owned;

impl Shared {
    /// Forgets marks in every lane that this gateway has claimed.
    pub(crate) async fn forget_once(&self) -> Result<(), Failure> {
        let lanes: Vec<Arc<tokio::sync::Mutex<Owned>>> =
            lock(&self.lanes.0).values().cloned().collect();
        for lane in lanes {
            let mut owned = lane.lock().await;
            let needed = owned.state.survey().first;
            let needed = needed.unwrap_or(owned.state.routed_through + 1);
            // A lane that is behind comes to events of long ago.
            let oldest = lock(&self.known).earliest_near(needed);
            let now = self.clock.now().as_millis();
            let bound = oldest.map_or(now, |oldest| oldest.min(now));
            let over = owned.once.iter().filter(|(_, until)| **until <= bound);
            let over: Vec<u64> = over.map(|(number, _)| *number).collect();
            for number in over {
                let row = self.client.names.row(Row::Once, &owned.name, number);
                self.client.purge(StreamKind::State, &row, None).await?;
                owned.once.remove(&number);
            }
            owned
                .state
                .passed
                .retain(|one| one.until.as_millis() > bound);
        }
        Ok(())
    }
}

//! Lanes: a record each, written by compare-and-set, and rows beside it.

mod attempts;
mod claim;
mod commit;
mod copies;
mod delete;
mod look;
mod once;
mod record;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use faceway_core::{
    BoxFuture, Claim, CommitError, LaneChange, LaneState, LaneStore, SpoolError, Start,
};
use tokio::sync::Mutex;

use crate::JetStreamSpool;

pub(crate) use attempts::{AttemptRow, attempts_of};
pub(crate) use record::Record;
pub(crate) use rows::BuriedRow;

/// Lanes that this gateway has claimed, by their names.
#[derive(Default)]
pub(crate) struct OwnedLanes(std::sync::Mutex<HashMap<String, Arc<Mutex<Owned>>>>);

/// A lane that this gateway has claimed.
pub(crate) struct Owned {
    name: String,
    epoch: u64,
    /// The epoch of the first claim of this lane: another lane of the same name has another.
    born: u64,
    /// The number of the record's last message that is known to be there.
    number: u64,
    /// As it is committed.
    state: LaneState,
    buried: BTreeSet<u64>,
    /// Events of which the lane has a copy: buried ones, and revived ones that still wait.
    copies: BTreeSet<u64>,
    /// Rows of marks of once windows: when the last of each ends.
    once: BTreeMap<u64, i64>,
}

impl OwnedLanes {
    fn get(&self, name: &str) -> Option<Arc<Mutex<Owned>>> {
        crate::lock(&self.0).get(name).cloned()
    }

    fn put(&self, owned: Owned) {
        let name = owned.name.clone();
        crate::lock(&self.0).insert(name, Arc::new(Mutex::new(owned)));
    }

    fn remove(&self, name: &str) {
        crate::lock(&self.0).remove(name);
    }
}

impl LaneStore for JetStreamSpool {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.lane_names().await?) })
    }

    fn claim(
        &self,
        name: &str,
        start: Start,
    ) -> BoxFuture<'_, Result<(Claim, LaneState), SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.shared.claim(&name, start).await?) })
    }

    fn commit(&self, claim: &Claim, change: LaneChange) -> BoxFuture<'_, Result<u64, CommitError>> {
        let claim = claim.clone();
        Box::pin(async move { self.shared.commit(&claim, change).await })
    }

    fn look(&self, name: &str) -> BoxFuture<'_, Result<Option<LaneState>, SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.shared.look(&name).await?) })
    }

    fn delete(&self, name: &str) -> BoxFuture<'_, Result<bool, SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.shared.delete_lane(&name).await?) })
    }
}

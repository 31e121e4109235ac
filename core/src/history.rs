//! The contract of looking: what a person asks about kept events. Delivery never gets it.

use bytes::Bytes;

use crate::{
    Attempt, BoxFuture, Buried, BuriedBody, BuriedChoice, DeviceKey, EventId, Page, Private,
    Quarantined, QuarantinedBody, SpoolError, Timestamp,
};

/// Looks at what is kept, and removes what could not be read.
pub trait History: Send + Sync + 'static {
    /// Buried events, newest first; of one lane or of all.
    fn buried(
        &self,
        lane: Option<String>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<Buried>, SpoolError>>;

    /// The burials of one event, newest first: one for each lane that buried it.
    fn buried_event(
        &self,
        id: EventId,
        lane: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<BuriedBody>, SpoolError>>;

    /// Where the chosen buried events stand, ascending in each lane. Their lanes' owners revive or drop them.
    fn buried_places(
        &self,
        which: BuriedChoice,
    ) -> BoxFuture<'_, Result<Vec<BuriedPlace>, SpoolError>>;

    /// An event and every attempt to deliver it, oldest first; `None` when it is unknown or has left the history.
    fn trace(&self, id: EventId) -> BoxFuture<'_, Result<Option<Trace>, SpoolError>>;

    /// What could not be read, newest first, without the bodies.
    fn quarantine(&self, page: Page) -> BoxFuture<'_, Result<Vec<Quarantined>, SpoolError>>;

    /// One of them with its body.
    fn quarantined(
        &self,
        number: u64,
    ) -> BoxFuture<'_, Result<Option<QuarantinedBody>, SpoolError>>;

    /// Removes some of them (all when `numbers` is `None`). Gives their number.
    fn drop_quarantined(&self, numbers: Option<Vec<u64>>)
    -> BoxFuture<'_, Result<u64, SpoolError>>;
}

/// Where a buried event stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuriedPlace {
    /// Name of the lane.
    pub lane: String,
    /// Its sequence number.
    pub seq: u64,
    /// The unit of order.
    pub device: DeviceKey,
}

/// An event and its attempts.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its sequence number.
    pub seq: u64,
    /// When the gateway got it.
    pub received_at: Timestamp,
    /// The event as [`crate::encode`] wrote it.
    pub body: Private<Bytes>,
    /// What each lane did with it, as far as that is kept. Lanes without an attempt and without a burial are not among them.
    pub lanes: Vec<LaneTrace>,
}

/// What one lane did with an event.
#[derive(Clone, Debug)]
pub struct LaneTrace {
    /// Name of the lane.
    pub lane: String,
    /// Whether the lane was deleted; another one may have its name.
    pub is_deleted: bool,
    /// Whether the event is buried there.
    pub is_buried: bool,
    /// Every attempt that is still kept, oldest first.
    pub attempts: Vec<Attempt>,
}

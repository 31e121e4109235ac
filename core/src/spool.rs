//! The second contract: events are kept, and handed out lane by lane.
//!
//! One log, written once per event; a lane for each outbound with its own position, parked and buried entries. Rules are
//! asked on the reading side, so a wrong rule loses nothing and a lane can be replayed. The contract says *what* holds,
//! never *how*: an embedded engine and a cluster both fit. `faceway-testkit` has the suite that every engine passes.

use bytes::Bytes;

use crate::{
    AppendError, Batch, BoxFuture, Buried, BuriedBody, BuriedChoice, EventId, Lane, Lease, Newest,
    Page, Passed, Private, Quarantined, QuarantinedBody, Receipt, RecordId, Room, Settlement,
    Sha256, SpoolError, Start, Story, Survey, Timestamp,
};

/// What intake and dispatch need of an engine.
pub trait Spool: Send + Sync + 'static {
    /// Keeps a batch as a whole: when it returns `Ok`, everything in the batch is durable; when it returns an error,
    /// none of it was promised (it may be there: the source sends it again and it is recognised). Pictures are durable
    /// before the events that name them. Where what could not be read finds no room in quarantine, the whole batch is refused
    /// ([`AppendError::QuarantineFull`]); the caller may append the rest of it. Events get ascending sequence numbers in the order of the batch; an event whose
    /// id is known already is not kept again. One receipt for each event, in their order.
    ///
    /// Dropping the future does not undo what it began.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>>;

    /// The newest known event of each of these records, in their order: among the ids by which [`Spool::append`]
    /// recognises duplicates, so also of events that have left the history.
    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>>;

    /// Opens the lane of this name, making it when it is new; `start` counts only then. Opening it again gives back all
    /// that was leased and not settled.
    fn open_lane(&self, name: &str, start: Start) -> BoxFuture<'_, Result<Lane, SpoolError>>;

    /// Hands out up to `max` events of a lane, lowest sequence number first, each until it is settled. Does not wait:
    /// an empty list means that nothing is due now.
    ///
    /// **Order:** an event is never leased while an earlier event of its device is parked in this lane. Events of one
    /// device may be leased together: the holder delivers them one after another and, when it parks one, releases those
    /// behind it. A released event comes again before later ones of its device. Parked and revived events come again
    /// when they are due.
    fn lease(
        &self,
        lane: Lane,
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Lease>, SpoolError>>;

    /// Says what became of leased events. It counts at once for later leases and surveys and is durable soon after
    /// (with the next group that the engine writes); after a crash in between, the event is leased once more.
    fn settle(&self, lane: Lane, settlements: Vec<Settlement>);

    /// Resolves when everything that was settled before is durable; with an error when that is not known, and it may become
    /// durable later.
    fn sync(&self) -> BoxFuture<'_, Result<(), SpoolError>>;

    /// Says what the rules have let pass in a lane, so that they silence the same events after a restart. Like a settlement
    /// it counts at once and is durable soon after: never later than settlements that are said after it. It is kept as
    /// long as events wait in the lane that came in before `until`.
    fn remember(&self, lane: Lane, passed: Vec<Passed>);

    /// What is remembered of a lane, the earliest `until` first.
    fn remembered(&self, lane: Lane) -> BoxFuture<'_, Result<Vec<Passed>, SpoolError>>;

    /// Takes burials of this lane back: these events are leased again, before later ones of their devices, with no attempt
    /// counted. Of events whose burial is durable (after [`Spool::sync`]), and durable when it returns `Ok`. One that is
    /// not buried any more is passed over.
    fn take_back(&self, lane: Lane, events: Vec<EventId>) -> BoxFuture<'_, Result<(), SpoolError>>;

    /// The outage is over: what this lane parked with [`Parked::Probe`](crate::Parked::Probe) is due now.
    fn wake(&self, lane: Lane);

    /// How a lane stands.
    fn survey(&self, lane: Lane, now: Timestamp) -> BoxFuture<'_, Result<Survey, SpoolError>>;

    /// Resolves when an event was appended or a lane was replayed or revived after `seen`, and gives the new mark to
    /// pass next time. Begin with 0. The mark counts changes, nothing else.
    fn changed(&self, seen: u64) -> BoxFuture<'_, u64>;

    /// A sequence number between all events that are kept, which have no higher one, and all that are kept from now on,
    /// which get a higher one; 0 when none was ever kept. Cheap.
    fn newest(&self) -> u64;

    /// Keeps a note of this name in place of the one before; durable when it returns `Ok`, and when it returns an error
    /// the one before counts (this one may be there). A note belongs to the log and is no event: the rules by which its
    /// events go. Notes are few, and are kept also when events are refused for want of room.
    fn keep_note(&self, name: &str, note: Bytes) -> BoxFuture<'_, Result<(), SpoolError>>;

    /// The note of this name, as it will be found after a crash; an error while the engine does not know that. `None` when none was kept, or it is damaged, which the engine tells in its log.
    fn note(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, SpoolError>>;

    /// How much room there is. Cheap: asked for every scrape.
    fn room(&self) -> Room;

    /// The bytes of a kept picture; `None` when it was never kept or has been removed by age.
    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>>;

    /// Makes all that was said durable and lets go of files and connections. Nothing may be asked afterwards.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Looking and repairing. Dispatch never gets it.
pub trait Repair: Send + Sync + 'static {
    /// Names of all lanes, also of those whose outbound is no longer configured.
    fn lanes(&self) -> BoxFuture<'_, Result<Vec<String>, SpoolError>>;

    /// Forgets a lane with its backlog. `false` when there is none of that name.
    fn drop_lane(&self, name: String) -> BoxFuture<'_, Result<bool, SpoolError>>;

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

    /// Gives buried events another life: they are leased again, with no attempt counted. Gives their number.
    fn revive(&self, which: BuriedChoice) -> BoxFuture<'_, Result<u64, SpoolError>>;

    /// Removes buried entries for good. Gives their number.
    fn drop_buried(&self, which: BuriedChoice) -> BoxFuture<'_, Result<u64, SpoolError>>;

    /// Hands the events that came in from `since` until before `until` to the lane once more, in their order and ahead
    /// of nothing: their rules are asked again. Gives how many events that are, or `None` when there is no such lane.
    fn replay(
        &self,
        lane: String,
        since: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'_, Result<Option<u64>, SpoolError>>;

    /// An event and every attempt to deliver it, oldest first; `None` when it is unknown or has left the history.
    fn story(&self, id: EventId) -> BoxFuture<'_, Result<Option<Story>, SpoolError>>;

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

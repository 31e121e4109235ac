//! The contract of the log: events are appended once, in one order, and read by the lanes that deliver them.
//!
//! It says *what* holds, never *how*, so that an embedded engine and a cluster both fit: it knows nothing of lanes or
//! retries, and of rules only where they stand; and every call that a network could fail can fail. Lanes are kept by [`crate::LaneStore`]. `faceway-testkit` has the suite that every engine passes.

use bytes::Bytes;

use crate::{
    AppendError, Batch, BoxFuture, Capacity, DeviceKey, EventId, Newest, Private, Receipt,
    RecordId, Sha256, SpoolError, Timestamp, TraceContext,
};

/// The append-only sequence of events.
pub trait Log: Send + Sync + 'static {
    /// Keeps a batch as a whole: when it returns `Ok`, everything in the batch is durable; when it returns an error,
    /// none of it was promised (it may be there: the source sends it again and it is recognised). Pictures are durable
    /// before the events that name them. Where what could not be read finds no room in quarantine, the whole batch is refused
    /// ([`AppendError::QuarantineFull`]); the caller may append the rest of it. Events get ascending sequence numbers in the order of the batch; an event whose
    /// id is known already is not kept again. One receipt for each event, in their order.
    ///
    /// Dropping the future does not undo what it began.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>>;

    /// The newest known event of each of these records, in their order: among the ids by which [`Log::append`]
    /// recognises duplicates, so also of events that have left the log.
    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>>;

    /// The entries behind `after_seq`, up to `through_seq`, in their order, as many as `max` allows. It gives at least one
    /// when there is one. An entry that is damaged is left out: the engine logs and counts it.
    fn read(
        &self,
        after_seq: u64,
        through_seq: u64,
        max: ReadMax,
    ) -> BoxFuture<'_, Result<Stretch, SpoolError>>;

    /// These entries, in their order; `None` where one has left the log, was never there, or is damaged, which the engine logs
    /// and counts. An error when that is not known now: try again.
    fn fetch(&self, seqs: Vec<u64>) -> BoxFuture<'_, Result<Vec<Option<Entry>>, SpoolError>>;

    /// The highest durable sequence number that the engine knows; 0 when nothing was ever appended. All that this gateway
    /// appends from now on gets a higher one. Cheap. An error while the engine cannot know it: try again.
    fn tail(&self) -> Result<u64, SpoolError>;

    /// Resolves when the [tail](Log::tail) is beyond `seen`, and gives it; or with an error when that is no longer watched: try
    /// again.
    fn watch_tail(&self, seen: u64) -> BoxFuture<'_, Result<u64, SpoolError>>;

    /// The stretch of the log that holds all events that came in from `since` until before `until`. A clock that was set may
    /// have put others among them.
    fn span(&self, since: Timestamp, until: Timestamp) -> BoxFuture<'_, Result<Span, SpoolError>>;

    /// The bytes of a kept picture; `None` when it was never kept, has been removed by age, or is damaged.
    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>>;

    /// Puts a version of the rules into the log and says where: [`Mark::after_seq`] is decided in the same order as the numbers
    /// of events, so every event goes by one version, in every lane. `expected` is [`Mark::version`] of the newest version that
    /// the caller knows, 0 when there is none. Durable when it returns `Ok`; when it returns an error other than
    /// [`RulesError::Conflict`] the version before counts (this one may be there: ask for [`Log::rules`]). Versions are few, and
    /// are kept also when events are refused for want of capacity. The text is of the gateway; the engine does not read it.
    fn append_rules(&self, text: Bytes, expected: u64) -> BoxFuture<'_, Result<Mark, RulesError>>;

    /// The newest version of the rules, as it will be found after a crash; an error while the engine does not know that. It
    /// stays as long as the log does. `None` when there is none, or it is damaged, which the engine logs.
    fn rules(&self) -> BoxFuture<'_, Result<Option<RulesEntry>, SpoolError>>;

    /// [`Mark::version`] of the newest rules whose place is at or below the [tail](Log::tail); 0 when there are none. An event
    /// that was read up to the tail is decided by rules of this version at least. Cheap. An engine that one gateway has to
    /// itself says 0: that gateway knows what it appended.
    fn rules_version(&self) -> u64 {
        0
    }

    /// Resolves when [`Log::rules_version`] is higher than `seen`, and gives it; or with an error when that is no longer
    /// watched: try again.
    fn watch_rules(&self, seen: u64) -> BoxFuture<'_, Result<u64, SpoolError>> {
        let _ = seen;
        Box::pin(std::future::pending())
    }

    /// 32 random bytes of this name that belong to the log: the same after every start and for every gateway that opens it,
    /// made when they are first asked for. An error when they cannot be read: they are never replaced.
    fn secret(&self, name: &str) -> BoxFuture<'_, Result<[u8; 32], SpoolError>>;

    /// How much is used and free, at most a second old. Asked for at every scrape. An error while the engine cannot know it.
    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, SpoolError>>;

    /// Makes all that was said durable and lets go of files and connections. Nothing may be asked afterwards.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// An event as it was appended.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place in the log.
    pub seq: u64,
    /// The event's id.
    pub id: EventId,
    /// The unit of order.
    pub device: DeviceKey,
    /// When the gateway got it.
    pub received_at: Timestamp,
    /// As it was kept with the event.
    pub trace_context: Option<TraceContext>,
    /// The event as [`crate::encode`] wrote it.
    pub body: Private<Bytes>,
}

/// Where a version of the rules stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Names the version: at least 1, and grows with each one.
    pub version: u64,
    /// The version counts for events with a higher sequence number than this, up to and with the mark of the next one.
    pub after_seq: u64,
}

/// A version of the rules as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesEntry {
    /// Where it stands.
    pub mark: Mark,
    /// What the gateway wrote.
    pub text: Bytes,
}

/// Why a version of the rules is not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RulesError {
    /// Another version came first; this is its [`Mark::version`].
    #[error("another version of the rules came first")]
    Conflict(u64),
    /// The engine cannot say whether it is durable.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// How much one reading may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadMax {
    /// Entries, at least 1.
    pub entries: usize,
    /// Bytes of their bodies. One entry may have more.
    pub bytes: usize,
}

/// A part of the log.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// Its entries, ascending.
    pub entries: Vec<Entry>,
    /// How far it goes: there is nothing else up to here.
    pub through_seq: u64,
}

/// Where in the log the events of a time stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first of them; 0 when there are none.
    pub first_seq: u64,
    /// The last of them; 0 when there are none.
    pub through_seq: u64,
    /// How many events of that time there are.
    pub events: u64,
}

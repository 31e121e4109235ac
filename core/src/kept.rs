//! The words of the contracts of the spool: what is appended, tried, buried, and quarantined.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::{Code, DeviceKey, EventId, Picture, Private, Sha256, Timestamp, TraceContext};

/// What one arrival gives to keep. All of it or nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events, in order.
    pub events: Vec<NewEvent>,
    /// Pictures that the events name.
    pub pictures: Vec<Picture>,
    /// What could not be read.
    pub unreadable: Vec<NewUnreadable>,
}

/// An event to keep.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its id; an id that is known already is a duplicate.
    pub id: EventId,
    /// The unit of order.
    pub device: DeviceKey,
    /// When the gateway had it.
    pub received_at: Timestamp,
    /// Digests of the kept pictures that it names.
    pub images: Vec<Sha256>,
    /// The trace that the device's request belongs to. It is no part of the event, and comes back with its [`Entry`](crate::Entry).
    pub trace_context: Option<TraceContext>,
    /// The event as [`crate::encode`] wrote it.
    pub body: Private<Bytes>,
}

/// A body, or an element of a batch, that could not be read.
#[derive(Clone, Debug)]
pub struct NewUnreadable {
    /// Name of the inbound.
    pub inbound: String,
    /// When the gateway had it.
    pub received_at: Timestamp,
    /// Why, without any value of the body.
    pub reason: Cow<'static, str>,
    /// The headers that a second reading needs, as JSON object of texts; they may hold secrets.
    pub headers: Private<String>,
    /// As sent.
    pub body: Private<Bytes>,
}

/// What became of an event of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Kept under this sequence number.
    Appended(u64),
    /// Kept under this sequence number, beside another event of the same record ([`EventId::record`]): the record was
    /// sent before with another content.
    Conflict(u64),
    /// Its id was known; it is not kept again.
    Duplicate,
}

impl Receipt {
    /// Under which sequence number it is new.
    pub const fn seq(self) -> Option<u64> {
        match self {
            Self::Appended(seq) | Self::Conflict(seq) => Some(seq),
            Self::Duplicate => None,
        }
    }
}

/// Why a batch is not kept. The source must send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No room: over the byte budget, too little free, or the disk is full.
    #[error("the spool is full")]
    Full,
    /// What of the batch could not be read finds no room in quarantine: in all of it, or in the half that one inbound may
    /// use. Without that the rest of the batch may be kept.
    #[error("the quarantine of this inbound is full")]
    QuarantineFull,
    /// The store fails; the engine's log says how.
    #[error("the spool fails")]
    Failing,
}

/// A request that the engine could not fulfil. The text is for the operator and holds nothing of an event.
#[derive(Clone, Debug, thiserror::Error)]
#[error("spool: {0}")]
pub struct SpoolError(pub String);

/// Where a new lane begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With events that are appended from now on.
    Now,
    /// With the oldest event that is kept.
    Oldest,
}

/// Why an event is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parked {
    /// It failed alone: one more failure is counted.
    Alone,
    /// It was the probe of an outage too often: nothing is counted.
    Probe,
}

/// One try to deliver an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub result: AttemptResult,
    /// The protocol's word.
    pub code: Code,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// Confirmed.
    Delivered,
    /// Not confirmed; it is tried again.
    Retry,
    /// Given up.
    Buried,
}

impl AttemptResult {
    /// The word in metrics and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Buried => "buried",
        }
    }
}

/// The `once` of a route has let an event pass in a lane, and silences others of its key for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceMark {
    /// Name of the route.
    pub route: String,
    /// Digest of the values that tell one from another: it tells of no person.
    pub key: [u8; 16],
    /// The event.
    pub id: EventId,
    /// When the gateway had it.
    pub received_at: Timestamp,
    /// Until when others are silenced.
    pub until: Timestamp,
}

/// A part of a list that goes from the newest entry to the oldest. It may hold fewer entries than `max` although there are
/// more: only an empty one says that there are none left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only entries with a lower number.
    pub before: Option<u64>,
    /// So many at the most.
    pub max: usize,
}

impl Page {
    /// The newest entries.
    pub const fn first(max: usize) -> Self {
        Self { before: None, max }
    }
}

/// A buried event, without its body.
#[derive(Clone, Debug)]
pub struct Buried {
    /// The entry's number; later burials have higher ones.
    pub number: u64,
    /// The event's id.
    pub id: EventId,
    /// Name of the lane.
    pub lane: String,
    /// When the gateway had the event.
    pub received_at: Timestamp,
    /// When it was buried.
    pub buried_at: Timestamp,
    /// Why.
    pub code: Code,
    /// How often it had failed alone before.
    pub failures: u32,
}

/// A buried event, whole.
#[derive(Clone, Debug)]
pub struct BuriedBody {
    /// What is known of it.
    pub entry: Buried,
    /// The event as [`crate::encode`] wrote it.
    pub body: Private<Bytes>,
}

/// Which buried entries.
#[derive(Clone, Debug, Default)]
pub struct BuriedChoice {
    /// Only of this lane.
    pub lane: Option<String>,
    /// Only these ids; all when `None`.
    pub ids: Option<Vec<EventId>>,
}

/// An entry in quarantine.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Its number.
    pub number: u64,
    /// Name of the inbound.
    pub inbound: String,
    /// When the gateway had it.
    pub received_at: Timestamp,
    /// Why it could not be read.
    pub reason: String,
    /// Size of the body in bytes.
    pub bytes: u64,
    /// The headers that a second reading needs, as JSON object of texts.
    pub headers: Private<String>,
}

/// An entry in quarantine, whole.
#[derive(Clone, Debug)]
pub struct QuarantinedBody {
    /// What is known of it.
    pub entry: Quarantined,
    /// As sent; it may hold secrets.
    pub body: Private<Bytes>,
}

//! Faceway's vocabulary and its contracts.
//!
//! The flow is the architecture: six nouns, each made from the one before by one function.
//!
//! ```text
//! Arrival ──read──▶ Reading ──stamp──▶ Event ──append──▶ [ log ] ──route──▶ lane ──render──▶ Message ──deliver──▶ Verdict ──acknowledge──▶ lane ──commit──▶ [ lane store ]
//! ```
//!
//! * [`Adapter`] turns an [`Arrival`] into [`Reading`]s and speaks the vendor's answers.
//! * [`Log`] keeps events in one order, [`LaneStore`] what each outbound still has to get, [`History`] what a person looks at,
//!   [`Duties`] which gateway does what.
//! * [`Outbound`] hands one [`Message`] to a destination and says what the destination said; an [`OutboundKind`] declares
//!   what its protocol reads of `routes.toml` and how it is opened.
//!
//! **Invariant:** this crate does no I/O, knows no runtime, and depends on nothing of ours.

mod adapter;
mod canonical;
mod capacity;
mod codec;
mod dialogue;
mod duties;
mod event;
mod history;
mod id;
mod kept;
mod key;
mod lane_store;
pub mod lenient;
mod log;
mod members;
mod mend;
mod moment;
mod outbound;
pub mod outbound_kind;
mod picture;
mod private;
pub mod reader;
pub mod schema;
mod scrub;
pub mod simulator;
mod split;
mod text;
mod throttle;
mod time;
mod trace_context;
mod values;
pub mod waiting;
mod word;

pub use adapter::{
    Adapter, Answer, Arrival, Element, Outcome, Reach, Reading, Reject, Setting, SettingKind,
    SettingValue, Settings, Subscribed, Subscription, Unreadable,
};
pub use canonical::content_digest;
pub use capacity::{Capacity, Degraded};
pub use codec::{SCHEMA, encode};
pub use dialogue::{ApiAnswer, ApiRequest, Dialogue, Said, Step};
pub use duties::*;
pub use event::*;
pub use history::{BuriedPlace, History, LaneTrace, Trace};
pub use id::{DeviceKey, EventId, Newest, RecordId, RecordKey, Stamp, is_unique_id, stamp};
pub use kept::*;
pub use key::{Key, Shape, TLS};
pub use lane_store::*;
pub use log::{Entry, Log, Mark, ReadMax, RulesEntry, RulesError, Span, Stretch};
pub use members::{
    DEPTH_MAX, Malformed, Members, Raw, Rest, document, element, is_cut_off, malformed,
};
pub use mend::{Mended, mend};
pub use outbound::{Code, Message, Outbound, Scope, SettingsError, Verdict, is_unsendable};
pub use outbound_kind::{OutboundKind, OutboundSettings};
pub use picture::{Picture, PictureError, Sha256, decode_picture, media_type};
pub use private::Private;
pub use reader::Reader;
pub use scrub::{Scrub, is_secret_name, scrub_urls};
pub use split::split;
pub use text::{is_hidden, visible, visible_bytes, visible_line};
pub use throttle::Throttle;
pub use time::{Clock, SystemClock, Timestamp, TimestampError};
pub use trace_context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use values::{Secret, TlsFiles, Value, Values};

/// A boxed future, so that contracts can be trait objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

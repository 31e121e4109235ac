//! How an event stands in the log.
//!
//! Headers: `Nats-Msg-Id` the id, `Fw-At` when the gateway got it in milliseconds, `Fw-Trace` the trace context, `Fw-Crc` the
//! checksum of the payload, `Fw-Body` and `Fw-Size` where the body stands in pieces in BLOBS. The device is the last token of
//! the subject.

use faceway_core::{
    DeviceKey, Entry, EventId, NewEvent, Newest, Private, Sha256, Timestamp, TraceContext,
};

use crate::client::{Kept, Outgoing};
use crate::names::{Names, token_of};

pub(crate) const ID: &str = "Nats-Msg-Id";
pub(crate) const AT: &str = "Fw-At";
pub(crate) const TRACE: &str = "Fw-Trace";
pub(crate) const BODY: &str = "Fw-Body";
pub(crate) const SIZE: &str = "Fw-Size";

/// Bodies above this stand in pieces.
pub(crate) const PIECE: usize = 512 * 1024;

/// The message of an event. A large body is named only: its pieces are published before.
pub(crate) fn message(names: &Names, event: &NewEvent) -> Outgoing {
    let (size, subject) = (event.body.size(), names.event(event.device));
    // The body goes to the servers as it is.
    let body = event.body.reveal();
    let message = if size > PIECE {
        Outgoing::new(subject, bytes::Bytes::new())
            .with(BODY, Sha256::of(body))
            .with(SIZE, size)
    } else {
        Outgoing::new(subject, body.clone())
    };
    let message = message
        .with(ID, event.id)
        .with(AT, event.received_at.as_millis());
    match &event.trace_context {
        Some(context) => message.with(TRACE, one_line(context)),
        None => message,
    }
}

/// A trace context in one line: there is no blank in its first part.
pub(crate) fn one_line(context: &TraceContext) -> String {
    context.as_stored().replacen('\n', " ", 1)
}

pub(crate) fn trace_context(kept: &Kept) -> Option<TraceContext> {
    let text = kept.headers.get(TRACE)?;
    TraceContext::stored(&text.replacen(' ', "\n", 1))
}

/// An event's id and number; `None` where the message is no event.
pub(crate) fn newest(kept: &Kept) -> Option<(Newest, Timestamp)> {
    let id: EventId = kept.headers.get(ID)?.parse().ok()?;
    let at = Timestamp::from_millis(kept.headers.number(AT)?).ok()?;
    Some((Newest { seq: kept.seq, id }, at))
}

/// The event of a message whose payload is whole; `None` where it is none. Where the body stands in pieces it is empty, and
/// [`body_of`] names it.
pub(crate) fn entry(kept: &Kept) -> Option<Entry> {
    let (newest, received_at) = newest(kept)?;
    let device = u64::from_str_radix(token_of(&kept.subject, 0)?, 16).ok()?;
    kept.is_whole().then(|| Entry {
        seq: kept.seq,
        id: newest.id,
        device: DeviceKey(device),
        received_at,
        trace_context: trace_context(kept),
        body: Private::new(kept.payload.clone()),
    })
}

/// The digest of a body that stands in pieces.
pub(crate) fn body_of(kept: &Kept) -> Option<Sha256> {
    kept.headers.get(BODY)?.parse().ok()
}

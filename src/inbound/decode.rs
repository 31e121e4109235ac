//! From what came in to what is to be kept: read by the adapter, given ids, written once. Pure but for the clock's time that
//! is handed in.

use std::borrow::Cow;

use bytes::Bytes;
use faceway_core::{
    Arrival, Batch, DeviceKey, Element, Kind, NewEvent, NewUnreadable, Private, Reading, RecordId,
    Sha256, Stamp, Timestamp, TraceContext, encode, stamp,
};
use faceway_decode::{Limits, Scratch, Undecoded, plain_headers};
use http::header::{AUTHORIZATION, COOKIE, HeaderMap};

use super::Inbound;
use super::earlier::Earlier;

/// What is to be kept of what came in.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) batch: Batch,
    /// Of each event, in their order. Only the metrics ask for them.
    pub(super) counted: Vec<Counted>,
    /// Of what was kept before, all that the ids depend on.
    pub(super) depends_on: Vec<RecordId>,
    /// It is a piece of a body: what the source is to be told.
    pub(super) cut: Option<Cow<'static, str>>,
    /// The digest of the piece, where it is new.
    pub(super) piece: Option<Sha256>,
}

/// How an event is counted when it is new.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) kind: Kind,
    /// Its record has one content for ever, so that another one is a conflict.
    pub(super) lasts: bool,
}

impl Inbound {
    /// What is to be kept of an arrival, or why nothing of it is: never [`Undecoded::Unreadable`] and
    /// [`Undecoded::CutOff`], which are kept in quarantine.
    pub(super) fn hear(
        &self,
        arrival: &Arrival<'_>,
        received_at: Timestamp,
        earlier: &mut Earlier,
    ) -> Result<Heard, Undecoded> {
        let scratch = Scratch::default();
        let mut unpacked = self.unpacking.begin();
        let mut limits = Limits {
            bytes_max: self.unpacking.bytes_max(),
            room: &mut |bytes| unpacked.grow(bytes),
        };
        let decoded = faceway_decode::decode(
            &*self.adapter,
            arrival,
            &self.settings,
            &mut limits,
            &scratch,
        );
        let elements = match decoded {
            Ok(elements) => elements,
            Err(Undecoded::CutOff(reason)) => {
                return Ok(self.piece(arrival.headers, arrival.body, reason, received_at));
            }
            Err(Undecoded::Unreadable(reason)) => {
                let unreadable = self.unreadable(arrival, reason, arrival.body, received_at);
                let mut heard = Heard::default();
                heard.batch.unreadable.push(unreadable);
                return Ok(heard);
            }
            Err(refused) => return Err(refused),
        };
        let mut heard = Heard::default();
        heard.batch.events.reserve_exact(elements.len());
        heard.counted.reserve_exact(elements.len());
        for element in elements {
            // A part of what was unpacked or recoded is neither packed nor in another character set any more.
            let plain;
            let part = match &element {
                Err(unreadable) if scratch.holds(unreadable.raw) => {
                    plain = plain_headers(arrival.headers);
                    Arrival {
                        headers: &plain,
                        ..*arrival
                    }
                }
                _ => *arrival,
            };
            self.add(&mut heard, element, &part, received_at, earlier);
        }
        // All that one request brings belongs to its trace.
        if let Some(context) = TraceContext::of(arrival.headers) {
            for event in &mut heard.batch.events {
                event.trace_context = Some(context.clone());
            }
        }
        Ok(heard)
    }

    /// A piece of a body that did not come whole.
    pub(super) fn piece(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        reason: Cow<'static, str>,
        received_at: Timestamp,
    ) -> Heard {
        let mut heard = Heard {
            cut: Some(format!("the body did not come whole ({reason}); Content-Length counts bytes, not characters").into()),
            ..Heard::default()
        };
        heard.piece = self.cut.new_piece(body);
        if heard.piece.is_some() {
            let arrival = Arrival {
                headers,
                peer: None,
                body,
            };
            let entry = self.unreadable(&arrival, reason, body, received_at);
            heard.batch.unreadable.push(entry);
        }
        heard
    }

    fn add(
        &self,
        heard: &mut Heard,
        element: Element<'_>,
        arrival: &Arrival<'_>,
        received_at: Timestamp,
        earlier: &mut Earlier,
    ) {
        match element {
            Ok(mut reading) => {
                heard.batch.pictures.append(&mut reading.pictures);
                let depends_on = reading.key.depends_on(&self.name);
                heard.counted.push(Counted {
                    kind: reading.facts.kind,
                    lasts: depends_on.is_empty(),
                });
                let event = self.event(reading, received_at, &depends_on, earlier);
                heard.batch.events.push(event);
                heard.depends_on.extend(depends_on);
            }
            Err(unreadable) => {
                let entry =
                    self.unreadable(arrival, unreadable.reason, unreadable.raw, received_at);
                heard.batch.unreadable.push(entry);
            }
        }
    }

    fn event(
        &self,
        reading: Reading<'_>,
        received_at: Timestamp,
        depends_on: &[RecordId],
        earlier: &mut Earlier,
    ) -> NewEvent {
        let key = (!depends_on.is_empty()).then(|| reading.key.clone());
        let mut event = stamp(
            reading,
            Stamp {
                inbound: &self.name,
                adapter: self.adapter.name(),
                received_at,
            },
        );
        if let Some(key) = key {
            event.id = key.id_after(&self.name, received_at, &earlier.of(depends_on));
            earlier.kept(event.id);
        }
        NewEvent {
            id: event.id,
            device: DeviceKey::new(
                &self.name,
                event.facts.device.id.as_deref().unwrap_or_default(),
            ),
            received_at,
            images: event
                .facts
                .images
                .iter()
                .filter_map(|image| image.sha256)
                .collect(),
            trace_context: None,
            body: encode(&event).map(Bytes::from),
        }
    }

    fn unreadable(
        &self,
        arrival: &Arrival<'_>,
        reason: Cow<'static, str>,
        raw: &[u8],
        received_at: Timestamp,
    ) -> NewUnreadable {
        NewUnreadable {
            inbound: self.name.clone(),
            received_at,
            reason,
            headers: Private::new(headers_to_keep(arrival.headers)),
            body: Private::new(Bytes::copy_from_slice(raw)),
        }
    }
}

pub(super) fn join(all: &mut Heard, mut more: Heard) {
    all.counted.append(&mut more.counted);
    all.depends_on.append(&mut more.depends_on);
    let (all, more) = (&mut all.batch, &mut more.batch);
    all.events.append(&mut more.events);
    all.pictures.append(&mut more.pictures);
    all.unreadable.append(&mut more.unreadable);
}

/// The headers that a second reading may need; credentials are not among them.
fn headers_to_keep(headers: &HeaderMap) -> String {
    let kept = headers
        .iter()
        .filter(|(name, _)| **name != AUTHORIZATION && **name != COOKIE);
    let texts = kept.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let object: serde_json::Map<String, serde_json::Value> = texts
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    serde_json::Value::Object(object).to_string()
}

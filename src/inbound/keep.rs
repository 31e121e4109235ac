//! One inbound: what it reads is stamped, written once, and kept before anything is answered.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{
    Adapter, AppendError, Arrival, Batch, BoxFuture, Clock, DeviceKey, Dialogue, Element, Kind,
    NewEvent, NewUnreadable, Outcome, Private, Reading, Receipt, Reject, Settings, Spool, Stamp,
    Timestamp, encode, stamp,
};
use http::header::{AUTHORIZATION, COOKIE, HeaderMap};
use tokio::time::Instant;

use crate::observe::InboundMetrics;

/// A body larger than this is read on a thread that may block, so that the others go on.
const LARGE_BODY_BYTES: usize = 1024 * 1024;

/// One `[inbound.<adapter>.<name>]` at work.
pub struct Inbound {
    name: String,
    adapter: Arc<dyn Adapter>,
    settings: Settings,
    spool: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    metrics: InboundMetrics,
}

/// The spool, as far as an inbound may use it.
pub trait Intake: Send + Sync + 'static {
    /// As [`Spool::append`].
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>>;
}

impl<S: Spool> Intake for S {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        Spool::append(self, batch)
    }
}

/// What became of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// What the source is to be told.
    pub outcome: Outcome,
    /// Events that are new.
    pub stored: usize,
    /// Events that were known.
    pub duplicates: usize,
    /// Records that could not be read, now in quarantine.
    pub quarantined: usize,
}

/// What is to be kept of what came in.
#[derive(Default)]
struct Heard {
    batch: Batch,
    /// Of each event, in their order. Only the metrics ask for them.
    kinds: Vec<Kind>,
}

impl Inbound {
    /// An inbound of this name.
    pub fn new(
        name: &str,
        adapter: Arc<dyn Adapter>,
        settings: Settings,
        spool: Arc<dyn Intake>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            metrics: InboundMetrics::new(name),
            name: name.to_owned(),
            adapter,
            settings,
            spool,
            clock,
        }
    }

    /// Name in `routes.toml`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The adapter that reads for it.
    pub fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    /// Reads what came in, keeps it, and says what the source is to be told. When it returns `Outcome::Kept`, all of it
    /// is durable.
    pub async fn keep(&self, headers: &HeaderMap, peer: Option<IpAddr>, body: &Bytes) -> Kept {
        let began = Instant::now();
        let received_at = self.clock.now();
        let arrival = Arrival {
            headers,
            peer,
            body,
        };
        match aside(body.len(), || self.hear(&arrival, received_at)) {
            Ok(heard) => self.append_now(heard, began, received_at).await,
            Err(reason) => {
                self.metrics.refused();
                Kept {
                    outcome: Outcome::Refused(reason),
                    stored: 0,
                    duplicates: 0,
                    quarantined: 0,
                }
            }
        }
    }

    /// Keeps messages of a stream, in their order, all or none: [`Outcome::Busy`] when the spool cannot keep them now. One
    /// that is refused is told and left out, as nobody can be answered.
    pub(super) async fn keep_all(&self, peer: Option<IpAddr>, messages: &[Bytes]) -> Outcome {
        let began = Instant::now();
        let received_at = self.clock.now();
        let headers = HeaderMap::new();
        let read = || {
            let (mut all, mut refused) = (Heard::default(), Vec::new());
            for body in messages {
                let arrival = Arrival {
                    headers: &headers,
                    peer,
                    body,
                };
                match self.hear(&arrival, received_at) {
                    Ok(heard) => join(&mut all, heard),
                    Err(reason) => refused.push(reason),
                }
            }
            (all, refused)
        };
        let (all, refused) = aside(messages.iter().map(Bytes::len).sum(), read);
        let outcome = self.append_now(all, began, received_at).await.outcome;
        // Told once, not at every attempt to keep the others.
        if outcome == Outcome::Kept {
            for reason in refused {
                self.metrics.refused();
                tracing::warn!(inbound = self.name, %reason, "a message was refused");
            }
        }
        outcome
    }

    /// What a dialled source must be told after a connect.
    pub(super) fn greeting(&self) -> Box<dyn Dialogue<Vec<String>>> {
        self.adapter.greeting(&self.settings)
    }

    /// Reads once more what was unreadable; `Err` says why it still is.
    ///
    /// # Errors
    /// The reason, in words.
    pub async fn keep_again(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
        received_at: Timestamp,
    ) -> Result<Kept, String> {
        let began = Instant::now();
        let arrival = Arrival {
            headers,
            peer: None,
            body,
        };
        let heard = self
            .hear(&arrival, received_at)
            .map_err(|reason| reason.to_string())?;
        match heard.batch.unreadable.first() {
            Some(unreadable) => Err(unreadable.reason.to_string()),
            None => Ok(self.append(heard, began).await),
        }
    }

    /// Appends what has just come.
    async fn append_now(&self, heard: Heard, began: Instant, received_at: Timestamp) -> Kept {
        let gives_events = !heard.kinds.is_empty();
        let kept = self.append(heard, began).await;
        if gives_events && kept.outcome == Outcome::Kept {
            self.metrics.gave_event(received_at);
        }
        kept
    }

    async fn append(&self, Heard { batch, kinds }: Heard, began: Instant) -> Kept {
        let quarantined = batch.unreadable.len();
        let reason = batch.unreadable.first().map(|entry| entry.reason.clone());
        match self.spool.append(batch).await {
            Ok(receipts) => {
                if let Some(reason) = reason {
                    // The reason names no value of the body.
                    tracing::warn!(
                        inbound = self.name,
                        quarantined,
                        %reason,
                        "a body could not be read; it is in quarantine"
                    );
                }
                let stored = self.count(&receipts, &kinds);
                let kept = Kept {
                    outcome: Outcome::Kept,
                    stored,
                    duplicates: receipts.len() - stored,
                    quarantined,
                };
                self.metrics.kept(&kept, began.elapsed());
                kept
            }
            Err(error) => {
                tracing::debug!(inbound = self.name, %error, "the source must send again");
                self.busy()
            }
        }
    }

    /// Counts the events that are new, each with its kind.
    fn count(&self, receipts: &[Receipt], kinds: &[Kind]) -> usize {
        let new = receipts
            .iter()
            .zip(kinds)
            .filter(|(receipt, _)| matches!(receipt, Receipt::Appended(_)));
        new.map(|(_, kind)| self.metrics.stored(*kind)).count()
    }

    /// A record was not let in, or not read.
    pub(super) fn turned_away(&self) {
        self.metrics.refused();
    }

    /// A record cannot be kept now: its source must send it again.
    pub(super) fn busy(&self) -> Kept {
        self.metrics.busy();
        Kept {
            outcome: Outcome::Busy,
            stored: 0,
            duplicates: 0,
            quarantined: 0,
        }
    }

    /// What is to be kept of an arrival, or why it is refused.
    fn hear(
        &self,
        arrival: &Arrival<'_>,
        received_at: Timestamp,
    ) -> Result<Heard, std::borrow::Cow<'static, str>> {
        let elements = match self.adapter.read(arrival, &self.settings) {
            Ok(elements) => elements,
            Err(Reject::Refused(reason)) => return Err(reason),
            Err(Reject::Unreadable(reason)) => {
                let unreadable = self.unreadable(arrival, reason, arrival.body, received_at);
                let mut heard = Heard::default();
                heard.batch.unreadable.push(unreadable);
                return Ok(heard);
            }
        };
        let mut heard = Heard::default();
        heard.batch.events.reserve_exact(elements.len());
        heard.kinds.reserve_exact(elements.len());
        for element in elements {
            self.add(&mut heard, element, arrival, received_at);
        }
        Ok(heard)
    }

    fn add(
        &self,
        heard: &mut Heard,
        element: Element<'_>,
        arrival: &Arrival<'_>,
        received_at: Timestamp,
    ) {
        match element {
            Ok(mut reading) => {
                heard.batch.pictures.append(&mut reading.pictures);
                heard.kinds.push(reading.facts.kind);
                heard.batch.events.push(self.event(reading, received_at));
            }
            Err(unreadable) => {
                let entry =
                    self.unreadable(arrival, unreadable.reason, unreadable.raw, received_at);
                heard.batch.unreadable.push(entry);
            }
        }
    }

    fn event(&self, reading: Reading<'_>, received_at: Timestamp) -> NewEvent {
        let event = stamp(
            reading,
            Stamp {
                inbound: &self.name,
                adapter: self.adapter.name(),
                received_at,
            },
        );
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
            body: encode(&event).map(Bytes::from),
        }
    }

    fn unreadable(
        &self,
        arrival: &Arrival<'_>,
        reason: std::borrow::Cow<'static, str>,
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

/// Reads `bytes` here, or where it may take a while.
fn aside<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    match bytes > LARGE_BODY_BYTES {
        true => tokio::task::block_in_place(read),
        false => read(),
    }
}

fn join(all: &mut Heard, mut more: Heard) {
    all.kinds.append(&mut more.kinds);
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

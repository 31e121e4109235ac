//! One inbound: what it reads is stamped, written once, and kept before anything is answered.

mod no_room;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use faceway_core::{
    Adapter, AppendError, Arrival, Batch, BoxFuture, Clock, Dialogue, Log, Newest, Outcome,
    Receipt, RecordId, Settings, Timestamp,
};
use faceway_decode::Undecoded;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderMap};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::no_room::NoRoom;
use super::Kept;
use super::conflicts::Conflicts;
use super::cut::Cut;
use super::decode::{Counted, Heard, join};
use super::earlier::Earlier;
use super::junk::Junk;
use super::metrics::InboundMetrics;
use super::unpack::Unpacking;
use crate::context::Context;

/// A body larger than this is read on a thread that may block, so that the others go on.
const LARGE_BODY_BYTES: usize = 1024 * 1024;

/// So many records are asked about in one turn of the spool's writer.
const RECORDS_AT_ONCE: usize = 256;

/// One `[inbound.<adapter>.<name>]` at work.
pub struct Inbound {
    pub(super) name: String,
    pub(super) adapter: Arc<dyn Adapter>,
    pub(super) settings: Settings,
    pub(super) unpacking: Unpacking,
    spool: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    metrics: InboundMetrics,
    conflicts: Conflicts,
    junk: Junk,
    pub(super) cut: Cut,
    /// Held from asking what was kept before until what follows from it is kept: of two equal reports that come at the
    /// same time both would be new otherwise.
    in_turn: Mutex<()>,
}

/// The spool, as far as an inbound may use it.
pub trait Intake: Send + Sync + 'static {
    /// As [`Log::append`].
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>>;

    /// As [`Log::newest_of`].
    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>>;
}

impl<L: Log> Intake for L {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        Log::append(self, batch)
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        Log::newest_of(self, records)
    }
}

impl Inbound {
    /// An inbound of this name, which appends to `spool`: of the spool that others see it gets nothing else.
    pub fn new(
        name: &str,
        adapter: Arc<dyn Adapter>,
        settings: Settings,
        spool: Arc<dyn Intake>,
        context: &Context,
    ) -> Self {
        Self {
            metrics: InboundMetrics::new(name),
            name: name.to_owned(),
            adapter,
            settings,
            unpacking: Unpacking::new(context),
            spool,
            clock: Arc::clone(&context.clock),
            conflicts: Conflicts::default(),
            junk: Junk::default(),
            cut: Cut::default(),
            in_turn: Mutex::default(),
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
        // Much may come out of a small body that is packed.
        let bytes = match headers.contains_key(CONTENT_ENCODING) {
            true => usize::MAX,
            false => body.len(),
        };
        let hear =
            |earlier: &mut Earlier| aside(bytes, || self.hear(&arrival, received_at, earlier));
        match self.append_in_turn(hear, began, NoRoom::SendAgain).await {
            Ok((gives_events, kept)) => self.noted(gives_events, kept, received_at),
            Err(Undecoded::NoRoom) => self.busy(),
            Err(refused) => {
                self.metrics.refused();
                let status = match refused {
                    Undecoded::UnknownCoding(_) => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
                    Undecoded::TooLarge => Some(StatusCode::PAYLOAD_TOO_LARGE),
                    _ => None,
                };
                Kept {
                    status,
                    ..Kept::nothing(Outcome::Refused(refused.to_string().into()))
                }
            }
        }
    }

    /// Appends what `hear` gives. Where ids depend on what was kept before, it is heard once more when that is known.
    async fn append_in_turn<E>(
        &self,
        hear: impl Fn(&mut Earlier) -> Result<Heard, E>,
        began: Instant,
        no_room: NoRoom,
    ) -> Result<(bool, Kept), E> {
        let heard = hear(&mut Earlier::default())?;
        if heard.depends_on.is_empty() {
            let gives_events = !heard.counted.is_empty();
            return Ok((gives_events, self.append(heard, began, no_room).await));
        }
        let _turn = self.in_turn.lock().await;
        let records = heard.depends_on;
        match self.newest_of(&records).await {
            Ok(newest) => {
                let heard = hear(&mut Earlier::new(records, newest))?;
                let gives_events = !heard.counted.is_empty();
                Ok((gives_events, self.append(heard, began, no_room).await))
            }
            Err(error) => {
                tracing::debug!(inbound = self.name, %error, "the source must send again");
                Ok((false, self.busy()))
            }
        }
    }

    /// What is known of these records, asked in parts: all at once would hold up what other devices push.
    async fn newest_of(&self, records: &[RecordId]) -> Result<Vec<Option<Newest>>, AppendError> {
        let mut newest = Vec::with_capacity(records.len());
        for part in records.chunks(RECORDS_AT_ONCE) {
            newest.extend(self.spool.newest_of(part.to_vec()).await?);
        }
        Ok(newest)
    }

    /// Keeps what came of a body that broke off, and says what the source is to be told.
    pub(super) async fn keep_piece(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        why: &'static str,
    ) -> Kept {
        let heard = self.piece(headers, body, why.into(), self.clock.now());
        self.append(heard, Instant::now(), NoRoom::SendAgain).await
    }

    /// Keeps messages of a stream, in their order, all or none: [`Outcome::Busy`] when the spool cannot keep them now. One
    /// that is refused is logged and left out, as no device waits for an answer.
    pub(super) async fn keep_all(&self, peer: Option<IpAddr>, messages: &[Bytes]) -> Outcome {
        let began = Instant::now();
        let received_at = self.clock.now();
        let headers = HeaderMap::new();
        let all_refused = std::sync::Mutex::new(Vec::new());
        let hear = |earlier: &mut Earlier| {
            let (mut all, mut refused) = (Heard::default(), Vec::new());
            for body in messages {
                let arrival = Arrival {
                    headers: &headers,
                    peer,
                    body,
                };
                match self.hear(&arrival, received_at, earlier) {
                    Ok(heard) => join(&mut all, heard),
                    Err(reason) => refused.push(reason),
                }
            }
            // The second hearing refuses the same ones.
            *all_refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
            Ok::<_, std::convert::Infallible>(all)
        };
        let bytes = messages.iter().map(Bytes::len).sum();
        let hear = |earlier: &mut Earlier| aside(bytes, || hear(earlier));
        let appended = self.append_in_turn(hear, began, NoRoom::LeaveOut);
        let Ok((gives_events, kept)) = appended.await;
        let outcome = self.noted(gives_events, kept, received_at).outcome;
        // Told once, not at every attempt to keep the others.
        if outcome == Outcome::Kept {
            let refused = all_refused.into_inner();
            for reason in refused.unwrap_or_else(PoisonError::into_inner) {
                self.metrics.refused();
                self.junk.refused(&self.name, &reason.to_string());
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
    pub async fn ingest_again(
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
        let hear = |earlier: &mut Earlier| {
            let heard = aside(usize::MAX, || self.hear(&arrival, received_at, earlier));
            let heard = heard.map_err(|reason| reason.to_string())?;
            // A piece that came lately is not in the batch once more, but it is a piece all the same. Of a batch that is read
            // in part now, what still cannot be read goes back to quarantine by itself.
            match (heard.batch.unreadable.first(), &heard.cut) {
                (_, Some(why)) => Err(why.to_string()),
                (Some(unreadable), None) if heard.counted.is_empty() => {
                    Err(unreadable.reason.to_string())
                }
                (Some(_) | None, None) => Ok(heard),
            }
        };
        let (_, kept) = self.append_in_turn(hear, began, NoRoom::SendAgain).await?;
        Ok(kept)
    }

    /// Notes that something has just come.
    fn noted(&self, gives_events: bool, kept: Kept, received_at: Timestamp) -> Kept {
        if gives_events && kept.outcome == Outcome::Kept {
            self.metrics.gave_event(received_at);
        }
        kept
    }

    pub(super) fn appended(
        &self,
        appended: Result<Vec<Receipt>, AppendError>,
        heard: Heard,
        unreadable: Option<(usize, Cow<'static, str>)>,
        began: Instant,
    ) -> Kept {
        let Heard {
            counted,
            cut,
            piece,
            ..
        } = heard;
        match appended {
            Ok(receipts) => {
                let quarantined = unreadable.as_ref().map_or(0, |(entries, _)| *entries);
                if let Some((entries, reason)) = unreadable {
                    self.junk.quarantined(&self.name, entries, &reason);
                }
                let (stored, conflicts) = self.count(&receipts, &counted);
                if let Some(piece) = piece {
                    self.cut.kept(piece);
                }
                let kept = Kept {
                    cut_off: cut.is_some(),
                    outcome: cut.map_or(Outcome::Kept, Outcome::Refused),
                    status: None,
                    stored,
                    conflicts,
                    duplicates: receipts.len() - stored - conflicts,
                    quarantined,
                };
                self.conflicts.told(&self.name, conflicts);
                self.metrics.kept(&kept, began.elapsed());
                kept
            }
            Err(error) => {
                tracing::debug!(inbound = self.name, %error, "the source must send again");
                self.busy()
            }
        }
    }

    /// Counts the events that are new, each with its kind: those of new records, and the conflicts.
    fn count(&self, receipts: &[Receipt], counted: &[Counted]) -> (usize, usize) {
        let (mut stored, mut conflicts) = (0, 0);
        for (receipt, event) in receipts.iter().zip(counted) {
            match receipt {
                Receipt::Duplicate => continue,
                Receipt::Conflict(_) if event.lasts => conflicts += 1,
                Receipt::Conflict(_) | Receipt::Appended(_) => stored += 1,
            }
            self.metrics.stored(event.kind);
        }
        (stored, conflicts)
    }

    /// A record was not let in, or not read.
    pub(super) fn turned_away(&self) {
        self.metrics.refused();
    }

    /// A record cannot be kept now: its source must send it again.
    pub(super) fn busy(&self) -> Kept {
        self.metrics.busy();
        Kept::nothing(Outcome::Busy)
    }
}

/// Reads `bytes` here, or where it may take a while.
fn aside<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    match bytes > LARGE_BODY_BYTES {
        true => tokio::task::block_in_place(read),
        false => read(),
    }
}

#[cfg(test)]
mod tests;

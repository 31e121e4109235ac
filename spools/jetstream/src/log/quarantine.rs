//! Quarantine: what could not be read, raw.
//!
//! A message `q.<inbound>`: `Fw-At` when the gateway had it, `Fw-Reason`, `Fw-Size` of the body, `Fw-Headers` the headers that
//! a second reading needs as JSON; large ones stand in pieces too, and `Fw-Headers-Body` names them. The payload is the body; a large one stands in pieces `qc.<sha256>.<n>`, and `Fw-Body`
//! names it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use faceway_core::{
    AppendError, NewUnreadable, Page, Private, Quarantined, QuarantinedBody, Sha256, Timestamp,
};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{Failure, Kept, Outgoing};
use crate::names::{StreamKind, name, token_of};
use crate::shared::Shared;

use super::event::{AT, BODY, ID, PIECE, SIZE};
use super::pieces::{self, Whole};

const REASON: &str = "Fw-Reason";
const HEADERS: &str = "Fw-Headers";
const LARGE_HEADERS: &str = "Fw-Headers-Body";
/// The servers take 64 KiB of headers with a message.
const HEADERS_MAX: usize = 16 * 1024;

/// What is known of quarantine. It is compared with the stream before it is used, so that other gateways' entries count.
#[derive(Default)]
pub(crate) struct Quarantine(Mutex<Table>);

#[derive(Default)]
struct Table {
    through: u64,
    /// Messages of the stream when it was read, pieces among them.
    messages: u64,
    entries: BTreeMap<u64, Listed>,
}

#[derive(Clone)]
struct Listed {
    entry: Quarantined,
    body: Option<Sha256>,
    /// Headers that stand in pieces.
    headers: Option<Sha256>,
}

impl Shared {
    /// What lies in quarantine now.
    async fn quarantine_entries(&self) -> Result<BTreeMap<u64, Listed>, Failure> {
        let mut table = self.quarantine.0.lock().await;
        let state = self.client.state(StreamKind::Quarantine).await?;
        if (state.last_seq, state.messages) == (table.through, table.messages) {
            return Ok(table.entries.clone());
        }
        let of_site = self.client.names.all();
        let from = table.through + 1;
        let new = self.read_quarantine(from, &of_site).await?;
        if state.messages == table.messages + new.len() as u64 {
            table.entries.extend(entries_of(&new));
        } else {
            // Something was dropped, has become too old, or came meanwhile: the whole is read anew.
            let all = self.read_quarantine(1, &of_site).await?;
            table.entries = entries_of(&all).collect();
            table.messages = all.len() as u64;
            table.through = all.last().map_or(0, |last| last.seq);
            return Ok(table.entries.clone());
        }
        table.messages += new.len() as u64;
        table.through = new.last().map_or(state.last_seq, |last| last.seq);
        Ok(table.entries.clone())
    }

    async fn read_quarantine(&self, from: u64, filter: &str) -> Result<Vec<Kept>, Failure> {
        let read = self
            .client
            .collect(StreamKind::Quarantine, from, filter, true);
        read.await
    }

    /// Counts entries and their bytes.
    pub(crate) async fn count_quarantine(&self) -> Result<(), Failure> {
        let entries = self.quarantine_entries().await?;
        let bytes = entries.values().map(|it| it.entry.bytes).sum();
        let gauge = &self.gauge;
        let count = entries.len() as u64;
        gauge.quarantined.store(count, Ordering::Relaxed);
        gauge.quarantine_bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Whether these bodies find space: in the whole, and in each inbound's half.
    pub(crate) async fn quarantine_takes(&self, new: &[NewUnreadable]) -> Result<(), AppendError> {
        if new.is_empty() {
            return Ok(());
        }
        let entries = self.quarantine_entries().await;
        let entries = entries.map_err(|failure| self.refusal(&failure))?;
        let bytes = |inbound: Option<&str>| -> u64 {
            let kept = entries
                .values()
                .map(|it| (&*it.entry.inbound, it.entry.bytes));
            let new = new.iter().map(|it| (&*it.inbound, it.body.size() as u64));
            kept.chain(new)
                .filter(|(of, _)| inbound.is_none_or(|inbound| inbound == *of))
                .map(|(_, bytes)| bytes)
                .sum()
        };
        let max = self.settings.quarantine_bytes_max;
        let fits = bytes(None) <= max && new.iter().all(|it| bytes(Some(&it.inbound)) <= max / 2);
        if fits {
            Ok(())
        } else {
            Err(AppendError::QuarantineFull)
        }
    }

    /// Pieces first, then the entries, in their order.
    pub(crate) async fn keep_unreadable(
        &self,
        new: Vec<NewUnreadable>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        for unreadable in new {
            let names = &self.client.names;
            // The stream keeps the body as it was sent.
            let body = unreadable.body.into_revealed();
            let mut message = Outgoing::new(names.quarantine(&unreadable.inbound), body.clone());
            if body.len() > PIECE {
                let sha256 = Sha256::of(&body);
                let split = pieces::split(&body, |piece| names.quarantine_piece(sha256, piece));
                pieces::publish(&self.client, split, deadline).await?;
                message = Outgoing::new(names.quarantine(&unreadable.inbound), Bytes::new())
                    .with(BODY, sha256);
            }
            let message = message
                .with(ID, format!("{:032x}", rand::random::<u128>()))
                .with(AT, unreadable.received_at.as_millis())
                .with(SIZE, body.len())
                .with(REASON, &unreadable.reason);
            let headers = unreadable.headers.into_revealed();
            let message = if headers.len() > HEADERS_MAX {
                let headers = Bytes::from(headers);
                let sha256 = Sha256::of(&headers);
                let split = pieces::split(&headers, |piece| names.quarantine_piece(sha256, piece));
                pieces::publish(&self.client, split, deadline).await?;
                message.with(LARGE_HEADERS, sha256)
            } else {
                message.with(HEADERS, headers)
            };
            self.client.publish(&message, deadline).await?;
        }
        Ok(())
    }

    pub(crate) async fn quarantine_page(&self, page: Page) -> Result<Vec<Quarantined>, Failure> {
        let entries = self.quarantine_entries().await?;
        let below = entries.range(..page.before.unwrap_or(u64::MAX)).rev();
        let mut listed = Vec::new();
        for (_, it) in below.take(page.max) {
            listed.push(self.with_headers(it.clone()).await?);
        }
        Ok(listed)
    }

    pub(crate) async fn quarantined_body(
        &self,
        number: u64,
    ) -> Result<Option<QuarantinedBody>, Failure> {
        if number == 0 {
            return Ok(None);
        }
        let kept = self.client.at_leader(StreamKind::Quarantine, number);
        let Some(kept) = kept.await? else {
            return Ok(None);
        };
        let Some(listed) = listed_of(&kept) else {
            return Ok(None);
        };
        let body = match listed.body {
            None if kept.is_whole() => Some(kept.payload),
            None => None,
            Some(sha256) => self.quarantine_pieces(sha256).await?,
        };
        if body.is_none() {
            tracing::error!("the body of entry {number} of quarantine is damaged");
        }
        let entry = self.with_headers(listed).await?;
        Ok(body.map(|body| QuarantinedBody {
            entry,
            body: Private::new(body),
        }))
    }

    /// An entry with its headers, also where they stand in pieces.
    async fn with_headers(&self, listed: Listed) -> Result<Quarantined, Failure> {
        let mut entry = listed.entry;
        if let Some(sha256) = listed.headers {
            let headers = self.quarantine_pieces(sha256).await?;
            let headers = headers.unwrap_or_default();
            entry.headers = Private::new(String::from_utf8_lossy(&headers).into_owned());
        }
        Ok(entry)
    }

    async fn quarantine_pieces(&self, sha256: Sha256) -> Result<Option<Bytes>, Failure> {
        let names = &self.client.names;
        let whole = pieces::read(&self.client, StreamKind::Quarantine, |piece| {
            names.quarantine_piece(sha256, piece)
        });
        Ok(match whole.await? {
            Whole::Bytes(bytes) => Some(bytes),
            Whole::Absent | Whole::Damaged => None,
        })
    }

    pub(crate) async fn drop_from_quarantine(
        &self,
        numbers: Option<Vec<u64>>,
    ) -> Result<u64, Failure> {
        let mut entries = self.quarantine_entries().await?;
        let chosen = numbers.unwrap_or_else(|| entries.keys().copied().collect());
        let mut dropped = 0;
        for number in chosen {
            let Some(listed) = entries.remove(&number) else {
                continue;
            };
            let is_gone = self.client.delete(StreamKind::Quarantine, number).await?;
            dropped += u64::from(is_gone);
            for sha256 in listed.body.into_iter().chain(listed.headers) {
                // Another entry may have the same.
                let has = |other: &Listed| [other.body, other.headers].contains(&Some(sha256));
                if !entries.values().any(has) {
                    let pieces = self.client.names.quarantine_pieces(sha256);
                    let purged = self.client.purge(StreamKind::Quarantine, &pieces, None);
                    purged.await?;
                }
            }
        }
        self.count_quarantine().await?;
        Ok(dropped)
    }
}

fn entries_of(messages: &[Kept]) -> impl Iterator<Item = (u64, Listed)> {
    let entries = messages.iter().filter_map(listed_of);
    entries.map(|listed| (listed.entry.number, listed))
}

/// An entry from its headers; `None` where the message is a piece.
fn listed_of(kept: &Kept) -> Option<Listed> {
    let headers = &kept.headers;
    let received_at = Timestamp::from_millis(headers.number(AT)?).ok()?;
    let entry = Quarantined {
        number: kept.seq,
        inbound: token_of(&kept.subject, 0).and_then(name)?,
        received_at,
        reason: headers.get(REASON)?.to_owned(),
        bytes: headers.number(SIZE)?,
        headers: Private::new(headers.get(HEADERS).unwrap_or_default().to_owned()),
    };
    let digest = |name| headers.get(name).and_then(|text| text.parse().ok());
    Some(Listed {
        entry,
        body: digest(BODY),
        headers: digest(LARGE_HEADERS),
    })
}

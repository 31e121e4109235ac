//! Large things in pieces: pictures, and bodies that are too large for one message.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faceway_core::Sha256;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use crate::client::{Client, Failure, Kept, Outgoing};
use crate::lock;
use crate::names::StreamKind;

use super::event::PIECE;

/// How many pieces a thing has: it stands at each of them.
const OF: &str = "Fw-Pieces";
/// Pieces on their way at once.
const AT_ONCE: usize = 32;
/// Replicas that are asked for a piece before it counts as damaged.
const LOOKS: usize = 3;

/// What this gateway has published lately, so that a picture that comes again soon is not sent again.
pub(crate) struct Recent {
    digests: Mutex<HashMap<(bool, Sha256), Instant>>,
    lasts: Duration,
}

impl Recent {
    pub(crate) fn new(images: Duration) -> Self {
        Self {
            digests: Mutex::default(),
            // One that is left out is this much older than it would be.
            lasts: images / 24,
        }
    }

    fn has(&self, blob: &Blob) -> bool {
        let digests = lock(&self.digests);
        digests
            .get(&(blob.is_picture, blob.sha256))
            .is_some_and(|at| at.elapsed() < self.lasts)
    }

    fn add(&self, blob: &Blob) {
        let mut digests = lock(&self.digests);
        if digests.len() >= 10_000 {
            digests.retain(|_, at| at.elapsed() < self.lasts);
        }
        digests.insert((blob.is_picture, blob.sha256), Instant::now());
    }
}

/// A picture, or the large body of an event: they leave at different times.
pub(crate) struct Blob {
    pub(crate) is_picture: bool,
    pub(crate) sha256: Sha256,
    pub(crate) bytes: Bytes,
}

/// The messages of a thing.
pub(crate) fn split(bytes: &Bytes, subject: impl Fn(usize) -> String) -> Vec<Outgoing> {
    let count = bytes.len().div_ceil(PIECE).max(1);
    let piece = |number: usize| {
        let (start, end) = (number * PIECE, bytes.len().min((number + 1) * PIECE));
        Outgoing::new(subject(number), bytes.slice(start..end)).with(OF, count)
    };
    (0..count).map(piece).collect()
}

/// Publishes pieces, all at once, and waits until all are acknowledged.
pub(crate) async fn publish(
    client: &Client,
    pieces: Vec<Outgoing>,
    deadline: Instant,
) -> Result<(), Failure> {
    let sent = pieces.into_iter().map(|piece| {
        let client = client.clone();
        async move { client.publish(&piece, deadline).await.map(|_| ()) }
    });
    stream::iter(sent)
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .map(|_| ())
}

/// Publishes things into BLOBS, but for those that this gateway has just published.
pub(crate) async fn publish_blobs(
    client: &Client,
    recent: &Recent,
    mut blobs: Vec<Blob>,
    deadline: Instant,
) -> Result<(), Failure> {
    blobs.retain(|blob| !recent.has(blob));
    let names = &client.names;
    let pieces = blobs.iter().flat_map(|blob| {
        split(&blob.bytes, |piece| {
            if blob.is_picture {
                names.blob(blob.sha256, piece)
            } else {
                names.body(blob.sha256, piece)
            }
        })
    });
    publish(client, pieces.collect(), deadline).await?;
    for blob in &blobs {
        recent.add(blob);
    }
    Ok(())
}

/// What a thing is when it is read.
#[derive(Debug)]
pub(crate) enum Whole {
    Bytes(Bytes),
    Absent,
    /// A piece is missing or is not what was written, at every replica that was asked.
    Damaged,
}

/// Reads a thing from its pieces.
pub(crate) async fn read(
    client: &Client,
    kind: StreamKind,
    subject: impl Fn(usize) -> String + Sync,
) -> Result<Whole, Failure> {
    let first = match piece(client, kind, &subject(0)).await? {
        Piece::Whole(first) => first,
        Piece::Absent => return Ok(Whole::Absent),
        Piece::Damaged => return Ok(Whole::Damaged),
    };
    let count: usize = first.headers.number(OF).unwrap_or(1);
    if count == 1 {
        return Ok(Whole::Bytes(first.payload));
    }
    let subjects: Vec<String> = (1..count).map(&subject).collect();
    let rest = subjects.into_iter().map(|subject| {
        let client = client.clone();
        async move { piece(&client, kind, &subject).await }
    });
    let rest: Vec<Piece> = stream::iter(rest).buffered(AT_ONCE).try_collect().await?;
    let mut bytes = BytesMut::from(&first.payload[..]);
    for piece in rest {
        let Piece::Whole(piece) = piece else {
            return Ok(Whole::Damaged);
        };
        bytes.extend_from_slice(&piece.payload);
    }
    Ok(Whole::Bytes(bytes.freeze()))
}

enum Piece {
    Whole(Kept),
    Absent,
    Damaged,
}

/// One piece, from a replica at which it is whole.
async fn piece(client: &Client, kind: StreamKind, subject: &str) -> Result<Piece, Failure> {
    let mut is_there = false;
    for _ in 0..LOOKS {
        match client.last(kind, subject).await? {
            Some(kept) if kept.is_whole() => return Ok(Piece::Whole(kept)),
            Some(_) => is_there = true,
            None => return Ok(Piece::Absent),
        }
    }
    match client.last_at_leader(kind, subject).await? {
        Some(kept) if kept.is_whole() => Ok(Piece::Whole(kept)),
        _ if is_there => Ok(Piece::Damaged),
        _ => Ok(Piece::Absent),
    }
}

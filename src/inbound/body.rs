//! Reading a request's body within limits of size, time and memory.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;

use super::RequestBody;
use crate::memory::{BodyMemory, FREE_BYTES, PERMIT_BYTES};

/// A body, and its share of the memory until it is dropped.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// 411: the request does not say where its body ends.
    NoLength,
    /// 413.
    TooLarge,
    /// 408: it did not come in time.
    TooSlow,
    /// 503: other bodies take all the memory.
    NoMemory,
    /// The sender broke off.
    Broken,
}

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    pub(super) bytes_max: u64,
    pub(super) timeout: Duration,
}

/// Reads a body. An announced size over the limit is refused before a byte of it is read. What had come of one that breaks
/// off is left in `came`.
pub(super) async fn read(
    headers: &HeaderMap,
    body: RequestBody,
    limits: BodyLimits,
    memory: &BodyMemory,
    came: &mut BytesMut,
) -> Result<Body, BodyError> {
    // Without either hyper takes the body for empty, and what stands behind the head for the next request.
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        return Err(BodyError::NoLength);
    }
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limits.bytes_max) {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(
        limits.timeout,
        collect(announced, body, limits.bytes_max, memory, came),
    )
    .await
    .unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(
    announced: Option<u64>,
    mut body: RequestBody,
    bytes_max: u64,
    memory: &BodyMemory,
    bytes: &mut BytesMut,
) -> Result<Body, BodyError> {
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let Some(first) = next(&mut body).await? else {
        return Ok(Body {
            bytes: Bytes::new(),
            _share: None,
        });
    };
    // A body that came in one piece stays where it is.
    if announced.is_some_and(|bytes| bytes == first.len() as u64) {
        let share = share(None, first.len(), memory)?;
        return Ok(Body {
            bytes: first,
            _share: share,
        });
    }
    if first.len() > most {
        return Err(BodyError::TooLarge);
    }
    let mut taken = share(None, first.len(), memory)?;
    // The announced size is only a promise: memory is taken as bytes come.
    bytes.reserve(first.len().max(FREE_BYTES));
    bytes.extend_from_slice(&first);
    while let Some(piece) = next(&mut body).await? {
        let size = bytes.len() + piece.len();
        if size > most {
            return Err(BodyError::TooLarge);
        }
        if size > bytes.capacity() {
            let grown = grown(size, bytes.capacity(), announced, most);
            taken = share(taken, grown, memory)?;
            bytes.reserve(grown - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Body {
        bytes: bytes.split().freeze(),
        _share: taken,
    })
}

/// The next capacity: at most eight times what has come, never more than was announced or is allowed. A body of 100 KB is
/// copied once so, and 16 KB of it twice.
fn grown(needed: usize, capacity: usize, announced: Option<u64>, most: usize) -> usize {
    let ceiling = announced
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(most)
        .min(most);
    (capacity * 8).min(ceiling).max(needed)
}

/// Makes the share of the memory large enough for `bytes`.
pub(super) fn share(
    taken: Option<OwnedSemaphorePermit>,
    bytes: usize,
    memory: &BodyMemory,
) -> Result<Option<OwnedSemaphorePermit>, BodyError> {
    if bytes <= FREE_BYTES {
        return Ok(taken);
    }
    let has = taken
        .as_ref()
        .map_or(0, |permit| permit.num_permits() * PERMIT_BYTES);
    if bytes <= has {
        return Ok(taken);
    }
    let more = memory.take(bytes - has).ok_or(BodyError::NoMemory)?;
    Ok(Some(match taken {
        Some(mut permit) => {
            permit.merge(more);
            permit
        }
        None => more,
    }))
}

async fn next(body: &mut RequestBody) -> Result<Option<Bytes>, BodyError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                // Trailers.
                Err(_) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_and_given_back() {
        let memory = BodyMemory::new(1024 * 1024, 1024 * 1024);
        let first = share(None, 600 * 1024, &memory).unwrap();
        assert_eq!(
            share(None, 600 * 1024, &memory).unwrap_err(),
            BodyError::NoMemory
        );
        assert!(
            share(None, 10, &memory).unwrap().is_none(),
            "small bodies need no share"
        );
        drop(first);
        let grown = share(
            share(None, 100 * 1024, &memory).unwrap(),
            900 * 1024,
            &memory,
        )
        .unwrap();
        assert_eq!(grown.unwrap().num_permits(), 900);
    }

    #[test]
    fn the_largest_body_finds_room() {
        let most = 2 * 1024 * 1024 + 1;
        let memory = BodyMemory::new(1024 * 1024, most as u64);
        assert!(share(None, most, &memory).unwrap().is_some());
        BodyMemory::new(1024 * 1024, u64::MAX);
    }

    #[test]
    fn an_announced_size_is_no_reason_to_take_memory() {
        assert_eq!(grown(20_000, 16_384, Some(16 << 20), 16 << 20), 131_072);
        assert_eq!(grown(20_000, 16_384, Some(100_000), 16 << 20), 100_000);
        assert_eq!(grown(20_000, 16_384, None, 18_000), 20_000);
    }
}

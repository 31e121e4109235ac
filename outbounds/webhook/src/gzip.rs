//! Bodies with `Content-Encoding: gzip`.

use std::io::{Result, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Smaller bodies fit into the first packets anyway.
const WORTH_BYTES: usize = 1024;
/// Larger ones take a thread of their own, so that no other delivery waits for the compressing.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// The body, compressed; `None` when that is not worth it.
pub(crate) async fn compressed(body: &Bytes) -> Option<Bytes> {
    if body.len() <= WORTH_BYTES {
        return None;
    }
    let packed = if body.len() <= AT_ONCE_BYTES_MAX {
        compress(body)
    } else {
        let body = body.clone();
        let packing = tokio::task::spawn_blocking(move || compress(&body));
        packing.await.ok()?
    };
    let packed = packed.ok()?;
    (packed.len() < body.len()).then(|| packed.into())
}

fn compress(body: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

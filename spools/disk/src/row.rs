//! An event as it is stored, and its checksum.

use bytes::Bytes;
use faceway_core::{EventId, Private, Timestamp, TraceContext};

/// A stored event.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) id: EventId,
    pub(crate) device: u64,
    pub(crate) trace_context: Option<TraceContext>,
    pub(crate) body: Private<Bytes>,
}

impl Row {
    /// Bytes that it holds in memory, near enough.
    pub(crate) fn weight(&self) -> usize {
        let trace = self.trace_context.as_ref();
        let trace = trace.map_or(0, |context| context.as_stored().len());
        self.body.reveal().len() + trace + size_of::<Self>() // only its length
    }
}

/// What a row of events is checked against: SQLite's pages have no checksums (spools/disk/README.md).
pub(crate) fn event_crc(
    seq: u64,
    at: i64,
    id: &[u8],
    device: u64,
    images: &[u8],
    body: &[u8],
) -> u32 {
    let mut head = [0; 40];
    head[..8].copy_from_slice(&seq.to_le_bytes());
    head[8..16].copy_from_slice(&at.to_le_bytes());
    head[16..24].copy_from_slice(&device.to_le_bytes());
    let id = &id[..id.len().min(16)];
    head[24..24 + id.len()].copy_from_slice(id);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head), images);
    crc32c::crc32c_append(crc, body)
}

/// The checksum of several fields; a field cannot run into the next.
pub(crate) fn fields_crc(fields: &[&[u8]]) -> u32 {
    fields.iter().fold(0, |crc, field| {
        let crc = crc32c::crc32c_append(crc, &(field.len() as u64).to_le_bytes());
        crc32c::crc32c_append(crc, field)
    })
}

/// A stored moment. What cannot be written as RFC 3339 was never stored, so the fallback is for damaged rows only.
pub(crate) fn moment(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms).unwrap_or_else(|_| {
        if ms < 0 {
            EPOCH.plus_millis(i64::MIN)
        } else {
            EPOCH.plus_millis(i64::MAX)
        }
    })
}

/// 1970-01-01T00:00:00Z.
pub(crate) const EPOCH: Timestamp = match Timestamp::from_millis(0) {
    Ok(epoch) => epoch,
    Err(_) => unreachable!(),
};

#[cfg(test)]
mod tests {
    use super::fields_crc;

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(fields_crc(&[b"a", b"bc"]), fields_crc(&[b"ab", b"c"]));
    }
}

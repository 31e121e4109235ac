//! An event as it is stored, its checksum, and small numbers as bytes.

use bytes::Bytes;
use faceway_core::{DeviceKey, EventId, Lease, Private, Timestamp, TraceContext};

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
    pub(crate) fn lease(self, failures: u32, routed: bool) -> Lease {
        Lease {
            seq: self.seq,
            id: self.id,
            device: DeviceKey(self.device),
            received_at: moment(self.at),
            failures,
            routed,
            trace_context: self.trace_context,
            body: self.body,
        }
    }

    /// Bytes that it holds in memory, near enough.
    pub(crate) fn weight(&self) -> usize {
        let trace = self.trace_context.as_ref();
        let trace = trace.map_or(0, |context| context.as_stored().len());
        self.body.reveal().len() + trace + size_of::<Self>() // only its length
    }
}

/// How far the log has come, as everybody may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The highest durable sequence number; 0 when there is none.
    pub(crate) last: u64,
    /// Events that were ever appended. Sequence numbers have gaps, so a backlog is counted with this.
    pub(crate) total: u64,
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

/// A number in seven bits a byte, low ones first.
pub(crate) fn put_varint(number: u64, mut push: impl FnMut(u8)) {
    let mut rest = number;
    while rest >= 0x80 {
        push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    push(rest as u8);
}

/// Reads what [`put_varint`] wrote; `None` when the bytes end too early.
pub(crate) fn take_varint(mut next: impl FnMut() -> Option<u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Ascending numbers as one blob: each as the difference to the one before.
pub(crate) fn pack_ascending(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    for number in numbers {
        put_varint(number - last, |byte| bytes.push(byte));
        last = number;
    }
    bytes
}

/// Reads what [`pack_ascending`] wrote.
pub(crate) fn unpack_ascending(bytes: &[u8]) -> Vec<u64> {
    let mut bytes = bytes.iter().copied();
    let mut numbers = Vec::new();
    let mut last = 0_u64;
    while let Some(step) = take_varint(|| bytes.next()) {
        last = last.wrapping_add(step);
        numbers.push(last);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::{fields_crc, pack_ascending, unpack_ascending};

    #[test]
    fn ascending_numbers_come_back() {
        let numbers = vec![0, 1, 127, 128, 300, 1 << 40, u64::MAX];
        assert_eq!(unpack_ascending(&pack_ascending(numbers.clone())), numbers);
        assert!(unpack_ascending(&[]).is_empty());
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(fields_crc(&[b"a", b"bc"]), fields_crc(&[b"ab", b"c"]));
    }
}

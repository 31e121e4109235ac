//! What waits in a lane, by ranges of the log, as bytes: two or three for each event.
//!
//! The lane machine writes these bytes, a lane store keeps them, and whatever removes events from the log asks them which
//! ones are still needed.

use std::collections::HashMap;

use bytes::Bytes;

use crate::DeviceKey;

/// Sequence numbers of one range. Changing it makes kept lanes unreadable.
pub const RANGE: u64 = 1024;

/// The range of a sequence number.
pub const fn range_of(seq: u64) -> u64 {
    seq / RANGE
}

/// Events of one range, ascending, with the unit of order of each.
///
/// The form: how many devices (varint), each device (8 bytes, little endian), then for each event the step from the one
/// before (varint; the first from the range's beginning) and the number of its device (varint).
pub fn encode(range: u64, events: &[(u64, DeviceKey)]) -> Bytes {
    let mut devices: HashMap<DeviceKey, u64> = HashMap::new();
    let mut keys = Vec::new();
    for (_, device) in events {
        devices.entry(*device).or_insert_with(|| {
            keys.push(*device);
            keys.len() as u64 - 1
        });
    }
    let mut bytes = Vec::with_capacity(2 + keys.len() * 8 + events.len() * 3);
    put_varint(&mut bytes, keys.len() as u64);
    for key in &keys {
        bytes.extend_from_slice(&key.0.to_le_bytes());
    }
    let mut last = range * RANGE;
    for (seq, device) in events {
        put_varint(&mut bytes, seq - last);
        put_varint(&mut bytes, devices[device]);
        last = *seq;
    }
    bytes.into()
}

/// The events of a range, ascending; `None` when these bytes are no range.
pub fn decode(range: u64, bytes: &[u8]) -> Option<Vec<(u64, DeviceKey)>> {
    let mut rest = bytes;
    let count = usize::try_from(take_varint(&mut rest)?).ok()?;
    // Else a damaged count would take memory for nothing.
    let (keys, mut rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let (keys, _) = keys.as_chunks::<8>();
    let mut events: Vec<(u64, DeviceKey)> = Vec::new();
    let (first, end) = (
        range.checked_mul(RANGE)?,
        range.checked_add(1)?.checked_mul(RANGE)?,
    );
    let mut last = first;
    while !rest.is_empty() {
        let seq = last.checked_add(take_varint(&mut rest)?)?;
        let device = keys.get(usize::try_from(take_varint(&mut rest)?).ok()?)?;
        let ascends = events.last().is_none_or(|(last, _)| *last < seq);
        if !ascends || seq >= end {
            return None;
        }
        events.push((seq, DeviceKey(u64::from_le_bytes(*device))));
        last = seq;
    }
    Some(events)
}

/// Writes a number, small ones in one byte.
pub fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads what [`put_varint`] wrote; `None` at the end, or when there is no such number.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if low << shift >> shift != low {
            return None;
        }
        number |= low << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_comes_back_as_it_was() {
        let events: Vec<_> = (0..1024)
            .map(|n| (5 * RANGE + n, DeviceKey(n % 7 * 1000)))
            .collect();
        let bytes = encode(5, &events);
        assert!(bytes.len() < 1024 * 2 + 7 * 8 + 8, "{}", bytes.len());
        assert_eq!(decode(5, &bytes), Some(events));
        assert_eq!(decode(5, &encode(5, &[])), Some(Vec::new()));
    }

    #[test]
    fn what_is_damaged_is_no_range() {
        let bytes = encode(1, &[(RANGE, DeviceKey(1)), (RANGE + 9, DeviceKey(2))]);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 1 << bit;
                if let Some(events) = decode(1, &damaged) {
                    assert!(events.iter().all(|(seq, _)| range_of(*seq) == 1));
                }
            }
            assert!(at == 0 || decode(1, &bytes[..at]).is_none_or(|events| events.len() < 2));
        }
        assert_eq!(decode(1, &[0xff; 12]), None);
    }

    #[test]
    fn numbers_of_all_sizes_come_back() {
        for number in [0, 1, 127, 128, 1 << 35, u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(take_varint(&mut &*bytes), Some(number));
        }
    }
}

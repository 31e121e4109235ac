//! What waits in a lane, by ranges of the log, as bytes: two or three for each event.
//!
//! The lane machine writes these bytes, a lane store keeps them, and whatever removes events from the log asks them which
//! ones are still needed.

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
    let mut devices = Devices::new(events.len());
    let mut steps = Vec::with_capacity(events.len() * 3);
    let mut last = range * RANGE;
    for (seq, device) in events {
        put_varint(&mut steps, seq - last);
        put_varint(&mut steps, devices.number(*device));
        last = *seq;
    }
    let mut bytes = Vec::with_capacity(2 + devices.keys.len() * 8 + steps.len());
    put_varint(&mut bytes, devices.keys.len() as u64);
    for key in &devices.keys {
        bytes.extend_from_slice(&key.0.to_le_bytes());
    }
    bytes.extend_from_slice(&steps);
    bytes.into()
}

/// Numbers devices as they come. A lane does this for a thousand events at each commit, so it is a table that costs little
/// rather than a map of the standard library.
struct Devices {
    keys: Vec<DeviceKey>,
    /// By the key: its number and one; 0 where nothing is. At most half of it is taken.
    slots: Vec<u32>,
}

impl Devices {
    fn new(events: usize) -> Self {
        Self {
            keys: Vec::new(),
            slots: vec![0; (events * 2).next_power_of_two()],
        }
    }

    fn number(&mut self, device: DeviceKey) -> u64 {
        let mask = self.slots.len() - 1;
        // The golden ratio spreads keys that differ in a few bits only.
        let mut at = (device.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask;
        loop {
            match self.slots[at] {
                0 => {
                    self.keys.push(device);
                    self.slots[at] = self.keys.len() as u32;
                    return self.keys.len() as u64 - 1;
                }
                known if self.keys[known as usize - 1] == device => return u64::from(known) - 1,
                _ => at = (at + 1) & mask,
            }
        }
    }
}

/// The events of a range, ascending; `None` when these bytes are no range.
pub fn decode(range: u64, bytes: &[u8]) -> Option<Vec<(u64, DeviceKey)>> {
    let mut waiting = Waiting::new(range, bytes)?;
    let events = waiting.by_ref().collect();
    (!waiting.is_damaged).then_some(events)
}

/// The events of a range one by one, ascending. It ends before what is damaged.
#[derive(Debug)]
pub struct Waiting<'a> {
    keys: &'a [[u8; 8]],
    rest: &'a [u8],
    last: u64,
    is_first: bool,
    /// Behind the last sequence number of the range.
    end: u64,
    is_damaged: bool,
}

impl<'a> Waiting<'a> {
    /// Begins; `None` when these bytes are no range.
    pub fn new(range: u64, bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let count = usize::try_from(take_varint(&mut rest)?).ok()?;
        // Else a damaged count would take memory for nothing.
        let (keys, rest) = rest.split_at_checked(count.checked_mul(8)?)?;
        Some(Self {
            keys: keys.as_chunks::<8>().0,
            rest,
            last: range.checked_mul(RANGE)?,
            is_first: true,
            end: range.checked_add(1)?.checked_mul(RANGE)?,
            is_damaged: false,
        })
    }

    fn read(&mut self) -> Option<(u64, DeviceKey)> {
        let step = take_varint(&mut self.rest)?;
        let device = self
            .keys
            .get(usize::try_from(take_varint(&mut self.rest)?).ok()?)?;
        let seq = self.last.checked_add(step)?;
        let ascends = step > 0 || self.is_first;
        (self.is_first, self.last) = (false, seq);
        (ascends && seq < self.end).then(|| (seq, DeviceKey(u64::from_le_bytes(*device))))
    }
}

impl Iterator for Waiting<'_> {
    type Item = (u64, DeviceKey);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || self.is_damaged {
            return None;
        }
        let event = self.read();
        self.is_damaged = event.is_none();
        event
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Two bytes an event are the fewest, and what most take.
        (0, Some(self.rest.len() / 2))
    }
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

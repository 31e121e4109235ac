//! The header of a segment's file. It stands there twice, so that one damaged byte costs nothing.

use crate::frame::{word32, word64};

const MAGIC: &[u8; 8] = b"FACESEG1";
/// Bytes of one copy.
const COPY: usize = 64;
/// Where frames begin.
pub(crate) const FRAMES: u64 = 2 * COPY as u64;

/// What a segment says of itself and of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The segment's number; its file has that name.
    pub(crate) number: u64,
    /// Random: a frame that names another id is none of this segment, be it left over in a file that is used again or
    /// written by a device into the body of its record.
    pub(crate) id: u64,
    /// Its first event has this sequence number; where it has none yet, the next one.
    pub(crate) first_seq: u64,
    /// Where the segment before ends. What stands there behind it never counted.
    pub(crate) previous_end: u64,
    /// The lowest segment that was still needed.
    pub(crate) oldest: u64,
    /// The number behind its first group. Where it is 0, the first versions of this program wrote it into `first_seq`.
    pub(crate) next_seq: u64,
}

impl Header {
    /// The first event, where the header says it: what is missing from there on is lost.
    pub(crate) fn begins_with(&self) -> Option<u64> {
        (self.next_seq > self.first_seq).then_some(self.first_seq)
    }

    pub(crate) fn encode(&self) -> [u8; FRAMES as usize] {
        let mut copy = [0; COPY];
        copy[..8].copy_from_slice(MAGIC);
        let fields = [
            self.number,
            self.id,
            self.first_seq,
            self.previous_end,
            self.oldest,
            self.next_seq,
        ];
        for (at, field) in (8..).step_by(8).zip(fields) {
            copy[at..at + 8].copy_from_slice(&field.to_le_bytes());
        }
        let crc = crc32c::crc32c(&copy[..COPY - 4]);
        copy[COPY - 4..].copy_from_slice(&crc.to_le_bytes());
        let mut both = [0; FRAMES as usize];
        both[..COPY].copy_from_slice(&copy);
        both[COPY..].copy_from_slice(&copy);
        both
    }

    /// The first copy that is sound; `None` when there is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.chunks_exact(COPY).take(2).find_map(|copy| {
            let is_sound = copy.starts_with(MAGIC)
                && crc32c::crc32c(&copy[..COPY - 4]) == word32(copy, COPY - 4);
            is_sound.then(|| Self {
                number: word64(copy, 8),
                id: word64(copy, 16),
                first_seq: word64(copy, 24),
                previous_end: word64(copy, 32),
                oldest: word64(copy, 40),
                next_seq: word64(copy, 48),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_byte_costs_nothing() {
        let header = Header {
            number: 3,
            id: 0x1234_5678_9abc_def0,
            first_seq: 4711,
            previous_end: 64 << 20,
            oldest: 1,
            next_seq: 4714,
        };
        let bytes = header.encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes;
            damaged[at] ^= 0x40;
            assert_eq!(Header::decode(&damaged), Some(header), "byte {at}");
        }
        assert_eq!(Header::decode(&[0; FRAMES as usize]), None);
        assert_eq!(Header::decode(&[]), None);
    }
}

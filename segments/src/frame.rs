//! A frame: one record in a segment's file, with what is needed to find it again beside damage.

/// Bytes before a frame's body.
pub(crate) const HEAD: u64 = 32;
/// Frames begin at multiples of this: where one is damaged, the next is looked for in these steps.
pub(crate) const ALIGN: u64 = 8;
/// Longest body: what a length of 32 bits can say, less what could overflow.
pub(crate) const BODY_MAX: u64 = 1 << 30;

/// What stands before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) body_bytes: u32,
    /// The sequence number of the event; that of the last one where the frame holds none.
    pub(crate) seq: u64,
    pub(crate) body_crc: u32,
    pub(crate) kind: u8,
    /// Where its group begins, in steps of [`ALIGN`] from the beginning of the file. What is missing before that place was
    /// durable once; what is missing behind it may never have been.
    pub(crate) group: u32,
}

/// A group begins below this, as its place has 24 bits: 128 MiB.
pub(crate) const GROUP_END: u64 = ALIGN << 24;

impl Head {
    /// Bytes of the frame with its body and what fills it up.
    pub(crate) fn total(&self) -> u64 {
        total(u64::from(self.body_bytes))
    }

    /// Where its group begins.
    pub(crate) fn group_at(&self) -> u64 {
        u64::from(self.group) * ALIGN
    }

    pub(crate) fn encode(&self, segment: u64) -> [u8; HEAD as usize] {
        let mut bytes = [0; HEAD as usize];
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&segment.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.seq.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.body_crc.to_le_bytes());
        let word = u32::from(self.kind) << 24 | self.group;
        bytes[28..32].copy_from_slice(&word.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` where these bytes are no head of this segment. The id is compared first: that is all that most places of a
    /// search cost.
    pub(crate) fn decode(bytes: &[u8; HEAD as usize], segment: u64) -> Option<Self> {
        if word64(bytes, 8) != segment {
            return None;
        }
        Self::decode_any(bytes).map(|(_, head)| head)
    }

    /// The same where one byte of the head is wrong. A checksum of 32 bits over so few bytes has one byte at one place that
    /// makes it right again.
    pub(crate) fn mend(bytes: &[u8; HEAD as usize], segment: u64) -> Option<Self> {
        let id = segment.to_le_bytes();
        let wrong = bytes[8..16]
            .iter()
            .zip(id)
            .filter(|(one, other)| **one != *other);
        // Most places that are no head end here.
        if wrong.count() > 1 {
            return None;
        }
        let mut mended = *bytes;
        for at in 0..mended.len() {
            let was = mended[at];
            for change in 1..=u8::MAX {
                mended[at] = was ^ change;
                if let Some(head) = Self::decode(&mended, segment) {
                    return Some(head);
                }
            }
            mended[at] = was;
        }
        None
    }

    /// The same of any segment, with the id that it names.
    pub(crate) fn decode_any(bytes: &[u8; HEAD as usize]) -> Option<(u64, Self)> {
        if crc32c::crc32c(&bytes[4..]) != word32(bytes, 0) {
            return None;
        }
        let word = word32(bytes, 28);
        let head = Self {
            body_bytes: word32(bytes, 4),
            seq: word64(bytes, 16),
            body_crc: word32(bytes, 24),
            kind: (word >> 24) as u8,
            group: word & 0x00ff_ffff,
        };
        // The checksum of zeros is not zero, so an empty place is none.
        Some((word64(bytes, 8), head))
    }
}

/// Bytes of a frame with a body of this length.
pub(crate) const fn total(body: u64) -> u64 {
    (HEAD + body).next_multiple_of(ALIGN)
}

/// The number at this place; 0 beyond the end.
pub(crate) fn word64(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// The same of four bytes.
pub(crate) fn word32(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_and_a_flipped_bit_is_seen() {
        let head = Head {
            body_bytes: 1000,
            seq: 7,
            body_crc: 0xdead_beef,
            kind: 2,
            group: (1 << 24) - 1,
        };
        let bytes = head.encode(99);
        assert_eq!(Head::decode(&bytes, 99), Some(head));
        assert_eq!(Head::decode(&bytes, 98), None);
        assert_eq!(Head::decode_any(&[0; 32]), None);
        for bit in 0..HEAD * 8 {
            let mut damaged = bytes;
            damaged[(bit / 8) as usize] ^= 1 << (bit % 8);
            assert_eq!(Head::decode_any(&damaged), None, "bit {bit}");
            assert_eq!(Head::mend(&damaged, 99), Some(head), "bit {bit}");
            assert_eq!(Head::mend(&damaged, !99), None, "bit {bit}");
        }
    }
}

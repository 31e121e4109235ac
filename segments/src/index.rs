//! What is known of a segment without reading its frames: where which sequence numbers and times stand, and the ids of its
//! events. A sealed segment has both in files beside it, which are made again when they are missing or damaged.

use crate::frame::{ALIGN, word32, word64};

const MAGIC: &[u8; 8] = b"FACEIDX1";
const MAGIC_IDS: &[u8; 8] = b"FACEIDS1";
/// A block ends with the first event behind this many bytes.
const BLOCK_BYTES: u64 = 64 << 10;
const BLOCK: usize = 24;
const FIXED: usize = 64;
/// Ids under one checksum.
const RUN: usize = 256;

/// A part of a segment that begins with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins, in steps of [`ALIGN`].
    at: u32,
    /// Its first sequence number, from the index's first one.
    seq: u32,
    /// The lowest and the highest time in it.
    low: i64,
    high: i64,
}

/// A block, for who looks for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// Whether all of it is of that time.
    pub(crate) is_whole: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    blocks: Vec<Block>,
    /// The first event; 0 when there is none.
    pub(crate) first_seq: u64,
    /// The last one; where there is none, the one before, so that segments ascend.
    pub(crate) last_seq: u64,
    pub(crate) events: u64,
}

impl Index {
    /// One without events, behind this number.
    pub(crate) fn behind(seq: u64) -> Self {
        Self {
            last_seq: seq,
            ..Self::default()
        }
    }

    /// It begins with this event, also when that is not met.
    pub(crate) fn begin(&mut self, offset: u64, seq: u64) {
        self.first_seq = seq;
        // Of no time, until an event is met.
        self.blocks.push(Block {
            at: (offset / ALIGN) as u32,
            seq: 0,
            low: i64::MAX,
            high: i64::MIN,
        });
    }

    /// Adds the event behind all others.
    pub(crate) fn add(&mut self, offset: u64, seq: u64, at: i64) {
        if self.first_seq == 0 {
            self.first_seq = seq;
        }
        self.last_seq = seq;
        self.events += 1;
        match self.blocks.last_mut() {
            Some(block) if offset < block.offset() + BLOCK_BYTES => {
                block.low = block.low.min(at);
                block.high = block.high.max(at);
            }
            _ => self.blocks.push(Block {
                at: (offset / ALIGN) as u32,
                seq: (seq - self.first_seq) as u32,
                low: at,
                high: at,
            }),
        }
    }

    /// Where to begin reading for the first event that has at least this number; `None` when all are lower.
    pub(crate) fn place(&self, seq: u64) -> Option<u64> {
        if seq > self.last_seq {
            return None;
        }
        let step = seq.saturating_sub(self.first_seq);
        let behind = self
            .blocks
            .partition_point(|block| u64::from(block.seq) <= step);
        self.blocks.get(behind.saturating_sub(1)).map(Block::offset)
    }

    /// Where the block behind that of this event begins, and its first number; `None` for an event of the last block.
    pub(crate) fn next_block(&self, seq: u64) -> Option<(u64, u64)> {
        let step = seq.saturating_sub(self.first_seq);
        let behind = self
            .blocks
            .partition_point(|block| u64::from(block.seq) <= step);
        let block = self.blocks.get(behind.max(1))?;
        Some((block.offset(), self.seq(block)))
    }

    /// The blocks in which a time from `since` until before `until` may be.
    pub(crate) fn stretches(&self, since: i64, until: i64) -> impl Iterator<Item = Stretch> {
        let ends = self.blocks.iter().skip(1).map(|next| self.seq(next) - 1);
        let ends = ends.chain([self.last_seq]);
        let meets = move |block: &Block| block.high >= since && block.low < until;
        (self.blocks.iter().zip(ends))
            .filter(move |(block, _)| meets(block))
            .map(move |(block, last_seq)| Stretch {
                first_seq: self.seq(block),
                last_seq,
                is_whole: block.low >= since && block.high < until,
            })
    }

    /// The lowest and the highest time; `None` when there is no event.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let low = self.blocks.iter().map(|block| block.low).min();
        low.zip(self.blocks.iter().map(|block| block.high).max())
    }

    fn seq(&self, block: &Block) -> u64 {
        self.first_seq + u64::from(block.seq)
    }

    /// The file's bytes, for the segment of this id that ends there.
    pub(crate) fn encode(&self, segment: u64, end: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.blocks.len() * BLOCK + 4);
        bytes.extend_from_slice(MAGIC);
        let fields = [
            segment,
            end,
            self.first_seq,
            self.last_seq,
            self.events,
            self.blocks.len() as u64,
            0,
        ];
        for field in fields {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        for block in &self.blocks {
            bytes.extend_from_slice(&block.at.to_le_bytes());
            bytes.extend_from_slice(&block.seq.to_le_bytes());
            bytes.extend_from_slice(&block.low.to_le_bytes());
            bytes.extend_from_slice(&block.high.to_le_bytes());
        }
        seal(bytes)
    }

    /// The index, and where the segment ends; `None` when the file is damaged or of another segment.
    pub(crate) fn decode(bytes: &[u8], segment: u64) -> Option<(Self, u64)> {
        let bytes = sealed(bytes)?;
        if !bytes.starts_with(MAGIC) || word64(bytes, 8) != segment {
            return None;
        }
        let blocks = bytes.get(FIXED..)?;
        if blocks.len() as u64 != word64(bytes, 48).checked_mul(BLOCK as u64)? {
            return None;
        }
        let block = |bytes: &[u8]| Block {
            at: word32(bytes, 0),
            seq: word32(bytes, 4),
            low: word64(bytes, 8).cast_signed(),
            high: word64(bytes, 16).cast_signed(),
        };
        let index = Self {
            blocks: blocks.chunks_exact(BLOCK).map(block).collect(),
            first_seq: word64(bytes, 24),
            last_seq: word64(bytes, 32),
            events: word64(bytes, 40),
        };
        Some((index, word64(bytes, 16)))
    }
}

impl Block {
    fn offset(&self) -> u64 {
        u64::from(self.at) * ALIGN
    }
}

/// Ids of events whose numbers follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first_seq: u64,
    /// 16 bytes each.
    pub(crate) ids: Vec<u8>,
}

/// Ids of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) runs: Vec<Run>,
}

impl Ids {
    pub(crate) fn add(&mut self, seq: u64, id: [u8; 16]) {
        match self.runs.last_mut() {
            Some(run) if run.ids.len() < RUN * 16 && run.next() == seq => {
                run.ids.extend_from_slice(&id);
            }
            _ => self.runs.push(Run {
                first_seq: seq,
                ids: id.to_vec(),
            }),
        }
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.next() - 1)
    }

    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC_IDS.to_vec();
        for run in &self.runs {
            bytes.extend_from_slice(&run.first_seq.to_le_bytes());
            bytes.extend_from_slice(&(run.ids.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&run.crc().to_le_bytes());
            bytes.extend_from_slice(&run.ids);
        }
        bytes
    }

    /// The id under this number.
    pub(crate) fn id(&self, seq: u64) -> Option<[u8; 16]> {
        let behind = self.runs.partition_point(|run| run.first_seq <= seq);
        self.runs.get(behind.checked_sub(1)?)?.id(seq)
    }

    /// The first ids from this number on that stand in one run.
    pub(crate) fn from(&self, seq: u64) -> Option<(u64, Vec<u8>)> {
        let ended = self.runs.partition_point(|run| run.next() <= seq);
        self.runs.get(ended)?.from(seq)
    }

    /// Where each run of the file begins: its first number, and its place.
    pub(crate) fn places(&self) -> Vec<(u64, u64)> {
        let mut at = MAGIC_IDS.len() as u64;
        let place = |run: &Run| {
            let place = (run.first_seq, at);
            at += 16 + run.ids.len() as u64;
            place
        };
        self.runs.iter().map(place).collect()
    }

    /// The run at the beginning of these bytes, if it is sound.
    pub(crate) fn run(bytes: &[u8]) -> Option<Run> {
        let length = word32(bytes, 8) as usize;
        let run = Run {
            first_seq: word64(bytes, 0),
            ids: bytes.get(16..)?.get(..length)?.to_vec(),
        };
        (run.crc() == word32(bytes, 12)).then_some(run)
    }

    /// How many ids a run of so many bytes has.
    pub(crate) const fn in_run(bytes: u64) -> u64 {
        (bytes - 16) / 16
    }

    /// Bytes of the longest run.
    pub(crate) const RUN_BYTES: usize = 16 + RUN * 16;

    /// The runs that are sound, and whether all of the file is: what is damaged is forgotten.
    pub(crate) fn decode(bytes: &[u8]) -> (Self, bool) {
        let Some(mut rest) = bytes.strip_prefix(MAGIC_IDS) else {
            return (Self::default(), false);
        };
        let (mut ids, mut is_whole) = (Self::default(), true);
        while !rest.is_empty() {
            let length = word32(rest, 8) as usize;
            match Self::run(rest) {
                Some(run) => ids.runs.push(run),
                None => is_whole = false,
            }
            let Some(next) = rest.get(16..).and_then(|rest| rest.get(length..)) else {
                return (ids, false);
            };
            rest = next;
        }
        (ids, is_whole)
    }
}

impl Run {
    /// The id under this number.
    pub(crate) fn id(&self, seq: u64) -> Option<[u8; 16]> {
        let at = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        self.ids.as_chunks().0.get(at).copied()
    }

    /// The ids from this number on, and the number of the first; `None` when all are lower.
    pub(crate) fn from(&self, seq: u64) -> Option<(u64, Vec<u8>)> {
        let first = seq.max(self.first_seq);
        let skipped = usize::try_from(first - self.first_seq).ok()?;
        let ids = self.ids.get(skipped.checked_mul(16)?..)?;
        (!ids.is_empty()).then(|| (first, ids.to_vec()))
    }

    fn next(&self) -> u64 {
        self.first_seq + (self.ids.len() / 16) as u64
    }

    fn crc(&self) -> u32 {
        let crc = crc32c::crc32c(&self.first_seq.to_le_bytes());
        crc32c::crc32c_append(crc, &self.ids)
    }
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn sealed(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, crc) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(bytes) == u32::from_le_bytes(*crc)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(events: u64) -> Index {
        let mut index = Index::default();
        for n in 0..events {
            index.add(128 + n * 1000, 10 + n, 5000 + n.cast_signed() * 3);
        }
        index
    }

    #[test]
    fn a_place_is_at_or_before_the_event() {
        let index = index(1000);
        for seq in 0..=1009 {
            let at = index.place(seq).unwrap();
            let event = 128 + seq.saturating_sub(10) * 1000;
            assert!(at <= event && event - at < BLOCK_BYTES + 1000, "{seq}");
        }
        assert_eq!(index.place(1010), None);
        assert_eq!(Index::default().place(0), None);
    }

    #[test]
    fn a_time_is_in_its_stretch() {
        let index = index(1000);
        for n in (0..1000_i64).step_by(7) {
            let (at, seq) = (5000 + n * 3, 10 + n.cast_unsigned());
            let found: Vec<_> = index.stretches(at, at + 1).collect();
            let has = |one: &Stretch| (one.first_seq..=one.last_seq).contains(&seq);
            assert!(found.iter().any(has));
            assert!(found.len() <= 1);
        }
        assert_eq!(index.stretches(0, 5000).count(), 0);
        let whole: Vec<_> = index.stretches(i64::MIN, i64::MAX).collect();
        assert_eq!(whole.first().unwrap().first_seq, 10);
        assert_eq!(whole.last().unwrap().last_seq, 1009);
        let follow = |two: &[Stretch]| two[0].last_seq + 1 == two[1].first_seq;
        assert!(whole.windows(2).all(follow) && whole.iter().all(|one| one.is_whole));
        assert_eq!(index.times(), Some((5000, 5000 + 999 * 3)));
    }

    #[test]
    fn files_come_back_and_damage_is_seen() {
        let index = index(300);
        let bytes = index.encode(77, 4096);
        assert_eq!(Index::decode(&bytes, 77), Some((index, 4096)));
        assert_eq!(Index::decode(&bytes, 78), None);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Index::decode(&damaged, 77), None, "byte {at}");
        }
        let mut ids = Ids::default();
        for seq in (1..600).chain(700..710) {
            ids.add(seq, [seq as u8; 16]);
        }
        assert_eq!(ids.last_seq(), 709);
        let bytes = ids.encode();
        assert_eq!(Ids::decode(&bytes), (ids.clone(), true));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let (found, is_whole) = Ids::decode(&damaged);
            assert!(!is_whole, "byte {at}");
            assert!(found.runs.iter().all(|run| ids.runs.contains(run)));
        }
    }
}

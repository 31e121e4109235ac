//! A group as it is put together in memory. Its frames name the segment and the group, which are only known when it is
//! written, so heads are filled in then.

use crate::Trouble;
use crate::frame::{ALIGN, BODY_MAX, HEAD, Head, total};
use crate::record::{Event, KIND_CLOSED, KIND_EVENT};

/// What the buffer may keep of its memory between groups.
const KEEP: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Group {
    bytes: Vec<u8>,
    frames: Vec<Pending>,
}

/// A frame whose head is not written yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Where it begins in the group.
    pub(crate) offset: u64,
    pub(crate) head: Head,
    /// Of an event: its id and its time.
    pub(crate) stamp: Option<([u8; 16], i64)>,
}

impl Group {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn frames(&self) -> &[Pending] {
        &self.frames
    }

    pub(crate) fn push_event(&mut self, seq: u64, event: &Event<'_>) -> Result<(), Trouble> {
        let stamp = Some((event.id, event.at));
        self.push(KIND_EVENT, seq, event.bytes(), stamp, |bytes| {
            event.encode(bytes);
        })
    }

    /// What says that the log was closed in order.
    pub(crate) fn push_closed(&mut self, seq: u64) -> Result<(), Trouble> {
        self.push(KIND_CLOSED, seq, 0, None, |_| {})
    }

    fn push(
        &mut self,
        kind: u8,
        seq: u64,
        body_bytes: u64,
        stamp: Option<([u8; 16], i64)>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Trouble> {
        if body_bytes > BODY_MAX {
            return Err(Trouble::TooLarge(body_bytes));
        }
        let offset = self.bytes.len();
        self.bytes.reserve(total(body_bytes) as usize);
        self.bytes.resize(offset + HEAD as usize, 0);
        encode(&mut self.bytes);
        let body = &self.bytes[offset + HEAD as usize..];
        let head = Head {
            body_bytes: body.len() as u32,
            seq,
            body_crc: crc32c::crc32c(body),
            kind,
            group: 0,
        };
        self.frames.push(Pending {
            offset: offset as u64,
            head,
            stamp,
        });
        let end = self.bytes.len().next_multiple_of(ALIGN as usize);
        self.bytes.resize(end, 0);
        Ok(())
    }

    /// The bytes to write at this place of a segment.
    pub(crate) fn finish(&mut self, segment: u64, at: u64) -> &[u8] {
        for frame in &mut self.frames {
            frame.head.group = (at / ALIGN) as u32;
            let from = frame.offset as usize;
            self.bytes[from..from + HEAD as usize].copy_from_slice(&frame.head.encode(segment));
        }
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.frames.shrink_to(KEEP / 64);
    }
}

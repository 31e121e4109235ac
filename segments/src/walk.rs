//! Goes from frame to frame of a segment's file, over what is damaged.

use std::io;
use std::ops::Range;

use crate::File;
use crate::frame::{ALIGN, HEAD, Head};

/// Bytes that are read at once.
pub(crate) const WINDOW: usize = 256 << 10;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A sound frame; its body is [`Walk::body`].
    Frame { offset: u64, head: Head },
    /// The head is sound, the body is not.
    Damaged { offset: u64, head: Head },
    /// No frame begins here. Behind it one does, or the end.
    Gap(Range<u64>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    file: &'a dyn File,
    segment: u64,
    at: u64,
    end: u64,
    window: Vec<u8>,
    /// So many bytes of the window are the file's.
    filled: usize,
    window_at: u64,
    window_bytes: usize,
    body: Range<usize>,
}

impl<'a> Walk<'a> {
    /// From the frame at `at` up to `end`.
    pub(crate) fn new(file: &'a dyn File, segment: u64, at: u64, end: u64) -> Self {
        Self {
            file,
            segment,
            at,
            end,
            window: Vec::new(),
            filled: 0,
            window_at: at,
            window_bytes: WINDOW,
            body: 0..0,
        }
    }

    /// Reads into this window, whatever is in it; [`Walk::into_window`] gives it back.
    pub(crate) fn reading(mut self, window: Vec<u8>) -> Self {
        self.window = window;
        self
    }

    /// Reads at least what one record takes, and no more at first than this: for who wants few of them.
    pub(crate) fn at_first(mut self, bytes: usize) -> Self {
        self.window_bytes = bytes.clamp(HEAD as usize, WINDOW);
        self
    }

    pub(crate) fn into_window(self) -> Vec<u8> {
        self.window
    }

    /// The body of the frame that was stepped on last.
    pub(crate) fn body(&self) -> &[u8] {
        let filled = self.window.get(..self.filled).unwrap_or_default();
        filled.get(self.body.clone()).unwrap_or_default()
    }

    /// `None` at the end.
    pub(crate) fn step(&mut self) -> io::Result<Option<Step>> {
        self.step_from(0)
    }

    /// The same, over the frames of lower sequence numbers: their bodies are neither proven nor, where that can be, read.
    pub(crate) fn step_from(&mut self, seq: u64) -> io::Result<Option<Step>> {
        while self.at < self.end {
            let step = self.step_at(seq)?;
            if step.is_some() {
                return Ok(step);
            }
        }
        Ok(None)
    }

    /// `None` when it was one of a lower sequence number.
    fn step_at(&mut self, seq: u64) -> io::Result<Option<Step>> {
        let offset = self.at;
        let head = match self.head(offset, Head::decode)? {
            None => self.head(offset, Head::mend)?,
            head => head,
        };
        let Some(head) = head else {
            let to = self.search(offset + ALIGN)?;
            self.at = to;
            return Ok(Some(Step::Gap(offset..to)));
        };
        self.at = offset + head.total();
        if head.seq < seq {
            return Ok(None);
        }
        let from = offset + HEAD;
        let is_there = self.load(from, u64::from(head.body_bytes))?;
        let start = (from - self.window_at) as usize;
        self.body = start..start + head.body_bytes as usize;
        let is_sound = is_there && crc32c::crc32c(self.body()) == head.body_crc;
        Ok(Some(match is_sound {
            true => Step::Frame { offset, head },
            false => Step::Damaged { offset, head },
        }))
    }

    /// The head at this place, if one is there and its frame ends before the end.
    fn head(
        &mut self,
        at: u64,
        decode: fn(&[u8; HEAD as usize], u64) -> Option<Head>,
    ) -> io::Result<Option<Head>> {
        if at + HEAD > self.end || !self.load(at, HEAD)? {
            return Ok(None);
        }
        let start = (at - self.window_at) as usize;
        let bytes = self.window[start..self.filled].first_chunk();
        let head = bytes.and_then(|bytes| decode(bytes, self.segment));
        Ok(head.filter(|head| at + head.total() <= self.end))
    }

    /// Looks for the next head. Most places end at the id, which is compared for a whole window at once.
    fn search(&mut self, from: u64) -> io::Result<u64> {
        let id = self.segment.to_le_bytes();
        let mut at = from;
        self.window_bytes = WINDOW;
        while at + HEAD <= self.end && self.load(at, HEAD)? {
            let start = (at - self.window_at) as usize;
            let words = self.window[start..self.filled].chunks_exact(ALIGN as usize);
            let last = words.len() as u64 - 1;
            // The id is the second word of a head.
            let found = words.skip(1).position(|word| *word == id);
            let Some(place) = found else {
                at += last * ALIGN;
                continue;
            };
            at += place as u64 * ALIGN;
            if self.head(at, Head::decode)?.is_some() {
                return Ok(at);
            }
            at += ALIGN;
        }
        Ok(self.end)
    }

    /// Makes sure that the window holds these bytes; `false` when the file ends before.
    fn load(&mut self, at: u64, bytes: u64) -> io::Result<bool> {
        let window_end = self.window_at + self.filled as u64;
        if at >= self.window_at && at + bytes <= window_end {
            return Ok(true);
        }
        let left = self.end.saturating_sub(at);
        let wanted = bytes.max(self.window_bytes as u64).min(left.max(bytes)) as usize;
        if self.window.len() < wanted {
            self.window.resize(wanted, 0);
        }
        self.window_at = at;
        // After an error nothing of the window may be taken for the file's bytes.
        self.filled = 0;
        self.filled = self.file.read_at(&mut self.window[..wanted], at)?;
        // Further steps read larger pieces.
        self.window_bytes = (self.window_bytes * 2).min(WINDOW);
        Ok(self.filled as u64 >= bytes)
    }
}

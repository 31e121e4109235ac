//! Reading one segment: no more of its file than what is wanted stands in, and only what is wanted is proven.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::header::FRAMES;
use crate::reader::Found;
use crate::record::{KIND_EVENT, decode};
use crate::segment::{Inner, Segment};
use crate::walk::{Step, WINDOW, Walk};

/// Bytes that a look for one event reads first.
const ONE_EVENT: usize = 16 << 10;
/// Windows that are kept for the next reading: as many as there are who read at the same time, nearly always.
const KEPT_MAX: usize = 2;

/// Sequence numbers that are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// All from the first through the second.
    Through(u64, u64),
    /// These, ascending.
    These(&'a [u64]),
}

impl Wanted<'_> {
    /// Those that are not above this number.
    pub(crate) fn up_to(self, seq: u64) -> Self {
        match self {
            Self::Through(first, last) => Self::Through(first, last.min(seq)),
            Self::These(seqs) => {
                let behind = seqs.partition_point(|wanted| *wanted <= seq);
                Self::These(&seqs[..behind])
            }
        }
    }

    /// The lowest one from this number on.
    pub(crate) fn from(self, seq: u64) -> Option<u64> {
        match self {
            Self::Through(first, last) => Some(first.max(seq)).filter(|seq| *seq <= last),
            Self::These(seqs) => {
                let behind = seqs.partition_point(|wanted| *wanted < seq);
                seqs.get(behind).copied()
            }
        }
    }
}

/// Windows that were used before: a new one is written over with zeros first, and that costs as much as reading into it.
#[derive(Debug, Default)]
pub(crate) struct Windows(Mutex<Vec<Vec<u8>>>);

impl Windows {
    fn take(&self) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    fn give_back(&self, window: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that held a large record would stay as large for ever.
        if kept.len() < KEPT_MAX && window.len() <= WINDOW {
            kept.push(window);
        }
    }
}

/// A part of the file in which wanted events stand close together.
struct Piece {
    at: u64,
    end: u64,
    first_seq: u64,
    last_seq: u64,
    /// What is behind the piece begins with this number.
    next_seq: u64,
}

/// Gives the number up to which all was read, or `None` when `take` had enough.
///
/// Events of a segment have numbers without gaps: one that is not met is one of which no head is left.
pub(crate) fn read_segment(
    segment: &Segment,
    wanted: Wanted<'_>,
    windows: &Windows,
    take: &mut impl FnMut(Found<'_>) -> bool,
) -> io::Result<Option<u64>> {
    let (pieces, last_seq) = {
        let inner = segment.read();
        (pieces(&inner, wanted), inner.index.last_seq)
    };
    for piece in pieces {
        let mut walk = Walk::new(&*segment.file, segment.id, piece.at, piece.end)
            .reading(windows.take())
            .at_first(if piece.first_seq == piece.last_seq {
                ONE_EVENT
            } else {
                WINDOW
            });
        let has_enough = !read_piece(&mut walk, &piece, wanted, take)?;
        windows.give_back(walk.into_window());
        if has_enough {
            return Ok(None);
        }
    }
    Ok(Some(last_seq))
}

fn pieces(inner: &Inner, wanted: Wanted<'_>) -> Vec<Piece> {
    let index = &inner.index;
    let mut pieces: Vec<Piece> = Vec::new();
    if index.events == 0 {
        return pieces;
    }
    let mut next = wanted.from(index.first_seq);
    while let Some(seq) = next.filter(|seq| *seq <= index.last_seq) {
        let last_seq = match wanted {
            Wanted::Through(_, last) => last.min(index.last_seq),
            Wanted::These(_) => seq,
        };
        next = wanted.from(last_seq + 1);
        if let Some(piece) = pieces.last_mut().filter(|piece| seq < piece.next_seq) {
            piece.last_seq = last_seq;
            continue;
        }
        let at = index.place(seq).unwrap_or(FRAMES);
        let (end, next_seq) = index.next_block(last_seq).unwrap_or((inner.end, u64::MAX));
        match pieces.last_mut().filter(|piece| piece.end == at) {
            // What is between two blocks that touch is nothing, so one reading gets both.
            Some(piece) => {
                (piece.end, piece.next_seq) = (end, next_seq);
                piece.last_seq = last_seq;
            }
            None => pieces.push(Piece {
                at,
                end,
                first_seq: seq,
                last_seq,
                next_seq,
            }),
        }
    }
    pieces
}

/// `false` when `take` had enough.
fn read_piece(
    walk: &mut Walk<'_>,
    piece: &Piece,
    wanted: Wanted<'_>,
    take: &mut impl FnMut(Found<'_>) -> bool,
) -> io::Result<bool> {
    let behind = |seq| wanted.from(seq + 1).filter(|seq| *seq <= piece.last_seq);
    let mut next = Some(piece.first_seq);
    while let Some(seq) = next
        && let Some(step) = walk.step_from(seq)?
    {
        let (head, is_sound) = match step {
            Step::Frame { head, .. } => (head, true),
            Step::Damaged { head, .. } => (head, false),
            Step::Gap(_) => continue,
        };
        if head.kind != KIND_EVENT || head.seq < seq {
            continue;
        }
        while let Some(missing) = next.filter(|missing| *missing < head.seq) {
            if !take(Found::Damaged(missing)) {
                return Ok(false);
            }
            next = behind(missing);
        }
        if next != Some(head.seq) {
            continue;
        }
        let event = is_sound.then(|| decode(walk.body())).flatten();
        let found = event.map_or(Found::Damaged(head.seq), |event| {
            Found::Event(head.seq, event)
        });
        if !take(found) {
            return Ok(false);
        }
        next = behind(head.seq);
    }
    while let Some(missing) = next {
        if !take(Found::Damaged(missing)) {
            return Ok(false);
        }
        next = behind(missing);
    }
    Ok(true)
}

//! The text that findings point into, and how a line of it is shown.

use std::ops::Range;

use faceway_core::is_hidden;

use super::{Diagnostic, mask};

/// A place in a file: bytes `start..end` of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    /// Moves both ends.
    pub(crate) fn move_to(&mut self, to: &impl Fn(usize) -> usize) {
        (self.start, self.end) = (to(self.start), to(self.end));
    }
}

/// A text and its name.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    text: String,
    /// What looks like a secret, whether or not the reader came to it.
    masks: Vec<Range<usize>>,
}

pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
    length: usize,
    /// Bytes of the line, without its end.
    bytes: Range<usize>,
}

/// Longer lines are cut around the caret.
const CELLS_MAX: usize = 200;

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.into(),
            masks: mask::secrets(text),
            text: text.into(),
        }
    }

    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    pub(crate) fn position(&self, span: Span) -> Position {
        let start = self
            .text
            .floor_char_boundary(span.start.min(self.text.len()));
        let first = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &self.text[start..];
        let last = start + rest.find('\n').unwrap_or(rest.len());
        let line = self.text[first..last].trim_end_matches('\r');
        let last = (first + line.len()).max(start);
        let end = self.text.floor_char_boundary(span.end.clamp(start, last));
        Position {
            line: self.text[..first].matches('\n').count() + 1,
            column: self.text[first..start].chars().count() + 1,
            length: self.text[start..end].chars().count().max(1),
            bytes: first..last,
        }
    }

    /// Fills in where a finding is and the line around it.
    pub(crate) fn place(&self, span: Span, masks: &[Span], diagnostic: &mut Diagnostic) {
        let position = self.position(span);
        let masks = self.masks(span.source, masks);
        let shown = Shown::of(&self.text, position.bytes.clone(), &masks);
        let caret = shown.cells(span.start..span.end.min(position.bytes.end));
        diagnostic.file.clone_from(&self.name);
        diagnostic.line = position.line;
        diagnostic.column = position.column;
        diagnostic.length = position.length;
        (diagnostic.source, diagnostic.caret) = shown.cut(caret);
    }

    fn masks(&self, source: usize, masks: &[Span]) -> Vec<Range<usize>> {
        let named = masks.iter().filter(|span| span.source == source);
        let mut masks: Vec<_> = named
            .map(|span| mask::inside_quotes(&self.text, span.start..span.end))
            .chain(self.masks.iter().cloned())
            .filter(|mask| !mask.is_empty())
            .collect();
        masks.sort_by_key(|mask| (mask.start, mask.end));
        masks
    }
}

/// A line as it may be shown.
struct Shown {
    pieces: Vec<Piece>,
    cells: usize,
}

/// A character or a masked stretch.
struct Piece {
    bytes: Range<usize>,
    cell: usize,
    text: String,
}

impl Shown {
    fn of(text: &str, line: Range<usize>, masks: &[Range<usize>]) -> Self {
        let mut shown = Self {
            pieces: Vec::new(),
            cells: 0,
        };
        let mut masked_to = line.start;
        for (offset, char) in text[line.clone()].char_indices() {
            let at = line.start + offset;
            if at < masked_to {
                continue;
            }
            if let Some(end) = covering(masks, at) {
                masked_to = end;
                shown.push(at..end, mask::MASK.into(), mask::MASK.len());
            } else {
                let (text, cells) = printed(char);
                shown.push(at..at + char.len_utf8(), text, cells);
            }
        }
        shown
    }

    fn push(&mut self, bytes: Range<usize>, text: String, cells: usize) {
        let cell = self.cells;
        self.pieces.push(Piece { bytes, cell, text });
        self.cells += cells;
    }

    /// First cell and number of cells of a stretch of the source. What lies in a mask is the whole mask.
    fn cells(&self, bytes: Range<usize>) -> (usize, usize) {
        let cell_at = |index: usize| {
            self.pieces
                .get(index)
                .map_or(self.cells, |piece| piece.cell)
        };
        let first = cell_at(
            self.pieces
                .partition_point(|piece| piece.bytes.end <= bytes.start),
        );
        let last = cell_at(
            self.pieces
                .partition_point(|piece| piece.bytes.start < bytes.end),
        );
        (first, last.saturating_sub(first).max(1))
    }

    /// The text, cut around the caret when it is too long, and the caret moved with it.
    fn cut(&self, (first, cells): (usize, usize)) -> (String, (usize, usize)) {
        let text = |pieces: &[Piece]| {
            let texts = pieces.iter().map(|piece| piece.text.as_str());
            texts.collect::<String>()
        };
        if self.cells <= CELLS_MAX {
            return (text(&self.pieces), (first, cells));
        }
        let from = first.saturating_sub(CELLS_MAX / 3);
        let begin = self.pieces.partition_point(|piece| piece.cell < from);
        let end = self
            .pieces
            .partition_point(|piece| piece.cell < from + CELLS_MAX);
        let cut = &self.pieces[begin..end];
        let lead = if begin > 0 { "…" } else { "" };
        let trail = if end < self.pieces.len() { "…" } else { "" };
        let moved = cut.first().map_or(0, |piece| piece.cell) - usize::from(begin > 0);
        let first = first.saturating_sub(moved);
        let cells = cells.min(CELLS_MAX.saturating_sub(first).max(1));
        (format!("{lead}{}{trail}", text(cut)), (first, cells))
    }
}

/// How a character is shown, and how wide.
fn printed(char: char) -> (String, usize) {
    match char {
        '\t' => ("    ".into(), 4),
        char if is_hidden(char) => ('\u{FFFD}'.into(), 1),
        char => (char.into(), width(char)),
    }
}

fn covering(masks: &[Range<usize>], at: usize) -> Option<usize> {
    let covering = masks.iter().filter(|mask| mask.contains(&at));
    covering.map(|mask| mask.end).max()
}

/// Cells that a character takes in a terminal: near enough for a caret (East Asian wide forms, emoji, combining marks).
fn width(char: char) -> usize {
    match char as u32 {
        0x0300..=0x036F | 0x200B..=0x200F | 0xFE00..=0xFE0F => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1FAFF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

/// Without characters that cannot be seen: a name in a file must not steer the terminal that shows it.
pub(crate) fn printable(text: &str) -> String {
    let replace = |char: char| if is_hidden(char) { '\u{FFFD}' } else { char };
    text.chars().map(replace).collect()
}

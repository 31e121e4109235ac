//! The one door through which commands and logs write to a terminal. What others said passes it visibly: never as an
//! escape, a control, a mark of direction or a character without a form.

use std::io::{self, IsTerminal, Write};

use faceway_core::{visible, visible_bytes};

/// Passes text on as [`faceway_core::visible`] shows it.
#[derive(Debug)]
pub struct Visible<W> {
    inner: W,
    terminal: bool,
    colours: bool,
    /// A character whose last bytes have not come yet.
    begun: Vec<u8>,
}

impl<W: Write> Visible<W> {
    /// In front of `inner`. `terminal` tells whether that leads to one.
    pub const fn new(inner: W, terminal: bool) -> Self {
        Self {
            inner,
            terminal,
            colours: false,
            begun: Vec::new(),
        }
    }

    /// Lets colours through, which a formatter puts around what it writes. That formatter must itself take escapes out of
    /// what it quotes; otherwise others can colour their text.
    #[must_use]
    pub const fn with_colours(mut self) -> Self {
        self.colours = true;
        self
    }

    /// Whether it leads to a terminal.
    pub const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes bytes as they are: a sequence of our own that moves the cursor, or a body that a file is to hold.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn write_exact(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.end_begun()?;
        self.inner.write_all(bytes)
    }

    /// What it wrote to.
    pub fn into_inner(self) -> W {
        self.inner
    }

    fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        match std::str::from_utf8(bytes) {
            Ok(text) if self.colours => self.show_coloured(text),
            _ => self.inner.write_all(visible_bytes(bytes).as_bytes()),
        }
    }

    fn show_coloured(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find('\u{1b}') {
            let escape = &rest[at..];
            let end = at + colour(escape).unwrap_or(1);
            self.inner.write_all(visible(&rest[..at]).as_bytes())?;
            match colour(escape) {
                Some(_) => self.inner.write_all(&rest.as_bytes()[at..end])?,
                None => self.inner.write_all(visible(&rest[at..end]).as_bytes())?,
            }
            rest = &rest[end..];
        }
        self.inner.write_all(visible(rest).as_bytes())
    }

    /// Shows what will not become a character any more.
    fn end_begun(&mut self) -> io::Result<()> {
        if self.begun.is_empty() {
            return Ok(());
        }
        let begun = std::mem::take(&mut self.begun);
        self.show(&begun)
    }
}

/// The length of a sequence that sets colours and weight (`ESC [ 1 ; 31 m`), which `text` begins with.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|char: char| !char.is_ascii_digit() && char != ';')?;
    numbers[end..].starts_with('m').then_some(2 + end + 1)
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut whole = std::mem::take(&mut self.begun);
        let shown = if whole.is_empty() {
            bytes
        } else {
            whole.extend_from_slice(bytes);
            &whole
        };
        // A character may come in two writes: its begin waits, or it would be shown as bytes.
        let begun = match shown.utf8_chunks().last() {
            Some(chunk) if shown.ends_with(chunk.invalid()) && is_begun(chunk.invalid()) => {
                chunk.invalid().len()
            }
            _ => 0,
        };
        let (shown, begun) = shown.split_at(shown.len() - begun);
        self.begun = begun.to_vec();
        self.show(shown)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_begun()?;
        self.inner.flush()
    }
}

/// Whether bytes are the begin of a character.
fn is_begun(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none())
}

/// A stream, and whether it leads to a terminal.
pub fn standard<W: Write + IsTerminal>(stream: W) -> Visible<W> {
    let terminal = stream.is_terminal();
    Visible::new(stream, terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]], colours: bool) -> String {
        let mut visible = Visible::new(Vec::new(), true);
        visible.colours = colours;
        for piece in pieces {
            visible.write_all(piece).unwrap();
        }
        visible.flush().unwrap();
        String::from_utf8(visible.into_inner()).unwrap()
    }

    #[test]
    fn what_others_said_is_visible_also_where_it_is_cut() {
        let text = "a\u{1b}[2J\u{9b}31m\u{202e} 陈观澜 😀\tb\n";
        let told = "a\\u001b[2J\\u009b31m\\u202e 陈观澜 😀\tb\n";
        for at in 0..=text.len() {
            let (first, second) = text.as_bytes().split_at(at);
            assert_eq!(shown(&[first, second], false), told, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(shown(&bytes, false), told);
        assert_eq!(shown(&[b"a\xff", b"\xe9\x99"], false), "a\\xff\\xe9\\x99");
        assert_eq!(shown(&[b"\xe9", b"x\xe9\x99"], false), "\\xe9x\\xe9\\x99");
    }

    #[test]
    fn of_escapes_only_colours_pass_and_only_where_they_may() {
        let text = "\u{1b}[2m\u{1b}[1;31mred\u{1b}[0m\u{1b}[2J\u{1b}]0;m\u{7}\u{1b}[\u{202e}";
        assert_eq!(
            shown(&[text.as_bytes()], true),
            "\u{1b}[2m\u{1b}[1;31mred\u{1b}[0m\\u001b[2J\\u001b]0;m\\u0007\\u001b[\\u202e"
        );
        assert!(!shown(&[text.as_bytes()], false).contains('\u{1b}'));
    }

    #[test]
    fn what_is_ours_or_for_a_file_passes_as_it_is() {
        let mut visible = Visible::new(Vec::new(), false);
        visible.write_all(b"\x1b\xe9").unwrap();
        visible.write_exact(b"\r\x1b[K\xff").unwrap();
        assert_eq!(visible.into_inner(), b"\\u001b\\xe9\r\x1b[K\xff");
    }
}

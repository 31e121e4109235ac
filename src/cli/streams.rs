//! Where commands read and write: results on standard output, talk on standard error. Tests put buffers in their place.

use std::io::{BufWriter, IsTerminal as _, Read, Result, Write};

use faceway::visible::{Visible, standard};

/// What a command reads from and writes to.
pub(crate) struct Streams<'a> {
    /// Standard input.
    pub(crate) input: &'a mut dyn Read,
    /// Results.
    pub(crate) out: &'a mut dyn Output,
    /// Talk: errors, progress, advice.
    pub(crate) talk: &'a mut dyn Output,
}

/// A stream to people or files. What is written is shown visibly, as [`Visible`] does; there is no other way to a terminal.
pub(crate) trait Output: Write {
    /// Writes bytes as they are. What others said may pass here only where [`Output::is_terminal`] says no.
    fn write_exact(&mut self, bytes: &[u8]) -> Result<()>;

    /// Whether it leads to a terminal.
    fn is_terminal(&self) -> bool;
}

impl<W: Write> Output for Visible<W> {
    fn write_exact(&mut self, bytes: &[u8]) -> Result<()> {
        Self::write_exact(self, bytes)
    }

    fn is_terminal(&self) -> bool {
        Self::is_terminal(self)
    }
}

/// Runs a command on the process's own streams. Standard output is not locked meanwhile: `run` and `demo` have a gateway
/// beside them that may write to it as well.
pub(crate) fn with_streams<T>(command: impl FnOnce(&mut Streams<'_>) -> T) -> T {
    let out = std::io::stdout();
    let terminal = out.is_terminal();
    let mut streams = Streams {
        input: &mut std::io::stdin(),
        out: &mut Visible::new(BufWriter::new(out), terminal),
        talk: &mut standard(std::io::stderr()),
    };
    command(&mut streams)
}

/// Buffers in place of the streams.
#[cfg(test)]
pub(crate) struct Buffers;

#[cfg(test)]
impl Buffers {
    /// Runs `command` with `input`, and gives what it returned with everything that it wrote.
    pub(crate) fn run<T>(
        input: &str,
        command: impl FnOnce(&mut Streams<'_>) -> T,
    ) -> (T, String, String) {
        let [mut out, mut talk] = [(); 2].map(|()| Visible::new(Vec::new(), false));
        let mut streams = Streams {
            input: &mut input.as_bytes(),
            out: &mut out,
            talk: &mut talk,
        };
        let returned = command(&mut streams);
        let text = |visible: Visible<Vec<u8>>| String::from_utf8(visible.into_inner()).unwrap();
        (returned, text(out), text(talk))
    }
}

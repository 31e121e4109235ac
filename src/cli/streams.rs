//! Where commands read and write: results on standard output, talk on standard error. Tests put buffers in their place.

use std::io::{BufWriter, Read, Write};

/// What a command reads from and writes to.
pub(crate) struct Streams<'a> {
    /// Standard input.
    pub(crate) input: &'a mut dyn Read,
    /// Results.
    pub(crate) out: &'a mut dyn Write,
    /// Talk: errors, progress, advice.
    pub(crate) talk: &'a mut dyn Write,
}

/// Runs a command on the process's own streams. Standard output is not locked meanwhile: `run` and `demo` have a gateway
/// beside them that may write to it as well.
pub(crate) fn with_streams<T>(command: impl FnOnce(&mut Streams<'_>) -> T) -> T {
    let mut streams = Streams {
        input: &mut std::io::stdin(),
        out: &mut BufWriter::new(std::io::stdout()),
        talk: &mut std::io::stderr(),
    };
    command(&mut streams)
}

/// Buffers in place of the streams.
#[cfg(test)]
pub(crate) struct Buffers {
    pub(crate) out: Vec<u8>,
    pub(crate) talk: Vec<u8>,
}

#[cfg(test)]
impl Buffers {
    /// Runs `command` with `input`, and gives what it returned with everything that it wrote.
    pub(crate) fn run<T>(
        input: &str,
        command: impl FnOnce(&mut Streams<'_>) -> T,
    ) -> (T, String, String) {
        let mut buffers = Self {
            out: Vec::new(),
            talk: Vec::new(),
        };
        let mut streams = Streams {
            input: &mut input.as_bytes(),
            out: &mut buffers.out,
            talk: &mut buffers.talk,
        };
        let returned = command(&mut streams);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (returned, text(buffers.out), text(buffers.talk))
    }
}

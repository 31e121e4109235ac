//! Events on standard output, one a line. For trying out, and for pipes: `faceway run | jq .kind`.
//!
//! An event is delivered when the operating system has taken its whole line. A reader that went away is an outage of the
//! destination, like that of any other.
//!
//! What a device said never steers a terminal. In JSON, characters that cannot be seen are written as `\u009b`, which is
//! the same JSON. Another body is written out in that way on a terminal, and goes to a pipe or file as it is.

mod kind;

use std::borrow::Cow;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{BoxFuture, Code, Message, Outbound, Scope, Verdict, visible_bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use crate::kind::KIND;

/// How long a reader may be busy, such as a pager with a person at it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A stream of lines.
pub struct Stdout<W = tokio::io::Stdout> {
    lines: Mutex<Lines<W>>,
    timeout: Duration,
    terminal: bool,
}

impl Stdout {
    /// The process's standard output.
    pub fn standard() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            ..Self::to(tokio::io::stdout(), TIMEOUT)
        }
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> Stdout<W> {
    /// Any other stream. `timeout` is for one event.
    pub fn to(writer: W, timeout: Duration) -> Self {
        let lines = Lines {
            writer,
            torn: false,
        };
        Self {
            lines: Mutex::new(lines),
            timeout,
            terminal: false,
        }
    }

    /// The same, where the stream leads to a terminal.
    #[must_use]
    pub fn on_a_terminal(mut self) -> Self {
        self.terminal = true;
        self
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> Outbound for Stdout<W> {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let line = line(message, self.terminal);
            let written = timeout(self.timeout, async {
                self.lines.lock().await.write(&line).await
            });
            match written.await {
                Ok(Ok(())) => Verdict::Delivered {
                    code: Code::word("written"),
                },
                Ok(Err(error)) => outage(word(&error)),
                Err(_) => outage("timeout"),
            }
        })
    }
}

struct Lines<W> {
    writer: W,
    /// Whether a line was begun and not ended: the delivery was given up or failed in the middle of it.
    torn: bool,
}

impl<W: AsyncWrite + Unpin> Lines<W> {
    async fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.writer.write_all(b"\n").await?;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            let written = self.writer.write(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            rest = &rest[written..];
            self.torn = !rest.is_empty();
        }
        self.writer.flush().await
    }
}

/// The body as one line. JSON has no line breaks but between its tokens, where a blank means the same.
fn line(message: &Message, terminal: bool) -> Bytes {
    // Revealed to be printed: rendering has already taken out what this destination may not see.
    let body = message.body.reveal();
    let line = match body.iter().any(|byte| is_break(*byte)) {
        false => Cow::Borrowed(body.as_ref()),
        true => body
            .iter()
            .map(|byte| if is_break(*byte) { b' ' } else { *byte })
            .collect(),
    };
    let json = message.content_type.contains("json");
    let mut line = match json || terminal {
        true => visible_bytes(&line).into_owned().into_bytes(),
        false => line.into_owned(),
    };
    line.push(b'\n');
    line.into()
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn outage(word: &'static str) -> Verdict {
    Verdict::Retry {
        scope: Scope::Destination,
        code: Code::word(word),
        after: None,
    }
}

fn word(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::BrokenPipe => "closed",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "full",
        _ => "failed",
    }
}

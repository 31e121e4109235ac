//! The contract's suite, over a stream that fails as told; and what is special about lines.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{Code, Outbound, Scope, Verdict};
use faceway_outbound_stdout::Stdout;
use faceway_testkit::outbound::{Fate, Harness, all, message};
use tokio::io::AsyncWrite;
use tokio::sync::watch;

const TIMEOUT: Duration = Duration::from_millis(200);

/// A pipe whose other end behaves as told.
#[derive(Clone)]
struct Pipe(Arc<Mutex<Shared>>, watch::Sender<bool>);

struct Shared {
    fate: Fate,
    written: Vec<u8>,
    waiting: Option<Waker>,
}

impl Pipe {
    fn new() -> Self {
        let shared = Shared {
            fate: Fate::Confirm,
            written: Vec::new(),
            waiting: None,
        };
        Self(Arc::new(Mutex::new(shared)), watch::Sender::new(false))
    }

    fn written(&self) -> Vec<u8> {
        self.0.lock().unwrap().written.clone()
    }

    fn change(&self, fate: Fate) {
        let mut shared = self.0.lock().unwrap();
        shared.fate = fate;
        self.1.send_replace(false);
        if let Some(waker) = shared.waiting.take() {
            waker.wake();
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.0.lock().unwrap();
        match shared.fate {
            Fate::Refuse => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            // A few bytes go, then no more: a torn line.
            Fate::Hang | Fate::Cut if bytes.len() > 5 => {
                shared.written.extend_from_slice(&bytes[..5]);
                Poll::Ready(Ok(5))
            }
            Fate::Cut => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Fate::Hang => {
                shared.waiting = Some(context.waker().clone());
                self.1.send_replace(true);
                Poll::Pending
            }
            _ => {
                // In small pieces, as pipes may.
                let taken = bytes.len().min(7);
                shared.written.extend_from_slice(&bytes[..taken]);
                Poll::Ready(Ok(taken))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Screen(Pipe);

impl Harness for Screen {
    fn outbound(&self) -> Arc<dyn Outbound> {
        Arc::new(Stdout::to(self.0.clone(), TIMEOUT))
    }

    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    async fn set(&self, fate: Fate) {
        self.0.change(fate);
    }

    fn knows(&self, fate: Fate) -> bool {
        !matches!(fate, Fate::TooLarge | Fate::Slow)
    }

    async fn seen(&self) -> Vec<Bytes> {
        // As a reader of JSON has it: the suite's only character that cannot be seen.
        let written = String::from_utf8(self.0.written()).unwrap();
        let written = written.replace("\\u2028", "\u{2028}");
        let lines = written.split('\n');
        lines
            .map(|line| Bytes::copy_from_slice(line.as_bytes()))
            .collect()
    }

    async fn wait_hanging(&self) {
        let mut hanging = self.0.1.subscribe();
        hanging.wait_for(|hanging| *hanging).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn stdout_keeps_the_contract() {
    all(&Screen(Pipe::new())).await;
}

#[tokio::test]
async fn one_event_is_one_line() {
    let pipe = Pipe::new();
    let stdout = Stdout::to(pipe.clone(), TIMEOUT);
    let mut broken = message("broken");
    broken.body = Bytes::from_static(b"{\n\t\"kind\":\r\n\"alarm\"}").into();
    for message in [&broken, &message("whole")] {
        let code = Code::word("written");
        assert_eq!(stdout.deliver(message).await, Verdict::Delivered { code });
    }
    let mut expected = b"{ \t\"kind\":  \"alarm\"}\n".to_vec();
    expected.extend_from_slice(message("whole").body.reveal());
    expected.push(b'\n');
    assert_eq!(pipe.written(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_torn_line_is_ended_before_the_next() {
    let pipe = Pipe::new();
    let stdout = Stdout::to(pipe.clone(), TIMEOUT);
    pipe.change(Fate::Cut);
    let verdict = stdout.deliver(&message("torn")).await;
    let (scope, code, after) = (Scope::Destination, Code::word("closed"), None);
    assert_eq!(verdict, Verdict::Retry { scope, code, after });
    pipe.change(Fate::Confirm);
    stdout.deliver(&message("next")).await;
    let written = String::from_utf8(pipe.written()).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1].as_bytes(), message("next").body.reveal());
}

#[tokio::test]
async fn what_a_device_said_steers_no_terminal() {
    let said = "\u{1b}]0;x\u{7} \u{9b}2J \u{202e}\u{200b}\u{7f}";
    let write = async |terminal, content_type, body: String| {
        let pipe = Pipe::new();
        let stdout = Stdout::to(pipe.clone(), TIMEOUT);
        let stdout = if terminal {
            stdout.on_a_terminal()
        } else {
            stdout
        };
        let mut message = message("said");
        message.content_type = content_type;
        message.body = Bytes::from(body).into();
        stdout.deliver(&message).await;
        String::from_utf8(pipe.written()).unwrap()
    };
    // serde_json leaves all of it but the C0 controls as it is.
    let json = "{\t\"name\": \"\\u001b]0;x\\u0007 \u{9b}2J \u{202e}\u{200b}\u{7f}\"}";
    let shown = "\\u001b]0;x\\u0007 \\u009b2J \\u202e\\u200b\\u007f";
    for terminal in [false, true] {
        let line = write(terminal, "application/json", json.to_owned()).await;
        assert_eq!(line, format!("{{\t\"name\": \"{shown}\"}}\n"));
    }
    let line = write(true, "text/plain; charset=utf-8", said.to_owned()).await;
    assert_eq!(line, format!("{shown}\n"));
    let line = write(false, "text/plain; charset=utf-8", said.to_owned()).await;
    assert_eq!(line, format!("{said}\n"), "a pipe gets it as it is");
}

//! The bytes of one connection, as HTTP sees them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::progress::Progress;

/// So long is read, and thrown away, what the other side still sends behind its answer.
const LINGER: Duration = Duration::from_secs(5);
const REST_BYTES: usize = 4096;

/// A stream of which its connection's [`Progress`] hears.
pub(super) struct Wire<I> {
    inner: I,
    progress: Arc<Progress>,
    /// Whether the other side has ended its direction.
    ended: bool,
    is_shut: bool,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<I> Wire<I> {
    pub(super) fn new(inner: I, progress: Arc<Progress>) -> Self {
        Self {
            inner,
            progress,
            ended: false,
            is_shut: false,
            linger: None,
        }
    }
}

impl<I: AsyncRead + Unpin> Wire<I> {
    /// Reads what still comes, to nowhere. A socket that is closed with unread bytes is reset, and the other side would lose
    /// the answer that says what was wrong.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut nowhere = [0_u8; REST_BYTES];
        while !self.ended && self.progress.lingers() {
            let linger = self
                .linger
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
            if linger.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut rest = ReadBuf::new(&mut nowhere);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut rest));
            self.ended = read.is_err() || rest.filled().is_empty();
        }
        Poll::Ready(())
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Wire<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match ready!(Pin::new(&mut self.inner).poll_read(cx, buffer)) {
            Ok(()) => {
                let came = &buffer.filled()[before..];
                self.ended |= came.is_empty();
                self.progress.read(came);
                Poll::Ready(Ok(()))
            }
            // TLS without its farewell: small devices just end. A body that is whole is told from one that is not by its
            // length or its last chunk, so it cannot be shortened unnoticed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.progress.wrote();
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.wrote();
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.progress.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        self.poll_rest(cx).map(Ok)
    }
}

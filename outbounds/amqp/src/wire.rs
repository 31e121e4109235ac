//! The bytes beneath the client library: dialled by us, and in our power to cut.
//!
//! The library keeps what it could not write yet and writes it when it can, and so do kernels. A delivery that has ended
//! must not be sent behind its back, so a connection in trouble is cut: the socket is reset, and what was still on our
//! side of it is gone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::{DummyIO, Task};
use async_rs::{Runtime, Tokio};
use faceway_tls::Keys;
use futures_core::Stream;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::failure::Failure;
use crate::quiet::quiet;
use crate::settings::Broker;

/// A connected socket, with TLS or without.
pub(crate) struct Wire {
    /// `None` once it is cut.
    stream: Option<Box<dyn Bytes>>,
    cut: Cut,
}

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// Cuts a [`Wire`], from anywhere.
#[derive(Clone, Default)]
pub(crate) struct Cut(Arc<Mutex<CutState>>);

#[derive(Default)]
struct CutState {
    is_cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy)]
enum Side {
    Reader,
    Writer,
}

impl Cut {
    /// From now on nothing passes in either direction. The socket is reset as soon as its owner looks at it.
    pub(crate) fn cut(&self) {
        let wakers = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_cut = true;
            [state.reader.take(), state.writer.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether it is cut; if not, `side` is woken when it will be.
    fn watch(&self, side: Side, context: &Context<'_>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = match side {
            Side::Reader => &mut state.reader,
            Side::Writer => &mut state.writer,
        };
        if !waker
            .as_ref()
            .is_some_and(|known| known.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
        state.is_cut
    }
}

/// Looks the name up, connects, and agrees on TLS where there is any.
pub(crate) async fn dial(
    broker: &Broker,
    tls: Option<&(Arc<ClientConfig>, Keys)>,
    cut: Cut,
) -> Result<Wire, Failure> {
    let socket = connect(broker).await?;
    let io = |error: io::Error| Failure::of_io(&error);
    socket.set_nodelay(true).map_err(io)?;
    // Closing resets it, so that the kernel sends nothing of what it still holds.
    socket.set_zero_linger().map_err(io)?;
    let stream: Box<dyn Bytes> = match tls {
        None => Box::new(socket),
        Some((config, keys)) => {
            let name =
                ServerName::try_from(broker.host.clone()).map_err(|_| Failure::word("tls"))?;
            let connector = TlsConnector::from(Arc::clone(config));
            let encrypted = connector.connect(name, socket).await;
            Box::new(encrypted.map_err(|error| Failure::of_io_with(&error, *keys))?)
        }
    };
    let stream = Some(stream);
    Ok(Wire { stream, cut })
}

async fn connect(broker: &Broker) -> Result<TcpStream, Failure> {
    let target = (broker.host.as_str(), broker.port);
    let addresses = lookup_host(target)
        .await
        .map_err(|_| Failure::word("dns"))?;
    let mut failure = Failure::word("dns");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = Failure::of_io(&error),
        }
    }
    Err(failure)
}

impl Wire {
    fn stream(&mut self, side: Side, context: &Context<'_>) -> io::Result<Pin<&mut dyn Bytes>> {
        if self.cut.watch(side, context) {
            self.stream = None;
        }
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(&mut **stream)),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl futures_io::AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.stream(Side::Reader, context)?;
        let mut into = ReadBuf::new(into);
        stream
            .poll_read(context, &mut into)
            .map_ok(|()| into.filled().len())
    }
}

impl futures_io::AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream(Side::Writer, context)?
            .poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(Side::Writer, context)?.poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(Side::Writer, context)?.poll_shutdown(context)
    }
}

/// What the library runs on: tokio, but for sockets, which are ours, and for its tasks' log, which is thrown away.
pub(crate) type LibraryRuntime = Runtime<Kit>;

pub(crate) fn runtime() -> LibraryRuntime {
    Runtime::new(Kit(Tokio::current()))
}

#[derive(Clone, Debug)]
pub(crate) struct Kit(Tokio);

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(quiet(future))
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Kit {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<
        H: io::Read + io::Write + std::os::fd::AsFd + std::os::fd::AsRawFd + Send + 'static,
    >(
        &self,
        _socket: H,
    ) -> io::Result<impl futures_io::AsyncRead + futures_io::AsyncWrite + Send + Unpin + 'static>
    {
        Err::<DummyIO, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(
        &self,
        period: Duration,
    ) -> impl Stream<Item = std::time::Instant> + Send + 'static {
        self.0.interval(period)
    }

    /// Never asked: the library is given a wire that is connected.
    fn tcp_connect_addr(
        &self,
        _address: SocketAddr,
    ) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

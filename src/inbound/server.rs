//! A listener, for devices and for the admin: accepts within a limit of connections, with a deadline for headers, with
//! or without TLS.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::rhythm::Rhythm;

/// A bound listener. Binding is eager, so that a port in use is told at the start and tests can ask for the address.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at a time, at least 1; further ones wait.
    pub connections_max: usize,
    /// How long a request's headers, or a TLS handshake, may take.
    pub header_timeout: Duration,
    /// How long an answer may wait for somebody who takes nothing of it.
    pub answer_timeout: Duration,
    /// How long requests may take to end once the gateway shuts down.
    pub grace: Duration,
}

/// When the machine has no more file handles, accepting pauses this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A request's whole head must fit.
const HEAD_BYTES_MAX: usize = 64 * 1024;

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            tcp: TcpListener::bind(address).await?,
            tls: tls.map(TlsAcceptor::from),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Serves until `stop`, then ends what was begun, up to the grace period. `service` makes what answers one connection;
/// it is told who has connected. `false` when some requests were cut off in the end.
pub async fn serve<S, B>(
    listener: Listener,
    service: impl Fn(IpAddr) -> S,
    limits: ServerLimits,
    stop: CancellationToken,
) -> bool
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let connections = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let mut rhythm = Rhythm::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener.tcp, &connections, limits.answer_timeout) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(times) = rhythm.note((), Instant::now()) {
                    tracing::warn!(%error, times, "cannot accept a connection");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = Connection {
            service: service(peer.ip().to_canonical()),
            header_timeout: limits.header_timeout,
        };
        let watcher = graceful.watcher();
        let tls = listener.tls.clone();
        tokio::spawn(async move {
            connection.serve(stream, tls, watcher).await;
            drop(permit);
        });
    }
    drop(listener);
    let ended = tokio::time::timeout(limits.grace, graceful.shutdown());
    ended.await.is_ok()
}

async fn accept(
    tcp: &TcpListener,
    connections: &Arc<Semaphore>,
    answer_timeout: Duration,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, peer) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    limit_waiting(&stream, answer_timeout)?;
    Ok((stream, peer, permit))
}

/// Lets the system end a connection whose other side is gone, or takes nothing of what it is sent: it would hold its
/// place for ever.
#[cfg(target_os = "linux")]
pub(super) fn limit_waiting(stream: &TcpStream, most: Duration) -> std::io::Result<()> {
    let most = u32::try_from(most.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, most)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn limit_waiting(_: &TcpStream, _: Duration) -> std::io::Result<()> {
    Ok(())
}

struct Connection<S> {
    service: S,
    header_timeout: Duration,
}

impl<S, B> Connection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send,
    B: Body<Error: std::error::Error + Send + Sync> + 'static,
{
    async fn serve(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let Some(tls) = tls else {
            return self.http(stream, watcher).await;
        };
        match tokio::time::timeout(self.header_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake did not end in time"),
        }
    }

    async fn http<I>(self, stream: I, watcher: hyper_util::server::graceful::Watcher)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX.max(8192))
            // "I have nothing more to say" behind a whole request is no hanging up: small devices end their direction so.
            // One that is gone for good is ended by the system (`limit_waiting`) or when it is written to.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), self.service);
        if let Err(error) = watcher.watch(connection).await {
            // Somebody who hangs up is no trouble of ours.
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

//! A listener, for devices and for the admin: accepts within a limit of connections, with a deadline for headers, with
//! or without TLS.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::{Place, Places};
use super::progress::{RequestBody, Watched};
use super::refusals::{HELLO_BYTES, Reason, Refusals};
use super::wire::Wire;

/// A bound listener. Binding is eager, so that a port in use is told at the start and tests can ask for the address.
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    tls: Option<Certificates>,
}

/// The certificate that is in force, with its key: another one may take its place at any time, for the handshakes after it.
pub type Certificates = watch::Receiver<Arc<rustls::ServerConfig>>;

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at a time, at least 1. When they are all there, one that does nothing gives way to a new one; else that
    /// one waits.
    pub connections_max: usize,
    /// How long a request's headers, or a TLS handshake, may take.
    pub header_timeout: Duration,
    /// How long an answer may wait for a client that takes nothing of it.
    pub answer_timeout: Duration,
    /// How long requests may take to end once the gateway shuts down.
    pub grace: Duration,
}

/// What is answered when a request's head does not come in time; hyper only closes.
const HEAD_TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// When the machine has no more file handles, accepting pauses this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A request's whole head must fit.
const HEAD_BYTES_MAX: usize = 64 * 1024;

impl Listener {
    /// Binds `address`; port 0 takes a free one. Logs and metrics call the listener `name`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<Certificates>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            name,
            tcp: TcpListener::bind(address).await?,
            tls,
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
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let refusals = Arc::new(Refusals::new(listener.name));
    let places = Places::new(limits.connections_max, limits.header_timeout);
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    while let Some((stream, peer, place)) = next(&listener, &places, &refusals, limits, &stop).await
    {
        let connection = Connection {
            peer,
            service: service(peer),
            header_timeout: limits.header_timeout,
            refusals: Arc::clone(&refusals),
            stop: stop.clone(),
            place,
        };
        let certificate = |tls: &Certificates| TlsAcceptor::from(Arc::clone(&tls.borrow()));
        let work = connection.serve(stream, listener.tls.as_ref().map(certificate));
        connections.spawn(cut_off.clone().run_until_cancelled_owned(work));
    }
    drop(listener);
    connections.close();
    let ended = tokio::time::timeout(limits.grace, connections.wait()).await;
    cut_off.cancel();
    ended.is_ok()
}

/// The next connection, with its place; `None` when there shall be no more.
async fn next(
    listener: &Listener,
    places: &Arc<Places>,
    refusals: &Refusals,
    limits: ServerLimits,
    stop: &CancellationToken,
) -> Option<(TcpStream, IpAddr, Place)> {
    let next = async {
        let (stream, peer) = loop {
            match listener.tcp.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => {
                    refusals.cannot_accept(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        // Either fails when the peer is gone already, which its connection notices.
        let _ = stream.set_nodelay(true);
        let _ = limit_waiting(&stream, limits.answer_timeout);
        let peer = peer.ip().to_canonical();
        let gave_way = |gone| refusals.gave_way(gone, limits.connections_max);
        (stream, peer, places.take(peer, gave_way).await)
    };
    stop.run_until_cancelled(next).await
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

/// A connection, and its place until it ends.
struct Connection<S> {
    peer: IpAddr,
    service: S,
    header_timeout: Duration,
    refusals: Arc<Refusals>,
    stop: CancellationToken,
    place: Place,
}

impl<S, B> Connection<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Send,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else {
            return self.http(stream).await;
        };
        let shaken = handshake(stream, &tls, self.peer, self.header_timeout, &self.refusals);
        let stream = tokio::select! {
            stream = shaken => stream,
            () = self.stop.cancelled() => None,
            () = self.place.give_way.cancelled() => None,
        };
        if let Some(stream) = stream {
            self.http(stream).await;
        }
    }

    async fn http<I>(self, stream: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let progress = Arc::clone(&self.place.progress);
        let service = Watched {
            service: self.service,
            progress: Arc::clone(&progress),
        };
        let wire = TokioIo::new(Wire::new(stream, Arc::clone(&progress)));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX.max(8192))
            // "I have nothing more to say" behind a whole request is no hanging up: small devices end their direction so.
            // One that is gone for good is ended by the system (`limit_waiting`) or when it is written to.
            .half_close(true)
            .serve_connection(wire, service);
        let (mut stopping, mut ending) = (false, false);
        let ended = loop {
            tokio::select! {
                ended = &mut connection => break ended,
                () = self.place.give_way.cancelled(), if !ending => {
                    if progress.can_be_cut_off() {
                        return;
                    }
                    // A request has come since it was asked to go: what is being kept gets its answer first.
                    ending = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                () = self.stop.cancelled(), if !stopping => {
                    (stopping, ending) = (true, true);
                    // What is not read any more must not hold up the end.
                    progress.set_lingers(false);
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        let Err(error) = ended else { return };
        let is_slow = error.is_timeout() && progress.is_in_head();
        self.refusals.http(self.peer, &error, &progress);
        if is_slow {
            let mut wire = connection.into_parts().io.into_inner();
            let answer = async {
                wire.write_all(HEAD_TOO_SLOW).await?;
                wire.shutdown().await
            };
            tokio::select! {
                _ = answer => {}
                () = self.place.give_way.cancelled() => {}
                () = self.stop.cancelled() => {}
            }
        }
    }
}

/// A TLS handshake, in time; what goes wrong is reported.
async fn handshake(
    stream: TcpStream,
    tls: &TlsAcceptor,
    peer: IpAddr,
    timeout: Duration,
    refusals: &Refusals,
) -> Option<TlsStream<TcpStream>> {
    let mut first = [0; HELLO_BYTES];
    let mut came = 0;
    let handshake = async {
        // A connection that ends without a byte, as health checks do, is not worth a word.
        came = stream.peek(&mut first).await.unwrap_or(0);
        if came == 0 {
            return None;
        }
        Some(tls.accept(stream).await)
    };
    match tokio::time::timeout(timeout, handshake).await {
        Ok(Some(Ok(stream))) => return Some(stream),
        Ok(Some(Err(error))) => refusals.handshake(peer, &first[..came], &error),
        Err(_) if came > 0 => {
            let why = "its TLS handshake did not end in time (limits.header_timeout)";
            refusals.turned_away(Reason::Tls, peer, why);
        }
        Ok(None) | Err(_) => {}
    }
    None
}

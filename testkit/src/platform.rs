//! A source that is dialled, in the hands of a test: a websocket server on loopback whose every connection the test holds
//! itself. What the test does not read is not read, and what it does not answer is not answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::receiver::{Issued, acceptor};

/// A websocket server on a free port of 127.0.0.1.
pub struct Platform {
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    accepted: Arc<AtomicUsize>,
    connections: Mutex<mpsc::UnboundedReceiver<Connection>>,
    arrived: mpsc::UnboundedSender<Connection>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

/// A connection of a client, after the handshake.
pub struct Connection {
    socket: WebSocketStream<Stream>,
    path: String,
}

type Stream = tokio_util::either::Either<TcpStream, tokio_rustls::server::TlsStream<TcpStream>>;

impl Platform {
    /// `ws://`.
    pub async fn start() -> Self {
        Self::open(None).await
    }

    /// `wss://` with this certificate.
    pub async fn start_tls(issued: &Issued) -> Self {
        Self::open(Some(acceptor(issued, None))).await
    }

    async fn open(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (arrived, connections) = mpsc::unbounded_channel();
        let platform = Self {
            address: listener.local_addr().expect("it is bound"),
            tls,
            accepted: Arc::default(),
            connections: Mutex::new(connections),
            arrived,
            accepting: Mutex::new(None),
        };
        platform.accept(listener).await;
        platform
    }

    async fn accept(&self, listener: TcpListener) {
        let (tls, accepted, arrived) = (
            self.tls.clone(),
            Arc::clone(&self.accepted),
            self.arrived.clone(),
        );
        let work = async move {
            while let Ok((tcp, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let (tls, arrived) = (tls.clone(), arrived.clone());
                tokio::spawn(async move {
                    if let Some(connection) = handshake(tcp, tls).await {
                        let _ = arrived.send(connection);
                    }
                });
            }
        };
        *self.accepting.lock().await = Some(tokio::spawn(work));
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is told: `ws://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}", self.address)
    }

    /// How often it was dialled.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The next connection.
    ///
    /// # Panics
    /// When no client comes for a minute.
    pub async fn connection(&self) -> Connection {
        let next = async { self.connections.lock().await.recv().await };
        let next = tokio::time::timeout(std::time::Duration::from_secs(60), next).await;
        next.expect("a client dials").expect("it is accepting")
    }

    /// Stops listening: who dials is refused. Open connections stay.
    pub async fn refuse(&self) {
        if let Some(accepting) = self.accepting.lock().await.take() {
            accepting.abort();
            // Waited for, so that its listener is closed.
            let _ = accepting.await;
        }
    }

    /// Listens again, on the same port.
    pub async fn listen(&self) {
        let listener = TcpListener::bind(self.address).await.expect("its port");
        self.accept(listener).await;
    }
}

async fn handshake(tcp: TcpStream, tls: Option<TlsAcceptor>) -> Option<Connection> {
    use tokio_util::either::Either;
    let stream = match tls {
        None => Either::Left(tcp),
        Some(tls) => Either::Right(tls.accept(tcp).await.ok()?),
    };
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the library's own type")]
    let look = |request: &Request, response: Response| {
        path = request.uri().to_string();
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, look)
        .await
        .ok()?;
    Some(Connection { socket, path })
}

impl Connection {
    /// Path and query that were asked for.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The next text that the client says; `None` when it has gone.
    pub async fn hear(&mut self) -> Option<String> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(text.to_string()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Says a text. `false` when the client has gone.
    pub async fn say(&mut self, text: impl Into<String>) -> bool {
        self.socket.send(Message::text(text.into())).await.is_ok()
    }

    /// Waits until the client has read everything that was said to it: until it answers a ping.
    ///
    /// # Panics
    /// When it goes instead.
    pub async fn read_by_client(&mut self) {
        let mark = Bytes::from_static(b"read so far?");
        let ping = Message::Ping(mark.clone());
        self.socket.send(ping).await.expect("the client is there");
        loop {
            let next = self.socket.next().await.expect("the client is there");
            let next = next.expect("the client is there");
            if matches!(next, Message::Pong(pong) if pong == mark) {
                return;
            }
        }
    }

    /// Sends bytes as they are, past the protocol.
    pub async fn say_raw(&mut self, bytes: &[u8]) {
        let stream = self.socket.get_mut();
        // The client may hang up half-way.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
    }

    /// Closes it as the protocol wants it.
    pub async fn close(mut self) {
        let _ = self.socket.close(None).await;
    }

    /// Resets it: the client gets an RST.
    pub fn reset(self) {
        if let tokio_util::either::Either::Left(tcp) = self.socket.get_ref() {
            tcp.set_zero_linger().expect("an open socket");
        }
    }
}

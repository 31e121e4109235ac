//! The far side of a webhook, in the hands of a test: an HTTP/1.1 server on loopback that records what it gets and can
//! misbehave in every way that a test asks for, and a proxy that cuts, stalls and delays.
//!
//! It is written on bare sockets, without the libraries that Faceway itself uses, so that it is a second opinion.

mod behaviour;
mod certificates;
mod connection;
mod proxy;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use self::connection::Connection;
use self::state::State;

pub use self::behaviour::{Behaviour, Reply};
pub(crate) use self::certificates::acceptor;
pub use self::certificates::{Authority, Issued};
pub use self::proxy::{FaultProxy, Traffic};
pub use self::state::Received;

/// An HTTP server on a free port of 127.0.0.1. It answers 200 until told otherwise, and is gone when dropped.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    tls: Option<TlsAcceptor>,
    listening: Mutex<Listening>,
}

enum Listening {
    /// Accepts; ends with all its connections when aborted.
    Open(JoinHandle<()>),
    /// Keeps the port without listening, so that dialling it is refused and no other process can take it.
    Refusing(Option<TcpSocket>),
}

impl Receiver {
    /// Plain HTTP.
    pub async fn start() -> Self {
        Self::open(None).await
    }

    /// HTTPS with `certificate`. With `clients`, only clients with a certificate of that authority are let in.
    pub async fn start_tls(certificate: &Issued, clients: Option<&Authority>) -> Self {
        Self::open(Some(certificates::acceptor(certificate, clients))).await
    }

    async fn open(tls: Option<TlsAcceptor>) -> Self {
        let socket = bound(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = socket.local_addr().expect("it is bound");
        let receiver = Self {
            address,
            state: Arc::default(),
            tls,
            listening: Mutex::new(Listening::Refusing(Some(socket))),
        };
        receiver.listen().await;
        receiver
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a sender is told: `http://127.0.0.1:<port>/faces`, or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/faces", self.address)
    }

    /// From now on it behaves so.
    pub fn script(&self, behaviour: Behaviour) {
        self.script_with(move |_| behaviour.clone());
    }

    /// From now on it behaves as `script` says for each request, of which it sees the head: the body is still to come.
    pub fn script_with(&self, script: impl Fn(&Received) -> Behaviour + Send + Sync + 'static) {
        self.state.script(Arc::new(script));
    }

    /// From now on it behaves as `script` says for each request that it has whole; as the other scripts say when that is
    /// `None`, or when they answer before the body.
    pub fn script_whole(
        &self,
        script: impl Fn(&Received) -> Option<Behaviour> + Send + Sync + 'static,
    ) {
        self.state.script_whole(Arc::new(script));
    }

    /// From now on it behaves so for requests with this `webhook-id`, whatever it does for others. `None` ends that.
    pub fn script_for(&self, id: impl ToString, behaviour: Option<Behaviour>) {
        self.state.script_for(id.to_string(), behaviour);
    }

    /// It behaves so for the next request that no [`Receiver::script_for`] is about; may be called several times.
    pub fn script_next(&self, behaviour: Behaviour) {
        self.state.script_next(behaviour);
    }

    /// Refuses connections from now on and resets those that are open. The port stays its own.
    pub async fn refuse(&self) {
        let mut listening = self.listening.lock().await;
        if let Listening::Open(task) = &mut *listening {
            // Taken before its listener is closed: in between another process could take the port.
            let kept = bound(self.address);
            task.abort();
            // Waited for, so that a client that dials from now on is refused.
            let _ = task.await;
            *listening = Listening::Refusing(Some(kept));
        }
    }

    /// Listens, after [`Receiver::refuse`].
    pub async fn listen(&self) {
        let mut listening = self.listening.lock().await;
        if let Listening::Refusing(socket) = &mut *listening {
            let socket = socket.take().expect("it was put there by `refuse`");
            let listener = socket.listen(1024).expect("the port is ours");
            let accepting = accept(listener, self.tls.clone(), Arc::clone(&self.state));
            *listening = Listening::Open(tokio::spawn(accepting));
        }
    }

    /// Every request so far, in the order in which they were complete.
    pub fn received(&self) -> Vec<Received> {
        self.state.received()
    }

    /// The requests that were answered with 2xx, in the order of the requests.
    pub fn confirmed(&self) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|request| matches!(request.answered, Some(200..=299)));
        received
    }

    /// Forgets what it has received so far.
    pub fn forget(&self) {
        self.state.forget();
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.state.accepted()
    }

    /// Waits until it has received at least `count` requests, and gives them all.
    ///
    /// # Panics
    /// When they have not come within a minute.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        self.wait_until(|received| received.len() >= count).await
    }

    /// Waits until `holds` is true of what it has received, and gives that. It looks again at each request and at each
    /// answer.
    ///
    /// # Panics
    /// When it has not become true within a minute.
    pub async fn wait_until(&self, holds: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        self.state.wait_until(holds).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Listening::Open(task) = self.listening.get_mut() {
            task.abort();
        }
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    // Connections of the listener before may linger.
    socket.set_reuseaddr(true).expect("an option of Unix");
    // The next one is bound before the one before is closed.
    socket.set_reuseport(true).expect("an option of Unix");
    socket.bind(address).expect("the port is free");
    socket
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    // Aborts them all when this task is aborted.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = state.accept();
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        connections.spawn(async move {
            // A connection that breaks is what the test is about, not an error of it.
            if let Some(connection) = Connection::open(stream, tls, number).await {
                let _ = connection.serve(&state).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

//! The websocket server of a source: live only. A client that is not connected hears nothing, and one that does not read
//! loses what has no room in its buffer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faceway_core::Timestamp;
use faceway_core::simulator::{Listener, Source};
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use tokio_util::sync::CancellationToken;

use crate::{Pace, Tally, lock, until};

/// Messages that wait for a client; what comes then is dropped. What real ones keep is not documented.
const CLIENT_MESSAGES_MAX: usize = 64;
const CLIENTS_MAX: usize = 64;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long clients may read what is left when all was sent.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// When nothing was sent for so long, what is on its way is not waited for.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// How long a client may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// What a client sends is a list of cameras at most.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// When a server has sent enough.
#[derive(Clone, Copy, Debug)]
enum Enough {
    /// When so many records have happened, heard or not.
    Made(u64),
    /// When so many were sent to a client.
    Sent(u64),
    Never,
}

/// What happens at a server, and when.
pub(crate) struct Show {
    /// Without an end.
    pace: Pace,
    enough: Enough,
    began: Instant,
    /// When the first record happens.
    began_at: Timestamp,
}

impl Show {
    /// At this pace. Its count is of the records that were sent to a client; or, where the source `pushes` the same ones, of
    /// those that happen.
    pub(crate) fn new(pace: Pace, pushes: bool, began: Instant, began_at: Timestamp) -> Self {
        let enough = match pace.count() {
            Some(count) if pushes => Enough::Made(count),
            Some(count) => Enough::Sent(count),
            None => Enough::Never,
        };
        Self {
            pace: pace.endless(),
            enough,
            began,
            began_at,
        }
    }
}

/// The server of a source.
pub(crate) struct Server {
    source: Arc<dyn Source>,
    clients: Mutex<Vec<Client>>,
    tally: Arc<Tally>,
    /// A record has left, or is lost.
    settled: Arc<Notify>,
    stop: CancellationToken,
}

/// A client, as the server knows it.
struct Client {
    listener: Arc<Mutex<Box<dyn Listener>>>,
    queue: mpsc::Sender<Telling>,
}

/// A record on its way to one client.
struct Telling {
    text: Utf8Bytes,
    record: Arc<Record>,
}

/// A record on its way to all who want to hear of it. When the last of them is done with it, it is counted.
struct Record {
    heard: AtomicBool,
    tally: Arc<Tally>,
    settled: Arc<Notify>,
}

impl Drop for Record {
    fn drop(&mut self) {
        if !*self.heard.get_mut() {
            self.tally.saw_lost(1);
        }
        self.settled.notify_one();
    }
}

impl Record {
    fn was_heard(&self) {
        if !self.heard.swap(true, Ordering::Relaxed) {
            self.tally.saw_taken(1);
        }
    }
}

impl Server {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        tally: Arc<Tally>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            clients: Mutex::default(),
            tally,
            settled: Arc::default(),
            stop,
        })
    }

    /// Plays `show` to each client that connects.
    pub(crate) async fn play(self: Arc<Self>, listener: TcpListener, show: Show) {
        let mut clients = JoinSet::new();
        let show = self.show(show);
        tokio::pin!(show);
        loop {
            tokio::select! {
                () = &mut show => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if clients.len() < CLIENTS_MAX => {
                        clients.spawn(Arc::clone(&self).meet(stream));
                    }
                    // Without room, or while the process has too many files open.
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = clients.join_next() => {}
            }
        }
        // Their queues end, and so they say goodbye when they have read the rest.
        self.clients().clear();
        let gone = async { while clients.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN_MAX, gone).await;
    }

    /// Lets records happen, and tells them, until there were enough.
    async fn show(&self, show: Show) {
        // Records that wait for clients who do not read.
        let mut stuck = 0;
        for number in 0.. {
            while let Some(on_its_way) = self.on_its_way(show.enough, stuck) {
                if on_its_way == 0 {
                    return;
                }
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = self.settled.notified() => {}
                    () = tokio::time::sleep(STUCK_AFTER) => stuck = on_its_way,
                }
            }
            let at = show.pace.at(number).unwrap_or(Duration::MAX);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = until(show.began.checked_add(at)) => {}
            }
            self.tally.saw_made(1);
            self.tell(number, show.began_at.plus(at));
        }
    }

    /// When no further record is needed: how many of those that were made are neither sent nor lost, 0 when that does not
    /// matter any more. They may yet be lost, all but those that are `stuck`, and then others are needed.
    fn on_its_way(&self, enough: Enough, stuck: u64) -> Option<u64> {
        let (made, taken, lost) = (self.tally.made(), self.tally.taken(), self.tally.lost());
        match enough {
            Enough::Made(enough) => (made >= enough).then_some(0),
            Enough::Sent(enough) if taken >= enough => Some(0),
            Enough::Sent(enough) => {
                let on_its_way = made.saturating_sub(taken + lost);
                (taken + on_its_way.saturating_sub(stuck) >= enough).then_some(on_its_way)
            }
            Enough::Never => None,
        }
    }

    /// Puts a record into the queue of each client that wants it.
    fn tell(&self, number: u64, at: Timestamp) {
        let record = Arc::new(Record {
            heard: AtomicBool::new(false),
            tally: Arc::clone(&self.tally),
            settled: Arc::clone(&self.settled),
        });
        let mut clients = self.clients();
        clients.retain(|client| !client.queue.is_closed());
        for client in clients.iter() {
            let text = lock(&client.listener).tell(number, at);
            let telling = text.map(|text| Telling {
                text: text.into(),
                record: Arc::clone(&record),
            });
            if let Some(telling) = telling
                && let Err(mpsc::error::TrySendError::Full(_)) = client.queue.try_send(telling)
            {
                self.tally.saw_dropped();
            }
        }
    }

    /// From the handshake to the end of a client.
    #[expect(
        clippy::result_large_err,
        reason = "the library wants the refusal as it is sent"
    )]
    async fn meet(self: Arc<Self>, stream: TcpStream) {
        let mut listener = None;
        let admit = |request: &Request, response: Response| {
            let uri = request.uri();
            match (self.source).admit(uri.path(), uri.query().unwrap_or_default()) {
                Ok(admitted) => {
                    listener = Some(admitted);
                    Ok(response)
                }
                Err((status, why)) => {
                    self.tally.saw_failed(format!("HTTP {status}"));
                    Err(refusal(status, why))
                }
            }
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let shaken = accept_hdr_async_with_config(stream, admit, Some(config));
        let shaken = tokio::time::timeout(HANDSHAKE_MAX, shaken).await;
        if let Ok(Ok(socket)) = shaken
            && let Some(listener) = listener
        {
            let (queue, tellings) = mpsc::channel(CLIENT_MESSAGES_MAX);
            let listener = Arc::new(Mutex::new(listener));
            self.clients().push(Client {
                listener: Arc::clone(&listener),
                queue,
            });
            self.serve(socket, &listener, tellings).await;
        }
    }

    async fn serve(
        &self,
        socket: WebSocketStream<TcpStream>,
        listener: &Mutex<Box<dyn Listener>>,
        mut tellings: mpsc::Receiver<Telling>,
    ) {
        let (mut sink, mut source) = socket.split();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                said = source.next() => match said {
                    Some(Ok(Message::Text(text))) => self.hear(listener, &text),
                    // The answer is queued by the library, and leaves with the next flush.
                    Some(Ok(Message::Ping(_))) => if sink.flush().await.is_err() { return },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                    Some(Ok(_)) => {}
                },
                telling = tellings.recv() => {
                    let Some(Telling { text, record }) = telling else { break };
                    tokio::select! {
                        // He does not read, so a farewell would not reach him either.
                        () = self.stop.cancelled() => return,
                        sent = sink.send(Message::Text(text)) => if sent.is_err() { return },
                    }
                    record.was_heard();
                }
            }
        }
        let goodbye = async {
            let _ = sink.close().await;
            // Until the client has said it too: what is closed with something unread takes back what was sent.
            while let Some(Ok(_)) = source.next().await {}
        };
        let _ = tokio::time::timeout(GOODBYE_MAX, goodbye).await;
    }

    fn hear(&self, listener: &Mutex<Box<dyn Listener>>, text: &str) {
        if let Err(expected) = lock(listener).hear(text) {
            self.tally
                .saw_failed(format!("a message that is not {expected}"));
        }
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        lock(&self.clients)
    }
}

fn refusal(status: u16, why: &str) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(Some(why.to_owned()));
    *refusal.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    refusal
}

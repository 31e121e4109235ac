//! What a connection does just now: whether it waits for a request, reads one, or answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::Service;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It waits for a request, or for the rest of a request's head.
    Waiting,
    /// A request's body is coming.
    Receiving,
    /// A request was read whole and is being answered.
    Answering,
    /// The answer is on its way.
    Answered,
}

/// What one connection does, for the task that watches it.
pub(super) struct Progress {
    began: Instant,
    /// [`Doing`] in the two lowest bits, since when (milliseconds) above them: both change as one.
    state: AtomicU64,
    last_read: AtomicU64,
    /// Whether something has come of a request whose head is not whole.
    in_head: AtomicBool,
    /// The first byte of all, as it tells which protocol was meant; [`NO_BYTE`] before it.
    first_byte: AtomicU64,
    requests: AtomicU64,
    /// Whether what the other side still sends is to be read before the end, so that it gets its answer.
    lingers: AtomicBool,
    idle: Arc<Notify>,
}

const NO_BYTE: u64 = 256;

impl Progress {
    /// Of a connection that has just come; `idle` is notified when it waits again.
    pub(super) fn new(idle: Arc<Notify>) -> Self {
        Self {
            began: Instant::now(),
            state: AtomicU64::new(Doing::Waiting as u64),
            last_read: AtomicU64::new(0),
            in_head: AtomicBool::new(false),
            first_byte: AtomicU64::new(NO_BYTE),
            requests: AtomicU64::new(0),
            lingers: AtomicBool::new(false),
            idle,
        }
    }

    /// What it does, and since when.
    pub(super) fn now(&self) -> (Doing, Instant) {
        let state = self.state.load(Ordering::Relaxed);
        let doing = match state & 3 {
            0 => Doing::Waiting,
            1 => Doing::Receiving,
            2 => Doing::Answering,
            _ => Doing::Answered,
        };
        (doing, self.began + Duration::from_millis(state >> 2))
    }

    /// When something last came.
    pub(super) fn last_read(&self) -> Instant {
        self.began + Duration::from_millis(self.last_read.load(Ordering::Relaxed))
    }

    /// Whether a request has begun to come whose head is not whole.
    pub(super) fn is_in_head(&self) -> bool {
        self.now().0 == Doing::Waiting && self.in_head.load(Ordering::Relaxed)
    }

    /// The first byte of all.
    pub(super) fn first_byte(&self) -> Option<u8> {
        u8::try_from(self.first_byte.load(Ordering::Relaxed)).ok()
    }

    /// Whether a request has come.
    pub(super) fn has_had_requests(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Something came.
    pub(super) fn read(&self, bytes: &[u8]) {
        let Some(first) = bytes.first() else { return };
        self.last_read.store(self.millis(), Ordering::Relaxed);
        self.in_head.store(true, Ordering::Relaxed);
        if self.first_byte.load(Ordering::Relaxed) == NO_BYTE {
            self.first_byte.store(u64::from(*first), Ordering::Relaxed);
        }
    }

    /// A request's head is whole; its body may be coming.
    pub(super) fn request(&self, has_body: bool) {
        self.in_head.store(false, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.last_read.store(self.millis(), Ordering::Relaxed);
        self.set(match has_body {
            true => Doing::Receiving,
            false => Doing::Answering,
        });
    }

    /// There is an answer.
    pub(super) fn answered(&self) {
        self.set(Doing::Answered);
    }

    /// Something is written.
    pub(super) fn wrote(&self) {
        if self.now().0 == Doing::Waiting {
            // hyper's own answer to what is no request. The rest of that may still be on its way.
            if self.is_in_head() {
                self.set_lingers(true);
            }
            self.set(Doing::Answered);
        }
    }

    /// All that was written is on its way.
    pub(super) fn flushed(&self) {
        if self.now().0 == Doing::Answered {
            self.in_head.store(false, Ordering::Relaxed);
            self.set(Doing::Waiting);
            self.idle.notify_one();
        }
    }

    /// Whether nothing is lost when it ends now: no request is here as a whole.
    pub(super) fn can_be_cut_off(&self) -> bool {
        matches!(self.now().0, Doing::Waiting | Doing::Receiving)
    }

    /// Whether the rest is to be read before the end.
    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    /// Says whether the rest is to be read before the end.
    pub(super) fn set_lingers(&self, lingers: bool) {
        self.lingers.store(lingers, Ordering::Relaxed);
    }

    fn body_ended(&self) {
        if self.now().0 == Doing::Receiving {
            self.set(Doing::Answering);
        }
    }

    fn set(&self, doing: Doing) {
        let state = (self.millis() << 2) | doing as u64;
        self.state.store(state, Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 2)
    }
}

/// A request's body, of which its connection's `Progress` hears.
pub struct RequestBody {
    body: Incoming,
    progress: Arc<Progress>,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        if is_over || self.body.is_end_stream() {
            self.progress.body_ended();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The service of one connection, of whose requests its [`Progress`] hears.
pub(super) struct Watched<S> {
    pub(super) service: S,
    pub(super) progress: Arc<Progress>,
}

impl<S, B> Service<Request<Incoming>> for Watched<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let progress = Arc::clone(&self.progress);
        progress.request(!request.body().is_end_stream());
        let request = request.map(|body| RequestBody {
            body,
            progress: Arc::clone(&progress),
        });
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if answer.as_ref().is_ok_and(|answer| ends(answer.headers())) {
                progress.set_lingers(true);
            }
            progress.answered();
            answer
        })
    }
}

/// Whether an answer ends its connection on our own account, so that the rest of what came is not read.
fn ends(headers: &HeaderMap) -> bool {
    let connection = headers.get(http::header::CONNECTION);
    connection.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

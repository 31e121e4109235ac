//! One connection with one channel that confirms, from its opening to its first trouble.
//!
//! A session never recovers: when anything is wrong with it, everything unconfirmed ends, the wire is cut, and the next
//! delivery opens another.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use faceway_core::{Code, Verdict};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{Channel, Connection, PublisherConfirm};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, sleep_until, timeout, timeout_at};

use crate::failure::{Failure, outage};
use crate::ledger::{Confirmed, Ledger, Settled};
use crate::open::{Opened, Plan};
use crate::parcel::{Parcel, UNROUTABLE, bury};
use crate::quiet::quiet;
use crate::watcher;
use crate::wire::Cut;

pub(crate) struct Session {
    connection: Connection,
    channel: Channel,
    cut: Cut,
    exchange: ShortString,
    state: watch::Sender<State>,
    /// Held while the library numbers a message and queues its frames: it does both without a lock between, so that two
    /// at once may get each other's confirms.
    turn: Mutex<()>,
    /// As many as may be unconfirmed at once.
    window: Arc<Semaphore>,
    publishes: Mutex<Publishes>,
    confirms: mpsc::UnboundedSender<(u64, PublisherConfirm)>,
    /// When the queue was declared once more.
    declared: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    Open,
    /// The broker takes nothing. The connection is kept, to hear when it does again.
    Blocked,
    Ended(Failure),
}

#[derive(Default)]
struct Publishes {
    ledger: Ledger,
    /// Which delivery waits for which tag. One that has given up is missed here, but not in the ledger.
    waiting: HashMap<u64, (oneshot::Sender<Verdict>, OwnedSemaphorePermit)>,
}

impl Session {
    pub(crate) fn start(opened: Opened, exchange: ShortString, window: usize) -> Arc<Self> {
        let (confirms, handed) = mpsc::unbounded_channel();
        // There is one listener: several would share the events between them.
        let events = Box::pin(opened.connection.events_listener());
        let session = Arc::new(Self {
            connection: opened.connection,
            channel: opened.channel,
            cut: opened.cut,
            exchange,
            state: watch::channel(State::Open).0,
            turn: Mutex::default(),
            window: Arc::new(Semaphore::new(window.min(Semaphore::MAX_PERMITS))),
            publishes: Mutex::default(),
            confirms,
            declared: tokio::sync::Mutex::default(),
        });
        tokio::spawn(watcher::watch(Arc::clone(&session), events, handed));
        session
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Publishes, and waits for what the broker says.
    pub(crate) async fn publish(self: &Arc<Self>, parcel: Parcel, deadline: Instant) -> Verdict {
        let confirmed = tokio::select! {
            biased;
            failure = self.trouble() => return failure.verdict(),
            confirmed = self.hand_over(parcel, deadline) => confirmed,
        };
        let Some((tag, confirmed_before, verdict)) = confirmed else {
            return outage("timeout");
        };
        tokio::select! {
            biased;
            Ok(verdict) = verdict => verdict,
            failure = self.trouble() => failure.verdict(),
            () = sleep_until(deadline) => {
                self.overdue(tag, confirmed_before);
                outage("timeout")
            }
        }
    }

    /// Declares what the outbound declares once more. Who asks while another does so waits for that.
    pub(crate) async fn declare(
        self: &Arc<Self>,
        plan: Arc<Plan>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let asked = Instant::now();
        let session = Arc::clone(self);
        // A task of its own: a delivery that is given up must not leave half a declaration on the channel.
        let declaring = tokio::spawn(async move {
            let mut declared = session.declared.lock().await;
            if declared.is_some_and(|at| at >= asked) {
                return Ok(());
            }
            let done = quiet(plan.declare(&session.channel)).await;
            done.map_err(|error| Failure::of(&error))?;
            *declared = Some(Instant::now());
            tracing::warn!(
                exchange = session.exchange.as_str(),
                "a message came back, as its queue or binding was taken away: they are declared again"
            );
            Ok(())
        });
        let done = tokio::select! {
            biased;
            failure = self.trouble() => return Err(failure),
            done = timeout_at(deadline, declaring) => done,
        };
        let failure = match done {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(failure))) => failure,
            Ok(Err(_)) | Err(_) => Failure::word("timeout"),
        };
        // The channel is closed by what it refuses.
        self.end(failure.clone());
        Err(failure)
    }

    /// Waits for the window, and has the message written. `None`: there was no time for it.
    async fn hand_over(
        self: &Arc<Self>,
        parcel: Parcel,
        deadline: Instant,
    ) -> Option<(u64, u64, oneshot::Receiver<Verdict>)> {
        let confirmed_before = self.publishes().ledger.confirmed();
        let permit = timeout_at(deadline, Arc::clone(&self.window).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            self.end_if_stopped(confirmed_before);
            return None;
        };
        let (sender, verdict) = oneshot::channel();
        let (tag, confirmed_before) = {
            let mut publishes = self.publishes();
            let tag = publishes.ledger.publish(parcel.id, parcel.body.size());
            publishes.waiting.insert(tag, (sender, permit));
            (tag, publishes.ledger.confirmed())
        };
        let mut writing = Box::pin(Arc::clone(self).write(tag, parcel, deadline));
        // Nearly always the library takes it at once.
        let waits = poll_fn(|context| Poll::Ready(writing.as_mut().poll(context).is_pending()));
        if waits.await {
            // A task of its own: a delivery that is given up must not leave half a message on the wire.
            tokio::spawn(writing);
        }
        Some((tag, confirmed_before, verdict))
    }

    async fn write(self: Arc<Self>, tag: u64, parcel: Parcel, deadline: Instant) {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let publishing = self.channel.basic_publish(
            self.exchange.clone(),
            parcel.routing_key,
            options,
            // Revealed to be sent.
            parcel.body.reveal(),
            parcel.properties,
        );
        let mut publishing = pin!(quiet(publishing));
        // Numbering and queueing are done when it is polled first; what it waits for then is the socket.
        let queued = poll_fn(|context| {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            Poll::Ready(publishing.as_mut().poll(context))
        });
        let written = match queued.await {
            Poll::Ready(written) => written,
            // What the library has not written by now it would write later: the wire is cut.
            Poll::Pending => tokio::select! {
                biased;
                written = publishing => written,
                failure = self.trouble() => return self.end(failure),
                () = sleep_until(deadline) => return self.end(Failure::word("timeout")),
            },
        };
        match written {
            // The receiver is gone only when the session has ended.
            Ok(confirm) => drop(self.confirms.send((tag, confirm))),
            Err(error) => {
                // A closed channel refuses before it is told why; the reason is on its way.
                let _ = timeout(REASON_MAX, self.ended()).await;
                self.end(Failure::of(&error));
            }
        }
    }

    /// No confirm in time.
    fn overdue(&self, tag: u64, confirmed_before: u64) {
        // The permit stays out until the confirm comes, or the session ends.
        if let Some((_, permit)) = self.publishes().waiting.remove(&tag) {
            permit.forget();
        }
        self.end_if_stopped(confirmed_before);
    }

    /// When no confirm at all has come since, confirms have stopped: a new connection may know more.
    fn end_if_stopped(&self, confirmed_before: u64) {
        let confirmed = self.publishes().ledger.confirmed();
        if confirmed == confirmed_before {
            self.end(Failure::word("timeout"));
        }
    }

    /// Ends the session, for the first reason that is told. What is too large for the broker is buried; whatever else is
    /// unconfirmed may be there or may not, and comes again.
    pub(crate) fn end(&self, failure: Failure) {
        self.bury_too_large(&failure);
        self.state.send_if_modified(|state| {
            let is_first = !matches!(state, State::Ended(_));
            if is_first {
                *state = State::Ended(failure);
            }
            is_first
        });
        self.cut.cut();
    }

    fn bury_too_large(&self, failure: &Failure) {
        if failure.word != "too-large" {
            return;
        }
        let mut publishes = self.publishes();
        let mut unconfirmed = publishes.ledger.unconfirmed();
        let guilty = match failure.bytes_max {
            Some(bytes_max) => publishes.ledger.larger_than(bytes_max),
            // Without the limit only one that is alone is known to be the one. Others end, and come again one by one.
            None if unconfirmed.len() == 1 => std::mem::take(&mut unconfirmed),
            None => Vec::new(),
        };
        for tag in guilty {
            publishes.tell(tag, bury("too-large"));
        }
    }

    /// Says goodbye, where the broker listens, and ends.
    pub(crate) async fn close(&self) {
        let goodbye = self.connection.close(200, ShortString::default());
        let _ = timeout(GOODBYE_MAX, quiet(goodbye)).await;
        self.end(Failure::word("closed"));
    }

    /// Resolves when nothing may be published, with the reason.
    async fn trouble(&self) -> Failure {
        let mut state = self.state.subscribe();
        let troubled = state.wait_for(|state| !matches!(state, State::Open)).await;
        match troubled.as_deref() {
            Ok(State::Ended(failure)) => failure.clone(),
            Ok(State::Blocked) => Failure::word("blocked"),
            _ => Failure::word("closed"),
        }
    }

    pub(crate) async fn ended(&self) {
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| matches!(state, State::Ended(_)))
            .await;
    }

    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        self.state
            .send_if_modified(|state| match (&*state, is_blocked) {
                (State::Open, true) => {
                    *state = State::Blocked;
                    true
                }
                (State::Blocked, false) => {
                    *state = State::Open;
                    true
                }
                _ => false,
            });
    }

    /// Takes note that the confirms of these are looked at from now on; below the tag that it gives, all are.
    pub(crate) fn hand(&self, tags: &[u64]) -> u64 {
        let mut publishes = self.publishes();
        for tag in tags {
            publishes.ledger.hand(*tag);
        }
        publishes.ledger.handed()
    }

    /// Takes note of one look at the confirms; whether another would settle more.
    pub(crate) fn look(&self, confirmed: &[Confirmed], handed: u64) -> bool {
        let mut publishes = self.publishes();
        for (tag, settled) in publishes.ledger.look(confirmed, handed) {
            let is_known = publishes.tell(tag, verdict(settled));
            if !is_known {
                // It was overdue, and its permit was kept back until now.
                self.window.add_permits(1);
            }
        }
        publishes.ledger.wants_look(handed)
    }

    fn publishes(&self) -> MutexGuard<'_, Publishes> {
        self.publishes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a closed channel may take to say why.
const REASON_MAX: Duration = Duration::from_secs(1);
/// How long a broker may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

impl Publishes {
    /// Whether a delivery had it.
    fn tell(&mut self, tag: u64, verdict: Verdict) -> bool {
        let waiting = self.waiting.remove(&tag);
        // A delivery that has given up does not hear it.
        waiting.map(|(sender, _)| sender.send(verdict)).is_some()
    }
}

fn verdict(settled: Settled) -> Verdict {
    match settled {
        Settled::Delivered => Verdict::Delivered {
            code: Code::word("ack"),
        },
        // A queue is full (`overflow = reject-publish`) or has lost its leader: it may pass, and others fare no better.
        Settled::Refused => outage("nack"),
        Settled::Unroutable => bury(UNROUTABLE),
    }
}

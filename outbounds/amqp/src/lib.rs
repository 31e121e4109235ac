//! Events to an AMQP 0-9-1 exchange: one persistent message an event, confirmed by the broker and taken by a queue.
//!
//! `README.md` beside this crate tells a consumer's author what arrives, and how each answer of the broker is taken.
//!
//! **Invariant:** no retry, no buffer and no queue lives here. A connection is opened when a delivery needs one and there
//! is none; when it fails, so do the deliveries that wait for it. Nothing that has ended is sent later.

mod failure;
mod kind;
mod ledger;
mod open;
mod parcel;
mod quiet;
mod session;
mod settings;
mod watcher;
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use faceway_core::{BoxFuture, Message, Outbound, SettingsError, Verdict};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::failure::{Failure, Teller, outage};
use crate::open::Plan;
use crate::parcel::{Parcel, UNROUTABLE, bury};
use crate::session::{Session, State};

pub use crate::kind::KIND;
pub use crate::settings::{AmqpSettings, ExchangeType};

/// An exchange of a broker.
pub struct Amqp {
    plan: Arc<Plan>,
    payload_bytes_max: usize,
    /// The broker's own limit, once it has told it.
    broker_bytes_max: AtomicUsize,
    timeout: Duration,
    window: usize,
    /// Held while a connection is opened, so that one is opened for all who wait.
    door: Mutex<Door>,
    current: std::sync::Mutex<Option<Arc<Session>>>,
    teller: Teller,
}

#[derive(Default)]
struct Door {
    failed: Option<(Instant, Failure)>,
    is_closed: bool,
}

impl Amqp {
    /// Prepares deliveries to `settings.exchange`. Nothing is dialled yet.
    ///
    /// # Errors
    /// When a setting cannot mean anything: the error names its key and what to write instead.
    pub fn new(settings: &AmqpSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            plan: Arc::new(Plan::new(settings)?),
            payload_bytes_max: settings.payload_bytes_max,
            broker_bytes_max: AtomicUsize::new(usize::MAX),
            timeout: settings.timeout,
            window: settings.window,
            door: Mutex::default(),
            current: std::sync::Mutex::default(),
            teller: Teller::default(),
        })
    }

    async fn attempt(&self, message: &Message) -> Verdict {
        let deadline = Instant::now() + self.timeout;
        let broker_bytes_max = self.broker_bytes_max.load(Ordering::Relaxed);
        let parcel = match Parcel::pack(message, self.payload_bytes_max.min(broker_bytes_max)) {
            Ok(parcel) => parcel,
            Err(verdict) => return verdict,
        };
        let session = match timeout_at(deadline, self.session()).await {
            Ok(Ok(session)) => session,
            Ok(Err(failure)) => return self.failed(&failure),
            Err(_) => return outage("timeout"),
        };
        let mut verdict = session.publish(parcel.clone(), deadline).await;
        if verdict == bury(UNROUTABLE) && self.plan.owns_the_way() {
            // The queue is this outbound's own: it, its binding or both were taken away.
            let declared = session.declare(Arc::clone(&self.plan), deadline).await;
            verdict = match declared {
                Ok(()) => session.publish(parcel, deadline).await,
                Err(failure) => failure.verdict(),
            };
        }
        self.take_note(&session, &verdict);
        verdict
    }

    /// The open session; opens one where there is none. Who waits while another opens shares its failure.
    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let since = Instant::now();
        if let Some(session) = self.living() {
            return Ok(session);
        }
        let mut door = self.door.lock().await;
        if let Some(session) = self.living() {
            return Ok(session);
        }
        if door.is_closed {
            return Err(Failure::word("closed"));
        }
        if let Some((at, failure)) = &door.failed
            && *at >= since
        {
            return Err(failure.clone());
        }
        match self.plan.open().await {
            Ok(opened) => {
                let session = Session::start(opened, self.plan.exchange(), self.window);
                *self.current() = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(failure) => {
                door.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// One that has not ended. A blocked one lives: it hears when the broker takes messages again.
    fn living(&self) -> Option<Arc<Session>> {
        let current = self.current();
        let session = current.as_ref()?;
        let ended = matches!(session.state(), State::Ended(_));
        (!ended).then(|| Arc::clone(session))
    }

    fn take_note(&self, session: &Session, verdict: &Verdict) {
        match (verdict, session.state()) {
            (Verdict::Delivered { .. }, _) => self.teller.well(),
            (_, State::Ended(failure)) => {
                // The limit stands as long as the broker is not another one, or restarted.
                let limit = failure.bytes_max.unwrap_or(usize::MAX);
                self.broker_bytes_max.store(limit, Ordering::Relaxed);
                self.failed(&failure);
            }
            (_, State::Blocked) => drop(self.failed(&Failure::word("blocked"))),
            (_, State::Open) => {}
        }
    }

    fn failed(&self, failure: &Failure) -> Verdict {
        let exchange = self.plan.exchange();
        self.teller
            .tell(failure, exchange.as_str(), self.plan.declared());
        failure.verdict()
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbound for Amqp {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(self.attempt(message))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.door.lock().await.is_closed = true;
            let session = self.current().take();
            if let Some(session) = session {
                session.close().await;
            }
        })
    }
}

impl Drop for Amqp {
    fn drop(&mut self) {
        if let Some(session) = self.current().take() {
            session.end(Failure::word("closed"));
        }
    }
}

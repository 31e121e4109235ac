//! Events to an MQTT broker, version 3.1.1 or 5. An event is delivered when the broker says so: at `PUBACK` (QoS 1) or
//! `PUBCOMP` (QoS 2). With QoS 0 the broker says nothing: delivered then means that the socket has taken it, and whatever is
//! under way when a connection breaks is lost.
//!
//! `README.md` beside this crate tells a subscriber's author what arrives and how each answer is taken.
//!
//! Packets are written and read by `rumqttc`. Its event loop is not used: after some errors it publishes again by itself
//! what we have given back, after others it forgets what we believe to be on its way, and a `PUBREC` that refuses a
//! message takes a place of its window for ever (`tests/it/library.rs` shows it).
//!
//! **Invariants:** no retry and no buffer lives here. What is not confirmed when a connection ends goes back to the lane,
//! and a new connection begins with nothing, in a clean session.

mod dial;
mod endings;
mod failure;
mod flights;
mod greeting;
mod hints;
mod home;
mod keeper;
mod kind;
mod opening;
mod own;
mod packet;
mod pings;
mod plan;
mod refusal;
mod session;
mod settings;
mod topic;
mod v4;
mod v5;
mod verdict;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faceway_core::{BoxFuture, Message, Outbound, SettingsError, Verdict, is_unsendable};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::flights::Reply;
use crate::home::{Frame, Home};
use crate::packet::Publication;
use crate::plan::Plan;
use crate::session::Job;
use crate::settings::is_text;

pub use crate::kind::KIND;
pub use crate::settings::MqttSettings;

/// How long closing may take beyond a delivery's own timeout.
const CLOSE_EXTRA: Duration = Duration::from_secs(2);

/// An MQTT broker.
pub struct Mqtt {
    plan: Arc<Plan>,
    /// A place for each message that is handed over and not settled.
    places: Arc<Semaphore>,
    keeper: OnceLock<Keeper>,
    home: Home,
    withdraw: bool,
    closing: watch::Sender<bool>,
}

/// The task with the connection.
struct Keeper {
    jobs: mpsc::Sender<Job>,
    task: Mutex<JoinHandle<()>>,
    abort: tokio::task::AbortHandle,
}

impl Mqtt {
    /// Prepares deliveries to the broker at `settings.url`. Nothing is dialled yet.
    ///
    /// # Errors
    /// When a setting cannot mean anything: the error names its key and what to write instead.
    pub fn new(settings: MqttSettings) -> Result<Self, SettingsError> {
        let (withdraw, no_picture) = (settings.withdraw, settings.no_picture.clone());
        let plan = Arc::new(Plan::new(settings)?);
        let frame = Frame {
            mark: plan.hello.client_id.clone(),
            availability: plan.status_topic.clone(),
            no_status: Arc::clone(&plan.no_status),
        };
        Ok(Self {
            withdraw,
            home: Home::new(&plan, plan.home_assistant, frame, no_picture),
            places: Arc::new(Semaphore::new(plan.window)),
            plan,
            keeper: OnceLock::new(),
            closing: watch::Sender::new(false),
        })
    }

    /// Dials the broker now and keeps the connection, so that the status is `online` before the first event. A delivery
    /// does the same. Call it inside a tokio runtime.
    pub fn start(&self) {
        self.keeper();
        self.home.start();
    }

    fn keeper(&self) -> &Keeper {
        self.keeper.get_or_init(|| {
            let (jobs, received) = mpsc::channel(self.plan.window);
            let plan = Arc::clone(&self.plan);
            let task = tokio::spawn(keeper::keep(plan, received, self.closing.subscribe()));
            let abort = task.abort_handle();
            Keeper {
                jobs,
                task: Mutex::new(task),
                abort,
            }
        })
    }

    async fn attempt(&self, message: &Message) -> Verdict {
        let deadline = Instant::now() + self.plan.timeout;
        match self.publication(message) {
            Err(word) => verdict::buried(word),
            Ok(publication) => {
                // One that is closed must not connect again.
                if !*self.closing.borrow() {
                    let device = message.device;
                    self.home.introduce(device, &publication, deadline).await;
                }
                let handed = self.hand_over(publication, deadline);
                match timeout_at(deadline, handed).await {
                    Ok(verdict) => verdict,
                    Err(_) => verdict::outage("timeout"),
                }
            }
        }
    }

    async fn hand_over(&self, publication: Publication, deadline: Instant) -> Verdict {
        let closed = || verdict::outage("closed");
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return closed();
        };
        let (sender, verdict) = oneshot::channel();
        let job = Job {
            publication,
            reply: Reply {
                sender,
                _place: place,
            },
            deadline,
        };
        if *self.closing.borrow() || self.keeper().jobs.send(job).await.is_err() {
            return closed();
        }
        verdict.await.unwrap_or_else(|_| closed())
    }

    /// The message in MQTT's terms, or why no broker could take it.
    fn publication(&self, message: &Message) -> Result<Publication, &'static str> {
        if message.body.size() > self.plan.payload_bytes_max {
            return Err("too-large");
        }
        // Revealed to be sent: rendering has already taken out what this destination may not see.
        let topic = message.address.reveal();
        if !topic::is_publishable(topic) {
            return Err("topic");
        }
        Ok(Publication {
            topic: topic.clone(),
            payload: message.body.reveal().clone(),
            retain: self.plan.retain,
            content_type: Some(message.content_type),
            expiry_s: self.plan.expiry_s,
            user_properties: user_properties(message),
        })
    }
}

/// The id and the kind, then the headers, with `_` for what a broker may end the connection at. One that is too long for
/// MQTT is left out rather than sent broken. Each name is there once, with its last value: clients make a list of a name
/// that is there twice, and no attribute of CloudEvents may be one.
fn user_properties(message: &Message) -> Vec<(String, String)> {
    let own = [
        ("id".to_owned(), message.id.to_string()),
        ("kind".to_owned(), message.kind.to_string()),
    ];
    let headers = message.headers.iter().map(|(name, value)| {
        // Revealed to be sent, as the body is.
        (sendable(name), sendable(value.reveal()))
    });
    let headers = headers.filter(|(name, value)| is_text(name) && is_text(value));
    let mut properties: Vec<(String, String)> = Vec::new();
    for (name, value) in own.into_iter().chain(headers) {
        match properties.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => properties.push((name, value)),
        }
    }
    properties
}

/// The same text; `_` stands for what a broker may end the connection at.
fn sendable(text: &str) -> String {
    let sendable = |char| if is_unsendable(char) { '_' } else { char };
    text.chars().map(sendable).collect()
}

impl Outbound for Mqtt {
    fn open(&self) {
        self.start();
        if self.withdraw {
            self.home.tidy();
        }
    }

    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(self.attempt(message))
    }

    /// Takes back what was announced to Home Assistant.
    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.home.retire())
    }

    /// Publishes `offline`, says goodbye to the broker, and ends what is still on its way.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.closing.send_replace(true);
            self.home.close().await;
            if let Some(keeper) = self.keeper.get() {
                let mut task = keeper.task.lock().await;
                if !task.is_finished() {
                    let ended = timeout(self.plan.timeout + CLOSE_EXTRA, &mut *task).await;
                    if ended.is_err() {
                        task.abort();
                    }
                }
            }
        })
    }
}

/// Without a goodbye: the broker publishes the last will.
impl Drop for Mqtt {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort.abort();
        }
    }
}

//! Home Assistant is told of devices, on a connection of its own: nothing that is said here can end the connection that
//! deliveries are on, and no event waits longer for it than [`Home::introduce`] says.

mod configuration;
mod devices;
mod glance;
mod keep;
mod link;
mod reach;
mod withdraw;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faceway_core::DeviceKey;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::packet::Publication;
use crate::plan::Plan;

use self::devices::Devices;
use self::glance::Glance;

pub(crate) use self::configuration::Frame;

/// An event waits for its announcement no longer than this, nor than half of the time that its delivery has.
const PATIENCE: Duration = Duration::from_secs(5);
/// Announcements that wait for the connection.
const ORDERS_MAX: usize = 64;
/// A goodbye takes no longer.
const STOP_MAX: Duration = Duration::from_secs(1);
/// Taking back what was announced takes no longer.
const WITHDRAW_MAX: Duration = Duration::from_secs(10);

/// What one outbound says to Home Assistant.
pub(crate) struct Home {
    /// Of the connection.
    plan: Arc<Plan>,
    announces: bool,
    mark: String,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// A task at work.
struct Running {
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What the connection and the deliveries both see.
struct Shared {
    devices: Mutex<Devices>,
    phase: watch::Sender<Phase>,
    /// A task needs the connection now.
    wanted: Notify,
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is being made, or the broker is being asked what it has.
    Coming,
    /// Announcements can be made.
    Ready,
    /// There is none. It comes when it is wanted.
    Down,
    /// There is none, and no event waits for it: the broker does not let us, or says nothing.
    Refused,
}

/// To be published; true when the broker has it.
struct Order {
    publication: Publication,
    done: oneshot::Sender<bool>,
}

impl Home {
    /// Of a deliveries' plan. With `announces` false, only what was announced before is taken back.
    pub(crate) fn new(
        deliveries: &Plan,
        announces: bool,
        frame: Frame,
        no_picture: Option<String>,
    ) -> Self {
        let mark = frame.mark.clone();
        Self {
            plan: Arc::new(deliveries.beside("home")),
            announces,
            mark,
            shared: Arc::new(Shared {
                devices: Mutex::new(Devices::new(frame, no_picture)),
                phase: watch::Sender::new(Phase::Coming),
                wanted: Notify::new(),
            }),
            running: Mutex::default(),
        }
    }

    /// Dials now, where there is something to announce. Call it inside a tokio runtime.
    pub(crate) fn start(&self) {
        if self.announces {
            self.orders();
        }
    }

    /// Takes back what an earlier run announced, where nothing is announced any more. It is tried once.
    pub(crate) fn tidy(&self) {
        if self.announces {
            return;
        }
        let (plan, mark) = (Arc::clone(&self.plan), self.mark.clone());
        self.run(|orders, stop, mut stopped| {
            let task = tokio::spawn(async move {
                let withdrawn = timeout(WITHDRAW_MAX, withdraw::withdraw(&plan, &mark));
                tokio::select! {
                    _ = withdrawn => {}
                    _ = stopped.wait_for(|stop| *stop) => {}
                }
            });
            Running { orders, stop, task }
        });
    }

    /// Before an event of `device` is published: announces the device where the broker has not been told of it, gives
    /// Home Assistant the time to subscribe, and says what picture belongs to the event. Ends in time for the delivery
    /// by `deadline`, and at once where there is no connection to be had.
    pub(crate) async fn introduce(
        &self,
        device: DeviceKey,
        publication: &Publication,
        deadline: Instant,
    ) {
        if !self.announces {
            return;
        }
        let Some(glance) = Glance::at(publication) else {
            return;
        };
        let now = Instant::now();
        let patience = PATIENCE.min(deadline.saturating_duration_since(now) / 2);
        let introduced = self.introduced(device, &glance, &publication.topic);
        let _ = timeout_at(now + patience, introduced).await;
    }

    async fn introduced(&self, key: DeviceKey, glance: &Glance<'_>, topic: &str) -> Option<()> {
        // Deleted while it waits: once more, and then the next event does it.
        for _ in 0..2 {
            self.ready().await?;
            let introduction = self.shared.devices().learn(key, glance, topic)?;
            if let Some((publication, digest)) = introduction.configuration {
                self.publish(publication).await?;
                self.shared.devices().announced(key, digest, Instant::now());
            }
            if let Some(picture) = introduction.picture {
                self.publish(picture).await?;
            }
            let ready_at = self.shared.devices().ready_at(key);
            match ready_at.filter(|at| *at > Instant::now()) {
                Some(at) => sleep_until(at).await,
                None => break,
            }
            if self.shared.devices().is_announced(key) {
                break;
            }
        }
        Some(())
    }

    /// Waits for the connection. `None`: there is none to be had.
    async fn ready(&self) -> Option<()> {
        let mut phase = self.shared.phase.subscribe();
        self.orders();
        if *phase.borrow_and_update() == Phase::Down {
            self.shared.wanted.notify_one();
            phase.changed().await.ok()?;
        }
        let coming = phase.wait_for(|phase| *phase != Phase::Coming).await.ok()?;
        (*coming == Phase::Ready).then_some(())
    }

    /// `None`: the broker does not have it.
    async fn publish(&self, publication: Publication) -> Option<()> {
        let (done, confirmed) = oneshot::channel();
        let order = Order { publication, done };
        self.orders().send(order).await.ok()?;
        confirmed.await.ok().filter(|has| *has).map(drop)
    }

    /// The way to the connection's task, which is there afterwards.
    fn orders(&self) -> mpsc::Sender<Order> {
        let (plan, shared) = (Arc::clone(&self.plan), Arc::clone(&self.shared));
        self.run(|orders, stop, stopped| {
            let (sender, received) = mpsc::channel(ORDERS_MAX);
            drop(orders);
            shared.phase.send_replace(Phase::Coming);
            let task = tokio::spawn(keep::keep(plan, shared, received, stopped));
            Running {
                orders: sender,
                stop,
                task,
            }
        })
    }

    /// The task that runs, or else the one that `start` begins.
    fn run(
        &self,
        start: impl FnOnce(mpsc::Sender<Order>, watch::Sender<bool>, watch::Receiver<bool>) -> Running,
    ) -> mpsc::Sender<Order> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.get_or_insert_with(|| {
            let stop = watch::Sender::new(false);
            let stopped = stop.subscribe();
            start(mpsc::channel(1).0, stop, stopped)
        });
        running.orders.clone()
    }

    /// Takes back everything that this outbound has announced: it was taken out of the routes.
    pub(crate) async fn retire(&self) {
        self.close().await;
        if self.announces {
            let _ = timeout(WITHDRAW_MAX, withdraw::withdraw(&self.plan, &self.mark)).await;
        }
    }

    /// Ends the connection, with a goodbye where that does not take long.
    pub(crate) async fn close(&self) {
        let running = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.take()
        };
        if let Some(mut running) = running {
            running.stop.send_replace(true);
            if timeout(STOP_MAX, &mut running.task).await.is_err() {
                running.task.abort();
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let running = self.running.get_mut();
        if let Some(running) = running.unwrap_or_else(PoisonError::into_inner) {
            running.task.abort();
        }
    }
}

impl Shared {
    fn devices(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

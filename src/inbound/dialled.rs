//! Sources that are dialled: a websocket for each, kept open, read only as fast as the spool can keep.
//!
//! Such a source sends once and hears no answer, so what it sends while no client reads is lost, and Faceway can only say
//! so: every gap is logged, counted and shown.
//!
//! **Invariants.** A source has one connection at a time, over all gateways of a site. What was read is kept before the next connection is opened.
//! A message leaves this room only through [`Inbound::keep_all`], whose success is durable.

mod connect;
mod frames;
mod keeper;
mod pause;
mod status;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Duties, Duty};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Api, Inbound};
use crate::context::Context;
use crate::duty::{Left, OnDuty};
use crate::memory::BodyMemory;
use connect::Socket;
use pause::Pause;
use stream::Exit;

pub(crate) use connect::Target;
pub(crate) use status::{SourceState, SourceStatus, Status};

/// How long is waited for what; shorter in tests.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// A ping is sent this often, and a source that has said nothing for two periods is given up.
    ping: Duration,
    /// For name, connection, TLS and handshake together.
    connect_max: Duration,
    /// First and longest pause between two attempts. A long one would only lose more events.
    pause: (Duration, Duration),
    /// What the greeting was made from is asked for again this often.
    refresh: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(15),
            connect_max: Duration::from_secs(10),
            pause: (Duration::from_secs(1), Duration::from_secs(30)),
            refresh: Duration::from_secs(5 * 60),
        }
    }
}

/// A connection that held this long is no reason to wait before the next one.
const STABLE: Duration = Duration::from_secs(60);

/// A source that is to be dialled.
pub(crate) struct Source {
    inbound: Arc<Inbound>,
    target: Target,
    /// Asked for what the greeting needs.
    api: Option<Api>,
    memory: BodyMemory,
    status: Arc<Status>,
    duties: Arc<dyn Duties>,
    /// Those that may dial it; all when empty.
    gateways: Vec<String>,
    timing: Timing,
}

/// All sources at work.
pub(crate) struct Sources {
    running: HashMap<String, Running>,
    /// The gateway stops: no source waits for a full spool any more.
    stop: CancellationToken,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sources {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            running: HashMap::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Sets a source to work: when another one of its inbound is at work, or still ending, that one ends first.
    pub(crate) fn start(&mut self, source: Source) {
        let name = source.inbound.name().to_owned();
        let before = self.take(&name);
        let stop = self.stop.child_token();
        let (stopped, all_stop) = (stop.clone(), self.stop.clone());
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            source.supervise(stopped, all_stop).await;
        });
        self.running.insert(name, Running { stop, task });
    }

    /// Ends the source of an inbound, and does not wait for it.
    pub(crate) fn end(&mut self, inbound: &str) {
        if let Some(task) = self.take(inbound) {
            // Who begins anew under this name waits for it.
            let stop = self.stop.child_token();
            self.running
                .insert(inbound.to_owned(), Running { stop, task });
        }
    }

    fn take(&mut self, inbound: &str) -> Option<JoinHandle<()>> {
        let running = self.running.remove(inbound)?;
        running.stop.cancel();
        Some(running.task)
    }

    /// Closes every connection and waits until what was read is kept.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for running in self.running.into_values() {
            let _ = running.task.await;
        }
    }
}

/// What a source is told after every connect.
struct Greeting {
    messages: Vec<String>,
    /// Whether it was made from what its API said, and may become another.
    asked: bool,
}

/// When a source's work ends by a defect of ours, it begins anew after this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

impl Source {
    /// A source that was not dialled yet.
    pub(crate) fn new(
        inbound: &Arc<Inbound>,
        target: Target,
        api: Option<Api>,
        context: &Context,
    ) -> Self {
        let status = Status::new(inbound.name(), Arc::clone(&context.clock));
        Self {
            inbound: Arc::clone(inbound),
            target,
            api,
            memory: context.memory.clone(),
            status: Arc::new(status),
            duties: Arc::clone(&context.duties),
            gateways: Vec::new(),
            timing: Timing::default(),
        }
    }

    /// One that only these gateways may dial; all when there are none.
    pub(crate) fn of_gateways(self, gateways: &[String]) -> Self {
        Self {
            gateways: gateways.to_vec(),
            ..self
        }
    }

    /// How it stands.
    pub(crate) fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Works until `stop`, while its duty is this gateway's. `all_stop`: the gateway stops as well.
    async fn supervise(self, stop: CancellationToken, all_stop: CancellationToken) {
        let source = Arc::new(self);
        let duty = Duty::Source(source.inbound.name().into());
        while !stop.is_cancelled() {
            if source.duties.health().is_some() {
                source.status.elsewhere();
            }
            let duty = tokio::select! {
                biased;
                duty = OnDuty::take(&source.duties, duty.clone(), &source.gateways) => duty,
                () = stop.cancelled() => break,
            };
            let left = source.on_duty(&duty, &stop, &all_stop).await;
            duty.end(left).await;
        }
        source.status.stopped();
    }

    /// Works until `stop`, or until another gateway is to dial the source. A panic is a defect of ours; it must cost a second,
    /// not the source.
    async fn on_duty(
        self: &Arc<Self>,
        duty: &OnDuty,
        stop: &CancellationToken,
        all_stop: &CancellationToken,
    ) -> Left {
        let (shift, mut left) = (stop.child_token(), Left::HandedOver);
        loop {
            let work = Arc::clone(self).run(shift.clone(), all_stop.clone());
            let mut work = AbortOnDropHandle::new(tokio::spawn(work));
            let ended = loop {
                tokio::select! {
                    biased;
                    () = duty.lost(), if left != Left::Lost => {
                        left = Left::Lost;
                        shift.cancel();
                    }
                    () = duty.wanted(), if !shift.is_cancelled() => shift.cancel(),
                    ended = &mut work => break ended,
                }
            };
            if ended.is_ok() {
                return left;
            }
            self.status
                .failed("its work broke off by a defect of the gateway".into());
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    async fn run(self: Arc<Self>, stop: CancellationToken, all_stop: CancellationToken) {
        let mut pause = Pause::new(self.timing.pause);
        let mut greeting = None;
        while !stop.is_cancelled() {
            let opened = tokio::select! {
                () = stop.cancelled() => break,
                opened = self.open(&mut greeting) => opened,
            };
            match opened {
                Ok((socket, greeted)) => {
                    let began = Instant::now();
                    self.status.connected();
                    let ended = self.live(socket, &greeted, &stop, &all_stop).await;
                    self.status.lost(&ended);
                    if ended == Exit::Changed {
                        continue;
                    }
                    if began.elapsed() >= STABLE {
                        pause.reset();
                    }
                }
                Err(reason) => self.status.failed(reason),
            }
            let pause = pause.next(rand::random());
            self.status.waits(pause);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Finds out what to say, connects and says it. `known` is what was said last, for when the API does not answer now.
    async fn open(&self, known: &mut Option<Vec<String>>) -> Result<(Socket, Greeting), String> {
        self.status.connects();
        let greeting = match (self.greeting().await, &known) {
            (Ok(greeting), _) => greeting,
            (Err(reason), Some(known)) => {
                tracing::warn!(
                    inbound = self.inbound.name(),
                    reason,
                    "greeting the source as the last time"
                );
                Greeting {
                    messages: known.clone(),
                    asked: true,
                }
            }
            (Err(reason), None) => return Err(reason),
        };
        let connected = self.target.connect(&greeting.messages);
        let socket = tokio::time::timeout(self.timing.connect_max, connected)
            .await
            .map_err(|_| "it does not answer in time".to_owned())??;
        *known = Some(greeting.messages.clone());
        Ok((socket, greeting))
    }

    async fn greeting(&self) -> Result<Greeting, String> {
        let mut dialogue = self.inbound.greeting();
        let Some(api) = &self.api else {
            return said(&mut *dialogue);
        };
        let led = api.lead(&mut *dialogue).await?;
        Ok(Greeting {
            messages: led.result,
            asked: led.asked,
        })
    }

    /// One connection's life, until all that was read of it is kept.
    async fn live(
        &self,
        socket: Socket,
        greeted: &Greeting,
        stop: &CancellationToken,
        all_stop: &CancellationToken,
    ) -> Exit {
        let enough = stop.child_token();
        let peer = socket.get_ref().peer();
        let (queue, queued) = keeper::queue();
        let read = stream::read(socket, queue, &self.memory, self.timing.ping, &enough);
        let keep = keeper::keep(&self.inbound, peer, queued, &self.status, all_stop);
        let refresh = async {
            self.until_changed(greeted).await;
            enough.cancel();
            std::future::pending::<()>().await;
        };
        let work = async { tokio::join!(read, keep).0 };
        let ended = tokio::select! {
            ended = work => ended,
            () = refresh => Exit::Enough,
        };
        match ended {
            Exit::Enough if !stop.is_cancelled() => Exit::Changed,
            ended => ended,
        }
    }

    /// Ends when the source would have to be told something else than it was. The documents know one message after a
    /// connect and no second one, so it is to be dialled anew then.
    async fn until_changed(&self, greeted: &Greeting) {
        if !greeted.asked {
            return std::future::pending().await;
        }
        loop {
            let jitter = self.timing.refresh.mul_f64(rand::random::<f64>() * 0.2);
            tokio::time::sleep(self.timing.refresh - jitter).await;
            match self.greeting().await {
                Ok(greeting) if greeting.messages != greeted.messages => return,
                Ok(_) => {}
                Err(reason) => {
                    tracing::debug!(
                        inbound = self.inbound.name(),
                        reason,
                        "cannot ask the source's API again"
                    );
                }
            }
        }
    }
}

/// A greeting for which nothing has to be asked.
fn said(dialogue: &mut dyn faceway_core::Dialogue<Vec<String>>) -> Result<Greeting, String> {
    match dialogue.begin() {
        faceway_core::Step::Done(messages) => Ok(Greeting {
            messages,
            asked: false,
        }),
        faceway_core::Step::Failed(reason) | faceway_core::Step::Denied(reason) => {
            Err(reason.into_owned())
        }
        faceway_core::Step::Ask(_) => Err("its API has to be asked: add `api_url`".into()),
    }
}

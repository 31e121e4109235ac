//! What an operator asks of a lane at work. The lane's owner does it, as only the owner may change the lane's state.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Span, Timestamp};
use faceway_lane::{Offer, Place};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::Runner;

/// A command, and where its answer goes.
#[derive(Debug)]
pub enum Command {
    /// Let the next probe leave now.
    Probe,
    /// Hand the events of this time out once more.
    Replay {
        /// Where they stand in the log.
        span: Span,
        /// From then on.
        since: Timestamp,
        /// Until before.
        until: Timestamp,
        /// The number of the job; `None` when the lane is fenced.
        reply: oneshot::Sender<Option<u64>>,
    },
    /// Let buried events wait again.
    Revive {
        /// Which.
        events: Vec<Offer>,
        /// How many; `None` when the lane is fenced.
        reply: oneshot::Sender<Option<u64>>,
    },
    /// Remove buried events for good.
    DropBuried {
        /// Which.
        seqs: Vec<u64>,
        /// How many; `None` when the lane is fenced.
        reply: oneshot::Sender<Option<u64>>,
    },
    /// Say where an event stands, and after how long it is due.
    Place {
        /// Which.
        seq: u64,
        /// The answer.
        reply: oneshot::Sender<(Place, Option<Duration>)>,
    },
}

/// The commands for one lane. They outlive its work, which begins anew when its outbound changes.
#[derive(Clone)]
pub(in crate::dispatch) struct Commands(Arc<Mutex<Waiting>>);

struct Waiting {
    received: mpsc::Receiver<Command>,
    /// It came while the lane did not work.
    first: Option<Command>,
}

impl Commands {
    /// Commands that come by this channel.
    pub(in crate::dispatch) fn new(received: mpsc::Receiver<Command>) -> Self {
        Self(Arc::new(Mutex::new(Waiting {
            received,
            first: None,
        })))
    }

    /// The next command; never when there will be none. Dropping the future loses none.
    pub(super) async fn next(&self) -> Command {
        let mut waiting = self.0.lock().await;
        if let Some(command) = waiting.first.take() {
            return command;
        }
        match waiting.received.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }

    /// Drops the next command: another gateway works the lane, and this one can do nothing with it.
    pub(in crate::dispatch) async fn refuse(&self) {
        drop(self.next().await);
    }

    /// The command that came while the lane did not work.
    async fn take_waiting(&self) -> Option<Command> {
        let mut waiting = self.0.lock().await;
        waiting
            .first
            .take()
            .or_else(|| waiting.received.try_recv().ok())
    }

    /// Waits until a command is there for the next work. Dropping the future loses none.
    pub(in crate::dispatch) async fn wait(&self) {
        let command = self.next().await;
        self.0.lock().await.first = Some(command);
    }
}

impl Runner {
    /// Does what was asked while the lane did not work, and shows how it stands then.
    pub(in crate::dispatch) async fn after_waiting_commands(mut self) -> Self {
        while let Some(command) = self.tools.commands.take_waiting().await {
            self.obey(command).await;
        }
        self.show();
        self
    }

    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Probe => {
                if self.lane.probe_now(self.tick()) {
                    tracing::info!(
                        outbound = self.tools.name,
                        "the next probe leaves now, as asked"
                    );
                }
            }
            Command::Replay {
                span,
                since,
                until,
                reply,
            } => {
                let number = self
                    .lane
                    .replay((span.first_seq, span.through_seq), (since, until));
                let is_kept = self.keep_all().await;
                // Who asked may be gone: the job is there all the same.
                let _ = reply.send(is_kept.then_some(number));
            }
            Command::Revive { events, reply } => {
                self.lane.revive(&events);
                let is_kept = self.keep_all().await;
                let _ = reply.send(is_kept.then_some(events.len() as u64));
            }
            Command::DropBuried { seqs, reply } => {
                self.lane.drop_buried(&seqs);
                let is_kept = self.keep_all().await;
                let _ = reply.send(is_kept.then_some(seqs.len() as u64));
            }
            Command::Place { seq, reply } => {
                let place = self.lane.place(seq);
                let left = place.due().map(|due| due.since(self.tick()));
                let _ = reply.send((place, left));
            }
        }
    }
}

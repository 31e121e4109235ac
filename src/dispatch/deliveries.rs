//! What is on its way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Code, Entry, Outbound, Scope, Verdict};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::render::{Rendered, Renderer};

/// The deliveries of one lane.
pub(super) struct Deliveries {
    outbound: Arc<dyn Outbound>,
    renderer: Arc<Renderer>,
    tasks: JoinSet<Finished>,
    /// The number and the events of each, in case its task ends without a word.
    carried: HashMap<Id, (u64, Arc<[Entry]>)>,
}

/// A delivery that has ended.
pub(super) struct Ended {
    /// As the lane numbered it.
    pub(super) number: u64,
    /// The events that it carried; not empty.
    pub(super) entries: Arc<[Entry]>,
    pub(super) finished: Finished,
}

/// How it ended.
pub(super) struct Finished {
    /// So many of its events, from the first, were in the message; the others stay untried.
    pub(super) events: usize,
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
    /// The task broke off: a defect of ours.
    pub(super) broke_off: bool,
}

impl Deliveries {
    pub(super) fn new(outbound: Arc<dyn Outbound>, renderer: Arc<Renderer>) -> Self {
        Self {
            outbound,
            renderer,
            tasks: JoinSet::new(),
            carried: HashMap::new(),
        }
    }

    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Sends these events, in one message.
    pub(super) fn begin(&mut self, number: u64, entries: Vec<Entry>) {
        let entries: Arc<[Entry]> = entries.into();
        let outbound = Arc::clone(&self.outbound);
        let renderer = Arc::clone(&self.renderer);
        let carried = Arc::clone(&entries);
        let task = self.tasks.spawn(async move {
            let began = Instant::now();
            let Rendered { message, events } = renderer.render(&entries).await;
            let verdict = match message {
                Ok(message) => outbound.deliver(&message).await,
                Err(verdict) => verdict,
            };
            Finished {
                events,
                verdict,
                took: began.elapsed(),
                broke_off: false,
            }
        });
        self.carried.insert(task.id(), (number, carried));
    }

    /// Waits for the next one to end; `None` when nothing is on its way. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        loop {
            let ended = self.tasks.join_next_with_id().await?;
            if let Some(ended) = self.ended(ended) {
                return Some(ended);
            }
        }
    }

    /// One more that has ended by now.
    pub(super) fn next_at_once(&mut self) -> Option<Ended> {
        loop {
            let ended = self.tasks.try_join_next_with_id()?;
            if let Some(ended) = self.ended(ended) {
                return Some(ended);
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, Finished), JoinError>) -> Option<Ended> {
        let (id, finished) = match ended {
            Ok((id, finished)) => (id, Some(finished)),
            Err(error) => (error.id(), None),
        };
        let (number, entries) = self.carried.remove(&id)?;
        let finished = finished.unwrap_or_else(|| Finished::broken(entries.len()));
        Some(Ended {
            number,
            entries,
            finished,
        })
    }

    /// Gives up what is still on its way.
    pub(super) async fn give_up(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl Finished {
    fn broken(events: usize) -> Self {
        Self {
            events,
            verdict: Verdict::Retry {
                scope: Scope::Message,
                code: Code::word("internal"),
                after: None,
            },
            took: Duration::ZERO,
            broke_off: true,
        }
    }
}

//! How a lane is: for the admin API, the metrics, the console.

use std::time::Duration;

use faceway_core::{Code, LaneSurvey, Timestamp};
use faceway_lane::{LaneView, Stage, Tick};
use tokio::sync::watch;

/// Routing takes milliseconds, also behind a long outage.
const ROUTING_PATIENCE: Duration = Duration::from_millis(500);

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Nothing to deliver.
    Idle,
    /// Events are in flight, or leave at once.
    Delivering,
    /// The destination is down; the next probe leaves at `until`.
    Waiting {
        /// When the next probe leaves.
        until: Timestamp,
        /// When the outage began.
        since: Timestamp,
    },
    /// Only devices are left of which an event is parked.
    Blocked,
    /// The gateway is shutting down, or the lane begins anew.
    Stopped,
    /// Another gateway of the site works it, or none does at this moment.
    Elsewhere,
}

impl LaneState {
    /// All words, for metrics that have a series for each.
    pub const WORDS: [&str; 6] = [
        "idle",
        "delivering",
        "waiting",
        "blocked",
        "stopped",
        "claimed elsewhere",
    ];

    /// The word in metrics and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Delivering => "delivering",
            Self::Waiting { .. } => "waiting",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
            Self::Elsewhere => "claimed elsewhere",
        }
    }
}

/// A failed attempt: when, and what the far side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// When.
    pub at: Timestamp,
    /// What it said.
    pub code: Code,
}

/// The face that a lane shows. Only its lane writes it.
#[derive(Debug)]
pub struct LaneStatus(watch::Sender<Shown>);

/// What a lane shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What it is doing.
    pub state: LaneState,
    /// Since when.
    pub since: Timestamp,
    /// The last failure.
    pub last_failure: Option<LastFailure>,
    /// The numbers; `None` until the lane has been read.
    pub survey: Option<LaneSurvey>,
}

impl LaneStatus {
    /// A lane that has just been made.
    pub fn new(now: Timestamp) -> Self {
        Self(watch::Sender::new(Shown {
            // Until it has been read it is not known to have nothing to deliver.
            state: LaneState::Delivering,
            since: now,
            last_failure: None,
            survey: None,
        }))
    }

    /// What it shows now.
    pub fn get(&self) -> Shown {
        self.0.borrow().clone()
    }

    /// What it shows once it has routed the log up to `tail`: else what was kept a moment ago would be missing in it. A lane
    /// that cannot, as its spool fails, is not waited for.
    pub async fn caught_up(&self, tail: u64) -> Shown {
        let mut shown = self.0.subscribe();
        let is_there = |shown: &Shown| {
            let survey = shown.survey;
            survey.is_some_and(|survey| survey.routed_through >= tail)
        };
        let _ = tokio::time::timeout(ROUTING_PATIENCE, shown.wait_for(is_there)).await;
        self.get()
    }

    /// What it shows, as it changes.
    pub fn watch(&self) -> watch::Receiver<Shown> {
        self.0.subscribe()
    }

    pub(super) fn show(&self, view: LaneView, tick: Tick, now: Timestamp) {
        let state = match view.stage {
            Stage::Idle => LaneState::Idle,
            Stage::Delivering => LaneState::Delivering,
            Stage::Blocked => LaneState::Blocked,
            Stage::Waiting { until, since } => LaneState::Waiting {
                until: now.plus(until.since(tick)),
                since: before(now, tick.since(since)),
            },
        };
        self.set(state, Some(view.survey), now);
    }

    pub(super) fn stopped(&self, view: LaneView, now: Timestamp) {
        self.set(LaneState::Stopped, Some(view.survey), now);
    }

    /// Its numbers are in the store: this gateway knows them no longer.
    pub(super) fn elsewhere(&self, now: Timestamp) {
        self.set(LaneState::Elsewhere, None, now);
    }

    fn set(&self, state: LaneState, survey: Option<LaneSurvey>, now: Timestamp) {
        self.0.send_if_modified(|shown| {
            let is_another = shown.state.as_str() != state.as_str();
            if is_another {
                shown.since = now;
            }
            let changed = shown.state != state || shown.survey != survey;
            shown.state = state;
            shown.survey = survey;
            changed
        });
    }

    pub(super) fn failed(&self, code: &Code, now: Timestamp) {
        self.0.send_modify(|shown| {
            shown.last_failure = Some(LastFailure {
                at: now,
                code: code.clone(),
            });
        });
    }
}

fn before(now: Timestamp, ago: Duration) -> Timestamp {
    now.plus_millis(-i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
}

//! How a lane is, for those who look: the admin API, the metrics, the console.

use std::sync::{Mutex, PoisonError};

use faceway_core::{Code, Timestamp};

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Nothing to deliver now.
    Idle,
    /// Events are on their way.
    Delivering,
    /// The destination is down; the next probe leaves at `until`.
    Waiting {
        /// When the next probe leaves.
        until: Timestamp,
        /// When the outage began.
        since: Timestamp,
    },
    /// The gateway is shutting down.
    Stopped,
}

impl LaneState {
    /// All words, for metrics that have a series for each.
    pub const WORDS: [&str; 4] = ["idle", "delivering", "waiting", "stopped"];

    /// The word in metrics and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Delivering => "delivering",
            Self::Waiting { .. } => "waiting",
            Self::Stopped => "stopped",
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

/// The face that a lane shows. Written by its lane only.
#[derive(Debug)]
pub struct LaneStatus(Mutex<Shown>);

#[derive(Clone, Debug)]
struct Shown {
    state: LaneState,
    since: Timestamp,
    last_failure: Option<LastFailure>,
}

impl LaneStatus {
    /// A lane that has just been made.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Shown {
            state: LaneState::Idle,
            since: now,
            last_failure: None,
        }))
    }

    /// What it is doing, since when, and the last failure.
    pub fn get(&self) -> (LaneState, Timestamp, Option<LastFailure>) {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (shown.state, shown.since, shown.last_failure.clone())
    }

    pub(super) fn set(&self, state: LaneState, now: Timestamp) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.state.as_str() != state.as_str() {
            shown.since = now;
        }
        shown.state = state;
    }

    pub(super) fn failed(&self, code: &Code, now: Timestamp) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.last_failure = Some(LastFailure {
            at: now,
            code: code.clone(),
        });
    }
}

//! How a terminal stands, for the admin API, the metrics, the console.

use std::sync::{Mutex, PoisonError};

use faceway_core::Timestamp;

/// How a terminal stands; what an operator has to put right comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TerminalState {
    /// An operator has to put something right.
    Refused,
    /// It does not answer.
    Unreachable,
    /// Its turn has not come.
    Unchecked,
    /// It posts to us.
    Subscribed,
}

impl TerminalState {
    /// All of them, for metrics that have a series for each.
    pub(crate) const ALL: [Self; 4] = [
        Self::Refused,
        Self::Unreachable,
        Self::Unchecked,
        Self::Subscribed,
    ];

    /// The word in metrics and in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Unchecked => "unchecked",
            Self::Subscribed => "subscribed",
        }
    }
}

/// What is new about a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// Another refusal.
    Message,
    State,
}

/// The face that a terminal shows. Written by its task only.
#[derive(Debug)]
pub(super) struct TerminalStatus(Mutex<Shown>);

#[derive(Clone, Debug)]
struct Shown {
    state: TerminalState,
    since: Timestamp,
    message: Option<String>,
}

impl TerminalStatus {
    pub(super) fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Shown {
            state: TerminalState::Unchecked,
            since: now,
            message: None,
        }))
    }

    pub(super) fn get(&self) -> (TerminalState, Timestamp, Option<String>) {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (shown.state, shown.since, shown.message.clone())
    }

    /// Why a terminal cannot be reached may be another word each time; that is no change.
    pub(super) fn set(
        &self,
        state: TerminalState,
        message: Option<String>,
        now: Timestamp,
    ) -> Change {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let change = if shown.state != state {
            shown.since = now;
            Change::State
        } else if state == TerminalState::Refused && shown.message != message {
            Change::Message
        } else {
            Change::Nothing
        };
        shown.state = state;
        shown.message = message;
        change
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::Timestamp;

    use super::{Change, TerminalState, TerminalStatus};

    #[test]
    fn only_what_changes_is_news() {
        let time = |second: u32| -> Timestamp {
            format!("2026-11-22T08:15:{second:02}Z").parse().unwrap()
        };
        let status = TerminalStatus::new(time(0));
        let mut second = 0;
        let mut set = |state, message: Option<&str>| {
            second += 1;
            status.set(state, message.map(str::to_owned), time(second))
        };
        assert_eq!(set(TerminalState::Unreachable, Some("a")), Change::State);
        assert_eq!(set(TerminalState::Unreachable, Some("b")), Change::Nothing);
        assert_eq!(set(TerminalState::Refused, Some("b")), Change::State);
        assert_eq!(set(TerminalState::Refused, Some("b")), Change::Nothing);
        assert_eq!(set(TerminalState::Refused, Some("c")), Change::Message);
        assert_eq!(set(TerminalState::Subscribed, None), Change::State);
        assert_eq!(set(TerminalState::Subscribed, None), Change::Nothing);
        assert_eq!(status.get(), (TerminalState::Subscribed, time(6), None));
    }
}

//! The contract of lanes: who may work on one, what is kept of it, and how a change becomes durable.
//!
//! A store knows nothing of retries, order or fairness. It keeps what the lane machine (`lane/`) says, hands it to the next
//! one who claims the lane, and refuses a change by a claim that is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Attempt, BoxFuture, Code, OnceMark, Parked, SpoolError, Start, Timestamp};

/// Keeps lanes. Every call can fail, as a network may lie between.
pub trait LaneStore: Send + Sync + 'static {
    /// Names of all lanes, also of those whose outbound is no longer configured.
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, SpoolError>>;

    /// Makes the caller the owner of this lane, and gives what is kept of it. A lane that does not exist is made; `start`
    /// counts only then. The owner before is fenced from now on.
    fn claim(
        &self,
        name: &str,
        start: Start,
    ) -> BoxFuture<'_, Result<(Claim, LaneState), SpoolError>>;

    /// Keeps a change as a whole: durable when it returns `Ok`. After [`CommitError::Unavailable`] the change may be there
    /// all the same; the caller commits it again, together with what came since. Committing a change twice does no harm,
    /// as it says what is, not what is added. Gives how many events are buried now: a replay may bury one once more.
    fn commit(&self, claim: &Claim, change: LaneChange) -> BoxFuture<'_, Result<u64, CommitError>>;

    /// What is kept of a lane, without claiming it; `None` when there is none of that name.
    fn look(&self, name: &str) -> BoxFuture<'_, Result<Option<LaneState>, SpoolError>>;

    /// Forgets a lane with all that it holds. `false` when there is none of that name. Its owner is fenced.
    fn delete(&self, name: &str) -> BoxFuture<'_, Result<bool, SpoolError>>;
}

/// The right to work on a lane. It ends when another one claims the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Name of the lane.
    pub lane: Arc<str>,
    /// Grows with every claim of this lane.
    pub epoch: u64,
}

/// Why a change is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another one owns the lane, or it was deleted: stop delivering at once.
    #[error("the lane is claimed elsewhere")]
    Fenced,
    /// The store cannot say whether the change is durable: commit it again.
    #[error("the lane's state cannot be kept now")]
    Unavailable,
}

/// A lane as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneState {
    /// The rules have been asked about every entry of the log up to this sequence number.
    pub routed_through: u64,
    /// What is routed to this outbound and not acknowledged, by ranges of the log ([`crate::waiting`]), ascending.
    pub waiting: Vec<(u64, Bytes)>,
    /// What is known of some of the waiting events, ascending.
    pub held: Vec<(u64, HeldEvent)>,
    /// Events of which a former version did not keep whether they are for this outbound, ascending: the rules are asked
    /// about them before anything behind [`LaneState::routed_through`].
    pub undecided: Vec<u64>,
    /// Jobs that hand out a stretch of the log once more.
    pub replays: Vec<Replay>,
    /// What `once` has let pass, the earliest `until` first.
    pub passed: Vec<OnceMark>,
    /// Buried events.
    pub buried: u64,
}

/// What changed in a lane since the last commit. Everything in it says what is, so a change can be committed twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneChange {
    /// See [`LaneState::routed_through`].
    pub routed_through: u64,
    /// Ranges that changed, whole; `None` where nothing waits any more.
    pub waiting: Vec<(u64, Option<Bytes>)>,
    /// Waiting events of which something else is known now; `None` where there is nothing to know any more.
    pub held: Vec<(u64, Option<HeldEvent>)>,
    /// Given up: the store keeps a copy of the event with it; `None` where a buried event waits again, and its copy is the
    /// event.
    pub burials: Vec<(u64, Option<Burial>)>,
    /// Buried events that are gone for good.
    pub dropped: Vec<u64>,
    /// The whole list, when it changed.
    pub undecided: Option<Vec<u64>>,
    /// The whole list, when it changed.
    pub replays: Option<Vec<Replay>>,
    /// What `once` has let pass since.
    pub passed: Vec<OnceMark>,
    /// Attempts, for an event's trace.
    pub attempts: Vec<(u64, Attempt)>,
}

/// What is known of a waiting event beyond that it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldEvent {
    /// How often it has failed alone.
    pub failures: u32,
    /// Why it does not leave at once.
    pub hold: Option<Hold>,
}

/// Why a waiting event does not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It failed, and waits for its own retry.
    Parked {
        /// How long it waits.
        pause: Duration,
        /// When that was set, by the wall clock: data for the next start, never a timer.
        set_at: Timestamp,
        /// Why it waits.
        why: Parked,
    },
    /// The destination refused it. Whether it is buried depends on what the destination does with others; until then later
    /// events of its device pass it.
    Suspended {
        /// What the destination said.
        code: Code,
    },
}

/// An event that is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burial {
    /// When, by the wall clock.
    pub at: Timestamp,
    /// Why.
    pub code: Code,
    /// How often it had failed alone before.
    pub failures: u32,
}

/// A stretch of the log that is handed out once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Its number, ascending in a lane.
    pub number: u64,
    /// The rules have been asked about its entries up to this sequence number.
    pub routed_through: u64,
    /// Its last sequence number.
    pub through_seq: u64,
    /// Only events that came in from then on.
    pub since: Timestamp,
    /// Only events that came in before.
    pub until: Timestamp,
}

/// How a lane stands, from what is kept of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneSurvey {
    /// Events that are routed to the outbound and not acknowledged.
    pub backlog: u64,
    /// The lowest of them.
    pub first: Option<u64>,
    /// Events that wait for their own retry.
    pub parked: u64,
    /// Buried events.
    pub buried: u64,
    /// The rules have been asked about everything up to here, but for what a former version left undecided.
    pub routed_through: u64,
    /// Jobs that hand out a stretch of the log once more, and are not routed to their end.
    pub replays: usize,
}

impl LaneState {
    /// How the lane stands.
    pub fn survey(&self) -> LaneSurvey {
        let waiting = self
            .waiting
            .iter()
            .filter_map(|(range, bytes)| crate::waiting::decode(*range, bytes));
        let (mut backlog, mut first) =
            (self.undecided.len() as u64, self.undecided.first().copied());
        for events in waiting {
            backlog += events.len() as u64;
            first = first
                .into_iter()
                .chain(events.first().map(|(seq, _)| *seq))
                .min();
        }
        let is_parked = |held: &HeldEvent| matches!(held.hold, Some(Hold::Parked { .. }));
        let parked = self.held.iter().filter(|(_, held)| is_parked(held));
        LaneSurvey {
            backlog,
            first,
            parked: parked.count() as u64,
            buried: self.buried,
            routed_through: self.routed_through,
            replays: self.replays.len(),
        }
    }

    /// The lane after this change: what every store keeps, in whatever form.
    pub fn apply(&mut self, change: LaneChange) {
        self.routed_through = change.routed_through;
        put(&mut self.waiting, change.waiting);
        put(&mut self.held, change.held);
        self.undecided = change
            .undecided
            .unwrap_or(std::mem::take(&mut self.undecided));
        self.replays = change.replays.unwrap_or(std::mem::take(&mut self.replays));
        for passed in change.passed {
            let is_same = |known: &OnceMark| {
                (&known.route, known.key, known.id) == (&passed.route, passed.key, passed.id)
            };
            self.passed.retain(|known| !is_same(known));
            self.passed.push(passed);
        }
        self.passed.sort_by_key(|passed| passed.until);
    }
}

/// Puts what changed into an ascending list.
fn put<T>(kept: &mut Vec<(u64, T)>, changed: Vec<(u64, Option<T>)>) {
    for (number, value) in changed {
        let at = kept.binary_search_by_key(&number, |(number, _)| *number);
        match (at, value) {
            (Ok(at), Some(value)) => kept[at].1 = value,
            (Ok(at), None) => _ = kept.remove(at),
            (Err(at), Some(value)) => kept.insert(at, (number, value)),
            (Err(_), None) => {}
        }
    }
}

impl LaneChange {
    /// Adds what came later; where both know something, the later one counts.
    pub fn merge(&mut self, later: Self) {
        self.routed_through = self.routed_through.max(later.routed_through);
        replace(&mut self.waiting, later.waiting);
        replace(&mut self.held, later.held);
        replace(&mut self.burials, later.burials);
        self.dropped.extend(later.dropped);
        self.undecided = later.undecided.or(self.undecided.take());
        self.replays = later.replays.or(self.replays.take());
        self.passed.extend(later.passed);
        self.attempts.extend(later.attempts);
    }
}

/// Puts `later` over `earlier`, by the first of each pair, ascending.
fn replace<T>(earlier: &mut Vec<(u64, T)>, later: Vec<(u64, T)>) {
    let mut merged: std::collections::BTreeMap<u64, T> =
        std::mem::take(earlier).into_iter().collect();
    merged.extend(later);
    earlier.extend(merged);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_change_counts_more() {
        let mut change = LaneChange {
            routed_through: 7,
            waiting: vec![(0, Some(Bytes::from_static(b"a"))), (2, None)],
            undecided: Some(vec![1]),
            ..LaneChange::default()
        };
        change.merge(LaneChange {
            routed_through: 9,
            waiting: vec![(0, None), (1, None)],
            replays: Some(Vec::new()),
            ..LaneChange::default()
        });
        assert_eq!(change.routed_through, 9);
        assert_eq!(change.waiting, [(0, None), (1, None), (2, None)]);
        assert_eq!(
            (change.undecided, change.replays),
            (Some(vec![1]), Some(Vec::new()))
        );
    }
}

//! How a lane stands, for those who look.

use faceway_core::{Hold, LaneSurvey};

use super::Lane;
use crate::Tick;

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing to deliver.
    Idle,
    /// Events are in flight, or leave at once.
    Delivering,
    /// The breaker is open: the next probe leaves at `until`.
    Waiting {
        /// When the next probe leaves.
        until: Tick,
        /// When the outage began.
        since: Tick,
    },
    /// Only devices are left of which an event is parked.
    Blocked,
}

/// How a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// What it is doing.
    pub stage: Stage,
    /// The numbers: exact.
    pub survey: LaneSurvey,
    /// Events in flight.
    pub in_flight: usize,
    /// When the next parked event is due.
    pub next_due: Option<Tick>,
}

/// Where one event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The rules have not been asked about it.
    Unrouted,
    /// It waits for its turn.
    Waiting,
    /// It waits behind a parked event of its device.
    Behind,
    /// It is in flight.
    InFlight,
    /// It failed and waits for its own retry.
    Parked {
        /// When it is due.
        due: Option<Tick>,
    },
    /// It was refused, and is buried or comes again.
    Suspended,
    /// It is not for this outbound, or it was delivered, buried or let go.
    Through,
}

impl Place {
    /// When it is due, where it waits for a time of its own.
    pub const fn due(self) -> Option<Tick> {
        match self {
            Self::Parked { due } => due,
            _ => None,
        }
    }
}

impl Lane {
    /// Where an event stands.
    pub fn place(&mut self, seq: u64) -> Place {
        let Some(device) = self.ranges.get(seq) else {
            let is_routed = seq <= self.routed_through && !self.undecided.contains(&seq);
            return if is_routed {
                Place::Through
            } else {
                Place::Unrouted
            };
        };
        let mut flights = self.flights.values().flatten();
        match self.held.get(&seq).and_then(|held| held.hold.as_ref()) {
            _ if flights.any(|flight| flight.event.seq == seq) => Place::InFlight,
            Some(Hold::Parked { .. }) => Place::Parked {
                due: self.queues.due(seq),
            },
            Some(Hold::Suspended { .. }) => Place::Suspended,
            None if self.queues.is_blocked(device) => Place::Behind,
            None => Place::Waiting,
        }
    }

    /// How it stands.
    pub fn view(&mut self) -> LaneView {
        LaneView {
            stage: self.stage(),
            survey: LaneSurvey {
                backlog: self.ranges.backlog() + self.undecided.len() as u64,
                first: self
                    .undecided
                    .first()
                    .copied()
                    .into_iter()
                    .chain(self.ranges.first())
                    .min(),
                parked: self.parked,
                buried: self.buried,
                routed_through: self.routed_through,
                replays: self.replays.len(),
            },
            in_flight: self.flights.values().map(Vec::len).sum(),
            next_due: self.queues.next_due(),
        }
    }

    fn stage(&self) -> Stage {
        if let Some(outage) = self.breaker.outage() {
            Stage::Waiting {
                until: outage.next_probe,
                since: outage.since,
            }
        } else if self.ranges.backlog() == 0 && self.is_routed() {
            Stage::Idle
        } else if self.flights.is_empty() && self.queues.ready() == 0 && self.is_routed() {
            Stage::Blocked
        } else {
            Stage::Delivering
        }
    }
}

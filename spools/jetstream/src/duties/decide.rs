//! What to do about a duty that this gateway wants, by what was read: pure.

use std::collections::BTreeSet;
use std::time::Duration;

use faceway_core::{Duty, Sha256};
use tokio::time::Instant;

use crate::members::Look;

use super::Timing;
use super::pings::Pings;
use super::record::Standing;

/// Between two requests for the same duty.
const ASK: Duration = Duration::from_secs(2);

/// A duty that this gateway waits for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// Names the writes of this wish.
    pub(super) call: u64,
    since: Instant,
    /// Since when no gateway has it, as this gateway sees it.
    free_since: Option<Instant>,
    asked_at: Option<Instant>,
}

/// What is known when a wish is looked at.
pub(super) struct Sight<'a> {
    pub(super) now: Instant,
    pub(super) timing: Timing,
    /// This gateway, and its incarnation.
    pub(super) gateway: &'a str,
    pub(super) incarnation: &'a str,
    /// When the incarnation began.
    pub(super) began: Instant,
    pub(super) members: &'a Look,
    pub(super) pings: &'a Pings,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    /// The owner's record is gone: whether it has ended needs a look that [proves](Look::is_proof) it.
    Prove,
    /// Write the record, on the one with this number.
    Take(u64),
    /// The record with this number is of this wish.
    Mine(u64),
    /// Ask this incarnation for it.
    Ask(String),
}

/// How an owner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lives,
    Ended,
    Unproved,
}

impl Sight<'_> {
    fn fate(&self, incarnation: &str) -> Fate {
        if self.members.living.contains_key(incarnation) {
            let is_dead = self.pings.is_dead(incarnation, self.now);
            return if is_dead { Fate::Ended } else { Fate::Lives };
        }
        if self.members.is_proof {
            Fate::Ended
        } else {
            Fate::Unproved
        }
    }

    /// Whether no gateway that lives is placed better. `but` has given the duty back, so it does not count for others.
    fn is_best(&self, duty: &Duty, but: Option<&str>) -> bool {
        let living = self.members.living.iter();
        let living = living.filter(|(incarnation, _)| !self.pings.is_dead(incarnation, self.now));
        let others: BTreeSet<&str> = living.map(|(_, gateway)| gateway.as_str()).collect();
        let mine = place(duty, self.gateway);
        let mut others = others
            .into_iter()
            .filter(|other| *other != self.gateway && Some(*other) != but);
        !others.any(|other| place(duty, other) > mine)
    }
}

/// How well a gateway is placed for a duty: each gateway has the highest place for a part of all duties.
fn place(duty: &Duty, gateway: &str) -> ([u8; 32], String) {
    let text = format!("{}\n{}\n{gateway}", duty.kind(), duty.name());
    (Sha256::of(text.as_bytes()).0, gateway.to_owned())
}

impl Wish {
    pub(super) fn new(call: u64, now: Instant) -> Self {
        Self {
            call,
            since: now,
            free_since: None,
            asked_at: None,
        }
    }

    pub(super) fn step(&mut self, duty: &Duty, standing: &Standing, sight: &Sight<'_>) -> Step {
        match standing {
            Standing::Free { number, by } => self.free(duty, *number, by.as_deref(), sight),
            Standing::Owned { number, record } if record.incarnation == sight.incarnation => {
                if record.call == self.call {
                    Step::Mine(*number)
                } else {
                    // Of before this gateway was cut off, or of a wish that was taken back.
                    Step::Take(*number)
                }
            }
            Standing::Owned { number, record } => match sight.fate(&record.incarnation) {
                Fate::Ended => self.free(duty, *number, None, sight),
                Fate::Unproved => Step::Prove,
                Fate::Lives => self.owned(duty, &record.incarnation, sight),
            },
            Standing::Unreadable => {
                self.free_since = None;
                Step::Wait
            }
        }
    }

    fn free(&mut self, duty: &Duty, number: u64, by: Option<&str>, sight: &Sight<'_>) -> Step {
        let since = *self.free_since.get_or_insert(sight.now);
        let has_waited = sight.now.saturating_duration_since(since) >= sight.timing.wait;
        if has_waited || sight.is_best(duty, by) {
            Step::Take(number)
        } else {
            Step::Wait
        }
    }

    fn owned(&mut self, duty: &Duty, owner: &str, sight: &Sight<'_>) -> Step {
        self.free_since = None;
        let settled = self.since.max(sight.began) + sight.timing.settle;
        let is_due = self
            .asked_at
            .is_none_or(|at| sight.now.saturating_duration_since(at) >= ASK);
        if sight.now >= settled && is_due && sight.is_best(duty, None) {
            self.asked_at = Some(sight.now);
            return Step::Ask(owner.to_owned());
        }
        Step::Wait
    }
}

#[cfg(test)]
mod tests;

//! What the history of the rules is after an apply. Pure.

use std::collections::HashSet;

use faceway_core::Timestamp;

use super::super::rules_history::{Rules, RulesHistory, UNPLACED};
use super::super::rules_store::Stored;

/// What an apply brings to the history.
pub(super) struct Step<'a> {
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
    /// No lane waits for an event before this one.
    pub(super) needed_from: u64,
    /// New outbounds that begin in the past.
    pub(super) backfilled: Vec<&'a str>,
    /// The names of all lanes in the spool.
    pub(super) lanes: &'a HashSet<String>,
}

impl Step<'_> {
    /// The history after it. What begins with it has no place yet.
    pub(super) fn next(&self, before: Option<&Stored>) -> RulesHistory {
        let next = match before {
            Some(before) => self.after(before),
            None => self.first(),
        };
        next.without_retired(|name| self.lanes.contains(name))
    }

    /// By which rules events were kept for lanes of before the first history is unknown.
    fn first(&self) -> RulesHistory {
        let history = RulesHistory::new(self.now, self.rules.clone());
        let named: HashSet<&String> = self.rules.set.outbounds().iter().collect();
        let unnamed = self.lanes.iter().filter(|name| !named.contains(name));
        unnamed.fold(history, |history, name| {
            history.with_retired(name, UNPLACED)
        })
    }

    fn after(&self, before: &Stored) -> RulesHistory {
        let Stored {
            history,
            unread_after,
        } = before;
        let next = if *history.active().rules == *self.rules {
            history.clone()
        } else {
            let after_seq = unread_after.unwrap_or(UNPLACED);
            history
                .clone()
                .with(after_seq, self.now, self.rules.clone())
        };
        // Before the backfills: new lanes wait for more than was needed until now, but go by the active rules.
        let mut next = next.without_unneeded(self.needed_from);
        for (name, through_seq) in self.returned_without_rules(history) {
            next = next.with_backfill(name, through_seq);
        }
        for name in &self.backfilled {
            next = next.with_backfill(name, UNPLACED);
        }
        next
    }

    /// Outbounds that return and whose last rules are unknown, each with the last event that it was there for: up to that one
    /// they go by the active rules.
    fn returned_without_rules<'a>(
        &'a self,
        before: &'a RulesHistory,
    ) -> impl Iterator<Item = (&'a str, u64)> {
        self.rules.set.outbounds().iter().filter_map(|name| {
            let retired = before.retired().get(name)?;
            let is_unknown = retired.rules.is_none();
            is_unknown.then_some((name.as_str(), retired.through_seq))
        })
    }
}

#[cfg(test)]
mod tests;

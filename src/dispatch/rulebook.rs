//! The rules, edition by edition: an event goes by those that were in force when it was kept.
//!
//! If every lane went by the newest rules, an event that a reload moves from one outbound to another could reach neither:
//! the quick lane has passed it by under the old rules, the slow one passes it by under the new. So a reload opens an
//! edition that counts for the events behind the newest of that moment, in every lane alike, however late it comes to them.

use std::sync::Arc;

use faceway_rules::RouteSet;

/// The editions that are remembered. Who reloads more often within one backlog has the oldest events go by the oldest of
/// these.
const EDITIONS_MAX: usize = 256;

/// All editions since the start that may still be needed, the oldest first; never empty.
#[derive(Clone, Debug)]
pub struct RuleBook(Vec<Edition>);

/// Rules, and for which events.
#[derive(Clone, Debug)]
pub struct Edition {
    /// For events with a higher sequence number than this.
    pub behind: u64,
    /// The rules.
    pub rules: Arc<RouteSet>,
}

impl RuleBook {
    /// One edition, for every event.
    pub fn new(rules: Arc<RouteSet>) -> Self {
        Self(vec![Edition { behind: 0, rules }])
    }

    /// The editions, the oldest first.
    pub fn editions(&self) -> &[Edition] {
        &self.0
    }

    /// The rules for what comes in now.
    pub fn newest(&self) -> &Arc<RouteSet> {
        // It is never empty, so the last one is there.
        &self.0[self.0.len() - 1].rules
    }

    /// The position of the edition for an event.
    pub fn position(&self, seq: u64) -> usize {
        let later = self.0.partition_point(|edition| edition.behind < seq);
        later.saturating_sub(1)
    }

    /// With another edition, for events behind `newest`, the highest sequence number of now.
    #[must_use]
    pub fn with(&self, newest: u64, rules: Arc<RouteSet>) -> Self {
        let mut editions = self.0.clone();
        let behind = newest;
        // Nothing came between: nothing will go by the edition before.
        editions.retain(|edition| edition.behind < behind);
        if editions.is_empty() {
            return Self::new(rules);
        }
        editions.push(Edition { behind, rules });
        if editions.len() > EDITIONS_MAX {
            editions.remove(0);
        }
        Self(editions)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use faceway_rules::RouteSet;

    use super::{EDITIONS_MAX, RuleBook};

    fn rules() -> Arc<RouteSet> {
        Arc::default()
    }

    #[test]
    fn an_event_goes_by_the_rules_that_were_in_force() {
        let book = RuleBook::new(rules()).with(10, rules()).with(20, rules());
        let positions: Vec<_> = [1, 10, 11, 20, 21, u64::MAX]
            .map(|seq| book.position(seq))
            .into();
        assert_eq!(positions, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn editions_for_no_event_are_forgotten_and_so_are_the_oldest_of_many() {
        let first = rules();
        let newest = rules();
        let book = RuleBook::new(Arc::clone(&first))
            .with(10, rules())
            .with(10, Arc::clone(&newest));
        assert_eq!(book.editions().len(), 2);
        assert!(Arc::ptr_eq(book.newest(), &newest));
        assert!(Arc::ptr_eq(
            &book.editions()[book.position(10)].rules,
            &first
        ));
        // Before the first event was kept there is nothing to go by the first.
        assert_eq!(RuleBook::new(rules()).with(0, rules()).editions().len(), 1);
        let mut book = book;
        for newest in 11..2000 {
            book = book.with(newest, rules());
        }
        assert_eq!(book.editions().len(), EDITIONS_MAX);
        assert_eq!(
            book.position(1),
            0,
            "the oldest events go by the oldest that is left"
        );
    }
}

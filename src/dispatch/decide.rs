//! Whether an event is for this lane's outbound, by the rules that are for it.

use std::collections::HashMap;
use std::sync::Arc;

use faceway_core::{Entry, OnceMark};
use faceway_rules::{Asked, OnceState};

use crate::topology::rules_history::{ActiveRules, Rules, RulesHistory};

/// Asks the rules for one lane.
pub(super) struct Decider {
    name: String,
    active: ActiveRules,
    history: Arc<RulesHistory>,
    places: Places,
    /// What `once` has let pass in this lane.
    once: OnceState,
}

/// The lane's outbound in each of the history's rules, by their address: they live as long as the history. `None` where no
/// rule can name it.
type Places = HashMap<usize, Option<usize>>;

/// Whether an event is for this lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// It is to be delivered here.
    Here,
    /// It is not for this outbound.
    Skipped,
}

impl Decider {
    pub(super) async fn new(name: &str, active: ActiveRules) -> Self {
        let history = active.current().await;
        Self {
            name: name.to_owned(),
            places: places(name, &history),
            history,
            active,
            once: OnceState::default(),
        }
    }

    /// Takes in what `once` let pass before the start: without it the first of each passes once more.
    pub(super) fn restore(&mut self, passed: Vec<OnceMark>) {
        self.once.recall(passed);
    }

    /// Takes the history as it is now, with this version of the log at least; what `once` remembers stays.
    pub(super) async fn renew(&mut self, version: u64) {
        self.active.until(version).await;
        let history = self.active.current().await;
        if Arc::ptr_eq(&history, &self.history) {
            return;
        }
        self.places = places(&self.name, &history);
        self.history = history;
        let rules = self.history.texts();
        self.once.retain(rules.iter().map(|rules| &rules.set));
    }

    /// What `once` has let pass since the last call, to be kept.
    pub(super) fn passed(&mut self) -> Vec<OnceMark> {
        self.once.take_news()
    }

    /// Whether an event is for this lane's outbound.
    pub(super) fn decide(&mut self, entry: &Entry) -> Routed {
        let rules = self.history.rules_for(&self.name, entry.seq);
        let place = self.places.get(&Arc::as_ptr(rules).addr());
        let Some(outbound) = place.copied().flatten() else {
            return Routed::Skipped;
        };
        let Some(matched) = self.active.matched(rules, entry.seq, &entry.body) else {
            // Rendering fails as well, so the event is buried with that reason; skipped, it would be gone without a word.
            return Routed::Here;
        };
        let asked = Asked {
            id: entry.id,
            received_at: entry.received_at,
        };
        // Revealed to the rules, which give back nothing but yes or no.
        let event = || rules.set.view(entry.body.reveal()).ok();
        if (rules.set).admits(outbound, &matched, event, &asked, &mut self.once) {
            Routed::Here
        } else {
            Routed::Skipped
        }
    }
}

fn places(name: &str, history: &RulesHistory) -> Places {
    let place = |rules: &Arc<Rules>| (Arc::as_ptr(rules).addr(), rules.set.outbound(name));
    history.texts().into_iter().map(place).collect()
}

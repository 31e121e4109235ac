//! Whether an event is for this lane's outbound, by the rules that are for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use faceway_core::{Lease, Passed};
use faceway_rules::{Asked, OnceState};

use crate::topology::rules_history::{Rules, RulesHistory};

/// Asks the rules for one lane.
pub(super) struct Decider {
    name: String,
    book: Arc<RulesHistory>,
    places: Places,
    once: Once,
}

/// What `once` has let pass in one lane. It outlives the lane's work, which begins anew when its outbound changes.
pub(super) type Once = Arc<Mutex<OnceState>>;

/// The lane's outbound in each of the book's rules, by their address: they live as long as the book. `None` where no rule
/// can name it.
type Places = HashMap<usize, Option<usize>>;

/// Whether an event is for this lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// It is to be delivered here.
    Here,
    /// It is through.
    Elsewhere,
}

impl Decider {
    pub(super) fn new(name: &str, book: Arc<RulesHistory>, once: Once) -> Self {
        Self {
            name: name.to_owned(),
            places: places(name, &book),
            book,
            once,
        }
    }

    /// Takes another book; what `once` remembers stays.
    pub(super) fn replace(&mut self, book: Arc<RulesHistory>) {
        if Arc::ptr_eq(&book, &self.book) {
            return;
        }
        self.places = places(&self.name, &book);
        self.book = book;
        let rules = self.book.texts();
        lock(&self.once).retain(rules.iter().map(|rules| &rules.set));
    }

    /// What `once` has let pass since the last call, to be kept.
    pub(super) fn passed(&self) -> Vec<Passed> {
        lock(&self.once).take_news()
    }

    pub(super) fn decide(&self, lease: &Lease) -> Routed {
        if lease.routed {
            return Routed::Here;
        }
        let rules = self.book.rules_for(&self.name, lease.seq);
        let place = self.places.get(&Arc::as_ptr(rules).addr());
        let Some(outbound) = place.copied().flatten() else {
            return Routed::Elsewhere;
        };
        let rules = &rules.set;
        // Revealed to the rules, which give back nothing but yes or no.
        let Ok(event) = rules.view(lease.body.reveal()) else {
            // What cannot be read is rendered, and so buried with that reason, where somebody sees it.
            return Routed::Here;
        };
        let asked = Asked {
            id: lease.id,
            received_at: lease.received_at,
        };
        let admission = rules.admits(outbound, &event, &asked, &mut lock(&self.once));
        match admission.admitted {
            true => Routed::Here,
            false => Routed::Elsewhere,
        }
    }
}

fn places(name: &str, book: &RulesHistory) -> Places {
    let place = |rules: &Arc<Rules>| (Arc::as_ptr(rules).addr(), rules.set.outbound(name));
    book.texts().into_iter().map(place).collect()
}

/// Nobody else has it at the same time.
pub(super) fn lock(once: &Once) -> std::sync::MutexGuard<'_, OnceState> {
    once.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What the rules said of the newest events, so that they are asked once for all lanes and the counters of routes.
//!
//! Lanes meet here for as long as it takes to copy a pointer: none of them waits for another one's work.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use faceway_core::Private;

use super::Rules;

/// Events that are remembered. Lanes that keep up ask within a few hundred of the newest.
const EVENTS: usize = 4096;

/// The answers, each at the place that its event's sequence number gives it.
#[derive(Debug)]
pub(super) struct Matches(Mutex<Vec<Option<Answer>>>);

#[derive(Debug)]
struct Answer {
    seq: u64,
    /// Held, so that its address is that of no other rules as long as it is compared.
    rules: Arc<Rules>,
    matched: Option<Arc<[usize]>>,
}

impl Default for Matches {
    fn default() -> Self {
        Self(Mutex::new(
            std::iter::repeat_with(|| None).take(EVENTS).collect(),
        ))
    }
}

impl Matches {
    /// Indices of the routes that match an event; `None` when it cannot be read.
    pub(super) fn of(
        &self,
        rules: &Arc<Rules>,
        seq: u64,
        body: &Private<Bytes>,
    ) -> Option<Arc<[usize]>> {
        if let Some(known) = self.known(rules, seq) {
            return known;
        }
        // Outside of the lock: two lanes that ask at the same time both find the same.
        // Revealed to the rules, which give back nothing but numbers of routes.
        let event = rules.set.view(body.reveal()).ok();
        let matched = event.map(|event| Arc::from(rules.set.matched(&event)));
        let answer = Answer {
            seq,
            rules: Arc::clone(rules),
            matched: matched.clone(),
        };
        if let Some(place) = self.lock().get_mut(place(seq)) {
            *place = Some(answer);
        }
        matched
    }

    fn known(&self, rules: &Arc<Rules>, seq: u64) -> Option<Option<Arc<[usize]>>> {
        let answers = self.lock();
        let answer = answers.get(place(seq))?.as_ref()?;
        let is_it = answer.seq == seq && Arc::ptr_eq(&answer.rules, rules);
        is_it.then(|| answer.matched.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Answer>>> {
        // An answer is put in whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn place(seq: u64) -> usize {
    (seq % EVENTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use faceway_core::Private;

    use super::{EVENTS, Matches};
    use crate::topology::rules_history::Rules;

    fn rules(kind: &str) -> Arc<Rules> {
        let text = format!(
            "[outbound.stdout.a]\n[[route]]\nname = \"x\"\nwhen = {{ kind = \"{kind}\" }}\nto = [\"a\"]\n"
        );
        let routes = faceway_rules::parse(&text, "routes.toml", &crate::config::grammar());
        let set = routes.unwrap().routes;
        Arc::new(Rules { text, set })
    }

    /// Another event at the same place, and other rules for the same event, get their own answers.
    #[test]
    fn an_answer_is_for_one_event_and_one_version() {
        let matches = Matches::default();
        let event = |kind: &str| Private::new(Bytes::from(format!("{{\"kind\":\"{kind}\"}}")));
        let (alarm, status) = (event("alarm"), event("counter"));
        let (first, second) = (rules("alarm"), rules("counter"));
        let far = 7 + EVENTS as u64;
        for _ in 0..2 {
            assert_eq!(matches.of(&first, 7, &alarm).as_deref(), Some(&[0][..]));
            assert_eq!(matches.of(&second, 7, &alarm).as_deref(), Some(&[][..]));
            assert_eq!(matches.of(&first, far, &status).as_deref(), Some(&[][..]));
        }
        // It is not asked again: what is remembered is the event of that number.
        assert_eq!(matches.of(&first, far, &alarm).as_deref(), Some(&[][..]));
        let broken = Private::new(Bytes::from_static(b"no event"));
        assert_eq!(matches.of(&first, 8, &broken), None);
    }
}

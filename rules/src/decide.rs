//! Which routes match an event, and where it goes.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::time::Duration;

use faceway_core::Timestamp;
use serde_json::Value;

use crate::field::Field;
use crate::index::Index;
use crate::once::{Asked, OnceState};
use crate::trie::Trie;
use crate::when::Condition;

/// The routes of a file, compiled. It is asked for every event; what it remembers is in [`OnceState`].
#[derive(Clone, Debug, Default)]
pub struct RouteSet {
    routes: Vec<Route>,
    outbounds: Vec<String>,
    asked: Trie,
    index: Index,
}

/// How routes differ from others, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteChanges {
    /// Those that are new.
    pub added: Vec<String>,
    /// Those that say something else.
    pub changed: Vec<String>,
    /// Those that are no longer there.
    pub removed: Vec<String>,
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, unique in the file.
    pub name: String,
    /// Where matching events go: indices of [`RouteSet::outbounds`].
    pub to: Vec<usize>,
    /// The first of each, then silence.
    pub once: Option<OnceRule>,
    pub(crate) rule: Rule,
}

/// `once`: the first event of each combination of values passes, then none for that long.
#[derive(Clone, Debug)]
pub struct OnceRule {
    /// What tells one from another. An absent field counts as a value of its own.
    pub per: Vec<Field>,
    /// How long the silence is.
    pub within: Duration,
}

/// When a route matches.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// When this holds.
    When(Condition),
    /// When no route with a `when` matches.
    Otherwise,
}

/// What the rules say about an event, before any `once`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Indices of the routes that match, in the order of the file.
    pub matched: Vec<usize>,
    /// Indices of the outbounds that they name, each once, in the order of the file.
    pub outbounds: Vec<usize>,
}

impl RouteSet {
    pub(crate) fn new(routes: Vec<Route>, outbounds: Vec<String>) -> Self {
        let mut asked = Trie::default();
        for field in routes.iter().flat_map(Route::fields) {
            asked.add(field.segments.iter().map(String::as_str));
        }
        Self {
            index: Index::of(&routes),
            routes,
            outbounds,
            asked,
        }
    }

    /// The routes, in the order of the file.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The names of the outbounds, in the order of the file.
    pub fn outbounds(&self) -> &[String] {
        &self.outbounds
    }

    /// How the routes differ from those of before, by name.
    pub fn changes_since(&self, before: &Self) -> RouteChanges {
        let known = before.by_name();
        let named = self.by_name();
        let mut changes = RouteChanges::default();
        for route in &self.routes {
            match known.get(route.name.as_str()) {
                None => changes.added.push(route.name.clone()),
                Some(was) if !self.is_same(route, before, was) => {
                    changes.changed.push(route.name.clone());
                }
                Some(_) => {}
            }
        }
        let gone = before.routes.iter();
        let gone = gone.filter(|route| !named.contains_key(route.name.as_str()));
        changes.removed = gone.map(|route| route.name.clone()).collect();
        changes
    }

    fn by_name(&self) -> HashMap<&str, &Route> {
        let routes = self.routes.iter();
        routes.map(|route| (route.name.as_str(), route)).collect()
    }

    /// Whether a route says the same as one of other rules. What a condition prints is all that it is.
    fn is_same(&self, route: &Route, before: &Self, was: &Route) -> bool {
        fn to<'r>(set: &'r RouteSet, route: &Route) -> Vec<&'r str> {
            let names = route.to.iter().map(|index| set.outbounds[*index].as_str());
            names.collect()
        }
        let said = |route: &Route| format!("{:?} {:?}", route.rule, route.once);
        to(self, route) == to(before, was) && said(route) == said(was)
    }

    /// The index of an outbound.
    pub fn outbound(&self, name: &str) -> Option<usize> {
        self.outbounds.iter().position(|known| known == name)
    }

    /// Parses of an event's JSON only what the rules ask for, and nothing behind the last of it: nothing at all where no rule
    /// asks for anything. Decisions and explanations come out the same.
    ///
    /// # Errors
    /// When it is not JSON up to there.
    pub fn view(&self, body: &[u8]) -> Result<Value, serde_json::Error> {
        self.asked.read(body)
    }

    /// Which routes match, and which outbounds they name. No `once` is asked.
    pub fn decide(&self, event: &Value) -> Decision {
        let matched = self.matched(event);
        let named = |outbound: &usize| {
            let mut routes = matched.iter();
            routes.any(|route| self.routes[*route].to.contains(outbound))
        };
        let outbounds = (0..self.outbounds.len()).filter(named).collect();
        Decision { matched, outbounds }
    }

    /// Indices of the routes that match, in the order of the file. No `once` is asked.
    pub fn matched(&self, event: &Value) -> Vec<usize> {
        let mut routes = self.index.candidates(event);
        routes.retain(|route| self.routes[*route].matches(event));
        if routes.is_empty() {
            routes.clone_from(&self.index.otherwise);
        }
        routes
    }

    /// Whether an event goes to one outbound, by the routes that [`RouteSet::matched`] gave. Every matching route with `once` takes
    /// note of the event, also when another route admits it anyway. The event is read only where a `once` asks for it; where that
    /// fails, the route admits it.
    pub fn admits(
        &self,
        outbound: usize,
        matched: &[usize],
        event: impl FnOnce() -> Option<Value>,
        asked: &Asked,
        once: &mut OnceState,
    ) -> bool {
        let event = LazyCell::new(event);
        let mut admitted = false;
        for route in matched.iter().filter_map(|route| self.routes.get(*route)) {
            if route.to.contains(&outbound) {
                admitted |= route.admits(&event, asked, once);
            }
        }
        admitted
    }
}

impl Route {
    /// Whether its `when` holds. Of an `otherwise` nothing can be said by itself.
    pub(crate) fn matches(&self, event: &Value) -> bool {
        match &self.rule {
            Rule::When(condition) => condition.holds(event),
            Rule::Otherwise => false,
        }
    }

    pub(crate) fn is_otherwise(&self) -> bool {
        matches!(self.rule, Rule::Otherwise)
    }

    fn admits(
        &self,
        event: &LazyCell<Option<Value>, impl FnOnce() -> Option<Value>>,
        asked: &Asked,
        once: &mut OnceState,
    ) -> bool {
        let Some(rule) = &self.once else {
            return true;
        };
        match &**event {
            Some(event) => once.admits(&self.name, rule, &rule.key(event), asked),
            None => true,
        }
    }

    fn fields(&self) -> Vec<&Field> {
        let mut fields = Vec::new();
        if let Rule::When(condition) = &self.rule {
            condition.fields(&mut fields);
        }
        fields.extend(self.once.iter().flat_map(|once| &once.per));
        fields
    }
}

impl OnceRule {
    /// The combination of values, so written that two can never be taken for one another.
    fn key(&self, event: &Value) -> String {
        let mut key = String::new();
        for field in &self.per {
            for value in field.values(event) {
                // JSON text has no bare control characters, so they can part the values.
                key.push_str(&value.to_string());
                key.push('\u{1F}');
            }
            key.push('\u{1E}');
        }
        key
    }
}

/// What `once` needs to know of an event, from the event itself.
impl Asked {
    /// From an event as JSON; `None` when it has no `id` or no `received_at`.
    pub fn of(event: &Value) -> Option<Self> {
        let id = event.get("id")?.as_str()?.parse().ok()?;
        let received_at: Timestamp = event.get("received_at")?.as_str()?.parse().ok()?;
        Some(Self { id, received_at })
    }
}

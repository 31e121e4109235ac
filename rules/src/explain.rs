//! Why a route matches or does not.

use serde_json::Value;

use crate::decide::{Route, RouteSet, Rule};
use crate::when::{Test, Unmet};

/// What one route says about an event.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteExplanation {
    /// The route's name.
    pub name: String,
    /// Whether it matches.
    pub matched: bool,
    /// The first test that failed, if it does not.
    pub failed: Option<Failed>,
}

/// A test that failed.
#[derive(Clone, PartialEq)]
pub struct Failed {
    /// The field; or `any`, `none`, `otherwise`.
    pub field: String,
    /// The test as the operator wrote it; of `none` the element that held.
    pub test: String,
    /// What the event has there; `None` when it is absent, and for `any` and `none`. A list for a field with several
    /// values; for `otherwise` the names of the routes that matched.
    pub value: Option<Value>,
    /// Whether `value` tells something about a person, so that it is not shown.
    pub personal: bool,
}

/// The value may be a person's, so `Debug` does not tell it.
impl std::fmt::Debug for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failed")
            .field("field", &self.field)
            .field("test", &self.test)
            .finish_non_exhaustive()
    }
}

impl RouteSet {
    /// What each route says about an event, in the order of the file. No `once` is asked.
    pub fn explain(&self, event: &Value) -> Vec<RouteExplanation> {
        let matched = self.decide(event).matched;
        let explain = |(index, route): (usize, &Route)| {
            let matches = matched.contains(&index);
            RouteExplanation {
                name: route.name.clone(),
                matched: matches,
                failed: (!matches)
                    .then(|| self.failed(route, event, &matched))
                    .flatten(),
            }
        };
        self.routes().iter().enumerate().map(explain).collect()
    }

    fn failed(&self, route: &Route, event: &Value, matched: &[usize]) -> Option<Failed> {
        let condition = match &route.rule {
            Rule::When(condition) => condition,
            Rule::Otherwise => {
                let names = matched
                    .iter()
                    .map(|index| self.routes()[*index].name.clone());
                return Some(Failed::plain("otherwise", "true", Some(names.collect())));
            }
        };
        Some(match condition.unmet(event)? {
            Unmet::Any(text) => Failed::plain("any", text, None),
            Unmet::None(text) => Failed::plain("none", text, None),
            Unmet::Test(test) => Failed::of(test, event),
        })
    }
}

impl Failed {
    fn plain(field: &str, test: &str, value: Option<Value>) -> Self {
        Self {
            field: field.into(),
            test: test.into(),
            value,
            personal: false,
        }
    }

    fn of(test: &Test, event: &Value) -> Self {
        let field = &test.field;
        let mut values: Vec<_> = field.values(event).into_iter().cloned().collect();
        let value = match values.len() {
            0 => None,
            1 if !field.many => values.pop(),
            _ => Some(Value::Array(values)),
        };
        Self {
            field: field.path.clone(),
            test: test.text.clone(),
            value,
            personal: field.personal || holds_a_person(field),
        }
    }
}

/// A group of fields is as personal as its members.
fn holds_a_person(field: &crate::Field) -> bool {
    let below = format!("{}.", field.path);
    crate::Field::all()
        .iter()
        .any(|other| other.personal && other.path.starts_with(&below))
}

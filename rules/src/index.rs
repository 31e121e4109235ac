//! Which routes can match an event at all, so that thousands of routes cost no more than those that can.
//!
//! A route whose `when` says that a field is one of some texts matches no event without one of them there. It is found by them;
//! only the routes that say nothing of the kind are asked about every event.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::Field;
use crate::decide::{Route, Rule};
use crate::when::{Check, Condition, Test};

/// Routes by what an event must hold for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    fields: Vec<Column>,
    /// Routes that are asked about every event.
    always: Vec<usize>,
    /// Routes with `otherwise`.
    pub(crate) otherwise: Vec<usize>,
}

/// One field, and the routes that ask for a text in it.
#[derive(Clone, Debug)]
struct Column {
    field: Field,
    routes: HashMap<String, Vec<usize>>,
}

impl Index {
    pub(crate) fn of(routes: &[Route]) -> Self {
        // The more texts a field is asked for, the fewer routes each of them leaves.
        let mut texts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (test, asked) in routes.iter().flat_map(equalities) {
            let known = texts.entry(&test.field.path).or_default();
            known.extend(asked.iter().map(String::as_str));
        }
        let mut index = Self::default();
        for (number, route) in routes.iter().enumerate() {
            if route.is_otherwise() {
                index.otherwise.push(number);
                continue;
            }
            let tells_most = |(test, asked): &(&Test, &[String])| {
                let known = texts.get(test.field.path.as_str());
                (known.map_or(0, BTreeSet::len), usize::MAX - asked.len())
            };
            match equalities(route).into_iter().max_by_key(tells_most) {
                Some((test, asked)) => index.add(&test.field, asked, number),
                None => index.always.push(number),
            }
        }
        index
    }

    /// The routes that can match an event, in the order of the file. Those with `otherwise` are not among them.
    pub(crate) fn candidates(&self, event: &Value) -> Vec<usize> {
        let mut routes = self.always.clone();
        for column in &self.fields {
            column.field.any(event, |value| {
                let found = value.as_str().and_then(|text| column.routes.get(text));
                routes.extend(found.into_iter().flatten());
                false
            });
        }
        // A list may hold several of a route's texts.
        routes.sort_unstable();
        routes.dedup();
        routes
    }

    fn add(&mut self, field: &Field, texts: &[String], route: usize) {
        let at = self
            .fields
            .iter()
            .position(|it| it.field.path == field.path);
        let at = at.unwrap_or_else(|| {
            self.fields.push(Column {
                field: field.clone(),
                routes: HashMap::new(),
            });
            self.fields.len() - 1
        });
        for text in texts {
            let routes = self.fields[at].routes.entry(text.clone());
            routes.or_default().push(route);
        }
    }
}

/// The tests of a route by which a field has to be one of some texts, each with these texts.
fn equalities(route: &Route) -> Vec<(&Test, &[String])> {
    // Only what has to hold in any case: an `any` may hold by another of its alternatives, and a `none` must not hold.
    let Rule::When(Condition::All(all)) = &route.rule else {
        return Vec::new();
    };
    let tests = all.iter().filter_map(|condition| match condition {
        Condition::Test(test) => Some(&**test),
        _ => None,
    });
    let asked = tests.filter_map(|test| {
        let mut checks = test.checks.iter();
        let texts = checks.find_map(|check| match check {
            Check::Equals(literals) => literals.only_texts(),
            _ => None,
        });
        Some((test, texts?))
    });
    asked.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::{Grammar, RouteSet};

    fn set(whens: &[String]) -> RouteSet {
        let grammar = Grammar {
            outbounds: faceway_outbounds::ALL.to_vec(),
            ..Grammar::default()
        };
        let mut text = String::from("[outbound.stdout.screen]\n");
        for (number, when) in whens.iter().enumerate() {
            text += &format!("[[route]]\nname = \"{number}\"\n{when}\nto = [\"screen\"]\n");
        }
        crate::parse(&text, "routes.toml", &grammar).unwrap().routes
    }

    const TESTS: &[&str] = &[
        r#"kind = "recognition""#,
        r#"kind = ["alarm", "counter"]"#,
        r#""device.id" = "d1""#,
        r#""device.id" = ["d1", "d2", "d3"]"#,
        r#""device.id" = { not = "d2" }"#,
        r#""device.id" = { like = "d*" }"#,
        r#""device.id" = { present = false }"#,
        r#""person.groups.id" = "g1""#,
        r#""person.groups.id" = ["g1", "g2"]"#,
        r#""match.score" = { min = 0.5 }"#,
        r#""match.score" = [0.5, 1]"#,
        r#""access.granted" = true"#,
        r#"any = [{ kind = "alarm" }, { "device.id" = "d2" }]"#,
        r#"none = [{ kind = "alarm" }, { "person.groups.id" = "g2" }]"#,
        r#"occurred_at = "2027-01-15T08:00:00Z""#,
    ];

    fn when() -> impl Strategy<Value = String> {
        let tests = proptest::sample::subsequence(TESTS.to_vec(), 1..4);
        let when = tests.prop_filter_map("a field is asked twice", |tests| {
            let mut fields: Vec<_> = tests
                .iter()
                .filter_map(|test| test.split(" =").next())
                .collect();
            fields.dedup();
            (fields.len() == tests.len()).then(|| format!("when = {{ {} }}", tests.join(", ")))
        });
        prop_oneof![
            8 => when,
            1 => Just(String::new()),
            1 => Just("otherwise = true".to_owned()),
        ]
    }

    fn event() -> impl Strategy<Value = Value> {
        let text =
            |all: &'static [&'static str]| proptest::option::of(proptest::sample::select(all));
        let groups =
            proptest::collection::vec(proptest::sample::select(&["g1", "g2", "g3"][..]), 0..3);
        (
            text(&["recognition", "alarm", "counter"]),
            text(&["d1", "d2", "d4", "e"]),
            groups,
            proptest::option::of(proptest::sample::select(&[0.25, 0.5, 1.0][..])),
            proptest::option::of(any::<bool>()),
        )
            .prop_map(|(kind, device, groups, score, granted)| {
                let groups: Vec<Value> = groups.iter().map(|id| json!({ "id": id })).collect();
                json!({
                    "kind": kind, "device": { "id": device }, "person": { "groups": groups },
                    "match": { "score": score }, "access": { "granted": granted },
                    "occurred_at": "2027-01-15T09:00:00+01:00",
                })
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// Found by the index or asked one after another: the same routes.
        #[test]
        fn the_index_leaves_no_route_out(whens in proptest::collection::vec(when(), 1..12), event in event()) {
            let set = set(&whens);
            let routes = set.routes().iter().enumerate();
            let asked: Vec<usize> = routes
                .filter(|(_, route)| route.matches(&event))
                .map(|(number, _)| number)
                .collect();
            let otherwise = set.routes().iter().enumerate().filter(|(_, route)| route.is_otherwise());
            let otherwise: Vec<usize> = otherwise.map(|(number, _)| number).collect();
            let expected = if asked.is_empty() { otherwise } else { asked };
            prop_assert_eq!(set.decide(&event).matched, expected);
        }
    }

    #[test]
    fn routes_for_other_devices_are_not_asked() {
        let whens: Vec<String> = (0..1000)
            .map(|n| format!("when = {{ kind = \"recognition\", \"device.id\" = \"d{n}\" }}"))
            .collect();
        let set = set(&whens);
        let event = json!({ "kind": "recognition", "device": { "id": "d7" } });
        assert_eq!(super::Index::of(set.routes()).candidates(&event), [7]);
    }
}

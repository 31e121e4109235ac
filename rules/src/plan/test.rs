//! `[[test]]`: an event as far as it matters, and who must get it.

mod given;

use serde_json::Value;

use crate::diagnostic::{Reporter, Severity, Span};
use crate::read::{Node, Table};
use crate::{Diagnostic, Failed, RouteSet};

use super::keys::TEST;
use super::{Context, Names, Routes, route, tables};

/// A test of the rules.
#[derive(Clone, Debug)]
pub struct RouteTest {
    /// What must come true.
    pub name: String,
    /// The event, as far as it is told.
    pub given: Value,
    /// Indices of the outbounds that must get it.
    pub expect: Vec<usize>,
    /// Where it stands.
    place: Diagnostic,
}

/// A test that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TestFailure {
    /// Name of the test.
    pub name: String,
    /// Names of the outbounds that must get the event.
    pub expected: Vec<String>,
    /// Names of those that do.
    pub got: Vec<String>,
    /// Where the test is, and why it came out so.
    pub diagnostic: Diagnostic,
}

impl std::fmt::Display for TestFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.diagnostic.fmt(f)
    }
}

/// A test whose place is not worked out yet, because it is not known yet what must be masked.
pub(super) struct Pending {
    name: String,
    given: Value,
    expect: Vec<usize>,
    span: Span,
}

impl Pending {
    pub(super) fn placed(self, reporter: &Reporter) -> RouteTest {
        let message = format!("test `{}` fails", self.name);
        RouteTest {
            place: reporter.show(self.span, Severity::Error, &message),
            name: self.name,
            given: self.given,
            expect: self.expect,
        }
    }
}

pub(super) fn all(context: &Context<'_>, node: Option<&Node>) -> Vec<Pending> {
    let reporter = context.reporter;
    let mut names = Names::default();
    let mut tests = Vec::new();
    for node in tables(reporter, "test", node) {
        let Some(table) = Table::open(reporter, "[[test]]", node, TEST) else {
            continue;
        };
        let place = |key| table.get(key).map_or(table.span(), |node| node.span);
        let name = table.text("name").unwrap_or_default();
        if !name.is_empty() {
            names.add(reporter, "tests", name, place("name"));
        }
        let given = table.get("given");
        tests.push(Pending {
            name: name.into(),
            given: given.map_or(Value::Null, |node| given::event(reporter, node)),
            expect: route::outbounds(context, &table, "expect", true),
            span: place("expect"),
        });
        table.finish();
    }
    tests
}

impl Routes {
    /// Runs the tests of the file. Each test's event is the first of its kind, so `once` silences none.
    pub fn run_tests(&self) -> Vec<TestFailure> {
        let failure = |test: &RouteTest| test.run(&self.routes);
        self.tests.iter().filter_map(failure).collect()
    }
}

impl RouteTest {
    fn run(&self, routes: &RouteSet) -> Option<TestFailure> {
        let got = routes.decide(&self.given).outbounds;
        let mut expected = self.expect.clone();
        expected.sort_unstable();
        if got == expected {
            return None;
        }
        let names = |indices: &[usize]| -> Vec<String> {
            let names = indices
                .iter()
                .filter_map(|index| routes.outbounds().get(*index));
            names.cloned().collect()
        };
        let mut diagnostic = self.place.clone();
        let (expected_names, got_names) = (names(&expected), names(&got));
        diagnostic.notes = vec![
            format!("expected {}", list(&expected_names)),
            format!("got {}", list(&got_names)),
        ];
        diagnostic.notes.extend(self.why(routes, &expected, &got));
        Some(TestFailure {
            name: self.name.clone(),
            expected: expected_names,
            got: got_names,
            diagnostic,
        })
    }

    fn why(&self, routes: &RouteSet, expected: &[usize], got: &[usize]) -> Vec<String> {
        let mut notes = Vec::new();
        let explained = routes.explain(&self.given);
        for (index, outbound) in routes.outbounds().iter().enumerate() {
            let (wanted, gets) = (expected.contains(&index), got.contains(&index));
            if wanted == gets {
                continue;
            }
            let before = notes.len();
            for (route, explanation) in routes.routes().iter().zip(&explained) {
                if !route.to.contains(&index) || explanation.matched != gets {
                    continue;
                }
                notes.push(match &explanation.failed {
                    None => format!("`{outbound}` gets it by route `{}`", route.name),
                    Some(failed) => format!(
                        "`{outbound}` does not get it: route `{}` {}",
                        route.name,
                        reason(failed)
                    ),
                });
            }
            if notes.len() == before {
                notes.push(format!("`{outbound}` does not get it: no route names it"));
            }
        }
        notes
    }
}

fn list(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}

/// The values of a test are the operator's own inventions, so they are shown.
fn reason(failed: &Failed) -> String {
    match (failed.field.as_str(), &failed.value) {
        ("any", _) => format!("wants any = {}", failed.test),
        ("none", _) => format!("wants none of {}", failed.test),
        ("otherwise", Some(Value::Array(names))) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
            format!("is `otherwise`, and {} matched", names.join(", "))
        }
        (field, Some(value)) => format!("wants {field} = {}, and it is {value}", failed.test),
        (field, None) => format!("wants {field} = {}, and it is absent", failed.test),
    }
}

//! From the text of a `when` to conditions, typed against the event's schema.

mod operators;
mod values;

use crate::Field;
use crate::diagnostic::{Reporter, Span};
use crate::read::{Entry, Node, Value};
use faceway_core::schema::{FieldKind, OPEN_PATHS};

use super::{Condition, Test, kind_name};
pub use operators::tests_of;
use operators::{OPERATORS, operators};
pub(crate) use values::{mistyped, time, word};

/// What is asked of fields by name, for checks that need the whole file: `inbound = "lobby"`.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Path, value and place of every equality with a text.
    pub(crate) equals: Vec<(String, String, Span)>,
}

/// Compiles the table of a `when`. What is wrong is told, and left out.
pub(crate) fn compile(reporter: &Reporter, node: &Node, seen: &mut Seen) -> Condition {
    let mut compiler = Compiler {
        reporter,
        seen,
        depth: 0,
    };
    compiler.all(node, "`when`")
}

struct Compiler<'r> {
    reporter: &'r Reporter,
    seen: &'r mut Seen,
    depth: usize,
}

/// How deep `any` and `none` may nest: deeper is no rule that a person can read.
const DEPTH_MAX: usize = 16;
const HOURS: &str =
    "write it like `occurred_at = { hours = \"08:00-17:00\", zone = \"Europe/Berlin\" }`";

const FIELDS: &str =
    "write it like `\"match.score\" = { min = 0.8 }` or `\"device.name\" = { like = \"Lobby*\" }`";

impl Compiler<'_> {
    fn all(&mut self, node: &Node, what: &str) -> Condition {
        let mut conditions = Vec::new();
        let Some(entries) = node.entries() else {
            let message = format!("{what} must be a table of tests, not {}", node.value.kind());
            let is_any = |items: &Vec<Node>| {
                !items.is_empty() && items.iter().all(|item| item.entries().is_some())
            };
            let help = match &node.value {
                Value::List(items) if is_any(items) => {
                    "where one of them is enough, write `{ any = [{ … }, { … }] }`; where all must hold, write all in one `{ … }`"
                }
                _ => "write it like `{ kind = \"recognition\", \"match.score\" = { min = 0.8 } }`",
            };
            self.reporter.error(node.span, message, help);
            return Condition::All(conditions);
        };
        if entries.is_empty() {
            let help = match what {
                "`when`" => "a route without `when` matches every event",
                _ => "write at least one, or leave the element out",
            };
            self.reporter
                .error(node.span, format!("{what} has no test in it"), help);
        }
        let mut fields = Vec::new();
        for entry in entries {
            match entry.key.as_str() {
                "any" => conditions.push(self.any(entry)),
                "none" => conditions.push(self.none(entry)),
                path => self.field(path, entry, &mut conditions, &mut fields),
            }
        }
        self.twice(&fields);
        Condition::All(conditions)
    }

    /// A quoted path and a nested table can name the same field; then one of them was forgotten.
    fn twice(&self, fields: &[(String, Span)]) {
        for (index, (path, span)) in fields.iter().enumerate() {
            if let Some((_, first)) = fields[..index].iter().find(|(other, _)| other == path) {
                let help = format!("the first is at {}", self.reporter.place(*first));
                self.reporter
                    .error(*span, format!("`{path}` is tested twice"), help);
            }
        }
    }

    fn any(&mut self, entry: &Entry) -> Condition {
        let members = self.members(entry);
        let conditions = members.into_iter().map(|(condition, _)| condition);
        Condition::Any(conditions.collect(), self.text(&entry.node))
    }

    fn none(&mut self, entry: &Entry) -> Condition {
        Condition::None(self.members(entry))
    }

    fn members(&mut self, entry: &Entry) -> Vec<(Condition, String)> {
        let help = "write it like `[{ kind = \"alarm\" }, { \"match.score\" = { min = 0.9 } }]`";
        let items = match &entry.node.value {
            Value::List(items) if !items.is_empty() => items,
            _ => {
                let message = format!("`{}` must be a list of tables of tests", entry.key);
                self.reporter.error(entry.node.span, message, help);
                return Vec::new();
            }
        };
        if self.depth == DEPTH_MAX {
            let message = format!("`{}` is nested too deep", entry.key);
            self.reporter.error(entry.span, message, "split the route");
            return Vec::new();
        }
        self.depth += 1;
        let what = format!("an element of `{}`", entry.key);
        let members = items
            .iter()
            .map(|item| (self.all(item, &what), self.text(item)))
            .collect();
        self.depth -= 1;
        members
    }

    /// A field's test, or a table of tests of the fields below it.
    fn field(
        &mut self,
        path: &str,
        entry: &Entry,
        conditions: &mut Vec<Condition>,
        fields: &mut Vec<(String, Span)>,
    ) {
        let Some(field) = Field::find(path) else {
            return self.unknown(path, entry);
        };
        let Some(entries) = entry.node.entries() else {
            fields.push((path.into(), entry.span));
            return conditions.extend(self.plain(field, entry));
        };
        let (tests, below): (Vec<_>, Vec<_>) = entries
            .iter()
            .partition(|member| is_operator(path, &member.key));
        for member in &below {
            let path = format!("{path}.{}", member.key);
            self.field(&path, member, conditions, fields);
        }
        if !tests.is_empty() || below.is_empty() {
            fields.push((path.into(), entry.span));
            conditions.extend(self.tested(field, entry, &tests));
        }
    }

    /// `field = value` and `field = [values]`.
    fn plain(&mut self, field: Field, entry: &Entry) -> Option<Condition> {
        let node = &entry.node;
        if field.kind == FieldKind::Object {
            let members = Field::members(&field.path);
            let message = format!("`{}` is a group of fields and has no value", field.path);
            let help = match members.is_empty() {
                true => "test a field in it, or `{ present = true }`".into(),
                false => format!("test one of its fields: {}", members.join(", ")),
            };
            self.reporter.error(node.span, message, help);
            return None;
        }
        let literals = values::literals(self.reporter, &field, node)?;
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        for item in items {
            let instead = |text: &str| format!("`{{ like = \"{text}\" }}`");
            let is_glob = warn_of_glob(self.reporter, &field, item, instead);
            let text = item.text().filter(|_| !is_glob);
            let equal = text.map(|text| (field.path.clone(), text.into(), item.span));
            self.seen.equals.extend(equal);
        }
        Some(Condition::Test(Box::new(Test {
            text: self.text(node),
            field,
            present: None,
            checks: vec![super::Check::Equals(literals)],
            not: None,
        })))
    }

    /// `field = { min = 0.8, … }`.
    fn tested(&mut self, field: Field, entry: &Entry, tests: &[&Entry]) -> Option<Condition> {
        let text = self.test_text(&entry.node, tests);
        if tests.is_empty() {
            let members = Field::members(&field.path);
            let help = match field.kind == FieldKind::Object && !members.is_empty() {
                true => format!("its fields: {}", members.join(", ")),
                false => format!("tests of it: {}", tests_of(&field.kind).join(", ")),
            };
            let message = format!("`{}` has no test in it", field.path);
            self.reporter.error(entry.node.span, message, help);
            return None;
        }
        operators(self.reporter, field, text, entry, tests)
            .map(|test| Condition::Test(Box::new(test)))
    }

    fn unknown(&self, path: &str, entry: &Entry) {
        let parent = path
            .rsplit_once('.')
            .and_then(|(parent, name)| Some((Field::find(parent)?, name)));
        let (message, help) = match parent {
            Some((parent, name)) if parent.kind != FieldKind::Object => {
                let near = crate::suggest::help(name, "tests of it", &tests_of(&parent.kind));
                let kind = kind_name(&parent.kind);
                (
                    format!("`{name}` is no test of `{}`, which is {kind}", parent.path),
                    near,
                )
            }
            _ if ["hours", "days", "zone"].contains(&path) => (
                format!("`{path}` is a test of a time, and needs one to ask about"),
                HOURS.to_owned(),
            ),
            _ if OPERATORS.contains(&path) => (
                format!("`{path}` is a test, and needs a field to ask about"),
                FIELDS.to_owned(),
            ),
            // `[route.when]` takes every line up to the next header.
            _ if crate::plan::ROUTE.iter().any(|key| key.name == path) => (
                format!("the event has no field `{path}`"),
                "it is a key of [[route]]: write it outside of `when`, so above a header `[route.when]`"
                    .to_owned(),
            ),
            _ => (
                format!("the event has no field `{path}`"),
                Field::help(path),
            ),
        };
        self.reporter.error(entry.span, message, help);
    }

    /// A value as it is written, on one line.
    fn text(&self, node: &Node) -> String {
        let text = self.reporter.slice(node.span);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A table of tests as it is written, or put together when it is spread over dotted keys.
    fn test_text(&self, node: &Node, tests: &[&Entry]) -> String {
        let text = self.text(node);
        if text.starts_with('{') {
            return text;
        }
        let part = |test: &&Entry| format!("{} = {}", test.key, self.text(&test.node));
        let parts: Vec<_> = tests.iter().map(part).collect();
        format!("{{ {} }}", parts.join(", "))
    }
}

/// A value means equal, and hardly any is written with a star. Gives whether this one is.
fn warn_of_glob(
    reporter: &Reporter,
    field: &Field,
    item: &Node,
    instead: impl Fn(&str) -> String,
) -> bool {
    let Some(text) = item.text().filter(|text| text.contains('*')) else {
        return false;
    };
    let message = format!(
        "`*` is itself here: `{}` has to be this very text",
        field.path
    );
    let help = format!("for any text in its place, write {}", instead(text));
    reporter.warning(item.span, message, help);
    true
}

/// A member of the event goes before a test of the same name (`counter.proximity_m.min`); below an open path, where any
/// name is a member, the test goes first, and a quoted path names the member.
fn is_operator(path: &str, name: &str) -> bool {
    let open = OPEN_PATHS
        .iter()
        .any(|open| path == *open || path.starts_with(&format!("{open}.")));
    let member = !open && Field::find(&format!("{path}.{name}")).is_some();
    OPERATORS.contains(&name) && !member
}

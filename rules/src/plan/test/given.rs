//! The event of a test: a partial event, typed against the schema, in TOML.

use faceway_core::schema::FieldKind;
use serde_json::{Map, Number, Value as Json};

use crate::Field;
use crate::diagnostic::Reporter;
use crate::read::{Entry, Node, Value};
use crate::when::{mistyped, time, word};

/// Reads it as JSON. What is wrong is told, and left out.
pub(super) fn event(reporter: &Reporter, node: &Node) -> Json {
    let mut event = Map::new();
    match node.entries() {
        Some(entries) => members(reporter, "", entries, &mut event),
        None => {
            let message = format!("`given` must be a table, not {}", node.value.kind());
            let help = "write it like `{ kind = \"recognition\", match = { score = 0.93 } }`";
            reporter.error(node.span, message, help);
        }
    }
    Json::Object(event)
}

fn members(reporter: &Reporter, above: &str, entries: &[Entry], into: &mut Map<String, Json>) {
    for entry in entries {
        let path = match above {
            "" => entry.key.clone(),
            above => format!("{above}.{}", entry.key),
        };
        let Some(field) = Field::find(&path) else {
            let message = format!("the event has no field `{path}`");
            reporter.error(entry.span, message, Field::help(&path));
            continue;
        };
        let Some(value) = value(reporter, &field, &entry.node) else {
            continue;
        };
        let names: Vec<_> = entry.key.split('.').collect();
        if !put(into, &names, value) {
            let message = format!("`{path}` is given twice");
            reporter.error(entry.span, message, "");
        }
    }
}

/// Puts a value at a dotted path; false when there is one already.
fn put(into: &mut Map<String, Json>, names: &[&str], value: Json) -> bool {
    let Some((first, rest)) = names.split_first() else {
        return false;
    };
    if rest.is_empty() {
        return match (into.get_mut(*first), value) {
            (None, value) => {
                into.insert((*first).into(), value);
                true
            }
            (Some(Json::Object(known)), Json::Object(more)) => more
                .into_iter()
                .all(|(name, value)| put(known, &[&name], value)),
            _ => false,
        };
    }
    let below = into
        .entry((*first).to_owned())
        .or_insert_with(|| Json::Object(Map::new()));
    below
        .as_object_mut()
        .is_some_and(|below| put(below, rest, value))
}

fn value(reporter: &Reporter, field: &Field, node: &Node) -> Option<Json> {
    if field.path.starts_with("vendor.") {
        return json(reporter, node);
    }
    match (&node.value, field.list) {
        (Value::List(items), true) => {
            let items = items.iter().map(|item| element(reporter, field, item));
            items
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<_>>()
                .map(Json::Array)
        }
        (_, true) => {
            let message = format!("`{}` is a list", field.path);
            reporter.error(node.span, message, "write it in brackets: […]");
            None
        }
        _ => element(reporter, field, node),
    }
}

/// One value of a field: an object's members, or a scalar.
fn element(reporter: &Reporter, field: &Field, node: &Node) -> Option<Json> {
    let attribute = field.segments.last().is_some_and(|last| last == "value")
        && !field.path.ends_with(".value");
    let object = attribute || field.kind == FieldKind::Object;
    match &node.value {
        Value::Table(entries) if object => {
            let mut below = Map::new();
            members(reporter, &field.path, entries, &mut below);
            Some(Json::Object(below))
        }
        _ if attribute => {
            // `mask = "worn"` is short for `mask = { value = "worn" }`.
            let value = scalar(reporter, field, node)?;
            Some(Json::Object(Map::from_iter([("value".into(), value)])))
        }
        _ => scalar(reporter, field, node),
    }
}

fn scalar(reporter: &Reporter, field: &Field, node: &Node) -> Option<Json> {
    match (&field.kind, &node.value) {
        (FieldKind::Word(words), Value::Text(text)) => {
            word(reporter, field, words, node, text).map(|()| text.as_str().into())
        }
        (FieldKind::Text, Value::Text(text)) => Some(text.as_str().into()),
        (FieldKind::Number, Value::Number { .. })
        | (FieldKind::Bool, Value::Bool(_))
        | (FieldKind::Any, Value::Text(_) | Value::Number { .. } | Value::Bool(_)) => {
            json(reporter, node)
        }
        (FieldKind::Time, Value::Text(text) | Value::Time(text)) => {
            time(reporter, field, node, text).map(|time| time.to_string().into())
        }
        _ => {
            mistyped(reporter, field, node);
            None
        }
    }
}

/// Any TOML as JSON. The parser bounds the depth.
fn json(reporter: &Reporter, node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Text(text) | Value::Time(text) => text.as_str().into(),
        Value::Bool(bool) => (*bool).into(),
        Value::Number {
            whole: Some(whole), ..
        } => (*whole).into(),
        Value::Number { float, .. } => match Number::from_f64(*float) {
            Some(number) => number.into(),
            None => {
                reporter.error(node.span, "an event has finite numbers only", "");
                return None;
            }
        },
        Value::List(items) => {
            let items = items.iter().map(|item| json(reporter, item));
            return items.collect::<Option<_>>().map(Json::Array);
        }
        Value::Table(entries) => {
            let members = entries
                .iter()
                .map(|entry| Some((entry.key.clone(), json(reporter, &entry.node)?)));
            return members.collect::<Option<_>>().map(Json::Object);
        }
    })
}

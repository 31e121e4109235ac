//! An event as a template sees it.

use std::sync::LazyLock;

use faceway_core::schema;
use minijinja::{Error, ErrorKind, Value};
use serde_json::{Map, Value as Json};

use super::json::has_marks;

/// The event's fields by name, and the whole as `event`. Groups and lists that it does not have are there and empty, so
/// that a template asks for `person.name` alone and goes through `images` without asking first.
pub(super) fn of(event: &[u8]) -> Result<Value, Error> {
    let event: Json = serde_json::from_slice(event).map_err(|_| not_an_event())?;
    let whole = value(&event);
    let Json::Object(mut members) = event else {
        return Err(not_an_event());
    };
    fill(&mut members, &EMPTY);
    let names = members
        .iter()
        .map(|(name, member)| (name.clone(), value(member)));
    Ok(Value::from_pairs(
        names.chain([("event".to_owned(), whole)]),
    ))
}

fn not_an_event() -> Error {
    Error::new(ErrorKind::InvalidOperation, "not an event")
}

/// The groups and lists of an event, empty.
static EMPTY: LazyLock<Map<String, Json>> = LazyLock::new(|| match empty(&schema::event()) {
    Some(Json::Object(members)) => members,
    _ => Map::new(),
});

fn empty(schema: &Json) -> Option<Json> {
    if schema.get("items").is_some() {
        return Some(Json::Array(Vec::new()));
    }
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else {
        let open = schema.get("type").is_some_and(|kind| kind == "object");
        return open.then(|| Json::Object(Map::new()));
    };
    // An attribute has a value, or it is not there.
    let attribute = properties.contains_key("value");
    let members = properties
        .iter()
        .filter_map(|(name, property)| Some((name.clone(), empty(property)?)));
    (!attribute).then(|| Json::Object(members.collect()))
}

fn fill(members: &mut Map<String, Json>, empty: &Map<String, Json>) {
    for (name, empty) in empty {
        match (members.get_mut(name), empty) {
            (None, empty) => {
                members.insert(name.clone(), empty.clone());
            }
            (Some(Json::Object(members)), Json::Object(empty)) => fill(members, empty),
            _ => {}
        }
    }
}

/// A number keeps its digits as far as 64 bits hold them.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(bool) => Value::from(*bool),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), _, _) => Value::from(whole),
            (_, Some(whole), _) => Value::from(whole),
            (_, _, Some(float)) => Value::from(float),
            _ => Value::from(()),
        },
        Json::String(text) => Value::from(unmarked(text)),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(members) => Value::from_pairs(
            members
                .iter()
                .map(|(name, member)| (unmarked(name), value(member))),
        ),
    }
}

/// Only the formatter may mark.
fn unmarked(text: &str) -> String {
    match has_marks(text) {
        true => text.replace(['\u{1}', '\u{2}', '\u{3}'], "\u{FFFD}"),
        false => text.to_owned(),
    }
}

//! Identity: which members of a record its id depends on, found by changing every single one.

#![allow(clippy::panic, reason = "a suite panics when a promise is broken")]

use faceway_core::{Adapter, EventId};
use serde_json::Value;

use super::Sent;

/// The ids of the records in a body.
///
/// # Panics
/// When the body, or a record in it, cannot be read.
pub fn ids(adapter: &dyn Adapter, body: &str) -> Vec<EventId> {
    let sent = Sent::new(adapter, body.as_bytes().to_vec());
    let read = adapter.read(&sent.arrival(), &sent.settings);
    let elements = read.unwrap_or_else(|reject| panic!("{reject}: {body}"));
    let id = |element: faceway_core::Element<'_>| match element {
        Ok(reading) => reading.key.id(&sent.inbound, sent.received_at),
        Err(unreadable) => panic!("{}: {body}", unreadable.reason),
    };
    elements.into_iter().map(id).collect()
}

/// Changes each single value in `body` and demands another id, but for those of `free` (JSON pointers), for which it demands
/// the same one. Demands the same one for another order of members, too.
///
/// # Panics
/// When a change has the wrong effect, with all that have.
pub fn only_these_do_not_count(adapter: &dyn Adapter, body: &str, free: &[&str]) {
    let whole: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let before = ids(adapter, body);
    assert_eq!(
        ids(adapter, &backwards(&whole)),
        before,
        "another order of members"
    );
    let mut wrong = Vec::new();
    let mut pointers = Vec::new();
    leaves(&whole, String::new(), &mut pointers);
    for pointer in &pointers {
        let mut changed = whole.clone();
        if let Some(value) = changed.pointer_mut(pointer) {
            *value = another(value);
        }
        let is_free = free.contains(&pointer.as_str());
        if (ids(adapter, &changed.to_string()) == before) != is_free {
            let effect = if is_free {
                "changes the id"
            } else {
                "leaves the id"
            };
            wrong.push(format!(
                "{pointer}: {} {effect}",
                changed.pointer(pointer).unwrap_or(&Value::Null)
            ));
        }
    }
    for pointer in free
        .iter()
        .filter(|free| !pointers.iter().any(|known| known == *free))
    {
        wrong.push(format!("{pointer}: not in the body"));
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), body);
}

fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                leaves(
                    value,
                    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                leaves(value, format!("{at}/{index}"), found);
            }
        }
        Value::Null => {}
        _ => found.push(at),
    }
}

/// Another value of the same shape: a UUID stays one, and a time a time.
fn another(value: &Value) -> Value {
    match value {
        Value::Bool(value) => (!value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => (whole + 1).into(),
            None => (number.as_f64().unwrap_or_default() / 2.0).into(),
        },
        Value::String(text) => match text.rfind(|sign: char| sign.is_ascii_digit()) {
            Some(at) => {
                let digit = u32::from(text.as_bytes()[at] - b'0');
                format!("{}{}{}", &text[..at], (digit + 1) % 10, &text[at + 1..]).into()
            }
            None => format!("{text}x").into(),
        },
        other => other.clone(),
    }
}

/// The text with the members of every object in the opposite order.
fn backwards(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().rev();
            let members: Vec<String> = members
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), backwards(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(backwards).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

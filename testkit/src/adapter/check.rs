//! What must hold of every event and every reason, whatever the vendor.

use faceway_core::Picture;
use serde_json::Value;

use super::garbage::MARKER;
use super::{Sent, validator};

/// A reason goes into logs: it must not repeat what was sent.
pub(super) fn discreet<'r>(reason: &'r str, sent: &Sent) -> Result<&'r str, String> {
    if reason.trim().is_empty() {
        return Err("a reason is blank".into());
    }
    let body: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
    let mut values = Vec::new();
    texts(&body, &mut values);
    values.push(MARKER);
    repeats_none(reason, &values)?;
    Ok(reason)
}

fn repeats_none(text: &str, values: &[&str]) -> Result<(), String> {
    let repeated = values
        .iter()
        .find(|value| value.chars().count() > 1 && text.contains(**value));
    match repeated {
        Some(value) => Err(format!("{text:?} repeats the value {value:?}")),
        None => Ok(()),
    }
}

pub(super) fn check_event(event: &Value, pictures: &[Picture]) -> Result<(), String> {
    let breaches: Vec<String> = validator()
        .iter_errors(event)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    if !breaches.is_empty() {
        return Err(format!("against the schema: {}", breaches.join("; ")));
    }
    check_no_secrets(event)?;
    check_no_picture_text(event)?;
    check_absence(event)?;
    check_pictures(event, pictures)?;
    check_warnings(event)
}

/// Secrets never enter the event.
fn check_no_secrets(value: &Value) -> Result<(), String> {
    match value {
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            if ["pin", "password", "token"].contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("the event has a member {name:?}"));
            }
            check_no_secrets(value)
        }),
        Value::Array(items) => items.iter().try_for_each(check_no_secrets),
        _ => Ok(()),
    }
}

/// The text of a picture leaves the event. A name that happens to begin like one is as sent.
fn check_no_picture_text(event: &Value) -> Result<(), String> {
    let mut found = Vec::new();
    texts(&event["vendor"], &mut found);
    texts(&event["images"], &mut found);
    let starts = ["/9j/", "iVBORw0KGgo", "data:image/"];
    let is_picture = |text: &&str| {
        starts
            .iter()
            .any(|start| text.trim_start().starts_with(start))
    };
    match found.iter().any(is_picture) {
        true => Err("the event holds the text of a picture".into()),
        false => Ok(()),
    }
}

/// What was not told is absent: neither null, nor blank, nor empty. Under `vendor` everything is as sent.
fn check_absence(event: &Value) -> Result<(), String> {
    fn check(path: &str, value: &Value) -> Result<(), String> {
        let nothing = match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if nothing {
            return Err(format!("{path} is there and says nothing"));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| check(path, item)),
            Value::Object(members) => members
                .iter()
                .filter(|(name, _)| !(path == "event" && *name == "vendor"))
                .try_for_each(|(name, value)| check(&format!("{path}.{name}"), value)),
            _ => Ok(()),
        }
    }
    check("event", event)
}

/// Every picture is named by the event, and every name has its picture.
fn check_pictures(event: &Value, pictures: &[Picture]) -> Result<(), String> {
    let images = event["images"].as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<&str> = images
        .iter()
        .filter_map(|image| image["sha256"].as_str())
        .collect();
    let kept: Vec<String> = pictures
        .iter()
        .map(|picture| picture.sha256.to_string())
        .collect();
    if named != kept {
        return Err(format!("images name {named:?}, pictures are {kept:?}"));
    }
    Ok(())
}

/// Warnings are shown and logged: they must not repeat what is said about a person.
fn check_warnings(event: &Value) -> Result<(), String> {
    let mut values = Vec::new();
    texts(&event["person"], &mut values);
    // Words such as `stranger` are no personal values.
    values.retain(|value| Some(*value) != event["person"]["category"].as_str());
    values.push(MARKER);
    let mut warnings = Vec::new();
    texts(&event["warnings"], &mut warnings);
    warnings
        .iter()
        .filter(|_| !values.is_empty())
        .try_for_each(|warning| repeats_none(warning, &values))
}

fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) if is_telling(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// Two letters, or the digits of a vendor's code, stand in many a text by chance.
fn is_telling(text: &str) -> bool {
    let length = text.trim().chars().count();
    length > 5 || length > 2 && !text.trim().bytes().all(|byte| byte.is_ascii_digit())
}

//! What must hold of every event, whatever the vendor.

use faceway_core::Picture;
use serde_json::Value;

use super::discreet::texts;
use super::validator;

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
    check_pictures(event, pictures)
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

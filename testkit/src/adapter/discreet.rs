//! Reasons and warnings are shown and logged: they must not repeat what is said about a person.

use faceway_core::{Adapter, Arrival, Element, Reject};
use serde_json::Value;

use super::Sent;
use super::garbage::MARKER;

/// A reason must repeat nothing of what was sent.
pub(super) fn check_reason(adapter: &dyn Adapter, sent: &Sent, reason: &str) -> Result<(), String> {
    if reason.trim().is_empty() {
        return Err("a reason is blank".into());
    }
    let body: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
    let mut values = vec![MARKER];
    texts(&body, &mut values);
    repeats_none(adapter, sent, reason, &values)
}

/// A warning must repeat nothing that is said about the person.
pub(super) fn check_warnings(
    adapter: &dyn Adapter,
    sent: &Sent,
    event: &Value,
) -> Result<(), String> {
    let mut values = Vec::new();
    texts(&event["person"], &mut values);
    // Words such as `stranger` are no personal values.
    values.retain(|value| Some(*value) != event["person"]["category"].as_str());
    values.push(MARKER);
    let mut warnings = Vec::new();
    texts(&event["warnings"], &mut warnings);
    warnings
        .iter()
        .try_for_each(|warning| repeats_none(adapter, sent, warning, &values))
}

fn repeats_none(
    adapter: &dyn Adapter,
    sent: &Sent,
    text: &str,
    values: &[&str],
) -> Result<(), String> {
    let repeated = values
        .iter()
        .filter(|value| value.chars().count() > 1 && text.contains(**value))
        .find(|value| !is_own_word(adapter, sent, value));
    match repeated {
        Some(value) => Err(format!("{text:?} repeats the value {value:?}")),
        None => Ok(()),
    }
}

/// Whether what repeats a value would hold that word for any other value as well: a person may be called `name`.
fn is_own_word(adapter: &dyn Adapter, sent: &Sent, value: &str) -> bool {
    let Ok(mut body) = serde_json::from_slice::<Value>(&sent.body) else {
        // A form, say: what only looks like the name of a member is then taken for one.
        return value
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || b"_. ".contains(&byte));
    };
    replace(&mut body, value);
    let body = body.to_string().into_bytes();
    let arrival = Arrival {
        body: &body,
        ..sent.arrival()
    };
    let mut said = Vec::new();
    match adapter.read(&arrival, &sent.settings) {
        Ok(elements) => elements
            .into_iter()
            .for_each(|element| tell(element, &mut said)),
        Err(Reject::Unreadable(reason) | Reject::CutOff(reason) | Reject::Refused(reason)) => {
            said.push(reason.into())
        }
    }
    said.iter().any(|text| text.contains(value))
}

fn tell(element: Element<'_>, said: &mut Vec<String>) {
    match element {
        Ok(reading) => said.extend(reading.facts.warnings.into_iter().map(String::from)),
        Err(unreadable) => said.push(unreadable.reason.into()),
    }
}

/// Puts another text wherever `value` stands.
fn replace(body: &mut Value, value: &str) {
    match body {
        Value::String(text) if text.contains(value) => *text = without(text, value),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, value)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| replace(member, value)),
        _ => {}
    }
}

/// Another text in place of `value` where it is a word of its own: `car` in `car_events` is the vendor's tag, and with
/// another tag something else would be read.
fn without(text: &str, value: &str) -> String {
    let is_word =
        |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, found) = rest.split_at(at);
        let behind = &found[value.len()..];
        out.push_str(before);
        let inside = is_word(out.chars().next_back()) || is_word(behind.chars().next());
        out.push_str(if inside { value } else { "Qzxwj" });
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// The texts in `value` that would be known again.
pub(super) fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
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

#[cfg(test)]
mod tests {
    use faceway_core::{Adapter, Answer, Arrival, Element, Outcome, Reach, Reject, Settings};
    use serde_json::Value;

    use super::super::{Sent, examine};

    #[test]
    fn a_tag_is_not_taken_for_a_value() {
        assert_eq!(super::without("car_events", "car"), "car_events");
        assert_eq!(
            super::without("car and car, a car", "car"),
            "Qzxwj and Qzxwj, a Qzxwj"
        );
        assert_eq!(super::without("scar", "car"), "scar");
    }

    /// Reads nothing, and says why: with the value of `name`, or without.
    struct Refuses {
        leaks: bool,
    }

    impl Adapter for Refuses {
        fn name(&self) -> &'static str {
            "refuses"
        }

        fn reach(&self) -> &'static [Reach] {
            &[Reach::Pushed]
        }

        fn read<'a>(
            &self,
            arrival: &Arrival<'a>,
            _: &Settings,
        ) -> Result<Vec<Element<'a>>, Reject> {
            let body: Value = serde_json::from_slice(arrival.body).unwrap_or_default();
            let said = body["name"].as_str().filter(|_| self.leaks);
            let reason = format!("a name is missing {}", said.unwrap_or_default());
            Err(Reject::Unreadable(reason.into()))
        }

        fn answer(&self, _: &Outcome) -> Answer {
            Answer::json(200, b"{}".as_slice())
        }
    }

    fn examined(leaks: bool, body: &str) -> Result<Value, String> {
        let adapter = Refuses { leaks };
        examine(&adapter, &Sent::new(&adapter, body.into()))
    }

    #[test]
    fn a_repeated_value_is_found() {
        let error = examined(true, r#"{"name":"Zhang San"}"#).unwrap_err();
        assert!(error.contains("repeats the value"), "{error}");
        assert!(examined(false, r#"{"name":"Zhang San"}"#).is_ok());
    }

    #[test]
    fn a_word_of_the_reason_is_no_repeated_value() {
        assert!(examined(false, r#"{"name":"name","x":["missing"]}"#).is_ok());
        // The word stands there anyway, so it cannot be told whether it was repeated.
        assert!(examined(true, r#"{"name":"name"}"#).is_ok());
    }
}

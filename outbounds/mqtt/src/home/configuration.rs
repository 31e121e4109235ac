//! What Home Assistant is told of a device, and what is read of it again after a restart. The shapes are in the crate's
//! README.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use faceway_core::DeviceKey;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::packet::Publication;

/// Everything about our devices is below it, so that nothing of other programs has to be read.
const ROOT: &str = "homeassistant/device/faceway";
/// Fits the configurations of all of Faceway's devices.
pub(super) const CONFIGURATIONS: &str = "homeassistant/device/faceway/+/config";

/// The categories of a person, and `recognition` where there is none.
const CATEGORIES: [&str; 7] = [
    "employee",
    "visitor",
    "vip",
    "blocklisted",
    "stranger",
    "known",
    "recognition",
];
/// What an alarm can be about, and `alarm` where the device does not say.
const ALARMS: [&str; 6] = [
    "tamper",
    "forced_door",
    "door_held_open",
    "password_attack",
    "fire",
    "alarm",
];
/// What an alarm can become; it is then no new one.
const ALARM_ENDS: [&str; 2] = ["cleared", "clearing_failed"];

/// What is the same for all devices of one outbound.
pub(crate) struct Frame {
    /// Who announces: what is taken back must be one's own.
    pub(crate) mark: String,
    /// Where `online` and `offline` stand, where they do.
    pub(crate) availability: Option<String>,
    /// Nothing stands there.
    pub(crate) no_status: Arc<AtomicBool>,
}

impl Frame {
    /// Not where nothing stands: Home Assistant would wait there for `online` for ever.
    fn availability(&self) -> Option<&str> {
        let is_there = !self.no_status.load(Ordering::Relaxed);
        self.availability.as_deref().filter(|_| is_there)
    }
}

/// What is announced of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) id: String,
    pub(super) name: String,
    /// Fits the topics of all its events so far.
    pub(super) filter: String,
    pub(super) has_image: bool,
}

pub(super) fn topic(key: DeviceKey) -> String {
    format!("{ROOT}/{:016x}/config", key.0)
}

/// Where the link to the last picture is: nothing but a link may ever come there.
pub(super) fn picture_topic(key: DeviceKey) -> String {
    format!("{ROOT}/{:016x}/picture", key.0)
}

/// Whose configuration is there.
pub(super) fn key(topic: &str) -> Option<DeviceKey> {
    let key = topic.strip_prefix(ROOT)?.strip_prefix('/')?;
    let key = key.strip_suffix("/config")?;
    let key = u64::from_str_radix(key, 16).ok()?;
    Some(DeviceKey(key))
}

/// To be found whenever a subscriber comes.
pub(super) fn retained(topic: String, payload: impl Into<Bytes>) -> Publication {
    Publication {
        topic,
        payload: payload.into(),
        retain: true,
        content_type: None,
        expiry_s: None,
        user_properties: Vec::new(),
    }
}

/// The device with everything that it has in Home Assistant.
pub(super) fn configuration(key: DeviceKey, facts: &Facts, frame: &Frame) -> Publication {
    let node = format!("faceway_{:016x}", key.0);
    let mut components = Map::new();
    let mut add = |name: &str, component: Value| components.insert(name.to_owned(), component);
    add("person", person(&node, facts, frame));
    add("alarm", alarm(&node, facts));
    if facts.has_image {
        let picture = json!({
            "platform": "image",
            "name": "Last picture",
            "unique_id": format!("{node}_picture"),
            "url_topic": picture_topic(key),
        });
        add("picture", picture);
    }
    for (about, words, template) in [
        ("recognition", &CATEGORIES[..], category_template(facts)),
        ("access", &["granted", "denied"], access_template(facts)),
        ("alarm", &ALARMS, alarm_word_template(facts)),
        ("alarm", &ALARM_ENDS, alarm_word_template(facts)),
    ] {
        for word in words {
            let trigger = json!({
                "platform": "device_automation",
                "automation_type": "trigger",
                "type": about,
                "subtype": word,
                "topic": facts.filter,
                "payload": word,
                "value_template": template,
            });
            add(&format!("{about}_{word}"), trigger);
        }
    }
    let mut device = json!({
        "device": { "identifiers": [node], "name": facts.name, "serial_number": facts.id },
        "origin": { "name": "Faceway", "sw_version": env!("CARGO_PKG_VERSION") },
        "components": components,
    });
    if let Some(topic) = frame.availability() {
        device["availability_topic"] = topic.into();
    }
    let mut publication = retained(topic(key), device.to_string());
    publication.content_type = Some("application/json");
    publication
}

fn person(node: &str, facts: &Facts, frame: &Frame) -> Value {
    let ours = is_ours(facts, "recognition");
    json!({
        "platform": "event",
        "name": "Last person",
        "unique_id": format!("{node}_person"),
        "icon": "mdi:account-eye",
        "state_topic": facts.filter,
        "event_types": CATEGORIES,
        "value_template": format!(
            "{{% set person = value_json.get('person', {{}}) %}}{{% if {ours} %}}{{{{ \
             {{'event_type': person.get('category', 'recognition'), \
             'person': person.get('name'), 'person_id': person.get('id'), \
             'score': value_json.get('match', {{}}).get('score'), \
             'granted': value_json.get('access', {{}}).get('granted'), \
             'occurred_at': value_json.get('occurred_at'), 'id': value_json.id}} | tojson \
             }}}}{{% endif %}}"
        ),
        // Home Assistant passes over what it does not know here.
        "announced_by": frame.mark,
    })
}

fn alarm(node: &str, facts: &Facts) -> Value {
    let ours = is_ours(facts, "alarm");
    let (word, types) = (alarm_word(), [&ALARMS[..], &ALARM_ENDS].concat());
    json!({
        "platform": "event",
        "name": "Alarm",
        "unique_id": format!("{node}_alarm"),
        "icon": "mdi:alarm-light",
        "state_topic": facts.filter,
        "event_types": types,
        "value_template": format!(
            "{{% set alarm = value_json.get('alarm', {{}}) %}}{{% if {ours} %}}{{{{ \
             {{'event_type': {word}, 'type': alarm.get('type'), 'state': alarm.get('state'), \
             'description': alarm.get('description'), \
             'occurred_at': value_json.get('occurred_at'), 'id': value_json.id}} | tojson \
             }}}}{{% endif %}}"
        ),
    })
}

/// Several devices may share a topic, so the event says whose it is. What gives no text, Home Assistant passes over.
fn is_ours(facts: &Facts, kind: &str) -> String {
    let id = Value::from(facts.id.as_str());
    format!("value_json.kind == '{kind}' and value_json.get('device', {{}}).get('id') == {id}")
}

/// An alarm that is over must not be taken for a new one of its type.
fn alarm_word() -> &'static str {
    "alarm.get('state') if alarm.get('state') in ('cleared', 'clearing_failed') \
     else alarm.get('type', 'alarm')"
}

fn category_template(facts: &Facts) -> String {
    let ours = is_ours(facts, "recognition");
    format!(
        "{{% if {ours} %}}{{{{ value_json.get('person', {{}}).get('category', 'recognition') \
         }}}}{{% endif %}}"
    )
}

fn access_template(facts: &Facts) -> String {
    let ours = is_ours(facts, "recognition");
    format!(
        "{{% set granted = value_json.get('access', {{}}).get('granted') %}}\
         {{% if {ours} and granted is not none %}}{{{{ 'granted' if granted else 'denied' \
         }}}}{{% endif %}}"
    )
}

fn alarm_word_template(facts: &Facts) -> String {
    let (ours, word) = (is_ours(facts, "alarm"), alarm_word());
    format!(
        "{{% set alarm = value_json.get('alarm', {{}}) %}}{{% if {ours} %}}{{{{ {word} \
         }}}}{{% endif %}}"
    )
}

/// What one's own configuration says; none of another gateway's or of another program's.
pub(super) fn read(payload: &[u8], mark: &str) -> Option<Facts> {
    let said: Said = serde_json::from_slice(payload).ok()?;
    let ours = said.components.person.announced_by == mark;
    ours.then(|| Facts {
        id: said.device.serial_number,
        name: said.device.name,
        filter: said.components.person.state_topic,
        has_image: said.components.picture.is_some(),
    })
}

#[derive(Deserialize)]
struct Said {
    device: SaidDevice,
    components: SaidComponents,
}

#[derive(Deserialize)]
struct SaidDevice {
    name: String,
    serial_number: String,
}

#[derive(Deserialize)]
struct SaidComponents {
    person: SaidPerson,
    picture: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct SaidPerson {
    state_topic: String,
    announced_by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: DeviceKey = DeviceKey(0xAB);

    fn facts() -> Facts {
        Facts {
            id: "SN-1".into(),
            name: "Lobby \"A\"".into(),
            filter: "faceway/lobby/SN-1/+".into(),
            has_image: true,
        }
    }

    fn frame() -> Frame {
        Frame {
            mark: "faceway-test".into(),
            availability: Some("faceway/status".into()),
            no_status: Arc::default(),
        }
    }

    #[test]
    fn what_is_announced_is_read_again_by_whose_it_is() {
        let publication = configuration(KEY, &facts(), &frame());
        assert_eq!(key(&publication.topic), Some(KEY));
        assert!(publication.retain);
        assert_eq!(read(&publication.payload, "faceway-test"), Some(facts()));
        assert_eq!(read(&publication.payload, "faceway-other"), None);
        for other in [&b""[..], b"{}", br#"{"components":{}}"#, b"\xFF"] {
            assert_eq!(read(other, "faceway-test"), None);
        }
    }

    #[test]
    fn only_topics_of_configurations_have_a_key() {
        assert_eq!(key(&picture_topic(KEY)), None);
        for other in [
            "homeassistant/status",
            "homeassistant/device/faceway/x/config",
            "homeassistant/device/other/00000000000000ab/config",
        ] {
            assert_eq!(key(other), None, "{other}");
        }
    }

    /// All words of the schema: an alarm of a type that is not announced would be lost in Home Assistant.
    #[test]
    fn every_word_of_the_schema_is_announced() {
        let schema = faceway_core::schema::event();
        let words = |path: &str| -> Vec<String> {
            let words = schema
                .pointer(path)
                .and_then(enumerated)
                .unwrap_or_default();
            assert!(!words.is_empty(), "{path}");
            words
        };
        for word in words("/properties/alarm/properties/type") {
            assert!(ALARMS.contains(&&*word), "{word}");
        }
        for word in words("/properties/alarm/properties/state") {
            assert!(word == "raised" || ALARM_ENDS.contains(&&*word), "{word}");
        }
        for word in words("/properties/person/properties/category") {
            assert!(CATEGORIES.contains(&&*word), "{word}");
        }
    }

    /// The words, written as `enum` or as `oneOf` with `const`.
    fn enumerated(schema: &Value) -> Option<Vec<String>> {
        let text = |word: &Value| word.as_str().map(str::to_owned);
        if let Some(Value::Array(words)) = schema.get("enum") {
            return words.iter().map(text).collect();
        }
        let choices = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
        let choices = choices.as_array()?.iter();
        let words = choices.map(|choice| {
            let alone = choice.get("const").and_then(text).map(|word| vec![word]);
            alone.or_else(|| enumerated(choice))
        });
        words.collect::<Option<Vec<_>>>().map(|all| all.concat())
    }
}

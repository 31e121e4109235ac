//! Home Assistant: what it must know to show who was last seen by a device. The shapes are in the crate's README.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use faceway_core::DeviceKey;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::packet::Publication;

/// Devices that are announced. More than a site has; beyond it, none is forgotten and no new one is announced.
const DEVICES_MAX: usize = 10_000;
/// The categories of a person, and `recognition` where there is none.
const EVENT_TYPES: [&str; 7] = [
    "employee",
    "visitor",
    "vip",
    "blocklisted",
    "stranger",
    "known",
    "recognition",
];

/// What is announced of which device.
pub(crate) struct Discovery {
    availability: Option<String>,
    devices: HashMap<DeviceKey, Device>,
}

struct Device {
    id: String,
    name: String,
    /// Fits the topics of all its recognitions so far.
    filter: String,
    has_image: bool,
    /// On this connection, as things are.
    announced: bool,
}

impl Discovery {
    /// `availability` is the status topic, where there is one.
    pub(crate) fn new(availability: Option<String>) -> Self {
        Self {
            availability,
            devices: HashMap::new(),
        }
    }

    /// Nothing stands in the status topic any more.
    pub(crate) fn without_availability(&mut self) {
        if self.availability.take().is_some() {
            self.forget();
        }
    }

    /// The connection is a new one, and the broker may have forgotten everything.
    pub(crate) fn forget(&mut self) {
        for device in self.devices.values_mut() {
            device.announced = false;
        }
    }

    /// What is to be published before `publication`, if it is a canonical event of a device that is new or has changed.
    pub(crate) fn announce(
        &mut self,
        key: DeviceKey,
        publication: &Publication,
    ) -> Vec<Publication> {
        let Some(glance) = Glance::at(publication) else {
            return Vec::new();
        };
        let full = self.devices.len() >= DEVICES_MAX;
        if full && !self.devices.contains_key(&key) {
            return Vec::new();
        }
        let device = self.devices.entry(key).or_insert_with(|| Device {
            id: glance.device.id.to_string(),
            name: String::new(),
            filter: publication.topic.clone(),
            has_image: false,
            announced: false,
        });
        device.learn(&glance, &publication.topic);
        if std::mem::replace(&mut device.announced, true) {
            return Vec::new();
        }
        device.configurations(key, self.availability.as_deref())
    }
}

impl Device {
    fn learn(&mut self, glance: &Glance<'_>, topic: &str) {
        let name = glance.device.name.as_deref();
        let name = name.unwrap_or(&glance.device.id);
        let filter = widened(&self.filter, topic);
        let has_image = self.has_image || glance.has_image();
        let same = self.name == name && self.filter == filter && self.has_image == has_image;
        if !same {
            self.announced = false;
            self.name = name.to_owned();
            self.filter = filter;
            self.has_image = has_image;
        }
    }

    fn configurations(&self, key: DeviceKey, availability: Option<&str>) -> Vec<Publication> {
        let node = format!("faceway_{:016x}", key.0);
        let mut event = json!({
            "name": "Last person",
            "unique_id": format!("{node}_person"),
            "icon": "mdi:account-eye",
            "state_topic": self.filter,
            "event_types": EVENT_TYPES,
            "value_template": self.event_template(),
        });
        self.complete(&mut event, &node, availability);
        let mut all = vec![configuration("event", &node, &event)];
        if self.has_image {
            let mut image = json!({
                "name": "Last picture",
                "unique_id": format!("{node}_picture"),
                "url_topic": self.filter,
                "url_template": self.image_template(),
            });
            self.complete(&mut image, &node, availability);
            all.push(configuration("image", &node, &image));
        }
        all
    }

    fn complete(&self, entity: &mut Value, node: &str, availability: Option<&str>) {
        entity["device"] = json!({
            "identifiers": [node],
            "name": self.name,
            "serial_number": self.id,
        });
        entity["origin"] = json!({ "name": "Faceway", "sw_version": env!("CARGO_PKG_VERSION") });
        if let Some(topic) = availability {
            entity["availability_topic"] = topic.into();
        }
    }

    /// Several devices may share a topic, so the event says whose it is. What gives no text, Home Assistant passes over.
    fn is_ours(&self) -> String {
        let id = Value::from(self.id.as_str());
        format!(
            "value_json.kind == 'recognition' and value_json.get('device', {{}}).get('id') == {id}"
        )
    }

    fn event_template(&self) -> String {
        let ours = self.is_ours();
        format!(
            "{{% set person = value_json.get('person', {{}}) %}}{{% if {ours} %}}{{{{ \
             {{'event_type': person.get('category', 'recognition'), \
             'person': person.get('name'), 'person_id': person.get('id'), \
             'score': value_json.get('match', {{}}).get('score'), \
             'granted': value_json.get('access', {{}}).get('granted'), \
             'occurred_at': value_json.get('occurred_at'), 'id': value_json.id}} | tojson \
             }}}}{{% endif %}}"
        )
    }

    /// The face where there is one, else the first picture with a link.
    fn image_template(&self) -> String {
        let ours = self.is_ours();
        format!(
            "{{% set linked = value_json.get('images', []) | selectattr('url', 'defined') | list %}}\
             {{% if {ours} %}}{{{{ ((linked | selectattr('role', 'eq', 'face') | list) + linked) \
             | map(attribute='url') | first | default('') }}}}{{% endif %}}"
        )
    }
}

fn configuration(component: &str, node: &str, entity: &Value) -> Publication {
    Publication {
        topic: format!("homeassistant/{component}/{node}/config"),
        payload: Bytes::from(entity.to_string()),
        // Home Assistant finds it whenever it starts.
        retain: true,
        content_type: Some("application/json"),
        expiry_s: None,
        user_properties: Vec::new(),
    }
}

/// A filter that fits `topic` as well: `+` where levels differ, `#` where one has more of them.
fn widened(filter: &str, topic: &str) -> String {
    let (mut old, mut new) = (filter.split('/'), topic.split('/'));
    let mut levels = Vec::new();
    loop {
        match (old.next(), new.next()) {
            (None, None) => break,
            (Some(old), Some(new)) if old == new => levels.push(old),
            (Some("#"), _) | (Some(_), None) | (None, Some(_)) => {
                levels.push("#");
                break;
            }
            (Some(_), Some(_)) => levels.push("+"),
        }
    }
    levels.join("/")
}

/// As much of a canonical event as an announcement needs.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    device: GlanceDevice<'a>,
    #[serde(borrow, default)]
    images: Vec<GlanceImage<'a>>,
}

#[derive(Deserialize)]
struct GlanceDevice<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct GlanceImage<'a> {
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
}

impl<'a> Glance<'a> {
    /// Of a recognition by a device; anything else has nothing to announce.
    fn at(publication: &'a Publication) -> Option<Self> {
        let glance: Self = serde_json::from_slice(&publication.payload).ok()?;
        let fits = glance.schema == "faceway.event/1" && glance.kind == "recognition";
        fits.then_some(glance)
    }

    fn has_image(&self) -> bool {
        self.images.iter().any(|image| image.url.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(topic: &str, body: &Value) -> Publication {
        Publication {
            topic: topic.into(),
            payload: body.to_string().into(),
            retain: false,
            content_type: Some("application/json"),
            expiry_s: None,
            user_properties: Vec::new(),
        }
    }

    fn seen(topic: &str, image: bool) -> Publication {
        let images = match image {
            true => json!([{ "role": "face", "url": "http://gateway.example/images/1" }]),
            false => json!([]),
        };
        let device = json!({ "id": "SN-1", "name": "Lobby \"A\"" });
        let body = json!({
            "schema": "faceway.event/1", "id": "1", "kind": "recognition",
            "device": device, "images": images,
        });
        publication(topic, &body)
    }

    fn topics(publications: &[Publication]) -> Vec<&str> {
        publications.iter().map(|one| one.topic.as_str()).collect()
    }

    const KEY: DeviceKey = DeviceKey(0xAB);
    const EVENT: &str = "homeassistant/event/faceway_00000000000000ab/config";
    const IMAGE: &str = "homeassistant/image/faceway_00000000000000ab/config";

    #[test]
    fn a_device_is_announced_once_and_again_when_it_changes() {
        let mut discovery = Discovery::new(Some("faceway/status".into()));
        let first = discovery.announce(KEY, &seen("faceway/lobby/SN-1/recognition", false));
        assert_eq!(topics(&first), [EVENT]);
        assert!(first.iter().all(|one| one.retain));
        let config: Value = serde_json::from_slice(&first[0].payload).unwrap();
        assert_eq!(config["state_topic"], "faceway/lobby/SN-1/recognition");
        assert_eq!(config["device"]["name"], "Lobby \"A\"");
        assert_eq!(config["availability_topic"], "faceway/status");
        let template = config["value_template"].as_str().unwrap();
        assert!(
            template.contains(r#".get('id') == "SN-1" %}"#),
            "{template}"
        );

        let same = discovery.announce(KEY, &seen("faceway/lobby/SN-1/recognition", false));
        assert_eq!(topics(&same), [""; 0]);
        let pictured = discovery.announce(KEY, &seen("faceway/lobby/SN-1/recognition", true));
        assert_eq!(topics(&pictured), [EVENT, IMAGE]);
        let moved = discovery.announce(KEY, &seen("faceway/lobby/SN-1/vip", false));
        let config: Value = serde_json::from_slice(&moved[1].payload).unwrap();
        assert_eq!(config["url_topic"], "faceway/lobby/SN-1/+");
        discovery.forget();
        let again = discovery.announce(KEY, &seen("faceway/lobby/SN-1/vip", false));
        assert_eq!(topics(&again), [EVENT, IMAGE]);
    }

    #[test]
    fn what_is_no_recognition_announces_nothing() {
        let mut discovery = Discovery::new(None);
        let schema = "faceway.event/1";
        for body in [
            json!("text"),
            json!([{ "schema": schema, "kind": "recognition", "device": { "id": "1" } }]),
            json!({ "schema": schema, "kind": "alarm", "device": { "id": "1" } }),
            json!({ "schema": schema, "kind": "recognition" }),
            json!({ "schema": schema, "kind": "recognition", "device": { "name": "x" } }),
            json!({ "specversion": "1.0", "kind": "recognition", "device": { "id": "1" } }),
        ] {
            let announced = discovery.announce(KEY, &publication("a", &body));
            assert!(announced.is_empty(), "{body}");
        }
    }

    #[test]
    fn a_filter_fits_every_topic_that_it_has_seen() {
        for (filter, topic, wide) in [
            ("a/b", "a/b", "a/b"),
            ("a/b/c", "a/x/c", "a/+/c"),
            ("a/+/c", "a/x/d", "a/+/+"),
            ("a/b", "a/b/c", "a/b/#"),
            ("a/b/c", "a/b", "a/b/#"),
            ("a/#", "a/b/c", "a/#"),
            ("a/#", "a", "a/#"),
            ("a", "b", "+"),
        ] {
            assert_eq!(widened(filter, topic), wide, "{filter} and {topic}");
        }
    }
}

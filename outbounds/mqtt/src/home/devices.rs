//! Which devices the broker has been told of, and what is still to be said of them. Pure: time is given.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use bytes::Bytes;
use faceway_core::DeviceKey;
use tokio::time::Instant;

use super::configuration::{self, Facts, Frame};
use super::glance::Glance;
use crate::packet::Publication;

/// Devices that are announced. More than a site has; beyond it, none is forgotten and no new one is announced.
pub(super) const DEVICES_MAX: usize = 10_000;
/// Texts of an announcement that are longer than this are no names.
const TEXT_BYTES_MAX: usize = 1024;
/// Home Assistant collects subscriptions for half a second, and what comes before it has subscribed it never sees.
pub(super) const HOLD: Duration = Duration::from_secs(2);

/// All devices.
pub(super) struct Devices {
    frame: Frame,
    /// What stands for no picture.
    no_picture: Option<String>,
    known: HashMap<DeviceKey, Device>,
}

struct Device {
    facts: Facts,
    /// Of the configuration that the broker has, as far as is known on this connection.
    announced: Option<Digest>,
    /// Events wait until then, so that Home Assistant sees them.
    ready_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(u64);

/// What is to be published before an event, in this order.
pub(super) struct Introduction {
    pub(super) configuration: Option<(Publication, Digest)>,
    pub(super) picture: Option<Publication>,
}

impl Devices {
    pub(super) fn new(frame: Frame, no_picture: Option<String>) -> Self {
        Self {
            frame,
            no_picture,
            known: HashMap::new(),
        }
    }

    /// The connection is a new one, and the broker may have forgotten everything.
    pub(super) fn forget(&mut self) {
        for device in self.known.values_mut() {
            device.announced = None;
        }
    }

    /// What is to be said before this event of `key`. None: it is one device too many.
    pub(super) fn learn(
        &mut self,
        key: DeviceKey,
        glance: &Glance<'_>,
        topic: &str,
    ) -> Option<Introduction> {
        let fits = [&*glance.device.id, glance.name(), topic].map(str::len);
        let full = self.known.len() >= DEVICES_MAX && !self.known.contains_key(&key);
        if full || fits.iter().any(|bytes| *bytes > TEXT_BYTES_MAX) {
            return None;
        }
        let filter = every_kind(topic, &glance.kind);
        let device = self.known.entry(key).or_insert_with(|| Device {
            facts: Facts {
                id: String::new(),
                name: String::new(),
                filter: filter.clone(),
                has_image: false,
            },
            announced: None,
            ready_at: None,
        });
        let link = glance.link().filter(|_| glance.is_recognition());
        device.facts = Facts {
            id: glance.device.id.to_string(),
            name: glance.name().to_owned(),
            filter: widened(&device.facts.filter, &filter),
            has_image: device.facts.has_image || link.is_some(),
        };
        let publication = configuration::configuration(key, &device.facts, &self.frame);
        let digest = digest(&publication.payload);
        let is_new = device.announced != Some(digest);
        // An event without a picture must not leave the last face beside the new name.
        let shown = link.or(self.no_picture.as_deref());
        let shown = shown.filter(|_| glance.is_recognition() && device.facts.has_image);
        Some(Introduction {
            configuration: is_new.then_some((publication, digest)),
            picture: shown.map(|link| {
                let topic = configuration::picture_topic(key);
                configuration::retained(topic, link.to_owned())
            }),
        })
    }

    /// The broker has confirmed a configuration.
    pub(super) fn announced(&mut self, key: DeviceKey, digest: Digest, now: Instant) {
        if let Some(device) = self.known.get_mut(&key) {
            device.announced = Some(digest);
            device.ready_at = Some(now + HOLD);
        }
    }

    /// Until when events of `key` wait.
    pub(super) fn ready_at(&self, key: DeviceKey) -> Option<Instant> {
        self.known.get(&key)?.ready_at
    }

    /// Whether the broker has been told, and it was not deleted since.
    pub(super) fn is_announced(&self, key: DeviceKey) -> bool {
        let device = self.known.get(&key);
        device.is_some_and(|device| device.announced.is_some())
    }

    /// A message came on the topic of a configuration: the broker what it had kept, Home Assistant that the user
    /// has deleted the device, we ourselves.
    pub(super) fn heard(&mut self, topic: &str, payload: &Bytes) {
        let Some(key) = configuration::key(topic) else {
            return;
        };
        if payload.is_empty() {
            if let Some(device) = self.known.get_mut(&key) {
                device.announced = None;
            }
            return;
        }
        let Some(facts) = configuration::read(payload, &self.frame.mark) else {
            return;
        };
        if self.known.len() >= DEVICES_MAX && !self.known.contains_key(&key) {
            return;
        }
        let device = self.known.entry(key).or_insert_with(|| Device {
            facts,
            announced: None,
            ready_at: None,
        });
        device.announced = Some(digest(payload));
    }

    /// All that the broker has been told of.
    pub(super) fn keys(&self) -> Vec<DeviceKey> {
        let told = self.known.iter();
        let told = told.filter(|(_, device)| device.announced.is_some());
        told.map(|(key, _)| *key).collect()
    }

    /// What the broker has been told of `key`, to be told again.
    pub(super) fn again(&self, key: DeviceKey) -> Option<Publication> {
        let device = self.known.get(&key)?;
        let publication = configuration::configuration(key, &device.facts, &self.frame);
        (device.announced == Some(digest(&publication.payload))).then_some(publication)
    }
}

fn digest(payload: &Bytes) -> Digest {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    Digest(hasher.finish())
}

/// A filter that fits the topics of the device's other kinds too: the first alarm must not wait for an announcement.
fn every_kind(topic: &str, kind: &str) -> String {
    let level = |level| if level == kind { "+" } else { level };
    let levels: Vec<&str> = topic.split('/').map(level).collect();
    levels.join("/")
}

/// A filter that fits all that `other` fits as well: `+` where levels differ, `#` where one has more of them.
fn widened(filter: &str, other: &str) -> String {
    let (mut old, mut new) = (filter.split('/'), other.split('/'));
    let mut levels = Vec::new();
    loop {
        match (old.next(), new.next()) {
            (None, None) => break,
            (Some(old), Some(new)) if old == new => levels.push(old),
            (Some("#"), _) | (_, Some("#")) | (Some(_), None) | (None, Some(_)) => {
                levels.push("#");
                break;
            }
            (Some(_), Some(_)) => levels.push("+"),
        }
    }
    levels.join("/")
}

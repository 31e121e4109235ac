//! What makes a record of a box itself. Only an id that is a UUID counts as one: some firmware sends none, other firmware
//! gives one to all faces of a frame. So camera, time, person, verdict and score join the id, and of a stranger the face.
//! The websocket and the history tell all of it alike.

use std::collections::BTreeSet;

use faceway_core::lenient::picture;
use faceway_core::{Category, Facts, Members, Raw, RecordKey, content_digest, is_unique_id};

use crate::message::Message;

/// More cameras than this hang on no box: each costs a look at what was kept.
const CAMERAS_MAX: usize = 256;

/// What a message says of itself before it is taken apart.
pub(crate) struct Sent {
    identity: String,
    name: String,
    score: String,
    /// Where the face was.
    place: Option<String>,
}

impl Sent {
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let top = &message.top;
        Self {
            identity: top.peek("identity_id").unwrap_or_default().into_owned(),
            name: top.peek("identity_name").unwrap_or_default().into_owned(),
            score: score(top.members.peek("score")),
            place: (message.face.members.peek("box")).map(|place| place.get().to_owned()),
        }
    }

    /// The key of a recognition. Without a time the other fields would make one record of a person's whole day.
    ///
    /// `message` still has its pictures.
    pub(crate) fn key(&self, message: &Message<'_>, facts: &Facts<'_>, text: &str) -> RecordKey {
        // The SE3 names no camera's id.
        let device = &facts.device;
        let device = device.id.as_deref().or(device.address.as_deref());
        let device = device.map(comparable).unwrap_or_default();
        let category = category(facts.person.category);
        // A name for want of one differs between the box's ways out.
        let is_named = facts.person.id.is_some() || facts.person.name.is_some();
        let name = if is_named { self.name.as_str() } else { "" };
        let event_id = facts.vendor_id.as_deref().unwrap_or_default();
        if is_unique_id(event_id) {
            return RecordKey::strong(
                &["event", &device, event_id],
                &[&self.identity, name, category],
            );
        }
        let Some(time) = facts.occurred_at else {
            return RecordKey::passing(&["content", &content_digest(text).to_string()]);
        };
        RecordKey::weak(&[
            "seen",
            event_id,
            &device,
            &time.as_millis().to_string(),
            &self.identity,
            name,
            category,
            &self.score,
            // A known person is not in one frame twice, and the history may come without pictures. So only a stranger's
            // picture is decoded for the key.
            &match is_named {
                true => String::new(),
                false => self.face(message).unwrap_or_default(),
            },
        ])
    }

    /// The digest of the face's picture, whether it is wanted or not; without one, of where the face was.
    fn face(&self, message: &Message<'_>) -> Option<String> {
        let Message { top, ext, .. } = message;
        let names = ["recognize_face", "recognize_face_image"];
        let pictures =
            (names.iter()).flat_map(|name| [top, ext].map(|fields| fields.members.peek(name)));
        let mut pictures = pictures
            .flatten()
            .filter_map(|raw| picture(raw).ok().flatten());
        let digest = pictures.next().map(|picture| picture.sha256.to_string());
        digest.or_else(|| Some(content_digest(self.place.as_deref()?).to_string()))
    }
}

/// The key of a report of how the box and its cameras are. It has no time, so it is a resend only while nothing else was
/// said: by a report of the same cameras, or by one that one of them is in.
pub(crate) fn report_key(members: &Members<'_>, facts: &Facts<'_>, text: &str) -> RecordKey {
    let device = &facts.device;
    let licence = members.peek("mq_license_key").map_or("", Raw::get);
    let reporter = device.id.as_deref().or(device.address.as_deref());
    let reporter = reporter.unwrap_or(licence);
    let content = content_digest(text).to_string();
    let cameras: BTreeSet<String> = ["sub_devices", "media_devices"]
        .iter()
        .filter_map(|list| members.peek(list))
        .flat_map(cameras)
        .take(CAMERAS_MAX)
        .collect();
    let all = ["box", reporter];
    let mut cameras = cameras.iter();
    match (cameras.next(), cameras.next()) {
        (Some(only), None) => {
            RecordKey::state(&["camera", reporter, only], &[&content], [&all[..]])
        }
        (first, second) => {
            let each: Vec<[&str; 3]> = (first.into_iter().chain(second).chain(cameras))
                .map(|camera| ["camera", reporter, camera.as_str()])
                .collect();
            RecordKey::state(&all, &[&content], each.iter().map(|camera| &camera[..]))
        }
    }
}

/// Written into ids, so these words may never change.
const fn category(category: Option<Category>) -> &'static str {
    match category {
        Some(Category::Employee) => "employee",
        Some(Category::Visitor) => "visitor",
        Some(Category::Vip) => "vip",
        Some(Category::Blocklisted) => "blocklisted",
        Some(Category::Stranger) => "stranger",
        Some(Category::Known) => "known",
        None => "",
    }
}

/// What names each camera of a list.
fn cameras(list: Raw<'_>) -> Vec<String> {
    let items = list.items().unwrap_or_default();
    let name = |item: Raw<'_>| {
        let members = Members::of(item)?;
        let names = [
            "media_device_id",
            "device_id",
            "ep_id",
            "media_device_ip",
            "ep_ip",
        ];
        names
            .iter()
            .find_map(|name| Some(comparable(members.peek(name)?.get().trim_matches('"'))))
    };
    items.into_iter().filter_map(name).collect()
}

/// `94.8` and `94.80` are the same score.
fn score(raw: Option<Raw<'_>>) -> String {
    let number = raw.and_then(|raw| raw.get().parse::<f64>().ok());
    number.map_or_else(String::new, |score| score.to_string())
}

/// The same camera with and without dashes in its UUID: the realtime stream writes them, v2's history does not.
fn comparable(id: &str) -> String {
    let plain: String = id.chars().filter(|sign| *sign != '-').collect();
    let is_uuid = plain.len() == 32 && plain.bytes().all(|digit| digit.is_ascii_hexdigit());
    match is_uuid {
        true => plain.to_ascii_lowercase(),
        false => id.to_owned(),
    }
}

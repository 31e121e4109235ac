//! One message of a box: somebody was seen, or how its cameras are. The names of all firmware are read wherever they
//! stand; which of them belongs to which is in the README beside this crate.

use faceway_core::lenient::{self, Unit, on_scale};
use faceway_core::{
    Attribute, Attributes, Bounds, Device, DeviceType, Facts, Image, ImageRole, Kind, Match,
    Members, Object, ObjectType, Picture, Private, Reader, Reading, RecordKey, Rest, Text,
    content_digest,
};

use crate::connect::{Protocol, wanted};
use crate::identity::{Sent, report_key};
use crate::person;
use crate::scrub::scrub;
use crate::wire::Around;
use crate::words::{age_group, device_type, gender, mask, media_type};

/// Where pictures stand, in the order in which an event names them.
pub(crate) const PICTURES: [(&str, ImageRole); 9] = [
    ("recognize_face", ImageRole::Face),
    ("recognize_face_image", ImageRole::Face),
    ("spot_pic", ImageRole::Scene),
    ("spot_image", ImageRole::Scene),
    ("reg_pic", ImageRole::Enrolled),
    ("register_image", ImageRole::Enrolled),
    ("reg_image", ImageRole::Enrolled),
    ("ir_pic", ImageRole::Infrared),
    ("ir_image", ImageRole::Infrared),
];

/// What only a message about a person has, in v1 and in v2.
const V1: [&str; 6] = [
    "ext_data",
    "ep_info",
    "device_id",
    "person_type",
    "want_action",
    "recognize_face",
];
const V2: [&str; 7] = [
    "media_device_info",
    "media_device_id",
    "user_type",
    "post_action",
    "recognize_face_image",
    "register_image",
    "event_id",
];
const EITHER: [&str; 4] = [
    "identity_id",
    "identity_name",
    "recognize_face_attr",
    "score",
];

/// Four numbers take less.
const BOX_BYTES_MAX: usize = 400;

/// A message, taken apart.
pub(crate) struct Message<'t> {
    /// The top level.
    pub(crate) top: Reader<'t>,
    /// `ext_data`, of v1 and the SE3.
    pub(crate) ext: Reader<'t>,
    /// `identity_info`, of v1.
    pub(crate) info: Reader<'t>,
    /// `ep_info`, of v1's history.
    endpoint: Reader<'t>,
    /// `media_device_info`, of v2's history.
    media: Reader<'t>,
    /// `recognize_face_attr`, of the history.
    pub(crate) face: Reader<'t>,
}

/// Reads a message whose text is `text`.
pub(crate) fn read_message(
    members: Members<'_>,
    text: &str,
    around: &Around<'_>,
) -> Reading<'static> {
    let has = |names: &[&str]| names.iter().any(|name| members.has(name));
    let is_report = has(&["sub_devices", "media_devices", "gateway_sn"]);
    let is_recognition = !is_report && (has(&V1) || has(&V2) || has(&EITHER));
    let names_of = (has(&V1), has(&V2));
    let mut message = Message::new(members);
    let mut facts = Facts::default();
    let sent = Sent::of(&message);
    let key = if is_recognition {
        message.recognition(&mut facts, around);
        message.check_protocol(names_of, around);
        sent.key(&message, &facts, text)
    } else if is_report {
        facts.device = message.reporting_box(around);
        report_key(&message.top.members, &facts, text)
    } else {
        RecordKey::passing(&["content", &content_digest(text).to_string()])
    };
    let pictures = message.pictures(&mut facts, around);
    message.leave(&mut facts);
    Reading {
        key,
        facts,
        pictures,
    }
}

impl<'t> Message<'t> {
    fn new(members: Members<'t>) -> Self {
        let mut top = Reader::new(members, "");
        Self {
            ext: top.object("ext_data", "ext_data.").unwrap_or_default(),
            info: top
                .object("identity_info", "identity_info.")
                .unwrap_or_default(),
            endpoint: top.object("ep_info", "ep_info.").unwrap_or_default(),
            media: top
                .object("media_device_info", "media_device_info.")
                .unwrap_or_default(),
            face: top
                .object("recognize_face_attr", "recognize_face_attr.")
                .unwrap_or_default(),
            top,
        }
    }

    fn recognition(&mut self, facts: &mut Facts<'static>, around: &Around<'_>) {
        facts.kind = Kind::Recognition;
        facts.vendor_id = self.top.identifier("event_id").map(owned);
        facts.occurred_at = self.top.time("timestamp", Unit::Milliseconds);
        facts.device = self.device(around);
        let (person, status) = person::read(self);
        facts.person = person;
        facts.matched = Match {
            status,
            score: self.score(around),
            candidates: Vec::new(),
        };
        facts.object = self.object();
    }

    fn device(&mut self, around: &Around<'_>) -> Device<'static> {
        let told = self.top.identifier("device_id").map(owned);
        let told = told.or_else(|| self.top.identifier("media_device_id").map(owned));
        let told = told.or_else(|| self.media.identifier("media_device_id").map(owned));
        let told = told.or_else(|| self.endpoint.identifier("device_id").map(owned));
        Device {
            id: told.or_else(|| self.endpoint_id()),
            device_type: self.device_type(),
            name: (self.endpoint.identifier("ep_name").map(owned))
                .or_else(|| self.media.identifier("media_device_name").map(owned))
                .or_else(|| self.top.identifier("media_device_name").map(owned)),
            address: (self.ext.identifier("device_ip").map(owned))
                .or_else(|| self.top.identifier("device_ip").map(owned))
                .or_else(|| self.top.identifier("media_device_ip").map(owned))
                .or_else(|| self.media.identifier("media_device_ip").map(owned))
                .or_else(|| self.endpoint.identifier("ep_ip").map(owned)),
            stream: self.stream(),
            parent: around.peer.clone().map(Text::Owned),
            groups: Vec::new(),
        }
    }

    /// `ep_id` is the box's licence (`dev_sno`) and the camera's address or URL.
    fn endpoint_id(&mut self) -> Option<Text<'static>> {
        let licences = self.licences();
        let id = self.endpoint.identifier("ep_id").map(owned)?;
        let behind = licences
            .iter()
            .find_map(|licence| id.strip_prefix(licence.as_str())?.strip_prefix("__"));
        match behind {
            Some(behind) => (!behind.trim().is_empty()).then(|| Text::Owned(behind.to_owned())),
            None => Some(id),
        }
    }

    /// As they stand in JSON: none needs an escape.
    fn licences(&self) -> Vec<String> {
        ["dev_sno", "mq_license_key"]
            .iter()
            .filter_map(|name| self.top.peek(name))
            .filter(|licence| licence.bytes().all(|sign| sign.is_ascii_alphanumeric()))
            .map(Text::into_owned)
            .collect()
    }

    fn device_type(&mut self) -> Option<DeviceType> {
        let told = self.ext.code_or_text("device_type", device_type);
        let told = told.or_else(|| self.top.code_or_text("device_type", device_type));
        // What is a file, or a reader of identity cards, has no canonical word, and stays.
        let mut word = |name: &str, fields: fn(&mut Self) -> &mut Reader<'t>| {
            let fields = fields(self);
            match fields.peek(name).as_deref() {
                Some("file" | "card") => None,
                _ => fields.word(name, media_type).word(),
            }
        };
        told.word()
            .or_else(|| word("media_device_type", |message| &mut message.top))
            .or_else(|| word("media_device_type", |message| &mut message.media))
            .or_else(|| word("ep_type", |message| &mut message.endpoint))
    }

    fn stream(&mut self) -> Option<Text<'static>> {
        for fields in [&mut self.media, &mut self.top] {
            if fields
                .peek("media_device_url")
                .is_some_and(|url| url.contains("://"))
            {
                return fields.identifier("media_device_url").map(owned);
            }
        }
        None
    }

    /// Of 0 to 1. Which scale the firmware has is a setting; a score clearly above 1 cannot be of the smaller one.
    fn score(&mut self, around: &Around<'_>) -> Option<f64> {
        let (raw, sent) = self
            .top
            .read("score", |raw| Some((raw, lenient::number(raw)?)))?;
        let of_100 = around.settings.number("score_scale") == Some(100);
        let Some(of_larger) = on_scale(sent, 100.0) else {
            self.top.warn("score", "not in 0 to 100");
            return None;
        };
        if !of_100 {
            if let Some(score) = on_scale(sent, 1.0) {
                self.top.members.drop("score");
                return Some(score);
            }
            // On the larger scale this would be rounding below its end; on this one it is no score.
            if sent < 0.0 {
                self.top.warn("score", "not in 0 to 100");
                return None;
            }
            self.top.warn(
                "score",
                "above 1, read as one of 0 to 100; set `score_scale = 100` if the firmware's are",
            );
        }
        self.top.members.drop("score");
        if of_larger != sent {
            return Some(of_larger / 100.0);
        }
        // Moving the point in the text keeps 94.8 from becoming 0.9480000000000001.
        let moved = format!("{}e-2", raw.get()).parse();
        Some(moved.unwrap_or(sent / 100.0))
    }

    fn object(&mut self) -> Object<'static> {
        if self.face.members.is_empty() {
            self.face = self
                .ext
                .object("recognize_face_attr", "ext_data.recognize_face_attr.")
                .unwrap_or_default();
        }
        let face = &mut self.face;
        Object {
            object_type: Some(ObjectType::Face),
            bounds: bounds(face),
            attributes: Attributes {
                mask: face.word("mask", mask).word().map(Attribute::plain),
                gender: face.word("gender", gender).word().map(Attribute::plain),
                age_group: face.word("age", age_group).word().map(Attribute::plain),
                ..Attributes::default()
            },
            ..Object::default()
        }
    }

    /// The SE3 reports itself before its cameras; the SE5 reports its cameras only.
    fn reporting_box(&mut self, around: &Around<'_>) -> Device<'static> {
        Device {
            id: self.top.identifier("gateway_sn").map(owned),
            device_type: Some(DeviceType::Box),
            name: self.top.identifier("gateway_name").map(owned),
            address: (self.top.identifier("gateway_ip").map(owned))
                .or_else(|| around.peer.clone().map(Text::Owned)),
            ..Device::default()
        }
    }

    fn check_protocol(&mut self, names_of: (bool, bool), around: &Around<'_>) {
        let other = match (Protocol::of(around.settings), names_of) {
            (Some(Protocol::V1), (false, true)) => "v2",
            (Some(Protocol::V2), (true, false)) => "v1",
            _ => return,
        };
        let warning =
            format!("protocol: the names are those of {other}; set `protocol = \"{other}\"`");
        self.top.warnings.push(warning.into());
    }

    /// Takes the pictures out of the text, and names those that are wanted in `facts.images`.
    fn pictures(&mut self, facts: &mut Facts<'static>, around: &Around<'_>) -> Vec<Picture> {
        let mut pictures: Vec<Picture> = Vec::new();
        for (name, role) in PICTURES {
            for fields in [&mut self.top, &mut self.ext] {
                if !wanted(around.settings, role) {
                    fields.members.drop(name);
                } else if let Some((image, picture)) = fields.picture(name, role) {
                    let image = match (&picture, image.url) {
                        (None, Some(url)) => Image::linked(role, owned(url)),
                        (None, None) => continue,
                        (Some(picture), _) => Image::kept(role, picture),
                    };
                    if !facts.images.contains(&image) {
                        facts.images.push(image);
                        pictures.extend(picture);
                    }
                }
            }
        }
        pictures
    }

    /// Leaves what has no canonical word under `vendor`, without secrets, and hands over the warnings.
    fn leave(mut self, facts: &mut Facts<'static>) {
        let licences = self.licences();
        let mut vendor = scrub(&self.top.members, &licences, &mut facts.warnings);
        facts.warnings.append(&mut self.top.warnings);
        for (name, mut fields) in [
            ("ext_data", self.ext),
            ("identity_info", self.info),
            ("ep_info", self.endpoint),
            ("media_device_info", self.media),
            ("recognize_face_attr", self.face),
        ] {
            facts.warnings.append(&mut fields.warnings);
            let left = scrub(&fields.members, &licences, &mut facts.warnings);
            if !left.is_empty() && !vendor.has(name) {
                vendor.put(name, Rest::Object(left));
            }
        }
        facts.vendor = Private::new(vendor);
    }
}

/// What is read of a message is owned: it is little beside the pictures, and a form has no text to borrow from.
pub(crate) fn owned(text: Text<'_>) -> Text<'static> {
    Text::Owned(text.into_owned())
}

/// `[left, top, right, bottom]`; an empty list is none.
fn bounds(face: &mut Reader<'_>) -> Option<Bounds> {
    let sides = face.read("box", |raw| {
        let sides: Vec<f64> =
            (raw.get().len() < BOX_BYTES_MAX).then(|| serde_json::from_str(raw.get()).ok())??;
        match sides[..] {
            [] => Some(None),
            [left, top, right, bottom] if left <= right && top <= bottom => Some(Some(Bounds {
                left,
                top,
                right,
                bottom,
            })),
            _ => None,
        }
    })?;
    face.members.drop("box");
    sides
}

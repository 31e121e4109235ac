//! What is said to a box after connecting to its websocket (port 5679), and how its list of cameras is read. Pure: the
//! gateway dials.
//!
//! A box is silent until it is configured, once after every connect. With an empty list of cameras it stays silent. It
//! answers nothing, and takes no pings that a document would tell of.

use faceway_core::{ImageRole, Malformed, Members, Reader, Settings, Text, document};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Whose names a box uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// V2R6, V5R2 to V5R7.
    V1,
    /// V6R1 and later.
    V2,
}

impl Protocol {
    /// What the inbound's `protocol` says; `None` when it is not set. Then a box tells it by the list of cameras that it
    /// answers, see [`device_list`].
    pub fn of(settings: &Settings) -> Option<Self> {
        match settings.text("protocol")? {
            "v2" => Some(Self::V2),
            _ => Some(Self::V1),
        }
    }
}

/// The text message that a box must get after every connect. `found` are the ids of all its cameras, which count where
/// the inbound names no `devices`.
pub fn configuration(protocol: Protocol, settings: &Settings, found: &[String]) -> String {
    let named = settings
        .texts("devices")
        .filter(|devices| !devices.is_empty());
    let devices = named.unwrap_or(found);
    let face = wanted(settings, ImageRole::Face);
    let enrolled = wanted(settings, ImageRole::Enrolled);
    let message = match protocol {
        Protocol::V1 => {
            json!({ "need_face": face, "need_register": enrolled, "event_list": devices })
        }
        Protocol::V2 => {
            json!({ "with_face_image": face, "with_register_image": enrolled, "media_device_ids": devices })
        }
    };
    message.to_string()
}

/// Whether pictures of this role are wanted. An infrared picture is one of the face.
pub(crate) fn wanted(settings: &Settings, role: ImageRole) -> bool {
    let word = match role {
        ImageRole::Enrolled => "enrolled",
        ImageRole::Scene => "scene",
        _ => "face",
    };
    settings
        .texts("images")
        .is_none_or(|wanted| wanted.iter().any(|role| role.trim() == word))
}

/// The request for a box's cameras, at its API (port 5555).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceList {
    /// HTTP method.
    pub method: &'static str,
    /// Path.
    pub path: &'static str,
    /// JSON body.
    pub body: Option<&'static str>,
}

/// How a box is asked for its cameras.
pub const fn device_list(protocol: Protocol) -> DeviceList {
    match protocol {
        Protocol::V1 => DeviceList {
            method: "GET",
            path: "/SophonDevice/api/Devices",
            body: None,
        },
        Protocol::V2 => DeviceList {
            method: "POST",
            path: "/sophon/v2/face/getmediadevices",
            body: Some("{}"),
        },
    }
}

/// The cameras' ids in a box's answer, in its order: `data.devices_list[].device_id` (v1) or
/// `devices[].media_device_id` (v2).
///
/// # Errors
/// When the answer is none of these.
pub fn device_ids(answer: &[u8]) -> Result<Vec<String>, Malformed> {
    let top = Members::parse(document(answer)?)?;
    let data = top.peek("data").and_then(Members::of);
    let list = data
        .and_then(|data| data.peek("devices_list"))
        .or_else(|| top.peek("devices"))
        .ok_or(Malformed::Shape("`data.devices_list` or `devices`"))?;
    let devices: Vec<&RawValue> =
        serde_json::from_str(list.get()).map_err(|_| Malformed::Shape("a list of devices"))?;
    let mut ids = Vec::with_capacity(devices.len());
    for device in devices {
        let device = Reader::new(Members::of(device).unwrap_or_default(), "");
        let id = device
            .peek("device_id")
            .or_else(|| device.peek("media_device_id"));
        ids.extend(id.map(Text::into_owned));
    }
    Ok(ids)
}

/// A configuration as a box understands it; for playing one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// Whether the live face was asked for.
    pub face: bool,
    /// Whether the enrolled picture was asked for.
    pub enrolled: bool,
    /// The cameras whose events shall be sent.
    pub devices: Vec<String>,
}

impl Configured {
    /// Reads what a client sent; `None` when it is no configuration of this protocol. What it leaves out has the
    /// document's default: no pictures, no cameras.
    pub fn read(protocol: Protocol, message: &str) -> Option<Self> {
        let (face, enrolled, devices) = match protocol {
            Protocol::V1 => ("need_face", "need_register", "event_list"),
            Protocol::V2 => ("with_face_image", "with_register_image", "media_device_ids"),
        };
        let message: Value = serde_json::from_str(message).ok()?;
        let flag = |name: &str| message.get(name).and_then(Value::as_bool).unwrap_or(false);
        message.as_object().map(|members| Self {
            face: flag(face),
            enrolled: flag(enrolled),
            devices: (members.get(devices).and_then(Value::as_array).into_iter())
                .flatten()
                .filter_map(|id| id.as_str().map(str::to_owned))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::{SettingValue, Settings};

    use super::{Configured, Protocol, configuration, device_ids};

    fn settings(values: &[(&'static str, &[&str])]) -> Settings {
        let mut settings = Settings::default();
        for (name, texts) in values {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            settings.set(name, SettingValue::Texts(texts));
        }
        settings
    }

    #[test]
    fn says_what_the_documents_show() {
        let found = ["3f1a".to_owned(), "77c2".to_owned()];
        assert_eq!(
            configuration(Protocol::V1, &Settings::default(), &found),
            r#"{"need_face":true,"need_register":true,"event_list":["3f1a","77c2"]}"#
        );
        assert_eq!(
            configuration(Protocol::V2, &Settings::default(), &found),
            r#"{"with_face_image":true,"with_register_image":true,"media_device_ids":["3f1a","77c2"]}"#
        );
    }

    #[test]
    fn asks_only_for_what_is_set() {
        let found = ["3f1a".to_owned()];
        let set = settings(&[("devices", &["9b"]), ("images", &["scene", "enrolled"])]);
        assert_eq!(
            configuration(Protocol::V1, &set, &found),
            r#"{"need_face":false,"need_register":true,"event_list":["9b"]}"#
        );
        let set = settings(&[("devices", &[]), ("images", &[])]);
        assert_eq!(
            configuration(Protocol::V2, &set, &found),
            r#"{"with_face_image":false,"with_register_image":false,"media_device_ids":["3f1a"]}"#
        );
    }

    #[test]
    fn a_box_understands_it() {
        for protocol in [Protocol::V1, Protocol::V2] {
            let message = configuration(protocol, &Settings::default(), &["3f1a".to_owned()]);
            let expected = Configured {
                face: true,
                enrolled: true,
                devices: vec!["3f1a".to_owned()],
            };
            assert_eq!(Configured::read(protocol, &message), Some(expected));
        }
        assert_eq!(
            Configured::read(Protocol::V1, "{}"),
            Some(Configured::default())
        );
        assert_eq!(Configured::read(Protocol::V1, "{'need_face':True}"), None);
    }

    #[test]
    fn finds_the_cameras() {
        let v1 = br#"{"data":{"devices_list":[{"device_id":"3f1a","device_name":"x"},{"device_id":""},7],"preview_list":{}}}"#;
        assert_eq!(device_ids(v1).unwrap(), ["3f1a"]);
        let v2 = br#"{"devices":[{"media_device_id":"3f1a"},{"media_device_id":"77c2"}]}"#;
        assert_eq!(device_ids(v2).unwrap(), ["3f1a", "77c2"]);
        for wrong in ["", "{}", r#"{"devices":{}}"#, r#"{"data":[]}"#] {
            assert!(device_ids(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}

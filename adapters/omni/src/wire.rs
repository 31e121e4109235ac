//! The vendor's message: its type, its camera and its event, and what is left of it in the end.

use std::borrow::Cow;

use faceway_core::reader::Zone;
use faceway_core::{
    Device, DeviceType, Facts, Image, ImageRole, Malformed, Members, Private, Raw, Reader, Reject,
    Rest, Scrub, Text,
};

/// What must not stay under `vendor`. No page shows a member with a picture or a face template; these are names that
/// 3DiVi's other products have for templates.
const SCRUB: Scrub = Scrub {
    pictures: &[],
    drops: |name| name.contains("facefeature") || name.ends_with("descriptor"),
};

/// A longer type is none of the vendor's; his longest word has 18 letters.
const TYPE_BYTES_MAX: usize = 100;

const AGENT: &str = "a list, which OMNI Platform never sends, but an OMNI Agent's own webhook does, in a shape that no page \
    shows: post here from a webhook endpoint of OMNI Platform, and take this address out of the agent's settings";

const NO_TYPE: &str =
    "no `type`: where a websocket of one type does not name it, set `event_type` on the inbound";

const NOT_THE_PLATFORM: &str = "neither `camera` nor `event`: not a message of OMNI Platform, so nothing of it was interpreted";

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Somebody known.
    Identification,
    /// Somebody whom nobody knows.
    NonIdentification,
    /// Anything else.
    Other,
}

impl Type {
    /// Lower case on the wire, upper case in the platform's GraphQL API.
    fn of(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "identification" => Self::Identification,
            "non_identification" => Self::NonIdentification,
            _ => Self::Other,
        }
    }
}

/// A message, taken apart.
pub(crate) struct Message<'a> {
    pub(crate) about: Type,
    /// `type` as sent, or what stood in for it.
    pub(crate) vendor_type: Text<'a>,
    /// The top level.
    pub(crate) top: Reader<'a>,
    /// What is left of each candidate, in the order of `match.candidates`.
    pub(crate) candidates: Vec<Rest<'a>>,
    camera: Reader<'a>,
    event: Reader<'a>,
}

impl<'a> Message<'a> {
    /// Reads a body. `preset` is the type of messages that do not name it.
    pub(crate) fn parse(text: &'a str, preset: Option<&str>) -> Result<Self, Reject> {
        let members = match Members::parse(text) {
            Ok(members) => members,
            Err(Malformed::Shape(_)) if text.trim_start().starts_with('[') => {
                return Err(Reject::Unreadable(AGENT.into()));
            }
            Err(malformed) => return Err(malformed.into()),
        };
        let says_nothing = members.say_nothing(&["type"]);
        let mut top = Reader::new(members, "");
        let vendor_type = vendor_type(&mut top, preset)?;
        if says_nothing {
            return Err(Reject::Unreadable("nothing but a `type`".into()));
        }
        let mut about = Type::of(&vendor_type);
        // An agent's own event has the same words for its types and another shape.
        if about != Type::Other && !top.members.has("camera") && !top.members.has("event") {
            about = Type::Other;
            top.note(NOT_THE_PLATFORM);
        }
        Ok(Self {
            about,
            vendor_type,
            camera: top.object("camera", "camera.").unwrap_or_default(),
            event: top.object("event", "event.").unwrap_or_default(),
            candidates: Vec::new(),
            top,
        })
    }

    /// The camera. Its title is its stream's URL until an operator gives it another, so either may hold credentials.
    pub(crate) fn device(&mut self) -> Device<'a> {
        let camera = &mut self.camera;
        if camera.members.is_empty() {
            return Device::default();
        }
        // The title stays where the camera has a real name; either loses its credentials.
        let name = camera.text("real_name");
        Device {
            id: camera.identifier("id"),
            device_type: Some(DeviceType::Camera),
            name: name.or_else(|| camera.text("title")),
            parent: camera.identifier("agent_id"),
            stream: camera.text("stream"),
            ..Device::default()
        }
    }

    /// Id, time and pictures of the record, and the presence that it belongs to.
    pub(crate) fn read_event(&mut self, facts: &mut Facts<'a>) {
        facts.object.track_id = self.top.identifier("activity_id");
        facts.vendor_id = self.event.identifier("id");
        facts.occurred_at = self.event.written_time("detection_date", Zone::Named);
        // Of what the crop of another type shows nothing is documented, so its link stays.
        if self.about != Type::Other {
            self.image(facts, "image_link", ImageRole::Face);
        }
        self.image(facts, "original_image_link", ImageRole::Scene);
    }

    fn image(&mut self, facts: &mut Facts<'a>, name: &str, role: ImageRole) {
        if let Some(url) = linked(&mut self.event, name) {
            facts.images.push(Image::linked(role, url));
        }
    }

    /// Leaves what has no canonical word under `vendor`, without secrets, and hands over the warnings.
    pub(crate) fn leave(self, facts: &mut Facts<'a>) {
        let Self {
            top,
            camera,
            event,
            candidates,
            ..
        } = self;
        let warnings = &mut facts.warnings;
        warnings.extend(top.warnings);
        warnings.extend(camera.warnings);
        warnings.extend(event.warnings);
        let mut vendor = top.members;
        for (name, members) in [("camera", camera.members), ("event", event.members)] {
            if !members.is_empty() {
                vendor.put(name, Rest::Object(members));
            }
        }
        if let Some(list) = list(&candidates) {
            vendor.put("candidates", list);
        }
        let vendor = SCRUB.members(vendor, warnings);
        facts.vendor = Private::new(vendor);
    }
}

/// A link to a picture. A picture in its place is not passed on as a link, and as no page documents one there, it is left
/// out.
pub(crate) fn linked<'a>(fields: &mut Reader<'a>, name: &str) -> Option<Text<'a>> {
    let link = fields.text(name)?;
    if is_picture(&link) {
        fields.warn(name, "a picture in place of a link was left out");
        return None;
    }
    Some(link)
}

/// Whether a text begins as a picture in base64 does: JPEG, PNG, or any as a URL.
fn is_picture(text: &str) -> bool {
    ["/9j/", "iVBORw0KGgo", "data:"]
        .iter()
        .any(|start| text.trim_start().starts_with(start))
}

/// `None` when nothing is left of any.
fn list<'a>(items: &[Rest<'a>]) -> Option<Rest<'a>> {
    let says_nothing =
        |item: &Rest<'_>| matches!(item, Rest::Object(members) if members.is_empty());
    if items.iter().all(says_nothing) {
        return None;
    }
    serde_json::value::to_raw_value(items).ok().map(Rest::Owned)
}

fn vendor_type<'a>(top: &mut Reader<'a>, preset: Option<&str>) -> Result<Text<'a>, Reject> {
    if top.told("type").is_some() {
        let quiet = top.warnings.len();
        let word = top.text("type");
        if top.warnings.len() > quiet {
            return Err(Reject::Unreadable("`type` is not a text".into()));
        }
        if let Some(word) = word {
            return match word.len() {
                ..=TYPE_BYTES_MAX => Ok(word),
                _ => Err(Reject::Unreadable("`type` is too long to be one".into())),
            };
        }
    }
    if let Some(preset) = preset {
        return Ok(Cow::Owned(preset.to_owned()));
    }
    // Nothing but an identification names candidates (inferred).
    match top.members.peek("candidates") {
        Some(raw) if holds_objects(raw) => {
            top.note("type: not told; taken for an identification, as there are candidates");
            Ok(Cow::Borrowed("identification"))
        }
        _ => Err(Reject::Unreadable(NO_TYPE.into())),
    }
}

fn holds_objects(raw: Raw<'_>) -> bool {
    raw.items().is_some_and(|items| {
        !items.is_empty() && items.iter().all(|item| item.get().starts_with('{'))
    })
}

#[cfg(test)]
mod tests {
    use super::{Message, Type};

    fn reason(body: &str) -> String {
        Message::parse(body, None).err().unwrap().to_string()
    }

    #[test]
    fn says_why_it_cannot_be_read() {
        assert_eq!(reason(""), "not JSON at line 1 column 1: empty");
        assert_eq!(reason("7"), "expected an object");
        assert!(reason(" [{}]").contains("OMNI Agent"));
        assert!(reason("{}").starts_with("no `type`"));
        assert!(reason(r#"{"type":" "}"#).starts_with("no `type`"));
        assert!(reason(r#"{"type":null,"candidates":[]}"#).starts_with("no `type`"));
        assert_eq!(reason(r#"{"type":1}"#), "`type` is not a text");
        for nothing in [
            r#"{"type":"identification"}"#,
            r#"{"type":"har","camera":{"id":null},"event":{},"candidates":[{}],"x":" "}"#,
        ] {
            assert_eq!(reason(nothing), "nothing but a `type`");
        }
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(101));
        assert_eq!(reason(&long), "`type` is too long to be one");
    }

    #[test]
    fn a_preset_type_never_overrides_a_told_one() {
        let about = |body, preset| Message::parse(body, preset).ok().unwrap().about;
        let told = r#"{"type":"non_identification","event":{"id":"e"}}"#;
        assert_eq!(about(told, Some("identification")), Type::NonIdentification);
        assert_eq!(
            about(r#"{"event":{"id":"e"}}"#, Some("identification")),
            Type::Identification
        );
        assert_eq!(about(r#"{"event":{"id":"e"}}"#, Some("roi")), Type::Other);
    }
}

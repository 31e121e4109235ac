//! The batch, its elements, and what type each is of.

use std::borrow::Cow;

use faceway_core::lenient::identifier;
use faceway_core::reader::{MEMBERS_MAX, members};
use faceway_core::{
    EpisodeObject, Facts, Kind, Malformed, Members, ObjectType, Private, Raw, Reader, RecordKey,
    Reject, Rest, Scrub, Text, content_digest, malformed,
};

/// More elements than this are no batch: each would have 160 bytes in the largest body, and the least event has 500.
const ELEMENTS_MAX: usize = 100_000;

/// Face templates have these names in the vendor's API; webhooks are not documented to hold any.
const SCRUB: Scrub = Scrub {
    pictures: &[],
    drops: |name| matches!(name, "facen" | "emben" | "bodyemben" | "caremben"),
};

/// What a body is.
const LIST: &str = "a list of objects";

/// Takes a body apart. A single object, which no product is documented to send, counts as a batch of one.
pub(crate) fn elements(text: &str) -> Result<Vec<Raw<'_>>, Reject> {
    if text.trim_ascii_start().starts_with('[') {
        return match Raw::parse_list(text) {
            Ok(elements) if elements.len() <= ELEMENTS_MAX => Ok(elements),
            Ok(_) => {
                let reason = format!("more than {ELEMENTS_MAX} elements in one batch");
                Err(Reject::Unreadable(reason.into()))
            }
            Err(error) => Err(malformed(&error, text, LIST).into()),
        };
    }
    // Asked first for what is wrong with it, in words that repeat nothing of the body.
    Members::parse(text).map_err(|malformed| match malformed {
        Malformed::Shape(_) => Malformed::Shape(LIST),
        malformed => malformed,
    })?;
    let element = Raw::parse(text).map_err(|error| malformed(&error, text, LIST))?;
    Ok(vec![element])
}

/// Members that say of which type an element is, and nothing else.
const TAGS: [&str; 5] = [
    "webhook_type",
    "event_model_class",
    "event_type",
    "object_type",
    "bs_type",
];

/// What an element is about, by its tag, else by its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The object's type is told by the tag, or has to be found.
    Seen(Option<ObjectType>),
    Episode(EpisodeObject),
    Counter,
    Area,
    Unknown,
}

/// One element, taken apart.
pub(crate) struct Record<'a> {
    pub(crate) topic: Topic,
    /// `webhook_type`; products before FindFace Security 4.2 send none.
    tag: Option<Text<'a>>,
    /// `event_model_class`, or `event_type` in FindFace Security.
    pub(crate) class: Option<Text<'a>>,
    /// What was not taken yet.
    pub(crate) fields: Reader<'a>,
}

impl<'a> Record<'a> {
    /// Reads an element, or says why not.
    pub(crate) fn parse(raw: Raw<'a>) -> Result<Self, Cow<'static, str>> {
        let members = Members::of(raw).ok_or("the element is not an object")?;
        if members.len() > MEMBERS_MAX {
            return Err(format!("more than {MEMBERS_MAX} members in one object").into());
        }
        if members.say_nothing(&TAGS) && !members.say_nothing(&[]) {
            return Err("nothing but its type".into());
        }
        let mut fields = Reader::new(members, "");
        let tag = fields.text("webhook_type");
        let topic = match &tag {
            Some(tag) => by_tag(tag),
            None => {
                by_shape(&fields).ok_or("no `webhook_type`, and no member that tells the type")?
            }
        };
        if matches!(topic, Topic::Episode(_)) {
            unwrap_episode(&mut fields);
        }
        let class = fields
            .text("event_model_class")
            .or_else(|| fields.text("event_type"));
        Ok(Self {
            topic,
            tag,
            class,
            fields,
        })
    }

    pub(crate) const fn kind(&self) -> Kind {
        match self.topic {
            Topic::Seen(_) => Kind::Recognition,
            Topic::Episode(_) => Kind::Episode,
            Topic::Counter => Kind::Counter,
            Topic::Area => Kind::Area,
            Topic::Unknown => Kind::Other,
        }
    }

    pub(crate) fn vendor_type(&self) -> Option<Text<'a>> {
        match (&self.tag, &self.class) {
            (Some(tag), Some(class)) => Some(format!("{tag}:{class}").into()),
            (tag, class) => tag.clone().or_else(|| class.clone()),
        }
    }

    /// The platform's ids are numbers: they begin anew after a reinstallation, and come again with every update of the same
    /// object. So all that an element says tells it apart, but for an event that has just been created: its verbose form
    /// and its plain one are the same record.
    pub(crate) fn key(&self, raw: Raw<'_>, id: Option<&str>) -> RecordKey {
        let told = |name| {
            self.fields
                .members
                .peek(name)
                .is_some_and(|raw| raw.get().len() > 4)
        };
        let has_time = told("created_date") || told("closed_date");
        let is_new = matches!(self.class.as_deref(), None | Some("event_created"));
        match (self.topic, id) {
            (Topic::Seen(_), Some(id)) if is_new && has_time => self.key_of_created(id),
            _ => RecordKey::of_content(
                has_time,
                &["content", &content_digest(raw.get()).to_string()],
            ),
        }
    }

    /// Everything of a created event that is told in every form of it. Several faces of one frame differ in their places.
    fn key_of_created(&self, id: &str) -> RecordKey {
        let mut parts = vec![
            "created".to_owned(),
            self.tag.as_deref().unwrap_or_default().to_owned(),
            id.to_owned(),
        ];
        parts.extend(OF_CREATED.iter().map(|name| self.plain(name)));
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        RecordKey::weak(&parts)
    }

    /// A member without what the verbose mode and other spellings change: the id of an object, else the content.
    fn plain(&self, name: &str) -> String {
        let Some(raw) = self.fields.members.peek(name) else {
            return String::new();
        };
        let object = members(raw).and_then(|members| members.peek("id"));
        match identifier(object.unwrap_or(raw)) {
            Some(id) => id.trim().to_owned(),
            None if raw.get() == "null" => String::new(),
            None => content_digest(raw.get()).to_string(),
        }
    }

    /// Whether this comes from a product whose `quality` is documented as 0 to 1: FindFace Multi, and FindFace Security
    /// since it sends tags. In 2019 it was about 0, and negative.
    pub(crate) fn has_quality_of_0_to_1(&self) -> bool {
        let names = [
            "bs_type",
            "thumbnail",
            "fullframe",
            "detector_params",
            "matched_card",
            "matched_object",
        ];
        self.tag.is_some() || names.iter().any(|name| self.fields.members.has(name))
    }

    /// Leaves what has no canonical word under `vendor`, without secrets, and hands over the warnings.
    pub(crate) fn leave(self, facts: &mut Facts<'a>) {
        facts.warnings.extend(self.fields.warnings);
        let vendor = SCRUB.members(self.fields.members, &mut facts.warnings);
        facts.vendor = Private::new(vendor);
    }
}

/// The platform's own screens get the members of an episode as an object `episode`; no document says that webhooks do not.
fn unwrap_episode(fields: &mut Reader<'_>) {
    if fields.members.has("id") {
        return;
    }
    let Some(mut episode) = fields.object("episode", "episode.") else {
        return;
    };
    let names: Vec<String> = episode
        .members
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        if !fields.members.has(&name)
            && let Some(raw) = episode.members.take(&name)
        {
            fields.members.put(name, Rest::Raw(raw));
        }
    }
    fields.give_back("episode", episode);
}

/// `episodes` is what FindFace Security 4.2 to 4.4, which knows faces only, calls its section.
fn by_tag(tag: &str) -> Topic {
    match tag {
        "events" => Topic::Seen(None),
        "face_events" => Topic::Seen(Some(ObjectType::Face)),
        "body_events" => Topic::Seen(Some(ObjectType::Body)),
        "car_events" => Topic::Seen(Some(ObjectType::Vehicle)),
        "human_episodes" | "episodes" => Topic::Episode(EpisodeObject::Human),
        "car_episodes" => Topic::Episode(EpisodeObject::Vehicle),
        "counters" => Topic::Counter,
        "areas" => Topic::Area,
        _ => Topic::Unknown,
    }
}

/// An element without a tag: FindFace Security before 4.2, or one that a relay between has cut.
fn by_shape(fields: &Reader<'_>) -> Option<Topic> {
    let has = |names: &[&str]| names.iter().any(|name| fields.members.has(name));
    Some(if has(&["events_count"]) {
        let car = has(&["last_car_event", "best_car_event", "car_features"]);
        Topic::Episode(if car {
            EpisodeObject::Vehicle
        } else {
            EpisodeObject::Human
        })
    } else if has(&["faces_count", "silhouettes_count", "cars_count"]) {
        Topic::Counter
    } else if has(&["area"]) {
        Topic::Area
    } else if has(&SEEN) {
        Topic::Seen(None)
    } else {
        return None;
    })
}

/// What tells a created event from another one, in either product's words.
const OF_CREATED: [&str; 19] = [
    "created_date",
    "camera",
    "matched",
    "matched_card",
    "matched_dossier",
    "matched_object",
    "matched_face",
    "confidence",
    "quality",
    "temperature",
    "features",
    "frame_coords_left",
    "frame_coords_top",
    "frame_coords_right",
    "frame_coords_bottom",
    "bs_type",
    "episode",
    "thumbnail",
    "face",
];

/// Members of recognition events only. A camera is named by other vendors' messages too.
const SEEN: [&str; 14] = [
    "face",
    "frame",
    "thumbnail",
    "fullframe",
    "normalized_photo",
    "license_plate_thumbnail",
    "features",
    "matched",
    "matched_face",
    "matched_object",
    "matched_dossier",
    "matched_card",
    "confidence",
    "frame_coords_left",
];

#[cfg(test)]
mod tests {
    use super::elements;

    fn reason(body: &str) -> String {
        elements(body).err().unwrap().to_string()
    }

    #[test]
    fn says_why_it_cannot_be_read() {
        assert_eq!(reason(""), "not JSON at line 1 column 1: empty");
        assert_eq!(reason("7"), "expected a list of objects");
        assert_eq!(
            reason("[{]"),
            "not JSON at line 1 column 3: unexpected text"
        );
        assert_eq!(reason("[{}"), "not JSON at line 1 column 3: cut off");
        assert_eq!(
            reason("[\n{},\n]"),
            "not JSON at line 3 column 1: unexpected text"
        );
        let many = format!("[{}0]", "0,".repeat(100_000));
        assert_eq!(reason(&many), "more than 100000 elements in one batch");
    }

    #[test]
    fn an_object_is_a_batch_of_one() {
        assert_eq!(
            elements(" {\"id\":\"1\"}\n").unwrap()[0].get(),
            "{\"id\":\"1\"}"
        );
        assert!(elements("[]").unwrap().is_empty());
    }
}

//! The vendor's envelope and what is done with every push, whatever its type.

use std::borrow::Cow;
use std::collections::HashSet;

use faceway_core::reader::MEMBERS_MAX;
use faceway_core::{
    Facts, ImageRole, Kind, Members, Picture, Private, Raw, Reader, Reject, Rest, Scrub, Text,
};

/// Where pictures stand. `rgb_image` belongs to recognitions and `alarm_photo` to alarms, but either is a picture
/// wherever it stands and must not stay under `vendor`.
const PICTURES: [(&str, ImageRole); 2] = [
    ("rgb_image", ImageRole::Face),
    ("alarm_photo", ImageRole::Alarm),
];

/// Face features are in no document of pushes, but in the vendor's other ones.
const SCRUB: Scrub = Scrub {
    pictures: &[PICTURES[0].0, PICTURES[1].0],
    drops: |name| name.contains("feature"),
};

const REMOTE_AUTHENTICATION: &str = "this is a request for remote door authentication: Faceway records, it opens no \
    doors; point the terminal's `remote_authentication_address` elsewhere and only its `event_dest` here";

/// A push, taken apart.
pub(crate) struct Push<'a> {
    /// `type` as sent, without quotes.
    pub(crate) vendor_type: Text<'a>,
    /// `data`.
    pub(crate) data: Reader<'a>,
    /// `data.user`; empty when there is none.
    pub(crate) user: Reader<'a>,
    /// What stands beside `type` and `data`.
    beside: Reader<'a>,
}

impl<'a> Push<'a> {
    /// Reads a body in one pass over its text.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Reject> {
        let envelope = Envelope::parse(text)?;
        let tag = envelope.tag.filter(|raw| raw.get() != "null");
        let (tag, data) = match (tag, envelope.data) {
            (Some(tag), Some(data)) => (tag, data),
            (None, None) if envelope.others.has("recognizeStatus") => {
                return Err(Reject::Refused(REMOTE_AUTHENTICATION.into()));
            }
            (None, _) => return Err(Reject::Unreadable("no `type`".into())),
            (_, None) => return Err(Reject::Unreadable("no `data`".into())),
        };
        let vendor_type = vendor_type(tag)?;
        if [&data, &envelope.others]
            .iter()
            .any(|members| members.len() > MEMBERS_MAX)
        {
            let reason = format!("more than {MEMBERS_MAX} members in one object");
            return Err(Reject::Unreadable(reason.into()));
        }
        if data.say_nothing(&[]) && envelope.others.say_nothing(&[]) {
            return Err(Reject::Unreadable("nothing but a `type`".into()));
        }
        let mut data = Reader::new(data, "");
        Ok(Self {
            vendor_type,
            user: data.object("user", "user.").unwrap_or_default(),
            data,
            beside: Reader::new(envelope.others, "envelope."),
        })
    }

    /// What it is about.
    pub(crate) fn kind(&self) -> Kind {
        match self.vendor_type.as_ref() {
            "0" => Kind::Recognition,
            "1" => Kind::Alarm,
            _ => Kind::Other,
        }
    }

    /// Whether the terminal says when it was, in the words of any type; `0` is none.
    pub(crate) fn has_time(&self) -> bool {
        ["timestamp", "event_time"].iter().any(|name| {
            let raw = self.data.members.peek(name);
            let number: Option<f64> = raw.and_then(|raw| raw.get().trim_matches('"').parse().ok());
            number.is_some_and(|number| number > 0.0)
        })
    }

    /// Takes the pictures out of the text, and names them in `facts.images`.
    pub(crate) fn take_pictures(&mut self, facts: &mut Facts<'a>) -> Vec<Picture> {
        let mut pictures = Vec::new();
        for fields in [&mut self.data, &mut self.user, &mut self.beside] {
            for (name, role) in PICTURES {
                if let Some((image, picture)) = fields.picture(name, role) {
                    facts.images.push(image);
                    pictures.extend(picture);
                }
            }
        }
        pictures
    }

    /// Leaves what has no canonical word under `vendor`, without secrets, and hands over the warnings.
    pub(crate) fn leave(self, facts: &mut Facts<'a>) {
        let Self {
            data, user, beside, ..
        } = self;
        facts.warnings.extend(data.warnings);
        facts.warnings.extend(user.warnings);
        facts.warnings.extend(beside.warnings);
        let mut vendor = SCRUB.members(data.members, &mut facts.warnings);
        let user = SCRUB.members(user.members, &mut facts.warnings);
        if !user.is_empty() {
            vendor.put("user", Rest::Object(user));
        }
        let beside = SCRUB.members(beside.members, &mut facts.warnings);
        if !beside.is_empty() {
            let mut name = "envelope".to_owned();
            while vendor.has(&name) {
                name.push('_');
            }
            vendor.put(name, Rest::Object(beside));
        }
        facts.vendor = Private::new(vendor);
    }
}

/// A number as sent. Anything else is no tag of this vendor's, but as a word it can still be told and routed.
fn vendor_type(tag: Raw<'_>) -> Result<Text<'_>, Reject> {
    let text = tag.get();
    match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') if text.len() <= 20 => Ok(Cow::Borrowed(text)),
        _ => Err(Reject::Unreadable("`type` is not a whole number".into())),
    }
}

/// The top level. `data` is taken apart on the way, so that a picture of 100 KB is passed over once.
struct Envelope<'a> {
    tag: Option<Raw<'a>>,
    data: Option<Members<'a>>,
    others: Members<'a>,
}

impl<'a> Envelope<'a> {
    fn parse(text: &'a str) -> Result<Self, Reject> {
        let entries = Raw::parse(text).ok().and_then(Raw::entries);
        let Some(entries) = entries else {
            // Says what is wrong with it.
            return Err(match Members::parse(text) {
                Err(malformed) => malformed.into(),
                Ok(_) => no_object(),
            });
        };
        let (mut tag, mut data, mut others) = (None, None, Vec::new());
        for (name, rest) in entries {
            match name.as_ref() {
                "type" => tag = rest.sent(),
                "data" => data = Some(rest.into_object().ok_or_else(no_object)?),
                _ => others.push((name, rest)),
            }
        }
        Ok(Self {
            tag,
            data,
            others: last_of_each(others),
        })
    }
}

fn no_object() -> Reject {
    Reject::Unreadable("`data` is not an object".into())
}

/// Of members with the same name the last one counts.
fn last_of_each<'a>(sent: Vec<(Cow<'a, str>, Rest<'a>)>) -> Members<'a> {
    let mut members = Members::default();
    let mut seen = HashSet::new();
    for (name, rest) in sent.into_iter().rev() {
        if seen.insert(name.clone()) {
            members.put(name, rest);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::{MEMBERS_MAX, Push};

    fn reason(body: &str) -> String {
        Push::parse(body).err().unwrap().to_string()
    }

    #[test]
    fn says_why_it_cannot_be_read() {
        assert_eq!(reason(""), "not JSON at line 1 column 1: empty");
        assert_eq!(reason("[]"), "expected an object");
        assert_eq!(reason(r#"{"type":0,"data":7}"#), "`data` is not an object");
        assert_eq!(
            reason(r#"{"type":0,"data":null}"#),
            "`data` is not an object"
        );
        assert_eq!(reason(r#"{"type":0}"#), "no `data`");
        for nothing in [
            r#"{"type":0,"data":{}}"#,
            r#"{"type":0,"data":{"uuid":" ","user":{"name":null,"groups":[]}},"x":""}"#,
        ] {
            assert_eq!(reason(nothing), "nothing but a `type`");
        }
        assert_eq!(reason(r#"{"data":{}}"#), "no `type`");
        assert_eq!(reason(r#"{"type":null,"data":{}}"#), "no `type`");
        assert_eq!(
            reason(r#"{"type":"0","data":{}}"#),
            "`type` is not a whole number"
        );
        assert_eq!(
            reason(r#"{"type":1,"data":{"code":1,}}"#),
            "not JSON at line 1 column 28: unexpected text"
        );
    }

    #[test]
    fn the_last_of_repeated_members_counts() {
        let push = Push::parse(r#"{"type":1,"data":{"a":1},"x":1,"type":0,"x":2,"data":{"b":1}}"#)
            .ok()
            .unwrap();
        assert_eq!(push.vendor_type, "0");
        assert!(push.data.members.has("b") && !push.data.members.has("a"));
        assert_eq!(push.beside.members.iter().count(), 1);
        assert_eq!(push.beside.members.peek("x").unwrap().get(), "2");
    }

    #[test]
    fn too_many_members_are_no_push() {
        let members: Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("\"{n}\":0")).collect();
        let body = format!(r#"{{"type":0,"data":{{{}}}}}"#, members.join(","));
        assert_eq!(reason(&body), "more than 1000 members in one object");
    }
}

//! A vendor's JSON as sent: members by name, each still the text that came in.
//!
//! Adapters take the members that they know and leave the rest; the rest goes under `vendor` with every digit and blank
//! as it was. Nothing is copied: names and values borrow from the body.

mod checked;
mod raw;

use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::lenient::says_nothing;

pub(crate) use checked::{CUT_OFF, escaped_unit};
pub use checked::{DEPTH_MAX, Malformed, document, element, is_cut_off, malformed};
pub(crate) use raw::RAW;
pub use raw::Raw;

/// The members of a JSON object, in the order sent. Of members with the same name the last one counts.
#[derive(Clone, Default)]
pub struct Members<'a> {
    entries: Vec<Entry<'a>>,
    /// Whether a name may be there more than once, as a value was put beside another one.
    repeats: bool,
}

/// A member.
#[derive(Clone)]
struct Entry<'a> {
    /// Tells most names apart at one look.
    tag: u64,
    name: Cow<'a, str>,
    rest: Rest<'a>,
}

/// A value that stays as sent.
#[derive(Clone)]
pub enum Rest<'a> {
    /// As sent.
    Raw(Raw<'a>),
    /// An object as sent, whose members were read with the object that it stands in.
    Whole(Raw<'a>, Box<Members<'a>>),
    /// As sent, after something was taken out of it or changed in it.
    Owned(Box<RawValue>),
    /// An object of which some members were taken.
    Object(Members<'a>),
}

impl<'a> Rest<'a> {
    /// The value as sent, where nothing was taken out of it.
    pub const fn sent(&self) -> Option<Raw<'a>> {
        match self {
            Rest::Raw(raw) | Rest::Whole(raw, _) => Some(*raw),
            Rest::Owned(_) | Rest::Object(_) => None,
        }
    }

    /// The members of an object as sent; `None` when it is something else.
    pub fn into_object(self) -> Option<Members<'a>> {
        match self {
            Rest::Whole(_, members) => Some(*members),
            Rest::Raw(raw) => raw.members(),
            Rest::Owned(_) | Rest::Object(_) => None,
        }
    }
}

impl<'a> Entry<'a> {
    fn new(name: Cow<'a, str>, rest: Rest<'a>) -> Self {
        Self {
            tag: tag(&name),
            name,
            rest,
        }
    }

    fn is(&self, tag: u64, name: &str) -> bool {
        self.tag == tag && self.name == name
    }
}

/// A number of a name: its length, its first letters and its last.
fn tag(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let ends = match bytes.len() {
        8.. => word(bytes.first_chunk()) ^ word(bytes.last_chunk()).rotate_left(29),
        _ => bytes
            .iter()
            .fold(0, |tag, byte| tag << 8 | u64::from(*byte)),
    };
    ends ^ (bytes.len() as u64).rotate_right(8)
}

impl<'a> Members<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// When `text` is not JSON, or not an object.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        match Raw::parse(text).ok().and_then(Raw::members) {
            Some(members) => Ok(members),
            // serde_json says what is wrong, asked for an object.
            None => serde_json::from_str(text)
                .map(|Sent(entries)| Self::of_entries(entries))
                .map_err(|error| malformed(&error, text, "an object")),
        }
    }

    /// Reads a value that was left raw, as an object; `None` when it is something else.
    pub fn of(value: impl Into<Raw<'a>>) -> Option<Self> {
        value.into().members()
    }

    fn of_entries(mut entries: Vec<Entry<'a>>) -> Self {
        remove_repeated(&mut entries);
        Self {
            entries,
            repeats: false,
        }
    }

    /// Whether a member of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Where the last member of this name stands.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        let tag = tag(name);
        self.entries.iter().rposition(|entry| entry.is(tag, name))
    }

    /// The text of a member, which stays.
    pub fn peek(&self, name: &str) -> Option<Raw<'a>> {
        self.at(self.place(name)?)
    }

    /// The text of the member at a place.
    pub(crate) fn at(&self, place: usize) -> Option<Raw<'a>> {
        self.entries.get(place)?.rest.sent()
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Raw<'a>> {
        let place = self.place(name)?;
        let value = self.at(place)?;
        self.remove(place, name);
        Some(value)
    }

    /// Takes an object out, unless it has more members than `members_max`; `None` when it is something else.
    pub(crate) fn take_object(&mut self, name: &str, members_max: usize) -> Option<Self> {
        let place = self.place(name)?;
        let fits = |members: &Self| members.len() <= members_max;
        let members = match &mut self.entries.get_mut(place)?.rest {
            Rest::Whole(_, members) if fits(members) => std::mem::take(&mut **members),
            Rest::Raw(raw) => raw.members().filter(fits)?,
            _ => return None,
        };
        self.remove(place, name);
        Some(members)
    }

    /// Removes all members of this name.
    pub fn drop(&mut self, name: &str) {
        if let Some(place) = self.place(name) {
            self.remove(place, name);
        }
    }

    /// Removes the member of this name at its place, and all others of the name.
    pub(crate) fn remove(&mut self, place: usize, name: &str) {
        self.entries.remove(place);
        if self.repeats {
            self.entries.retain(|entry| entry.name != name);
        }
    }

    /// Puts a value (back) under a name.
    pub fn put(&mut self, name: impl Into<Cow<'a, str>>, value: Rest<'a>) {
        let entry = Entry::new(name.into(), value);
        self.repeats |= self.has(&entry.name);
        self.entries.push(entry);
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many are left.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no member but those of these names says anything: tags alone are no record.
    pub fn say_nothing(&self, tags: &[&str]) -> bool {
        let says_nothing = |rest: &Rest<'a>| match rest {
            Rest::Raw(raw) => says_nothing(*raw),
            Rest::Owned(raw) => says_nothing(Raw::from(&**raw)),
            Rest::Whole(_, members) => members.say_nothing(&[]),
            Rest::Object(members) => members.say_nothing(&[]),
        };
        self.iter()
            .all(|(name, rest)| tags.contains(&name) || says_nothing(rest))
    }

    /// Names and values that are left.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rest<'a>)> {
        self.entries
            .iter()
            .map(|entry| (entry.name.as_ref(), &entry.rest))
    }

    /// Names and values that are left, taken out.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = (Cow<'a, str>, Rest<'a>)> {
        self.entries
            .into_iter()
            .map(|entry| (entry.name, entry.rest))
    }
}

/// The members of an object as serde_json gives them, one by one: how a text is read of which something is wrong.
struct Sent<'a>(Vec<Entry<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Sent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Collect<'a> {
            type Value = Sent<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Sent<'a>, M::Error> {
                let mut entries = Vec::new();
                while let Some(Name(name)) = map.next_key()? {
                    let raw: &'a RawValue = map.next_value()?;
                    entries.push(Entry::new(name, Rest::Raw(raw.into())));
                }
                Ok(Sent(entries))
            }
        }
        deserializer.deserialize_map(Collect(std::marker::PhantomData))
    }
}

/// So many names are compared with each other faster than they are hashed.
const COMPARED_MAX: usize = 64;

fn is_any_repeated(entries: &[Entry<'_>]) -> bool {
    // Names whose bit no other one has are not compared.
    let mut bits = 0_u64;
    for (index, entry) in entries.iter().enumerate() {
        let bit = 1 << (entry.tag.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58);
        let before = entries.get(..index).unwrap_or_default();
        if bits & bit != 0 && before.iter().any(|other| other.is(entry.tag, &entry.name)) {
            return true;
        }
        bits |= bit;
    }
    false
}

/// Keeps the last of the members with the same name, as JSON parsers do. Linear, so that a body of a million members
/// takes no longer for each of them than a small one.
fn remove_repeated(entries: &mut Vec<Entry<'_>>) {
    if entries.len() <= COMPARED_MAX && !is_any_repeated(entries) {
        return;
    }
    let mut seen = std::collections::HashSet::with_capacity(entries.len());
    let mut keep = vec![true; entries.len()];
    for (index, entry) in entries.iter().enumerate().rev() {
        keep[index] = seen.insert(entry.name.as_ref());
    }
    drop(seen);
    if keep.contains(&false) {
        let mut keep = keep.into_iter();
        entries.retain(|_| keep.next().unwrap_or(true));
    }
}

/// A member's name, borrowed where it has no escapes: serde borrows a `Cow` only when told so.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Rest::Raw(raw) | Rest::Whole(raw, _) => raw.serialize(serializer),
            Rest::Owned(raw) => raw.serialize(serializer),
            Rest::Object(members) => members.serialize(serializer),
        }
    }
}

impl schemars::JsonSchema for Members<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Vendor".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DEPTH_MAX, Malformed, Members, document};
    use crate::Reject;

    #[test]
    fn the_rest_stays_as_sent() {
        let mut members =
            Members::parse(r#"{"a":1.50,"b":12345678901234567890123,"a":" ","c":{"x":[1e999]}}"#)
                .unwrap();
        assert_eq!(members.take("b").unwrap().get(), "12345678901234567890123");
        assert_eq!(
            serde_json::to_string(&members).unwrap(),
            r#"{"a":" ","c":{"x":[1e999]}}"#
        );
    }

    #[test]
    fn refuses_what_later_parses_could_not_take() {
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert_eq!(document(deep.as_bytes()), Err(Malformed::TooDeep));
        assert_eq!(
            document(br#"{"a":"\ud800x"}"#),
            Err(Malformed::LoneSurrogate(6))
        );
        assert_eq!(
            document(br#"{"a":"\udc00"}"#),
            Err(Malformed::LoneSurrogate(6))
        );
        assert!(document(br#"{"a":"\ud83d\ude00 \\ud800"}"#).is_ok());
        assert_eq!(document(b"{\"\xff\"}"), Err(Malformed::NotUtf8(2)));
        for name in [
            "$serde_json::private::Number",
            r"\u0024serde_json::private::RawValue",
            r"$serde\u005fjson::private::Number",
        ] {
            let body = format!(r#"{{"a":{{"{name}":null}}}}"#);
            assert_eq!(document(body.as_bytes()), Err(Malformed::Reserved(7)));
        }
        assert!(document(br#"{"$":"$1","\\":""}"#).is_ok());
    }

    #[test]
    fn errors_repeat_nothing_of_the_body() {
        let error = Members::parse(r#"{"name": Li Wei}"#).err().unwrap();
        assert!(!error.to_string().contains("Li"), "{error}");
        assert_eq!(
            Members::parse("[1]").err().unwrap(),
            Malformed::Shape("an object")
        );
    }

    #[test]
    fn a_million_members_take_no_quadratic_time() {
        let body = format!("{{{}\"z\":0}}", "\"a\":0,".repeat(1_000_000));
        assert_eq!(Members::parse(&body).unwrap().iter().count(), 2);
    }

    proptest! {
        #[test]
        fn accepted_bodies_can_be_parsed_again(body in "[\\[\\]{}\",:\\\\ud8c0-9ae.\\-]{0,40}") {
            if let Ok(text) = document(body.as_bytes())
                && let Ok(members) = Members::parse(text)
            {
                let written = serde_json::to_string(&members).unwrap();
                prop_assert!(serde_json::from_str::<serde_json::Value>(&written).is_ok(), "{written}");
            }
        }
    }

    #[test]
    fn a_text_that_ends_anywhere_too_early_is_cut_off() {
        let rejected = |body: &[u8]| match document(body).and_then(Members::parse) {
            Err(malformed) => Reject::from(malformed),
            Ok(_) => panic!("it is read"),
        };
        let whole = r#"{"王":[-1.5e+10,true,null,"\u00e9\ud83d\ude00\n",{"b":0}],"c":-0.25E-3 }"#;
        for end in 1..whole.len() {
            let reject = rejected(&whole.as_bytes()[..end]);
            assert!(matches!(reject, Reject::CutOff(_)), "{end} {reject:?}");
        }
        for wrong in ["{\"a\":1}e", "{\"a\":.", "{\"a\":x1.", "{\"a\":1.}", "e"] {
            let reject = rejected(wrong.as_bytes());
            assert!(matches!(reject, Reject::Unreadable(_)), "{wrong}");
        }
    }
}

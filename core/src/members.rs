//! A vendor's JSON as sent: members by name, each still the text that came in.
//!
//! Adapters take the members that they know and leave the rest; the rest goes under `vendor` with every digit and blank
//! as it was. Nothing is copied: names and values borrow from the body.

mod raw;

use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::lenient::says_nothing;

pub(crate) use raw::RAW;
pub use raw::Raw;

/// Why a body cannot be read at all. The text names no value of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not UTF-8, at this byte.
    #[error("not UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// `\ud800` without its other half.
    #[error("an escaped surrogate stands alone at byte {0}")]
    LoneSurrogate(usize),
    /// A text that serde_json keeps for itself, at this byte.
    #[error("a reserved name at byte {0}")]
    Reserved(usize),
    /// Not JSON.
    #[error("not JSON at line {line} column {column}: {what}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What kind of mistake, without the text around it.
        what: &'static str,
    },
    /// JSON of another shape.
    #[error("expected {0}")]
    Shape(&'static str),
}

/// How deep a body may nest. Everything downstream parses events with a limit above this one.
pub const DEPTH_MAX: usize = 64;

/// Checks once what every later parse relies on (UTF-8, depth, paired surrogates) and gives the body as text.
///
/// # Errors
/// When the body breaks one of these.
pub fn document(body: &[u8]) -> Result<&str, Malformed> {
    checked(body, DEPTH_MAX)
}

/// Checks one element of a list by itself: what [`document`] checks, one level less deep, and that it is JSON. A list of
/// such elements is a document.
///
/// # Errors
/// When the element breaks one of these.
pub fn element(json: &[u8]) -> Result<&str, Malformed> {
    let text = checked(json, DEPTH_MAX - 1)?;
    let parsed: Result<&RawValue, _> = serde_json::from_str(text);
    parsed.map_err(|error| malformed(&error, text, "a value"))?;
    Ok(text)
}

fn checked(body: &[u8], depth_max: usize) -> Result<&str, Malformed> {
    // A byte order mark is no JSON, but some senders put one.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| match error.error_len() {
        Some(_) => Malformed::NotUtf8(error.valid_up_to()),
        // It ends within a character.
        None => cut_off_at(body),
    })?;
    check_nesting(text.as_bytes(), depth_max)?;
    Ok(text)
}

fn check_nesting(text: &[u8], depth_max: usize) -> Result<(), Malformed> {
    // Nearly every body ends here: too few brackets to be deep, no escapes, and no name begins as a reserved one does.
    let brackets = memchr::memchr2_iter(b'{', b'[', text).take(depth_max + 1);
    if memchr::memchr2(b'\\', b'$', text).is_none() && brackets.count() <= depth_max {
        return Ok(());
    }
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > depth_max {
                    return Err(Malformed::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = check_string(text, at)?,
            _ => {}
        }
    }
    Ok(())
}

/// Gives the place behind the closing quote of the string whose text begins at `start`.
fn check_string(text: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start;
    while let Some(found) = memchr::memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text[at] == b'"' {
            return match is_reserved(text, start, at) {
                true => Err(Malformed::Reserved(start)),
                false => Ok(at + 1),
            };
        }
        at = match escaped_unit(text, at) {
            Some(0xD800..=0xDBFF) => match escaped_unit(text, at + 6) {
                Some(0xDC00..=0xDFFF) => at + 12,
                // The text ends before the other half could have come.
                _ if text.len() < at + 12 && !text[at + 6..].contains(&b'"') => text.len(),
                _ => return Err(Malformed::LoneSurrogate(at)),
            },
            Some(0xDC00..=0xDFFF) => return Err(Malformed::LoneSurrogate(at)),
            _ => at + 2,
        };
    }
    Ok(text.len())
}

/// How serde_json names raw values and exact numbers on their way through serde. An object with such a name, which may
/// be escaped, could be kept here but not be parsed as a value by a receiver.
const RESERVED: &str = "$serde_json::private::";

fn is_reserved(text: &[u8], start: usize, end: usize) -> bool {
    // A whole name, with every sign escaped, is shorter than this.
    if !matches!(text[start], b'$' | b'\\') || end - start > 256 {
        return false;
    }
    serde_json::from_slice::<String>(&text[start - 1..=end])
        .is_ok_and(|name| name.starts_with(RESERVED))
}

/// The UTF-16 unit of the escape `\uXXXX` at `at`.
pub(crate) fn escaped_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

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
            // What is wrong with it is said by who reads it as an object.
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

/// What is wrong with a text that ends too early.
pub(crate) const CUT_OFF: &str = "cut off";

/// Says what is wrong without repeating any of the body: serde's own message may quote a value.
pub fn malformed(error: &serde_json::Error, text: &str, expected: &'static str) -> Malformed {
    use serde_json::error::Category;
    match error.classify() {
        Category::Data => Malformed::Shape(expected),
        Category::Eof if text.trim_ascii().is_empty() => Malformed::NotJson {
            line: 1,
            column: 1,
            what: "empty",
        },
        _ if is_cut_off(error, text) => Malformed::NotJson {
            line: error.line(),
            column: error.column(),
            what: CUT_OFF,
        },
        _ => Malformed::NotJson {
            line: error.line(),
            column: error.column(),
            what: "unexpected text",
        },
    }
}

fn cut_off_at(body: &[u8]) -> Malformed {
    let before = body.rsplit(|byte| *byte == b'\n').next();
    Malformed::NotJson {
        line: body.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: before.map_or(0, <[u8]>::len),
        what: CUT_OFF,
    }
}

/// Whether the text ends too early, by the error with which it was read.
pub fn is_cut_off(error: &serde_json::Error, text: &str) -> bool {
    error.is_eof() || (error.is_syntax() && ends_within_a_number(text))
}

/// Whether the text ends behind a sign, a point or an exponent without its digits, which `serde_json` does not tell from
/// any other number that is wrong.
fn ends_within_a_number(text: &str) -> bool {
    let number = |char: char| char.is_ascii_digit() || matches!(char, '-' | '+' | '.' | 'e' | 'E');
    let before = text.trim_end_matches(number);
    text.ends_with(['-', '+', '.', 'e', 'E'])
        && text[before.len()..].starts_with(|char: char| char == '-' || char.is_ascii_digit())
        && (before.is_empty() || before.ends_with([':', ',', '[', ' ', '\t', '\r', '\n']))
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

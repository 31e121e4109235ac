//! A vendor's JSON as sent: members by name, each still the text that came in.
//!
//! Adapters take the members that they know and leave the rest; the rest goes under `vendor` with every digit and blank
//! as it was. Nothing is copied: names and values borrow from the body.

use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::lenient::says_nothing;

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
pub struct Members<'a>(Vec<(Cow<'a, str>, Rest<'a>)>);

/// A value that stays as sent.
#[derive(Clone)]
pub enum Rest<'a> {
    /// As sent.
    Raw(&'a RawValue),
    /// As sent, after something was taken out of it or changed in it.
    Owned(Box<RawValue>),
    /// An object of which some members were taken.
    Object(Members<'a>),
}

impl<'a> Members<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// When `text` is not JSON, or not an object.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|error| malformed(&error, text, "an object"))
    }

    /// Reads a value that was left raw, as an object; `None` when it is something else.
    pub fn of(value: &'a RawValue) -> Option<Self> {
        let text = value.get();
        text.starts_with('{')
            .then(|| serde_json::from_str(text).ok())
            .flatten()
    }

    /// Whether a member of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// The text of a member, which stays.
    pub fn peek(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| match value {
                Rest::Raw(raw) => Some(*raw),
                Rest::Owned(_) | Rest::Object(_) => None,
            })
    }

    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let value = self.peek(name);
        if value.is_some() {
            self.drop(name);
        }
        value
    }

    /// Removes all members of this name.
    pub fn drop(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// Puts a value (back) under a name.
    pub fn put(&mut self, name: impl Into<Cow<'a, str>>, value: Rest<'a>) {
        self.0.push((name.into(), value));
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are left.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no member but those of these names says anything: tags alone are no record.
    pub fn say_nothing(&self, tags: &[&str]) -> bool {
        let says_nothing = |rest: &Rest<'a>| match rest {
            Rest::Raw(raw) => says_nothing(raw),
            Rest::Owned(raw) => says_nothing(raw),
            Rest::Object(members) => members.say_nothing(&[]),
        };
        self.0
            .iter()
            .all(|(name, rest)| tags.contains(&name.as_ref()) || says_nothing(rest))
    }

    /// Names and values that are left.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Rest<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
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

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Collect<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'a>, M::Error> {
                let mut members = Vec::with_capacity(24);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, Rest::Raw(map.next_value()?)));
                }
                remove_repeated(&mut members);
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect(std::marker::PhantomData))
    }
}

/// Keeps the last of the members with the same name, as JSON parsers do. Linear, so that a body of a million members
/// takes no longer for each of them than a small one.
fn remove_repeated(members: &mut Vec<(Cow<'_, str>, Rest<'_>)>) {
    // Few names are compared with each other faster than they are hashed.
    let names = || members.iter().map(|(name, _)| name);
    if members.len() <= 32
        && !names()
            .enumerate()
            .any(|(index, name)| names().take(index).any(|other| other == name))
    {
        return;
    }
    let mut seen = std::collections::HashSet::with_capacity(members.len());
    let mut repeated = false;
    let mut keep = vec![true; members.len()];
    for (index, (name, _)) in members.iter().enumerate().rev() {
        keep[index] = seen.insert(name.as_ref());
        repeated |= !keep[index];
    }
    drop(seen);
    if repeated {
        let mut keep = keep.into_iter();
        members.retain(|_| keep.next().unwrap_or(true));
    }
}

/// A member's name, borrowed where it has no escapes: serde borrows a `Cow` only when told so.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Rest::Raw(raw) => raw.serialize(serializer),
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

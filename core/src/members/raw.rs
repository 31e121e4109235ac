//! A JSON value as it stands in a text that serde_json has read, and where its parts stand there.
//!
//! serde_json reads a text once and says whether it is JSON. Behind that, where a member begins and ends is seen by quotes and
//! brackets alone, and each byte is looked at once more at most, whatever its level.

use std::borrow::Cow;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Entry, Members, Rest};
use crate::split::behind_string;
use crate::word::find;

/// A JSON value as sent. It borrows from a text that serde_json has read, so it is well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// So many objects within another one are taken apart with it. What a body has more is taken apart when it is asked for: its
/// members would take many times its own memory.
const OBJECTS_MAX: usize = 32;

impl<'a> Raw<'a> {
    /// Reads a text that is one value, with blanks around it.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<&RawValue>(text).map(Self::from)
    }

    /// Reads a text that is a list: its items.
    ///
    /// # Errors
    /// When it is not JSON, or something else.
    pub fn parse_list(text: &'a str) -> serde_json::Result<Vec<Self>> {
        if let Some(items) = Self::parse(text).ok().and_then(Self::items) {
            return Ok(items);
        }
        // serde_json says what is wrong, asked for a list.
        let items: Vec<&RawValue> = serde_json::from_str(text)?;
        Ok(items.into_iter().map(Self::from).collect())
    }

    /// The text.
    pub const fn get(self) -> &'a str {
        self.0
    }

    /// The items of a list; `None` when it is something else.
    pub fn items(self) -> Option<Vec<Self>> {
        let mut parts = Parts::new(self.0);
        parts.eat(b'[').then_some(())?;
        let mut items = Vec::new();
        while !parts.eat(b']') {
            items.push(Self(parts.value()?));
            parts.eat(b',');
        }
        Some(items)
    }

    /// The members of an object as sent, with those that have the same name; `None` when it is something else, or a name is no
    /// text: its escapes name no character.
    pub fn entries(self) -> Option<impl DoubleEndedIterator<Item = (Cow<'a, str>, Rest<'a>)>> {
        let entries = Parts::new(self.0).object()?.into_iter();
        Some(entries.map(|entry| (entry.name, entry.rest)))
    }

    pub(super) fn members(self) -> Option<Members<'a>> {
        Parts::new(self.0).object().map(Members::of_entries)
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self(value.get())
    }
}

/// How serde_json tells its own writers that a text is JSON already. A test compares it with what `RawValue` does.
pub(crate) const RAW: &str = "$serde_json::private::RawValue";

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct(RAW, 1)?;
        raw.serialize_field(RAW, self.0)?;
        raw.end()
    }
}

/// Goes through a text that is JSON.
struct Parts<'a> {
    text: &'a str,
    at: usize,
    objects_left: usize,
}

impl<'a> Parts<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            objects_left: OBJECTS_MAX,
        }
    }

    /// The sign that comes next, behind blanks; 0 at the end.
    fn next(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    /// Passes over this sign if it comes next.
    fn eat(&mut self, sign: u8) -> bool {
        let is_next = self.next() == sign;
        self.at += usize::from(is_next);
        is_next
    }

    /// The members of an object, in the order sent. `None` when it is something else.
    fn object(&mut self) -> Option<Vec<Entry<'a>>> {
        if !self.eat(b'{') {
            return None;
        }
        let mut entries = Vec::with_capacity(ENTRIES);
        while !self.eat(b'}') {
            let start = self.at;
            let has_escapes = self.pass_string()?;
            let quoted = self.text.get(start..self.at)?;
            self.eat(b':');
            let rest = self.member()?;
            let name = match has_escapes {
                true => Cow::Owned(serde_json::from_str(quoted).ok()?),
                false => Cow::Borrowed(quoted.get(1..quoted.len() - 1)?),
            };
            entries.push(Entry::new(name, rest));
            self.eat(b',');
        }
        Some(entries)
    }

    fn member(&mut self) -> Option<Rest<'a>> {
        if self.objects_left > 0 && self.next() == b'{' {
            self.objects_left -= 1;
            let start = self.at;
            let members = Members::of_entries(self.object()?);
            let raw = Raw(self.text.get(start..self.at)?);
            return Some(Rest::Whole(raw, Box::new(members)));
        }
        self.value().map(|text| Rest::Raw(Raw(text)))
    }

    /// The text of the value that comes next.
    fn value(&mut self) -> Option<&'a str> {
        let first = self.next();
        let start = self.at;
        match first {
            b'"' => drop(self.pass_string()?),
            b'{' | b'[' => self.pass_nested()?,
            _ => self.pass_word(),
        }
        self.text.get(start..self.at)
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn pass_word(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
                break;
            }
            self.at += 1;
        }
    }

    /// Passes over a string; gives whether it has escapes.
    fn pass_string(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        // Most strings are short: they are passed before a search of vectors would have begun.
        for _ in 0..WORDS {
            let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
                break;
            };
            let word = u64::from_le_bytes(*word);
            let found = find(word, b'"') | find(word, b'\\');
            at += (found.trailing_zeros() / 8) as usize;
            if found != 0 {
                return self.end_string(at);
            }
        }
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        self.end_string(at)
    }

    /// At the first quote or backslash of a string.
    fn end_string(&mut self, at: usize) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let has_escapes = *bytes.get(at)? == b'\\';
        self.at = match has_escapes {
            true => behind_string(bytes, at)?,
            false => at + 1,
        };
        Some(has_escapes)
    }

    fn pass_nested(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        loop {
            match bytes.get(self.at)? {
                b'"' => {
                    self.pass_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => {
                    self.at += 1;
                    return Some(());
                }
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// Members that an object usually has room for at first.
const ENTRIES: usize = 16;
/// So many times eight bytes of a string are looked at before a search of vectors begins.
const WORDS: usize = 3;

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::Raw;
    use crate::members::Sent;
    use crate::{Members, Rest};

    /// Values with blanks, escapes and repeated names wherever they may stand.
    fn value() -> impl Strategy<Value = String> {
        let text = "\"([a-e]{0,12}|[^\"\\\\\\x00-\\x1f]{0,9}|\\\\[\"\\\\/bfnrt]|\\\\u00[46][0-9]|李){0,3}\"";
        let scalar = prop_oneof![
            text,
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
            "null|true|false"
        ];
        let blanks = "[ \\t\\r\\n]{0,2}";
        scalar.prop_recursive(4, 40, 6, move |inner| {
            let name = "\"([a-c]{1,2}|\\\\u006[1-3]|a\\\\\\\\|\\\\\"|[a-z_]{7,18})\"";
            let member = (blanks, name, blanks, blanks, inner.clone(), blanks)
                .prop_map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}"));
            let item = (blanks, inner, blanks).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
            prop_oneof![
                prop::collection::vec(member, 0..6)
                    .prop_map(|all| format!("{{{}}}", all.join(","))),
                prop::collection::vec(item, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
                Just("{ }".to_owned()),
                Just("[\n]".to_owned()),
            ]
        })
    }

    /// Where the parts of a value stand by serde_json alone, level by level.
    fn check_by_serde_json(raw: Raw<'_>) -> Result<(), TestCaseError> {
        let items: Option<Vec<&RawValue>> = serde_json::from_str(raw.get()).ok();
        let texts = |items: Vec<&RawValue>| -> Vec<String> {
            items
                .into_iter()
                .map(|item| item.get().to_owned())
                .collect()
        };
        let found = raw.items();
        let found_texts = found.as_ref().map(|items| {
            items
                .iter()
                .map(|item| item.get().to_owned())
                .collect::<Vec<_>>()
        });
        prop_assert_eq!(found_texts, items.map(texts));
        for item in found.into_iter().flatten() {
            check_by_serde_json(item)?;
        }
        let sent = serde_json::from_str::<Sent<'_>>(raw.get()).ok();
        let entries = raw.entries();
        prop_assert_eq!(entries.is_some(), sent.is_some());
        let (Some(entries), Some(Sent(sent))) = (entries, sent) else {
            return Ok(());
        };
        let entries: Vec<(Cow<'_, str>, Rest<'_>)> = entries.collect();
        prop_assert_eq!(entries.len(), sent.len());
        for ((name, rest), sent) in entries.iter().zip(&sent) {
            prop_assert_eq!(name, &sent.name);
            let (value, expected) = (rest.sent().unwrap(), sent.rest.sent().unwrap());
            prop_assert_eq!(value, expected);
            check_by_serde_json(value)?;
            if let Rest::Whole(_, members) = rest {
                check_members(members, expected)?;
            }
        }
        check_members(&Members::of(raw).unwrap(), raw)
    }

    /// Of members with the same name the last one stays, in its place.
    fn check_members(members: &Members<'_>, raw: Raw<'_>) -> Result<(), TestCaseError> {
        let Sent(sent) = serde_json::from_str(raw.get()).unwrap();
        let is_last = |at: usize| {
            sent[at + 1..]
                .iter()
                .all(|later| later.name != sent[at].name)
        };
        let expected: Vec<_> = (0..sent.len())
            .filter(|at| is_last(*at))
            .map(|at| (sent[at].name.as_ref(), sent[at].rest.sent()))
            .collect();
        let found: Vec<_> = members
            .iter()
            .map(|(name, rest)| (name, rest.sent()))
            .collect();
        prop_assert_eq!(&found, &expected);
        for (name, raw) in expected {
            prop_assert_eq!(members.peek(name), raw);
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

        #[test]
        fn parts_stand_where_serde_json_finds_them(value in value(), blanks in "[ \n]{0,2}") {
            let text = format!("{blanks}{value}{blanks}");
            check_by_serde_json(Raw::parse(&text).unwrap())?;
        }

        /// Whatever is wrong with a text, it is wrong with it as serde_json says that reads it as an object.
        #[test]
        fn errors_are_those_of_serde_json(value in value(), at in any::<prop::sample::Index>(), sign in "[\\[\\]{}\",:\\\\ud8c0 ]?") {
            let mut text = value;
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = *at.get(&places);
            text.truncate(at);
            text.push_str(&sign);
            let error = serde_json::from_str::<Sent<'_>>(&text).err();
            let error = error.map(|error| crate::malformed(&error, &text, "an object"));
            prop_assert_eq!(Members::parse(&text).err(), error);
            let list = serde_json::from_str::<Vec<&RawValue>>(&text).err();
            let found = Raw::parse_list(&text).err();
            prop_assert_eq!(found.map(|error| error.to_string()), list.map(|error| error.to_string()));
        }
    }

    /// A body may hold a million objects: the members of most of them are read when they are asked for.
    #[test]
    fn not_every_object_is_taken_apart() {
        let text = format!("{{{}\"z\":{{}}}}", "\"a\":{\"b\":0},".repeat(100));
        let entries: Vec<_> = Raw::parse(&text).unwrap().entries().unwrap().collect();
        let whole = entries
            .iter()
            .filter(|(_, rest)| matches!(rest, Rest::Whole(..)));
        assert_eq!(whole.count(), super::OBJECTS_MAX);
        let mut members = Members::parse(&text).unwrap();
        assert!(members.take_object("a", 1).unwrap().has("b"));
        assert!(members.take_object("z", 0).unwrap().is_empty() && members.is_empty());
    }
}

//! Reads single members, leniently: what is not of the documented type stays where it is, with a warning.
//!
//! `null`, and a blank text, are how this vendor says "nothing": they become absence without a warning.

use std::fmt::Display;

use faceway_core::lenient::{
    self, Moment, Unit, identifier, is_told, text, told, without_credentials,
};
use faceway_core::{Bounds, Image, ImageRole, Members, Picture, Text, Timestamp};
use serde_json::value::RawValue;

/// The members of one object of a message. What is read of them is owned: it is little beside the pictures, and a form
/// has no text to borrow from.
pub(crate) struct Fields<'t> {
    /// What was not taken yet.
    pub(crate) members: Members<'t>,
    /// What could not be read, or had to be guessed.
    pub(crate) warnings: Vec<Text<'static>>,
    /// How warnings name this object: nothing, or `ext_data.`.
    at: &'static str,
}

impl<'t> Fields<'t> {
    pub(crate) fn new(members: Members<'t>, at: &'static str) -> Self {
        Self {
            members,
            warnings: Vec::new(),
            at,
        }
    }

    /// Adds a warning about a member. `what` must not hold a value that says something about a person.
    pub(crate) fn warn(&mut self, name: &str, what: impl Display) {
        let warning = format!("{}{name}: {what}", self.at);
        self.warnings.push(warning.into());
    }

    /// A member that is told; a `null` is taken out and not told.
    pub(crate) fn told(&mut self, name: &str) -> Option<&'t RawValue> {
        told(&mut self.members, name)
    }

    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'t RawValue) -> Option<T>,
    ) -> Option<T> {
        let raw = self.told(name)?;
        let value = read(raw);
        if value.is_none() {
            self.warn(name, "not of the documented type");
        }
        value
    }

    fn take<T>(&mut self, name: &str, read: impl FnOnce(&'t RawValue) -> Option<T>) -> Option<T> {
        let value = self.read(name, read)?;
        self.members.drop(name);
        Some(value)
    }

    /// A text that is not blank. A blank one is taken out.
    pub(crate) fn text(&mut self, name: &str) -> Option<Text<'static>> {
        self.take(name, text).filter(is_told).map(owned)
    }

    /// A text about a device. Boxes name cameras by their URL, which may hold credentials.
    pub(crate) fn scrubbed(&mut self, name: &str) -> Option<Text<'static>> {
        self.identifier(name).map(without_credentials)
    }

    /// An identifier: a text, or a whole number, whose digits become the text.
    pub(crate) fn identifier(&mut self, name: &str) -> Option<Text<'static>> {
        self.take(name, identifier).filter(is_told).map(owned)
    }

    /// An identifier or a text, which stays; nothing when it is blank or something else.
    pub(crate) fn peek(&self, name: &str) -> Option<String> {
        let raw = self.members.peek(name)?;
        identifier(raw).filter(is_told).map(Text::into_owned)
    }

    /// The word for a number, sent as a number or as its text, by the vendor's table. A number that is not in it stays.
    pub(crate) fn code<T>(&mut self, name: &str, table: impl FnOnce(i64) -> Option<T>) -> Told<T> {
        if self.told(name).is_none() || self.is_blank(name) {
            self.members.drop(name);
            return Told::Nothing;
        }
        let Some(number) = self.read(name, code) else {
            return Told::Unknown;
        };
        match table(number) {
            Some(word) => {
                self.members.drop(name);
                return Told::Word(word);
            }
            // The vendor's codes have one digit. A long number may be somebody's, in the wrong place.
            None if number.unsigned_abs() > 99_999 => self.warn(name, "unknown value"),
            None => self.warn(name, format_args!("unknown value {number}")),
        }
        Told::Unknown
    }

    /// The canonical word for the vendor's. One that is not in the table stays.
    pub(crate) fn word<T>(&mut self, name: &str, table: impl FnOnce(&str) -> Option<T>) -> Told<T> {
        if self.told(name).is_none() || self.is_blank(name) {
            self.members.drop(name);
            return Told::Nothing;
        }
        let Some(sent) = self.read(name, text) else {
            return Told::Unknown;
        };
        match table(sent.trim()) {
            Some(word) => {
                self.members.drop(name);
                Told::Word(word)
            }
            None => {
                self.warn(name, "unknown value");
                Told::Unknown
            }
        }
    }

    fn is_blank(&self, name: &str) -> bool {
        let raw = self.members.peek(name);
        raw.and_then(text).is_some_and(|text| !is_told(&text))
    }

    /// A time in milliseconds; `0` is none. Seconds, whole or with a fraction as the box's database has them, and other
    /// units are told by their size. What is no time stays.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let raw = self.told(name)?;
        match lenient::moment(raw, Unit::Milliseconds) {
            Moment::Nothing => self.members.drop(name),
            Moment::At(time, warning) => {
                self.members.drop(name);
                if let Some(warning) = warning {
                    self.warn(name, warning);
                }
                return Some(time);
            }
            Moment::Wrong(why) => self.warn(name, why),
        }
        None
    }

    /// `[left, top, right, bottom]`; an empty list is none.
    pub(crate) fn bounds(&mut self, name: &str) -> Option<Bounds> {
        let raw = self.told(name)?;
        let sides: Option<Vec<f64>> = (raw.get().len() < 400)
            .then(|| serde_json::from_str(raw.get()).ok())
            .flatten();
        match sides.as_deref() {
            Some([]) => {
                self.members.drop(name);
                None
            }
            Some(&[left, top, right, bottom]) if left <= right && top <= bottom => {
                self.members.drop(name);
                Some(Bounds {
                    left,
                    top,
                    right,
                    bottom,
                })
            }
            _ => {
                self.warn(name, "not of the documented type");
                None
            }
        }
    }

    /// An object, taken out. One that is not an object, or has too many members, stays.
    pub(crate) fn object(&mut self, name: &str, at: &'static str) -> Self {
        let members = self.take(name, |raw| {
            Members::of(raw).filter(|members| members.iter().nth(MEMBERS_MAX).is_none())
        });
        Self::new(members.unwrap_or_default(), at)
    }

    /// A picture, decoded, or a link in its place. Its text goes, whatever it is: no picture stays under `vendor`.
    pub(crate) fn picture(
        &mut self,
        name: &str,
        role: ImageRole,
    ) -> Option<(Image<'static>, Option<Picture>)> {
        let raw = self.told(name)?;
        self.members.drop(name);
        match lenient::picture(raw) {
            Ok(picture) => picture.map(|picture| (Image::kept(role, &picture), Some(picture))),
            Err(error) => match lenient::link(raw) {
                Some(url) => {
                    self.warn(name, "a link where a picture is documented");
                    Some((Image::linked(role, owned(url)), None))
                }
                None => {
                    self.warn(name, format_args!("no picture, {error}"));
                    None
                }
            },
        }
    }
}

const MEMBERS_MAX: usize = 1000;

/// What a member with a table of values says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told<T> {
    Nothing,
    Word(T),
    /// Something, but not what the table knows.
    Unknown,
}

impl<T> Told<T> {
    pub(crate) fn word(self) -> Option<T> {
        match self {
            Self::Word(word) => Some(word),
            Self::Nothing | Self::Unknown => None,
        }
    }

    pub(crate) fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Nothing => other(),
            told => told,
        }
    }
}

fn owned(text: Text<'_>) -> Text<'static> {
    Text::Owned(text.into_owned())
}

/// A whole number, or the text of one.
fn code(raw: &RawValue) -> Option<i64> {
    let text = raw.get();
    let text = text.trim_matches('"').trim();
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use faceway_core::Members;

    use super::{Fields, Told};

    fn fields(json: &str) -> Fields<'_> {
        Fields::new(Members::parse(json).unwrap(), "ext_data.")
    }

    #[test]
    fn what_is_no_time_stays() {
        let mut fields =
            fields(r#"{"a":0.0,"b":1767250800.608026,"c":-1,"d":true,"e":"1767250800123"}"#);
        let mut time = |name| fields.time(name).map(|time| time.to_string());
        assert_eq!(time("a"), None);
        assert_eq!(time("b").unwrap(), "2026-01-01T07:00:00.608Z");
        assert_eq!(time("c"), None);
        assert_eq!(time("d"), None);
        assert_eq!(time("e").unwrap(), "2026-01-01T07:00:00.123Z");
        assert_eq!(
            fields.warnings,
            [
                "ext_data.b: seconds where milliseconds are documented",
                "ext_data.c: not a time",
                "ext_data.d: not of the documented type",
                "ext_data.e: a text where milliseconds are documented"
            ]
        );
        assert!(fields.members.has("c") && fields.members.has("d"));
        assert_eq!(fields.members.iter().count(), 2);
    }

    #[test]
    fn identifiers_keep_every_digit() {
        let mut fields = fields(
            r#"{"a":9007199254740993,"b":"007","c":5.5,"d":" ","e":"\u674e\n","f":"\"","g":-3}"#,
        );
        assert_eq!(fields.identifier("a").unwrap(), "9007199254740993");
        assert_eq!(fields.identifier("b").unwrap(), "007");
        assert_eq!(fields.identifier("c"), None);
        assert_eq!(fields.identifier("d"), None);
        assert_eq!(fields.identifier("e").unwrap(), "李\n");
        assert_eq!(fields.identifier("f").unwrap(), "\"");
        assert_eq!(fields.identifier("g").unwrap(), "-3");
        assert_eq!(fields.warnings, ["ext_data.c: not of the documented type"]);
        assert!(fields.members.has("c") && !fields.members.has("d"));
    }

    #[test]
    fn codes_come_as_numbers_and_as_texts() {
        let mut fields = fields(r#"{"a":4,"b":"4","c":"","d":9,"e":"x","f":123456,"g":"\""}"#);
        let mut code = |name| fields.code(name, |number| (number == 4).then_some("four"));
        assert_eq!(code("a"), Told::Word("four"));
        assert_eq!(code("b"), Told::Word("four"));
        assert_eq!(code("c"), Told::Nothing);
        assert_eq!(code("none"), Told::Nothing);
        for name in ["d", "e", "f", "g"] {
            assert_eq!(code(name), Told::Unknown);
        }
        assert_eq!(
            fields.warnings,
            [
                "ext_data.d: unknown value 9",
                "ext_data.e: not of the documented type",
                "ext_data.f: unknown value",
                "ext_data.g: not of the documented type"
            ]
        );
    }

    #[test]
    fn boxes_have_four_sides() {
        let mut fields = fields(
            r#"{"a":[1261,31,1375.5,176],"b":[],"c":[1,2,3],"d":[9,2,3,4],"e":null,"f":[1,2,3,1e999]}"#,
        );
        assert_eq!(fields.bounds("a").unwrap().right, 1375.5);
        for name in ["b", "c", "d", "e", "f"] {
            assert_eq!(fields.bounds(name), None);
        }
        assert_eq!(fields.warnings.len(), 3);
        assert!(fields.members.has("c") && fields.members.has("d") && fields.members.has("f"));
    }
}

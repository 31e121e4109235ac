//! Reads single members, leniently: what is not of the documented type stays where it is, with a warning.
//!
//! `null`, and a blank text, are how this vendor says "nothing": they become absence without a warning.

use std::fmt::Display;

use faceway_core::lenient::{
    self, Moment, Unit, identifier, is_told, number, on_scale, text, told,
};
use faceway_core::{Group, Image, ImageRole, Members, Picture, Text, Timestamp};
use serde_json::value::RawValue;

/// The members of one object of the push.
pub(crate) struct Fields<'a> {
    /// What was not taken yet.
    pub(crate) members: Members<'a>,
    /// What could not be read, or had to be guessed.
    pub(crate) warnings: Vec<Text<'a>>,
    /// How warnings name this object: nothing, or `user.`.
    at: &'static str,
}

/// More groups than this are no list of a person's groups; the list then stays as sent.
const GROUPS_MAX: usize = 1000;

impl<'a> Fields<'a> {
    pub(crate) fn new(mut members: Members<'a>, at: &'static str) -> Self {
        // The door PIN of `user`; it is a secret wherever it stands.
        members.drop("pin");
        Self {
            members,
            warnings: Vec::new(),
            at,
        }
    }

    /// Adds a warning.
    pub(crate) fn note(&mut self, warning: impl Into<Text<'a>>) {
        self.warnings.push(warning.into());
    }

    /// Adds a warning about a member. `what` must not hold a value that says something about a person.
    pub(crate) fn warn(&mut self, name: &str, what: impl Display) {
        self.note(format!("{}{name}: {what}", self.at));
    }

    /// A member that is told; a `null` is taken out and not told.
    pub(crate) fn told(&mut self, name: &str) -> Option<&'a RawValue> {
        told(&mut self.members, name)
    }

    fn read<T>(&mut self, name: &str, read: impl FnOnce(&'a RawValue) -> Option<T>) -> Option<T> {
        let raw = self.told(name)?;
        let value = read(raw);
        if value.is_none() {
            self.warn(name, "not of the documented type");
        }
        value
    }

    fn take<T>(&mut self, name: &str, read: impl FnOnce(&'a RawValue) -> Option<T>) -> Option<T> {
        let value = self.read(name, read)?;
        self.members.drop(name);
        Some(value)
    }

    /// A text that is not blank.
    pub(crate) fn text(&mut self, name: &str) -> Option<Text<'a>> {
        self.take(name, text).filter(is_told)
    }

    /// An identifier: a text, or a whole number, whose digits become the text.
    pub(crate) fn identifier(&mut self, name: &str) -> Option<Text<'a>> {
        self.take(name, identifier).filter(is_told)
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name, |raw| raw.get().parse().ok())
    }

    /// A whole number, which stays.
    pub(crate) fn peek_integer(&mut self, name: &str) -> Option<i64> {
        self.read(name, integer)
    }

    /// The word for a number, by the vendor's table. A number that is not in it stays.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        table: impl FnOnce(i64) -> Option<T>,
    ) -> Option<T> {
        let number = self.peek_integer(name)?;
        let word = table(number);
        match word {
            Some(_) => self.members.drop(name),
            // The vendor's codes have at most five digits. A longer number may be somebody's, in the wrong place.
            None if number.unsigned_abs() > 99_999 => self.warn(name, "unknown value"),
            None => self.warn(name, format_args!("unknown value {number}")),
        }
        word
    }

    /// A number. `0` is how the vendor says "not measured".
    pub(crate) fn measured(&mut self, name: &str) -> Option<f64> {
        self.take(name, number).filter(|value| *value != 0.0)
    }

    /// A number of 0 to 1. One outside stays.
    pub(crate) fn score(&mut self, name: &str) -> Option<f64> {
        let score = self.read(name, number)?;
        let score = on_scale(score, 1.0);
        match score {
            Some(_) => self.members.drop(name),
            None => self.warn(name, "not in 0 to 1"),
        }
        score
    }

    /// A time; `0` and a blank text are none. Its unit is documented, but a number whose size says otherwise is read by its
    /// size. What is no time stays.
    pub(crate) fn time(&mut self, name: &str, unit: Unit) -> Option<Timestamp> {
        let raw = self.told(name)?;
        match lenient::moment(raw, unit) {
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

    /// An object, taken out. One that is not an object, or has too many members, stays.
    pub(crate) fn object(&mut self, name: &str, at: &'static str, members_max: usize) -> Self {
        let members = self.take(name, |raw| {
            Members::of(raw).filter(|members| members.iter().nth(members_max).is_none())
        });
        Self::new(members.unwrap_or_default(), at)
    }

    /// A list of groups. It stays as well when it says more than ids and names.
    pub(crate) fn groups(&mut self, name: &str) -> Vec<Group<'a>> {
        let items = self.read(name, |raw| {
            let items: Vec<&'a RawValue> = serde_json::from_str(raw.get()).ok()?;
            let objects = items.iter().all(|item| item.get().starts_with('{'));
            (objects && items.len() <= GROUPS_MAX).then_some(items)
        });
        let Some(items) = items else {
            return Vec::new();
        };
        let mut whole = true;
        let mut groups = Vec::with_capacity(items.len());
        for item in items {
            let mut item = Fields::new(Members::of(item).unwrap_or_default(), "");
            let group = Group {
                id: item.identifier("id"),
                name: item.text("name"),
            };
            whole &= item.members.is_empty();
            if group != Group::default() {
                groups.push(group);
            }
        }
        if whole {
            self.members.drop(name);
        }
        groups
    }

    /// A picture, decoded, or a link in its place. Its text goes, whatever it is: no picture stays under `vendor`.
    pub(crate) fn picture(
        &mut self,
        name: &str,
        role: ImageRole,
    ) -> Option<(Image<'a>, Option<Picture>)> {
        let raw = self.told(name)?;
        self.members.drop(name);
        match lenient::picture(raw) {
            Ok(picture) => picture.map(|picture| (Image::kept(role, &picture), Some(picture))),
            Err(error) => match lenient::link(raw) {
                Some(url) => {
                    self.warn(name, "a link where a picture is documented");
                    Some((Image::linked(role, url), None))
                }
                None => {
                    self.warn(name, format_args!("no picture, {error}"));
                    None
                }
            },
        }
    }
}

/// A whole number; `5.0` is one.
fn integer(raw: &RawValue) -> Option<i64> {
    let text = raw.get();
    text.parse()
        .ok()
        .or_else(|| text.strip_suffix(".0")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use faceway_core::lenient::Unit;
    use faceway_core::{ImageRole, Members};

    use super::Fields;

    fn fields(json: &str) -> Fields<'_> {
        Fields::new(Members::parse(json).unwrap(), "user.")
    }

    #[test]
    fn what_is_no_time_stays() {
        let mut fields =
            fields(r#"{"a":0,"b":1685343715000,"c":-1,"d":"yesterday","e":"1685343715"}"#);
        let mut time = |name| {
            fields
                .time(name, Unit::Seconds)
                .map(|time| time.to_string())
        };
        assert_eq!(time("a"), None);
        assert_eq!(time("b").unwrap(), "2023-05-29T07:01:55.000Z");
        assert_eq!(time("c"), None);
        assert_eq!(time("d"), None);
        assert_eq!(time("e"), Some("2023-05-29T07:01:55.000Z".into()));
        assert_eq!(
            fields.warnings,
            [
                "user.b: milliseconds where seconds are documented",
                "user.c: not a time",
                "user.d: not of the documented type",
                "user.e: a text where seconds are documented"
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
        assert_eq!(fields.warnings, ["user.c: not of the documented type"]);
        assert!(fields.members.has("c") && !fields.members.has("d"));
    }

    #[test]
    fn a_picture_is_found_behind_escapes() {
        let mut fields = fields(
            r#"{"a":"\/9j\/4A==","b":"/9j/4A==","c":"\u0020","d":["/9j/4A=="],"e":"http://u:p@h/1.jpg"}"#,
        );
        let mut picture = |name| fields.picture(name, ImageRole::Face);
        let (escaped, _) = picture("a").unwrap();
        let (plain, _) = picture("b").unwrap();
        assert_eq!(escaped.sha256, plain.sha256);
        assert!(picture("c").is_none());
        assert!(picture("d").is_none());
        let (link, none) = picture("e").unwrap();
        assert!(link.url.unwrap() == "http://h/1.jpg" && none.is_none());
        assert_eq!(
            fields.warnings,
            [
                "user.d: no picture, not base64",
                "user.e: a link where a picture is documented"
            ]
        );
        assert!(fields.members.is_empty());
    }
}

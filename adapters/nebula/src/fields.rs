//! Reads single members, leniently: what is not of the documented type stays where it is, with a warning.
//!
//! `null`, and a blank text, are how this vendor says "nothing": they become absence without a warning.

use std::fmt::Display;

use faceway_core::lenient::{self, identifier, is_told, number, text, told};
use faceway_core::{Group, Members, Picture, Text, Timestamp};
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

/// The documented unit of a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
}

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
        if !(0.0..=1.0).contains(&score) {
            self.warn(name, "not in 0 to 1");
            return None;
        }
        self.members.drop(name);
        Some(score)
    }

    /// A time; `0` is none. Its unit is documented, but a number whose size says otherwise is read by its size.
    pub(crate) fn time(&mut self, name: &str, unit: Unit) -> Option<Timestamp> {
        let number = self.peek_integer(name)?;
        if number == 0 {
            self.members.drop(name);
            return None;
        }
        let by_size = unit_by_size(number, unit);
        let time = match by_size {
            Unit::Seconds => Timestamp::from_seconds(number),
            Unit::Milliseconds => Timestamp::from_millis(number),
        };
        match time {
            Ok(time) if number > 0 => {
                if by_size != unit {
                    self.warn(name, unit_warning(by_size));
                }
                self.members.drop(name);
                Some(time)
            }
            _ => {
                self.warn(name, "not a time");
                None
            }
        }
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

    /// A picture, decoded. Its text goes, whatever it is: no picture stays under `vendor`.
    pub(crate) fn picture(&mut self, name: &str) -> Option<Picture> {
        let raw = self.told(name)?;
        self.members.drop(name);
        match lenient::picture(raw) {
            Ok(picture) => picture,
            Err(error) => {
                self.warn(name, format_args!("no picture, {error}"));
                None
            }
        }
    }
}

/// From 11 digits on a number is too large for seconds (year 5138), and one of 10 or 11 digits too small for the
/// milliseconds of any terminal's life (before 1973).
fn unit_by_size(number: i64, unit: Unit) -> Unit {
    match (number, unit) {
        (100_000_000_000.., Unit::Seconds) => Unit::Milliseconds,
        (1_000_000_000..100_000_000_000, Unit::Milliseconds) => Unit::Seconds,
        _ => unit,
    }
}

const fn unit_warning(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds where milliseconds are documented",
        Unit::Milliseconds => "milliseconds where seconds are documented",
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
    use faceway_core::Members;

    use super::{Fields, Unit};

    fn fields(json: &str) -> Fields<'_> {
        Fields::new(Members::parse(json).unwrap(), "user.")
    }

    fn time(number: &str, unit: Unit) -> (Option<String>, Vec<String>, bool) {
        let json = format!(r#"{{"t":{number}}}"#);
        let mut fields = fields(&json);
        let time = fields.time("t", unit).map(|time| time.to_string());
        let warnings = fields.warnings.iter().map(ToString::to_string).collect();
        (time, warnings, fields.members.has("t"))
    }

    #[test]
    fn times_are_read_by_their_size() {
        let told = Some("2023-05-29T07:01:55.000Z".to_owned());
        let none = Vec::<String>::new();
        assert_eq!(
            time("1685343715", Unit::Seconds),
            (told.clone(), none.clone(), false)
        );
        assert_eq!(
            time("1685343715000", Unit::Milliseconds),
            (told.clone(), none.clone(), false)
        );
        assert_eq!(
            time("1685343715000", Unit::Seconds),
            (
                told.clone(),
                vec!["user.t: milliseconds where seconds are documented".into()],
                false
            )
        );
        assert_eq!(
            time("1685343715", Unit::Milliseconds),
            (
                told,
                vec!["user.t: seconds where milliseconds are documented".into()],
                false
            )
        );
        assert_eq!(time("0", Unit::Seconds), (None, none.clone(), false));
        assert_eq!(time("null", Unit::Seconds), (None, none, false));
        for nonsense in ["-1", "9223372036854775807"] {
            let expected = (None, vec!["user.t: not a time".to_owned()], true);
            assert_eq!(time(nonsense, Unit::Seconds), expected);
        }
        for wrong in ["1e400", "\"1685343715\"", "1685343715.5", "{}", "true"] {
            let expected = (
                None,
                vec!["user.t: not of the documented type".to_owned()],
                true,
            );
            assert_eq!(time(wrong, Unit::Seconds), expected);
        }
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
        let mut fields =
            fields(r#"{"a":"\/9j\/4A==","b":"/9j/4A==","c":"\u0020","d":["/9j/4A=="]}"#);
        let escaped = fields.picture("a").unwrap();
        assert_eq!(escaped.sha256, fields.picture("b").unwrap().sha256);
        assert!(fields.picture("c").is_none());
        assert!(fields.warnings.is_empty());
        assert!(fields.picture("d").is_none());
        assert_eq!(fields.warnings, ["user.d: no picture, not base64"]);
        assert!(fields.members.is_empty());
    }
}

//! Reads single members, leniently: what is not of the documented type stays where it is, with a warning.
//!
//! `null`, and a blank text, are how this vendor says "nothing": they become absence without a warning.

use std::fmt::Display;

use faceway_core::lenient::{identifier, told, without_credentials};
pub(crate) use faceway_core::lenient::{is_told, number, on_scale, text};
use faceway_core::{Group, Members, Rest, Text, Timestamp};
use serde_json::value::RawValue;

/// More members than this in one object, or items in one list of ids, are none of this vendor's: the documents have 60.
pub(crate) const MEMBERS_MAX: usize = 1000;

/// The members of one object of an event.
pub(crate) struct Fields<'a> {
    /// What was not taken yet.
    pub(crate) members: Members<'a>,
    /// What could not be read, or had to be guessed.
    pub(crate) warnings: Vec<Text<'a>>,
    /// How warnings name this object: nothing, or `camera.`.
    at: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(members: Members<'a>, at: &'static str) -> Self {
        Self {
            members,
            warnings: Vec::new(),
            at,
        }
    }

    /// Adds a warning about a member. `what` must not hold a value that says something about a person.
    pub(crate) fn warn(&mut self, name: &str, what: impl Display) {
        let warning = format!("{}{name}: {what}", self.at);
        if !self.warnings.iter().any(|known| *known == warning) {
            self.warnings.push(warning.into());
        }
    }

    /// A member that is told; a `null` is taken out and not told.
    pub(crate) fn told(&mut self, name: &str) -> Option<&'a RawValue> {
        told(&mut self.members, name)
    }

    /// Takes a member out. One that `read` cannot read stays.
    pub(crate) fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
        let raw = self.told(name)?;
        let value = read(raw);
        match value {
            Some(_) => self.members.drop(name),
            None => self.warn(name, "not of the documented type"),
        }
        value
    }

    /// A text that is not blank, without credentials of URLs in it: names of cameras, too, may hold their URL.
    pub(crate) fn text(&mut self, name: &str) -> Option<Text<'a>> {
        self.take(name, text)
            .filter(is_told)
            .map(without_credentials)
    }

    /// An identifier: a text, or a whole number, whose digits become the text.
    pub(crate) fn identifier(&mut self, name: &str) -> Option<Text<'a>> {
        self.take(name, identifier)
            .filter(is_told)
            .map(without_credentials)
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name, |raw| raw.get().parse().ok())
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str) -> Option<f64> {
        self.take(name, number)
    }

    /// A whole number from 0; `5.0` is one.
    pub(crate) fn count(&mut self, name: &str) -> Option<u64> {
        self.take(name, |raw| {
            let text = raw.get();
            text.strip_suffix(".0").unwrap_or(text).parse().ok()
        })
    }

    /// A number of 0 to 1. One outside stays.
    pub(crate) fn score(&mut self, name: &str) -> Option<f64> {
        let raw = self.told(name)?;
        let Some(number) = number(raw) else {
            return self.number(name);
        };
        let score = on_scale(number, 1.0);
        match score {
            Some(_) => self.members.drop(name),
            None => self.warn(name, "not in 0 to 1"),
        }
        score
    }

    /// A word, by a table. One that is not in it stays.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        table: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let raw = self.told(name)?;
        let Some(word) = text(raw).filter(is_told) else {
            self.text(name);
            return None;
        };
        let found = table(&word);
        match found {
            Some(_) => self.members.drop(name),
            // The word is not repeated: in the wrong place it may be somebody's name.
            None => self.warn(name, "an unknown word"),
        }
        found
    }

    /// A time: ISO 8601 with `Z` or an offset, with or without a fraction. One without a zone is read as UTC, as the
    /// vendor's times are.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let told = self.told(name)?;
        let Some(written) = text(told).filter(is_told) else {
            self.text(name);
            return None;
        };
        let time = written.trim().parse::<Timestamp>().ok();
        let time = time.or_else(|| {
            let time = format!("{}Z", written.trim()).parse().ok()?;
            self.warn(name, "without a zone, read as UTC");
            Some(time)
        });
        match time {
            Some(_) => self.members.drop(name),
            None => self.warn(name, "not a time"),
        }
        time
    }

    /// A link, without credentials. A text that is none stays.
    pub(crate) fn link(&mut self, name: &str) -> Option<Text<'a>> {
        let link = self.take(name, |raw| {
            text(raw).filter(|text| !is_told(text) || is_link(text))
        });
        link.filter(is_told).map(without_credentials)
    }

    /// An object, taken out; what is left of it is given back. One that is not an object stays.
    pub(crate) fn object(&mut self, name: &str, at: &'static str) -> Option<Self> {
        self.take(name, members)
            .map(|members| Self::new(members, at))
    }

    /// Puts what is left of an object back under its name.
    pub(crate) fn give_back(&mut self, name: &'static str, left: Self) {
        self.warnings.extend(left.warnings);
        if !left.members.is_empty() {
            self.members.put(name, Rest::Object(left.members));
        }
    }

    /// An id, or the object that the verbose mode puts in its place, of which `read` takes what has a canonical word.
    /// What is left of the object is given back.
    pub(crate) fn verbose<T>(
        &mut self,
        name: &'static str,
        at: &'static str,
        of_id: impl FnOnce(Option<Text<'a>>) -> T,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let object = self
            .told(name)
            .is_some_and(|raw| raw.get().starts_with('{'));
        if !object {
            return of_id(self.identifier(name));
        }
        let Some(mut object) = self.object(name, at) else {
            return of_id(None);
        };
        let read = read(&mut object);
        self.give_back(name, object);
        read
    }

    /// An id, or an object with an id and a name.
    pub(crate) fn named(&mut self, name: &'static str, at: &'static str) -> Group<'a> {
        self.verbose(name, at, just_id, Self::id_and_name)
    }

    /// An id, or an object with an id.
    pub(crate) fn id_of(&mut self, name: &'static str, at: &'static str) -> Option<Text<'a>> {
        self.verbose(name, at, |id| id, |object| object.identifier("id"))
    }

    pub(crate) fn id_and_name(&mut self) -> Group<'a> {
        Group {
            id: self.identifier("id"),
            name: self.text("name"),
        }
    }

    /// A list of ids, or of objects with ids. It stays as well when it says more than ids and names.
    pub(crate) fn groups(&mut self, name: &str) -> Vec<Group<'a>> {
        let Some(raw) = self.told(name) else {
            return Vec::new();
        };
        let Some(items) = items(raw) else {
            self.warn(name, "not of the documented type");
            return Vec::new();
        };
        let mut whole = true;
        let mut groups = Vec::with_capacity(items.len());
        for item in items.into_iter().filter(|item| item.get() != "null") {
            let group = match members(item) {
                Some(members) => {
                    let mut item = Self::new(members, "");
                    let group = item.id_and_name();
                    whole &= item.members.is_empty();
                    group
                }
                None => just_id(identifier(item).filter(is_told).map(without_credentials)),
            };
            if group == Group::default() {
                whole = false;
            } else {
                groups.push(group);
            }
        }
        if whole {
            self.members.drop(name);
        }
        groups
    }
}

const fn just_id(id: Option<Text<'_>>) -> Group<'_> {
    Group { id, name: None }
}

/// The items of a list that is not too long.
pub(crate) fn items(raw: &RawValue) -> Option<Vec<&RawValue>> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    (items.len() <= MEMBERS_MAX).then_some(items)
}

/// The members of an object that has not too many.
pub(crate) fn members(raw: &RawValue) -> Option<Members<'_>> {
    Members::of(raw).filter(|members| members.iter().nth(MEMBERS_MAX).is_none())
}

fn is_link(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.trim_start().starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use faceway_core::Members;

    use super::Fields;

    fn fields(json: &str) -> Fields<'_> {
        Fields::new(Members::parse(json).unwrap(), "camera.")
    }

    #[test]
    fn identifiers_keep_every_digit() {
        let mut fields = fields(r#"{"a":4355024961160384430,"b":"007","c":5.5,"d":" ","e":-1}"#);
        assert_eq!(fields.identifier("a").unwrap(), "4355024961160384430");
        assert_eq!(fields.identifier("b").unwrap(), "007");
        assert_eq!(fields.identifier("c"), None);
        assert_eq!(fields.identifier("d"), None);
        assert_eq!(fields.identifier("e").unwrap(), "-1");
        assert_eq!(fields.warnings, ["camera.c: not of the documented type"]);
        assert!(fields.members.has("c") && !fields.members.has("d"));
    }

    #[test]
    fn times_are_read_with_any_offset() {
        let mut fields = fields(
            r#"{"a":"2021-07-01T07:52:17+00:00","b":"2019-04-09 12:29:23Z","c":"2025-08-21T11:16:23.5+03:00",
                "d":"2025-08-21T08:16:23","e":"soon","f":1755764183,"g":"","h":null}"#,
        );
        let mut read = |name| fields.time(name).map(|time| time.to_string());
        assert_eq!(read("a").unwrap(), "2021-07-01T07:52:17.000Z");
        assert_eq!(read("b").unwrap(), "2019-04-09T12:29:23.000Z");
        assert_eq!(read("c").unwrap(), "2025-08-21T08:16:23.500Z");
        assert_eq!(read("d").unwrap(), "2025-08-21T08:16:23.000Z");
        for nothing in ["e", "f", "g", "h"] {
            assert_eq!(read(nothing), None);
        }
        assert_eq!(
            fields.warnings,
            [
                "camera.d: without a zone, read as UTC",
                "camera.e: not a time",
                "camera.f: not of the documented type"
            ]
        );
        let left: Vec<&str> = fields.members.iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["e", "f"]);
    }

    #[test]
    fn an_object_stands_wherever_an_id_may() {
        let mut fields = fields(r#"{"a":7,"b":{"id":8,"name":"Gate","x":1},"c":{},"d":[1]}"#);
        let mut named = |name| {
            let group = fields.named(name, "b.");
            (group.id.map(String::from), group.name.map(String::from))
        };
        assert_eq!(named("a"), (Some("7".into()), None));
        assert_eq!(named("b"), (Some("8".into()), Some("Gate".into())));
        assert_eq!(named("c"), (None, None));
        assert_eq!(named("d"), (None, None));
        assert_eq!(
            serde_json::to_string(&fields.members).unwrap(),
            r#"{"d":[1],"b":{"x":1}}"#
        );
    }
}

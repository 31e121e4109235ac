//! Reads single members, leniently: what is not of the documented type stays where it is, with a warning.
//!
//! `null` (the document shows it for `real_name`) and a blank text say nothing: they become absence without a warning.

use std::fmt::Display;

use faceway_core::lenient::{self, identifier, is_told, text, told, without_credentials};
use faceway_core::{Members, Text, Timestamp};
use serde_json::value::RawValue;

/// The members of one object of the message.
#[derive(Default)]
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

    /// Adds a warning, once.
    pub(crate) fn note(&mut self, warning: impl Into<Text<'a>>) {
        let warning = warning.into();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Adds a warning about a member. `what` must not hold a value that says something about a person.
    pub(crate) fn warn(&mut self, name: &str, what: impl Display) {
        self.note(format!("{}{name}: {what}", self.at));
    }

    /// A member that is told; a `null` is taken out and not told.
    pub(crate) fn told(&mut self, name: &str) -> Option<&'a RawValue> {
        told(&mut self.members, name)
    }

    /// Reads a member, which stays.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
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

    /// A text that is not blank, without the credentials of URLs in it: a title may be one.
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

    /// A link to a picture. A picture in its place is not passed on as a link, and as nobody
    /// documents one there, it is left out.
    pub(crate) fn link(&mut self, name: &str) -> Option<Text<'a>> {
        let link = self.text(name)?;
        if is_picture(&link) {
            self.warn(name, "a picture in place of a link was left out");
            return None;
        }
        Some(link)
    }

    /// The word for a word, by the vendor's table, whatever its case. One that is not in it stays.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        table: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let word = self.read(name, text)?;
        if !is_told(&word) {
            self.members.drop(name);
            return None;
        }
        let known = table(word.to_ascii_lowercase().as_str());
        match known {
            Some(_) => self.members.drop(name),
            // It may be anything, so it is not repeated.
            None => self.warn(name, "unknown word"),
        }
        known
    }

    /// A number within `range`. One outside stays.
    pub(crate) fn number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Option<f64> {
        let number = self.peek_number(name, range)?;
        self.members.drop(name);
        Some(number)
    }

    /// A score of 0 to 1, which stays.
    pub(crate) fn peek_score(&mut self, name: &str) -> Option<f64> {
        let number = self.read(name, lenient::number)?;
        let score = lenient::on_scale(number, 1.0);
        if score.is_none() {
            self.warn(name, "not in 0 to 1");
        }
        score
    }

    /// A number within `range`, which stays.
    fn peek_number(&mut self, name: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let number = self.read(name, lenient::number)?;
        if !range.contains(&number) {
            let (low, high) = range.into_inner();
            self.warn(name, format_args!("not in {low} to {high}"));
            return None;
        }
        Some(number)
    }

    /// A time with its zone; the vendor writes a blank in place of the `T`.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let written = self.read(name, text)?;
        if !is_told(&written) {
            self.members.drop(name);
            return None;
        }
        match written.trim().parse() {
            Ok(time) => {
                self.members.drop(name);
                Some(time)
            }
            Err(_) => {
                self.warn(name, "not a time with its zone");
                None
            }
        }
    }

    /// An object, taken out; empty when there is none. What is not an object stays.
    pub(crate) fn object(&mut self, name: &str, at: &'static str) -> Self {
        let members = self.take(name, Members::of);
        Self::new(members.unwrap_or_default(), at)
    }
}

/// Whether a text begins as a picture in base64 does: JPEG, PNG, or any as a URL.
fn is_picture(text: &str) -> bool {
    ["/9j/", "iVBORw0KGgo", "data:"]
        .iter()
        .any(|start| text.trim_start().starts_with(start))
}

#[cfg(test)]
mod tests {
    use faceway_core::Members;

    use super::Fields;

    fn fields(json: &str) -> Fields<'_> {
        Fields::new(Members::parse(json).unwrap(), "camera.")
    }

    fn time(value: &str) -> (Option<String>, Vec<String>, bool) {
        let json = format!(r#"{{"t":{value}}}"#);
        let mut fields = fields(&json);
        let time = fields.time("t").map(|time| time.to_string());
        let warnings = fields.warnings.iter().map(ToString::to_string).collect();
        (time, warnings, fields.members.has("t"))
    }

    #[test]
    fn times_have_a_blank_or_a_t() {
        let told = Some("2026-03-02T07:15:00.250Z".to_owned());
        for written in [
            r#""2026-03-02 07:15:00.250000+00:00""#,
            r#""2026-03-02 07:15:00.250999+00:00""#,
            r#""2026-03-02T07:15:00.250Z""#,
            r#""2026-03-02 15:15:00.25+08:00""#,
            r#""\u0032\u0030\u0032\u0036-03-02 02:15:00.25-05:00 ""#,
        ] {
            assert_eq!(
                time(written),
                (told.clone(), Vec::new(), false),
                "{written}"
            );
        }
        assert_eq!(time("null"), (None, Vec::new(), false));
        assert_eq!(time(r#"" ""#), (None, Vec::new(), false));
    }

    #[test]
    fn a_time_without_a_zone_is_not_guessed() {
        for wrong in [r#""2026-03-02 07:15:00""#, r#""yesterday""#] {
            let expected = (
                None,
                vec!["camera.t: not a time with its zone".to_owned()],
                true,
            );
            assert_eq!(time(wrong), expected);
        }
        let expected = (
            None,
            vec!["camera.t: not of the documented type".to_owned()],
            true,
        );
        assert_eq!(time("1772435700"), expected);
    }

    #[test]
    fn identifiers_keep_every_digit() {
        let mut fields =
            fields(r#"{"a":9007199254740993,"b":"007","c":5.5,"d":" ","e":"\u674e","f":null}"#);
        assert_eq!(fields.identifier("a").unwrap(), "9007199254740993");
        assert_eq!(fields.identifier("b").unwrap(), "007");
        assert_eq!(fields.identifier("c"), None);
        assert_eq!(fields.identifier("d"), None);
        assert_eq!(fields.identifier("e").unwrap(), "李");
        assert_eq!(fields.identifier("f"), None);
        assert_eq!(fields.warnings, ["camera.c: not of the documented type"]);
        assert_eq!(fields.members.iter().count(), 1);
    }

    #[test]
    fn numbers_keep_their_digits() {
        for written in ["0.9312784671783447", "0.9436722993850708", "1e-1", "0", "1"] {
            let json = format!(r#"{{"a":{written}}}"#);
            let number: f64 = written.parse().unwrap();
            assert_eq!(fields(&json).number("a", 0.0..=1.0), Some(number));
        }
    }

    #[test]
    fn numbers_outside_stay() {
        let mut fields = fields(r#"{"a":1,"b":1.01,"c":"0.5","d":1e999}"#);
        assert_eq!(fields.number("a", 0.0..=1.0), Some(1.0));
        for name in ["b", "c", "d"] {
            assert_eq!(fields.number(name, 0.0..=1.0), None);
            assert!(fields.members.has(name));
        }
        assert_eq!(fields.warnings.len(), 3);
        assert_eq!(fields.warnings[0], "camera.b: not in 0 to 1");
    }
}

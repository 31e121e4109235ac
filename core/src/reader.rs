//! Reads the members of one object of a vendor's message, leniently: what is not of the documented type stays where it is,
//! with a warning.
//!
//! Every adapter reads by this one reader, so that a wrong member is told alike whatever the vendor. Which member has which
//! type, and what its words mean, stays with the vendor's adapter.
//!
//! * `null`, and a blank text, say "nothing": they become absence without a warning.
//! * A text loses the credentials of the URLs in it: names of cameras, too, may hold one.
//! * A warning names the member and never its value, as that may be about a person who stands in the wrong place. Short
//!   numbers are the exception: they are the vendor's codes.

mod parts;
mod times;
mod words;

use std::fmt::Display;

use crate::lenient::{self, is_told, on_scale, without_credentials};
use crate::{Members, Raw, Text};

pub use parts::{items, members};
pub use times::Zone;
pub use words::Told;

/// More members than this in one object, or items in one list, are no vendor's message: the documents have 60.
pub const MEMBERS_MAX: usize = 1000;

const WRONG_TYPE: &str = "not of the documented type";

/// The members of one object of a message.
#[derive(Default)]
pub struct Reader<'a> {
    /// What was not taken yet.
    pub members: Members<'a>,
    /// What could not be read, or had to be guessed. Each is told once.
    pub warnings: Vec<Text<'static>>,
    /// How warnings name this object: nothing, or `camera.`.
    at: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads these members. `at` is how warnings name the object: nothing for the top level, else `camera.`.
    pub const fn new(members: Members<'a>, at: &'static str) -> Self {
        Self {
            members,
            warnings: Vec::new(),
            at,
        }
    }

    /// Adds a warning, once.
    pub fn note(&mut self, warning: impl Into<Text<'static>>) {
        let warning = warning.into();
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Adds a warning about a member. `what` must not hold a value that says something about a person.
    pub fn warn(&mut self, name: &str, what: impl Display) {
        self.note(format!("{}{name}: {what}", self.at));
    }

    /// A member that says something, which stays; a `null` is taken out.
    pub fn told(&mut self, name: &str) -> Option<Raw<'a>> {
        lenient::told(&mut self.members, name)
    }

    /// Reads a member, which stays.
    pub fn read<T>(&mut self, name: &str, read: impl FnOnce(Raw<'a>) -> Option<T>) -> Option<T> {
        let raw = self.told(name)?;
        let value = read(raw);
        if value.is_none() {
            self.warn(name, WRONG_TYPE);
        }
        value
    }

    /// Reads a member and takes it out. One that `read` cannot read stays.
    pub fn take<T>(&mut self, name: &str, read: impl FnOnce(Raw<'a>) -> Option<T>) -> Option<T> {
        let (place, raw) = lenient::told_at(&mut self.members, name)?;
        let value = read(raw);
        match value {
            Some(_) => self.members.remove(place, name),
            None => self.warn(name, WRONG_TYPE),
        }
        value
    }

    /// A text that is not blank.
    pub fn text(&mut self, name: &str) -> Option<Text<'a>> {
        let text = self.take(name, lenient::text).filter(is_told);
        text.map(without_credentials)
    }

    /// An identifier: a text, or a whole number, whose digits become the text.
    pub fn identifier(&mut self, name: &str) -> Option<Text<'a>> {
        let text = self.take(name, lenient::identifier).filter(is_told);
        text.map(without_credentials)
    }

    /// An identifier as sent, which stays; nothing when it is blank or something else.
    pub fn peek(&self, name: &str) -> Option<Text<'a>> {
        let raw = self.members.peek(name)?;
        lenient::identifier(raw).filter(is_told)
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name, |raw| raw.get().parse().ok())
    }

    /// A whole number from 0; `5.0` is one.
    pub fn count(&mut self, name: &str) -> Option<u64> {
        self.take(name, |raw| whole(raw.get()))
    }

    /// A whole number, which stays.
    pub fn peek_integer(&mut self, name: &str) -> Option<i64> {
        self.read(name, |raw| whole(raw.get()))
    }

    /// A number.
    pub fn number(&mut self, name: &str) -> Option<f64> {
        self.take(name, lenient::number)
    }

    /// A number within `range`. One outside stays.
    pub fn number_in(&mut self, name: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let number = self.read(name, lenient::number)?;
        if !range.contains(&number) {
            let (low, high) = range.into_inner();
            self.warn(name, format_args!("not in {low} to {high}"));
            return None;
        }
        self.members.drop(name);
        Some(number)
    }

    /// A score of 0 to 1. One outside stays.
    pub fn score(&mut self, name: &str) -> Option<f64> {
        let score = self.peek_score(name)?;
        self.members.drop(name);
        Some(score)
    }

    /// A score of 0 to 1, which stays.
    pub fn peek_score(&mut self, name: &str) -> Option<f64> {
        let number = self.read(name, lenient::number)?;
        let score = on_scale(number, 1.0);
        if score.is_none() {
            self.warn(name, "not in 0 to 1");
        }
        score
    }

    /// A member that says something, which stays; a `null` and a blank text are taken out.
    fn told_not_blank(&mut self, name: &str) -> Option<Raw<'a>> {
        let raw = self.told(name)?;
        let blank = lenient::text(raw).is_some_and(|text| !is_told(&text));
        if blank {
            self.members.drop(name);
            return None;
        }
        Some(raw)
    }

    /// A link by HTTP. A text that is none stays.
    pub fn link(&mut self, name: &str) -> Option<Text<'a>> {
        let link = self.take(name, |raw| {
            lenient::text(raw).filter(|text| {
                let text = text.trim_start();
                text.is_empty() || text.starts_with("http://") || text.starts_with("https://")
            })
        });
        let link = link.filter(is_told);
        link.map(without_credentials)
    }
}

/// A whole number; `5.0` is one.
fn whole<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MEMBERS_MAX, Reader, Told, Zone};
    use crate::lenient::Unit;
    use crate::{ImageRole, Members};

    fn reader(json: &str) -> Reader<'_> {
        Reader::new(Members::parse(json).unwrap(), "camera.")
    }

    fn left<'r>(reader: &'r Reader<'_>) -> Vec<&'r str> {
        reader.members.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn identifiers_keep_every_digit() {
        let mut reader = reader(
            r#"{"a":9007199254740993,"b":"007","c":5.5,"d":" ","e":"\u674e\n","f":"\"","g":-3,"h":null}"#,
        );
        assert_eq!(reader.peek("a").unwrap(), "9007199254740993");
        assert_eq!(reader.identifier("a").unwrap(), "9007199254740993");
        assert_eq!(reader.identifier("b").unwrap(), "007");
        assert_eq!(reader.identifier("c"), None);
        assert_eq!(reader.identifier("d"), None);
        assert_eq!(reader.identifier("e").unwrap(), "李\n");
        assert_eq!(reader.identifier("f").unwrap(), "\"");
        assert_eq!(reader.identifier("g").unwrap(), "-3");
        assert_eq!(reader.identifier("h"), None);
        assert_eq!(reader.warnings, ["camera.c: not of the documented type"]);
        assert_eq!(left(&reader), ["c"]);
    }

    #[test]
    fn texts_lose_credentials_wherever_they_are_read() {
        let url = r#"{"a":"rtsp://admin:secret@10.0.0.1/1","b":"http://u:secret@10.0.0.1/x.jpg","c":["rtsp://u:secret@h/"]}"#;
        let mut one = reader(url);
        assert_eq!(one.text("a").unwrap(), "rtsp://10.0.0.1/1");
        assert_eq!(one.link("b").unwrap(), "http://10.0.0.1/x.jpg");
        assert_eq!(
            one.groups("c")[0].id.as_deref(),
            Some("rtsp://h/"),
            "an id of a list"
        );
        assert_eq!(reader(url).identifier("a").unwrap(), "rtsp://10.0.0.1/1");
    }

    #[test]
    fn numbers_keep_their_digits_and_those_outside_stay() {
        for written in ["0.9312784671783447", "0.9436722993850708", "1e-1", "0", "1"] {
            let json = format!(r#"{{"a":{written}}}"#);
            let number: f64 = written.parse().unwrap();
            assert_eq!(reader(&json).number_in("a", 0.0..=1.0), Some(number));
            assert_eq!(reader(&json).score("a"), Some(number));
        }
        let mut numbers = reader(r#"{"a":1,"b":1.01,"c":"0.5","d":1e999,"e":5.0,"f":-1}"#);
        assert_eq!(numbers.number_in("a", 0.0..=1.0), Some(1.0));
        for name in ["b", "c", "d"] {
            assert_eq!(numbers.number_in(name, 0.0..=1.0), None);
        }
        assert_eq!(numbers.count("e"), Some(5));
        assert_eq!(numbers.count("f"), None);
        assert_eq!(
            numbers.warnings,
            [
                "camera.b: not in 0 to 1",
                "camera.c: not of the documented type",
                "camera.d: not of the documented type",
                "camera.f: not of the documented type"
            ]
        );
        assert_eq!(left(&numbers), ["b", "c", "d", "f"]);
    }

    #[test]
    fn codes_come_as_numbers_and_as_texts() {
        let json = r#"{"a":4,"b":"4","c":"","d":9,"e":"x","f":123456,"g":"\"","h":4.0,"i":null}"#;
        let table = |number| (number == 4).then_some("four");
        let mut texts = reader(json);
        for name in ["a", "b", "h"] {
            assert_eq!(texts.code_or_text(name, table), Told::Word("four"));
        }
        for name in ["c", "i", "none"] {
            assert_eq!(texts.code_or_text(name, table), Told::Nothing);
        }
        for name in ["d", "e", "f", "g"] {
            assert_eq!(texts.code_or_text(name, table), Told::Unknown);
        }
        assert_eq!(
            texts.warnings,
            [
                "camera.d: unknown value 9",
                "camera.e: not of the documented type",
                "camera.f: unknown value",
                "camera.g: not of the documented type"
            ]
        );
        let mut numbers = reader(json);
        assert_eq!(numbers.code("a", table), Told::Word("four"));
        assert_eq!(numbers.code("h", table), Told::Word("four"));
        assert_eq!(numbers.code("b", table), Told::Unknown);
        assert_eq!(numbers.code("i", table), Told::Nothing);
        assert_eq!(numbers.warnings, ["camera.b: not of the documented type"]);
    }

    #[test]
    fn an_unknown_word_stays_and_is_not_repeated() {
        let mut reader = reader(r#"{"a":" yes ","b":"Anna Example","c":" ","d":7}"#);
        let mut word = |name| reader.word(name, |word| (word == "yes").then_some(true));
        assert_eq!(word("a"), Told::Word(true));
        assert_eq!(word("b"), Told::Unknown);
        assert_eq!(word("c"), Told::Nothing);
        assert_eq!(word("d"), Told::Unknown);
        assert_eq!(
            reader.warnings,
            [
                "camera.b: unknown value",
                "camera.d: not of the documented type"
            ]
        );
        assert_eq!(left(&reader), ["b", "d"]);
    }

    #[test]
    fn numbers_are_times_by_their_unit_and_size() {
        let json = r#"{"a":0.0,"b":1767250800.608026,"c":-1,"d":true,"e":"1767250800123","f":""}"#;
        let mut reader = reader(json);
        let mut time = |name| {
            let time = reader.time(name, Unit::Milliseconds);
            time.map(|time| time.to_string())
        };
        assert_eq!(time("b").unwrap(), "2026-01-01T07:00:00.608Z");
        assert_eq!(time("e").unwrap(), "2026-01-01T07:00:00.123Z");
        for nothing in ["a", "c", "d", "f"] {
            assert_eq!(time(nothing), None);
        }
        assert_eq!(
            reader.warnings,
            [
                "camera.b: seconds where milliseconds are documented",
                "camera.e: a text where milliseconds are documented",
                "camera.c: not a time",
                "camera.d: not of the documented type"
            ]
        );
        assert_eq!(left(&reader), ["c", "d"]);
    }

    #[test]
    fn texts_are_times_with_any_offset() {
        for (written, expected) in [
            ("2026-03-02 07:15:00.250999+00:00", "07:15:00.250Z"),
            ("2026-03-02T07:15:00.250Z", "07:15:00.250Z"),
            ("2026-03-02 15:15:00.25+08:00", "07:15:00.250Z"),
            (
                "\\u0032\\u0030\\u0032\\u0036-03-02 02:15:00.25-05:00 ",
                "07:15:00.250Z",
            ),
        ] {
            let json = format!(r#"{{"t":"{written}"}}"#);
            let mut reader = reader(&json);
            let time = reader.written_time("t", Zone::Named).unwrap();
            assert_eq!(time.to_string(), format!("2026-03-02T{expected}"));
            assert!(reader.warnings.is_empty() && reader.members.is_empty());
        }
    }

    #[test]
    fn a_time_without_a_zone_is_utc_only_where_the_vendor_s_are() {
        let json = r#"{"a":"2026-03-02 07:15:00","b":"soon","c":1772435700,"d":" ","e":null}"#;
        let read = |zone| {
            let mut reader = reader(json);
            let time = |name| Some(reader.written_time(name, zone)?.to_string());
            let times: Vec<_> = ["a", "b", "c", "d", "e"]
                .into_iter()
                .filter_map(time)
                .collect();
            let warnings = reader.warnings.join("; ");
            (times, warnings, left(&reader).join(""))
        };
        assert_eq!(
            read(Zone::Utc),
            (
                vec!["2026-03-02T07:15:00.000Z".to_owned()],
                "camera.a: without a zone, read as UTC; camera.b: not a time; camera.c: not of the documented type"
                    .into(),
                "bc".into()
            )
        );
        assert_eq!(
            read(Zone::Named),
            (
                vec![],
                "camera.a: not a time with its zone; camera.b: not a time with its zone; \
                 camera.c: not of the documented type"
                    .into(),
                "abc".into()
            )
        );
    }

    #[test]
    fn a_picture_is_found_behind_escapes() {
        let mut reader = reader(
            r#"{"a":"\/9j\/4A==","b":"/9j/4A==","c":"\u0020","d":["/9j/4A=="],"e":"http://u:p@h/1.jpg"}"#,
        );
        let mut picture = |name| reader.picture(name, ImageRole::Face);
        let (escaped, plain) = (picture("a").unwrap().0, picture("b").unwrap().0);
        assert_eq!(escaped.sha256, plain.sha256);
        assert!(picture("c").is_none() && picture("d").is_none());
        let (linked, kept) = picture("e").unwrap();
        assert!(kept.is_none());
        assert_eq!(linked.url.as_deref(), Some("http://h/1.jpg"));
        assert_eq!(reader.warnings.len(), 2, "{:?}", reader.warnings);
        assert!(reader.members.is_empty(), "no picture stays");
    }

    #[test]
    fn what_is_left_of_an_object_comes_back() {
        let mut whole = reader(r#"{"a":{"id":1,"x":[]},"b":[],"c":{"id":2}}"#);
        let mut object = whole.object("a", "a.").unwrap();
        assert_eq!(object.id_and_name().id.unwrap(), "1");
        object.warn("x", "odd");
        whole.give_back("a", object);
        assert!(whole.object("b", "b.").is_none());
        let mut object = whole.object("c", "c.").unwrap();
        object.id_and_name();
        whole.give_back("c", object);
        assert_eq!(
            serde_json::to_string(&whole.members).unwrap(),
            r#"{"b":[],"a":{"x":[]}}"#
        );
        assert_eq!(
            whole.warnings,
            ["a.x: odd", "camera.b: not of the documented type"]
        );
    }

    #[test]
    fn what_has_too_many_members_stays() {
        let members: Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("\"{n}\":0")).collect();
        let numbers = vec!["0"; MEMBERS_MAX + 1].join(",");
        let json = format!(r#"{{"a":{{{}}},"b":[{numbers}]}}"#, members.join(","));
        let mut reader = reader(&json);
        assert!(reader.object("a", "a.").is_none());
        assert!(reader.groups("b").is_empty());
        assert_eq!(left(&reader), ["a", "b"]);
    }

    #[test]
    fn groups_are_ids_or_objects_and_stay_when_more_is_said() {
        let groups = |list: &str| {
            let json = format!(r#"{{"a":{list}}}"#);
            let mut reader = reader(&json);
            let groups = reader.groups("a").into_iter();
            let groups: Vec<String> = groups
                .map(|group| format!("{:?}/{:?}", group.id.as_deref(), group.name.as_deref()))
                .collect();
            (groups.join(" "), reader.members.has("a"))
        };
        assert_eq!(
            groups(r#"[1,"b",null]"#),
            (r#"Some("1")/None Some("b")/None"#.into(), false)
        );
        assert_eq!(
            groups(r#"[{"id":1,"name":"Staff"}]"#),
            (r#"Some("1")/Some("Staff")"#.into(), false)
        );
        assert_eq!(
            groups(r#"[{"id":1,"colour":"red"}]"#),
            (r#"Some("1")/None"#.into(), true)
        );
        assert_eq!(groups(r#"[[]]"#), (String::new(), true));
        assert_eq!(groups("7"), (String::new(), true));
    }

    /// Anything that a member may be.
    fn any_value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|flag| flag.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            Just("1e999".to_owned()),
            "[a-z:/@. ]{0,20}".prop_map(|text| format!("\"{text}\"")),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                inner.prop_map(|value| format!(r#"{{"id":{value}}}"#)),
            ]
        })
    }

    /// Whether a reading of the member gave something.
    type Read = fn(&mut Reader<'_>) -> bool;

    const READS: [(&str, Read); 15] = [
        ("text", |reader| reader.text("a").is_some()),
        ("identifier", |reader| reader.identifier("a").is_some()),
        ("flag", |reader| reader.flag("a").is_some()),
        ("count", |reader| reader.count("a").is_some()),
        ("number", |reader| reader.number("a").is_some()),
        ("number_in", |reader| {
            reader.number_in("a", 0.0..=9.0).is_some()
        }),
        ("score", |reader| reader.score("a").is_some()),
        ("code", |reader| reader.code("a", Some).word().is_some()),
        ("code_or_text", |reader| {
            reader.code_or_text("a", Some).word().is_some()
        }),
        ("word", |reader| {
            reader.word("a", |_| Some(())).word().is_some()
        }),
        ("time", |reader| reader.time("a", Unit::Seconds).is_some()),
        ("written_time", |reader| {
            reader.written_time("a", Zone::Utc).is_some()
        }),
        ("link", |reader| reader.link("a").is_some()),
        ("object", |reader| reader.object("a", "a.").is_some()),
        ("picture", |reader| {
            reader.picture("a", ImageRole::Face).is_some()
        }),
    ];

    proptest! {
        /// What was read is gone, what could not be read stays with a warning, and what says nothing goes without one.
        #[test]
        fn nothing_is_lost_and_nothing_is_told_twice(value in any_value()) {
            let json = format!(r#"{{"a":{value},"b":1}}"#);
            for (name, read) in READS {
                let mut reader = reader(&json);
                let found = read(&mut reader);
                let stays = reader.members.has("a");
                let warned = !reader.warnings.is_empty();
                prop_assert!(!(found && stays), "{name} of {value} was read and stays");
                prop_assert!(found || name == "picture" || stays == warned, "{name} of {value}: stays {stays}, warned {warned}");
                prop_assert!(reader.members.has("b"));
                let again = reader.warnings.clone();
                read(&mut reader);
                prop_assert_eq!(again, reader.warnings, "{} tells twice", name);
            }
        }
    }
}

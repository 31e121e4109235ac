//! Mends JSON that no parser takes, where there is no doubt what was meant: numbers that are none, which Python and C
//! write as `NaN` and `Infinity`, and texts that a field of so many bytes has cut in the middle of a character.
//!
//! It is asked only after strict reading has failed, so what is well-formed pays nothing for it. What is mended is told in
//! words that name the member and repeat no value.

use crate::Text;
use crate::members::{DEPTH_MAX, escaped_unit};
use crate::split::behind_string;

/// JSON that was mended. Whether it can be read now, only reading it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// The text.
    pub json: String,
    /// What was done to it, each with the member's name: warnings of the event.
    pub notes: Vec<Text<'static>>,
}

/// Mends an object or a list; `None` when there is nothing to mend, or something that is not to be guessed at.
pub fn mend(json: &[u8]) -> Option<Mended> {
    let json = json.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(json);
    matches!(json.trim_ascii_start(), [b'{' | b'[', ..]).then_some(())?;
    let mut mender = Mender::default();
    mender.walk(json)?;
    if mender.notes.is_empty() {
        return None;
    }
    Some(Mended {
        json: String::from_utf8(mender.out).ok()?,
        notes: mender.notes,
    })
}

/// A million values of one list are told once, and of many members only the first.
const NOTES_MAX: usize = 20;
/// A longer name is no member.
const NAME_BYTES_MAX: usize = 64;

const NO_NUMBER: &str = "not a number, so it is absent";
const CUT: &str = "cut in the middle of a character, which is left out";

#[derive(Default)]
struct Mender<'j> {
    out: Vec<u8>,
    notes: Vec<Text<'static>>,
    levels: Vec<Level<'j>>,
}

/// What is open.
enum Level<'j> {
    Object {
        /// The member whose value comes next or is at hand; without quotes.
        name: &'j [u8],
        /// Whether a text would be a name.
        at_name: bool,
    },
    List,
}

impl<'j> Mender<'j> {
    fn walk(&mut self, json: &'j [u8]) -> Option<()> {
        let mut at = 0;
        while let Some(byte) = json.get(at) {
            let end = match byte {
                b'"' => behind_string(json, at + 1)?,
                b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b'[' | b']' | b':' | b',' => at + 1,
                _ => {
                    at + json[at..]
                        .iter()
                        .position(|byte| is_end(*byte))
                        .unwrap_or(json.len() - at)
                }
            };
            let sent = &json[at..end];
            match byte {
                b'"' => self.text(sent)?,
                _ if end == at + 1 && is_end(*byte) => self.sign(*byte)?,
                _ => self.word(sent),
            }
            at = end;
        }
        Some(())
    }

    fn sign(&mut self, byte: u8) -> Option<()> {
        self.out.push(byte);
        // A member has its level's name in notes: without a limit, their length would have none.
        if matches!(byte, b'{' | b'[') && self.levels.len() == DEPTH_MAX {
            return None;
        }
        match (byte, self.levels.last_mut()) {
            (b'{', _) => self.levels.push(Level::Object {
                name: b"",
                at_name: true,
            }),
            (b'[', _) => self.levels.push(Level::List),
            (b'}' | b']', _) => drop(self.levels.pop()),
            (b':' | b',', Some(Level::Object { at_name, .. })) => *at_name = byte == b',',
            _ => {}
        }
        Some(())
    }

    /// `sent` has its quotes.
    fn text(&mut self, sent: &'j [u8]) -> Option<()> {
        let inner = &sent[1..sent.len() - 1];
        if let Some(Level::Object {
            name,
            at_name: true,
        }) = self.levels.last_mut()
        {
            *name = inner;
            self.out.extend_from_slice(sent);
            return Some(());
        }
        let whole = &inner[..whole_signs(inner)?];
        if whole.len() < inner.len() {
            self.note(CUT);
        }
        self.out.push(b'"');
        self.out.extend_from_slice(whole);
        self.out.push(b'"');
        Some(())
    }

    fn word(&mut self, sent: &[u8]) {
        if is_no_number(sent) {
            self.note(NO_NUMBER);
            self.out.extend_from_slice(b"null");
        } else {
            self.out.extend_from_slice(sent);
        }
    }

    fn note(&mut self, what: &str) {
        if self.notes.len() == NOTES_MAX {
            return;
        }
        let names = self.levels.iter().filter_map(|level| match level {
            Level::Object { name, .. } => Some(shown(name)),
            Level::List => None,
        });
        let path: Vec<&str> = names.collect();
        let path = match path.is_empty() {
            true => "*".to_owned(),
            false => path.join("."),
        };
        let note = Text::Owned(format!("{path}: {what}"));
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Whether a word of JSON ends before this byte.
const fn is_end(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'}' | b'[' | b']' | b':' | b',' | b'"'
    )
}

/// A member's name, if it looks like one: a vendor may use names of persons as names of members.
fn shown(name: &[u8]) -> &str {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(is_word);
    match std::str::from_utf8(name) {
        Ok(name) if is_name => name,
        _ => "*",
    }
}

/// Python writes `NaN` and `-Infinity`, C `-nan` and `inf`.
fn is_no_number(word: &[u8]) -> bool {
    let plain = match word {
        [b'-' | b'+', plain @ ..] => plain,
        plain => plain,
    };
    ["nan", "inf", "infinity"]
        .iter()
        .any(|none| plain.eq_ignore_ascii_case(none.as_bytes()))
}

/// How much of a text is whole: all of it, or all but the beginning of a last character whose rest was cut off. `None`
/// when something else is wrong with it.
fn whole_signs(text: &[u8]) -> Option<usize> {
    let end = match std::str::from_utf8(text) {
        Ok(_) => text.len(),
        // Other bytes may be another encoding: what they mean would be guessed.
        Err(error) if error.error_len().is_some() => return None,
        Err(error) => error.valid_up_to(),
    };
    let text = &text[..end];
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[at..]) {
        at += found;
        at += match escaped_unit(text, at) {
            Some(0xD800..=0xDBFF) if at + 6 == text.len() => return Some(at),
            Some(0xD800..=0xDBFF) => match escaped_unit(text, at + 6) {
                Some(0xDC00..=0xDFFF) => 12,
                _ => return None,
            },
            Some(0xDC00..=0xDFFF) => return None,
            // The sign behind a backslash must not go alone: the backslash would then escape the closing quote.
            _ if at + 2 > text.len() => return None,
            _ => 2,
        };
        if !text.is_char_boundary_at(at) {
            return None;
        }
    }
    Some(end)
}

trait Boundary {
    fn is_char_boundary_at(&self, at: usize) -> bool;
}

impl Boundary for [u8] {
    /// A backslash before a character of several bytes is no escape of JSON.
    fn is_char_boundary_at(&self, at: usize) -> bool {
        self.get(at).is_none_or(|byte| byte & 0xC0 != 0x80)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::mend;

    fn mended(json: impl AsRef<[u8]>) -> Option<(String, Vec<String>)> {
        let mended = mend(json.as_ref())?;
        let notes = mended.notes.into_iter().map(String::from).collect();
        Some((mended.json, notes))
    }

    #[test]
    fn numbers_that_are_none_are_absent() {
        let (json, notes) = mended(
            r#"{"score":NaN,"a":{"b":[1,-Infinity,{"c":+inf}]},"s":"NaN","NaN":-nan,"score":NaN}"#,
        )
        .unwrap();
        assert_eq!(
            json,
            r#"{"score":null,"a":{"b":[1,null,{"c":null}]},"s":"NaN","NaN":null,"score":null}"#
        );
        let what = "not a number, so it is absent";
        let expected = ["score", "a.b", "a.b.c", "NaN"].map(|name| format!("{name}: {what}"));
        assert_eq!(notes, expected);
    }

    #[test]
    fn names_that_may_be_somebodys_are_not_repeated() {
        let json = r#"{"Tove Brandauer":NaN,"\u674e":NaN,"":NaN}"#;
        assert_eq!(
            mended(json).unwrap().1,
            ["*: not a number, so it is absent"]
        );
        assert_eq!(
            mended("[NaN]").unwrap().1,
            ["*: not a number, so it is absent"]
        );
        let many: Vec<String> = (0..100).map(|n| format!("\"a{n}\":NaN")).collect();
        let many = format!("{{{}}}", many.join(","));
        assert_eq!(mended(many).unwrap().1.len(), 20);
    }

    #[test]
    fn a_character_that_was_cut_is_left_out() {
        let note = ["user.name: cut in the middle of a character, which is left out".to_owned()];
        for (sent, whole) in [
            (b"\xE6\x9D\x8E\xE5\xB0\x8F\xE6\x98".as_slice(), "李小"),
            (b"Tove \xF0\x9F\x98", "Tove "),
            (b"\xC3", ""),
            (br"\ud83d\ude00\ud83d", r"\ud83d\ude00"),
            (br"\\\uD83D", r"\\"),
        ] {
            let json = [br#"{"user":{"name":""#, sent, br#"","x":1}}"#].concat();
            let (json, notes) = mended(json).unwrap();
            assert_eq!(json, format!(r#"{{"user":{{"name":"{whole}","x":1}}}}"#));
            assert_eq!(notes, note);
        }
    }

    #[test]
    fn what_would_be_guessed_is_not_mended() {
        for sent in [
            // Bytes of another encoding, not only at the end.
            b"{\"a\":\"Br\xfcnner\"}".as_slice(),
            b"{\"a\":\"\xC4\xE3\"}",
            b"{\"a\":\"\x98\"}",
            // A name of a member.
            b"{\"a\xE6\":1}",
            b"{\"a\":\"\\\xE6\x98\"}",
            br#"{"a":"\ud83dx"}"#,
            br#"{"a":"\ude00"}"#,
            b"{\"a\":\"x",
            b"{'a':NaN}x'\"",
            b"NaN",
            b"a=NaN",
            br#"{"a":1}"#,
        ] {
            assert_eq!(mended(sent), None, "{}", String::from_utf8_lossy(sent));
        }
    }

    proptest! {
        /// Mending changes what it names and nothing else.
        #[test]
        fn good_json_is_left_alone(body in "[\\[\\]{}\",:\\\\ud8c0-9aNen.\\-]{0,40}") {
            let json = format!("{{\"a\":{body}}}");
            if serde_json::from_str::<serde_json::Value>(&json).is_ok() {
                let mended = mend(json.as_bytes());
                prop_assert!(mended.is_none(), "{mended:?}");
            }
        }

        /// What a strict parser takes of the mended text is what stood there, with `null` where there was no number.
        #[test]
        fn only_what_is_named_changes(
            names in prop::collection::vec("[a-z]{1,3}", 1..6),
            values in prop::collection::vec(prop::sample::select(vec!["NaN", "-Infinity", "inf", "1.50", "\"x\"", "[NaN,2]", "{\"k\":nan}", "true"]), 6),
        ) {
            let members: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let json = format!("{{{}}}", members.join(","));
            let expected = json.replace(":NaN", ":null").replace("-Infinity", "null").replace("[NaN", "[null").replace(":nan", ":null").replace(":inf", ":null");
            match mend(json.as_bytes()) {
                None => prop_assert_eq!(&expected, &json),
                Some(mended) => {
                    prop_assert_eq!(mended.json, expected);
                    prop_assert!(!mended.notes.is_empty());
                }
            }
        }

        /// Whatever came, mending ends, and its result is text.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(prop_oneof![prop::sample::select(b"{}[]\",:\\ud8NaInf\xE6\x98\xFF".to_vec()), any::<u8>()], 0..60)) {
            let bytes = [b"{\"a\":".as_slice(), &bytes, b"}"].concat();
            if let Some(mended) = mend(&bytes) {
                prop_assert!(mended.notes.len() <= 20 && !mended.notes.is_empty());
            }
        }
    }
}

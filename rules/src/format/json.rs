//! Values in the text of a template that makes JSON.
//!
//! While the template runs, a value is only marked in its output: as JSON between two control characters that no other
//! text has. When the whole output is there, it is known for every value whether it stands in a string of JSON, and there
//! it is written as a part of that string, else as a value of its own. So no text of an event can end a string that the
//! template began, whichever way the template is written.

use std::fmt::Write as _;

/// Begins a marked value.
pub(super) const BEGIN: char = '\u{1}';
/// Ends it.
pub(super) const END: char = '\u{2}';
/// Tells the line of the template that follows, between two of these.
pub(super) const LINE: char = '\u{3}';

/// Whether a text has a character that marks.
pub(super) fn has_marks(text: &str) -> bool {
    text.contains([BEGIN, END, LINE])
}

/// The text with every value in its place, and where in it each told line of the template begins.
pub(super) fn weave(marked: &str) -> (String, Vec<(usize, usize)>) {
    let mut out = String::with_capacity(marked.len());
    let mut lines = Vec::new();
    let mut place = Place::default();
    let mut rest = marked;
    while let Some(at) = rest.find([BEGIN, LINE]) {
        place.follow(&rest[..at]);
        out.push_str(&rest[..at]);
        let value = rest[at..].starts_with(BEGIN);
        let inside = &rest[at + 1..];
        let end = inside.find(if value { END } else { LINE });
        let (inside, behind) = inside.split_at(end.unwrap_or(inside.len()));
        if value {
            place.write(inside, &mut out);
        } else if let Ok(line) = inside.parse() {
            lines.push((out.len(), line));
        }
        rest = behind.get(1..).unwrap_or_default();
    }
    out.push_str(rest);
    (out, lines)
}

/// Where in a text of JSON one is.
#[derive(Default)]
struct Place {
    in_string: bool,
    escaped: bool,
}

impl Place {
    fn follow(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.escaped {
                self.escaped = false;
            } else {
                match byte {
                    b'"' => self.in_string = !self.in_string,
                    b'\\' => self.escaped = self.in_string,
                    _ => {}
                }
            }
        }
    }

    fn write(&self, value: &str, out: &mut String) {
        if !self.in_string {
            out.push_str(value);
            return;
        }
        let text = value
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        match text {
            Some(text) => out.push_str(text),
            // A number or a word is itself; what has quotes of its own is written as text.
            None => {
                for char in value.chars() {
                    let _ = match char {
                        '"' | '\\' => write!(out, "\\{char}"),
                        char => write!(out, "{char}"),
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::weave;

    #[test]
    fn a_value_in_a_string_becomes_a_part_of_it() {
        let (text, _) = weave(
            "{\"a\": \u{1}\"x\\\"y\"\u{2}, \"b\": \"<\u{1}\"x\\\"y\"\u{2}>\", \"c\": \"\u{1}{\"k\":\"v\"}\u{2}\", \"d\": \"\\\"\u{1}5\u{2}\"}",
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected =
            serde_json::json!({"a": "x\"y", "b": "<x\"y>", "c": "{\"k\":\"v\"}", "d": "\"5"});
        assert_eq!(value, expected);
    }

    #[test]
    fn lines_are_taken_out() {
        let (text, lines) = weave("[\u{3}2\u{3}\u{1}1\u{2},\u{3}7\u{3}\u{1}2\u{2}]");
        assert_eq!((text.as_str(), lines), ("[1,2]", vec![(1, 2), (3, 7)]));
    }
}

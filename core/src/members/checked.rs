//! What is checked of a body before it is read, and why one cannot be read.

use serde_json::value::RawValue;

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
    if text.len() <= SMALL_BYTES && is_surely_flat(text, depth_max) {
        return Ok(());
    }
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

/// In what is larger there is a picture, and two searches through it take longer than a walk around it.
const SMALL_BYTES: usize = 4096;

/// Whether there are too few brackets to be deep, no escapes, and no name that begins as a reserved one does: so it is of nearly
/// every body.
fn is_surely_flat(text: &[u8], depth_max: usize) -> bool {
    let brackets = memchr::memchr2_iter(b'{', b'[', text).take(depth_max + 1);
    memchr::memchr2(b'\\', b'$', text).is_none() && brackets.count() <= depth_max
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

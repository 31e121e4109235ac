//! How text that others wrote is shown. Devices, bodies and answers say what they like, and a terminal obeys some of it.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::is_unsendable;

/// Whether a character is not seen as itself where text is shown: a terminal obeys it (C0, DEL, C1), it turns the order of
/// what is around it, it joins or breaks without a mark, or it has no form at all. That is all that Unicode calls
/// `Default_Ignorable_Code_Point`, and the separators of lines.
pub fn is_hidden(char: char) -> bool {
    is_unsendable(char)
        || matches!(
            char,
            '\u{AD}'                        // soft hyphen
            | '\u{34F}'                     // grapheme joiner
            | '\u{61C}'                     // Arabic letter mark
            | '\u{115F}'..='\u{1160}'       // Hangul fillers
            | '\u{17B4}'..='\u{17B5}'       // Khmer vowels without a form
            | '\u{180B}'..='\u{180F}'       // Mongolian selectors
            | '\u{200B}'..='\u{200F}'       // zero width, and marks of direction
            | '\u{2028}'..='\u{202E}'       // separators of lines, embeddings, overrides
            | '\u{2060}'..='\u{206F}'       // joiner, invisible operators, isolates
            | '\u{3164}' | '\u{FFA0}'       // Hangul fillers
            | '\u{FE00}'..='\u{FE0F}'       // selectors of variants
            | '\u{FEFF}'                    // byte order mark
            | '\u{FFF0}'..='\u{FFFB}'       // annotations
            | '\u{1BCA0}'..='\u{1BCA3}'     // shorthand controls
            | '\u{1D173}'..='\u{1D17A}'     // musical controls
            | '\u{E0000}'..='\u{E0FFF}'     // tags, and more selectors
        )
}

/// The text with every hidden character written as JSON writes it (`\u009b`), all but line breaks and tabs. So it means
/// nothing to a terminal; and a JSON text, in which all other such characters stand in strings alone, stays the same JSON.
pub fn visible(text: &str) -> Cow<'_, str> {
    written_out(text, |char| !matches!(char, '\n' | '\t'))
}

/// The same for text that stands on a line of ours: a line break in it could pass for the end of that line, so that and
/// tabs are written out too.
pub fn visible_line(text: &str) -> Cow<'_, str> {
    written_out(text, |_| true)
}

/// [`visible`] for bytes; each byte that is no UTF-8 becomes `\xff`.
pub fn visible_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => visible(text),
        Err(_) => {
            let mut shown = String::with_capacity(bytes.len() + 16);
            for chunk in bytes.utf8_chunks() {
                shown.push_str(&visible(chunk.valid()));
                for byte in chunk.invalid() {
                    let _ = write!(shown, "\\x{byte:02x}");
                }
            }
            Cow::Owned(shown)
        }
    }
}

fn written_out(text: &str, unless_ours: impl Fn(char) -> bool) -> Cow<'_, str> {
    let hidden = |char: char| is_hidden(char) && unless_ours(char);
    // Nearly all text is plain ASCII, in whole buffers.
    let plain = |byte: u8| matches!(byte, b' '..=b'~');
    if text.bytes().all(plain) || !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        if hidden(char) {
            // As JSON has it: what is beyond four digits takes two halves.
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn hidden_characters_are_written_out() {
        assert_eq!(
            visible("\u{1b}]0;x\u{7}\u{9b}2J a\tb\r\n\u{7f}"),
            "\\u001b]0;x\\u0007\\u009b2J a\tb\\u000d\n\\u007f"
        );
        assert_eq!(
            visible("a\u{202e}b\u{200b}\u{feff}\u{fe0f}\u{e0041}\u{fffe}"),
            "a\\u202eb\\u200b\\ufeff\\ufe0f\\udb40\\udc41\\ufffe"
        );
        assert_eq!(visible_line("a\tb\nc"), "a\\u0009b\\u000ac");
        assert!(matches!(
            visible("Łukasz O’Neill 陈观澜 مريم 😀"),
            Cow::Borrowed(_)
        ));
        assert_eq!(
            visible_bytes(b"a\xff\x1b\xe9\x99"),
            "a\\xff\\u001b\\xe9\\x99"
        );
    }

    /// Any text, with more hidden characters in it than chance has.
    fn text() -> impl Strategy<Value = String> {
        let hidden: Vec<char> = ('\0'..=char::MAX).filter(|char| is_hidden(*char)).collect();
        let char = prop_oneof![any::<char>(), proptest::sample::select(hidden)];
        proptest::collection::vec(char, 0..24).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_nothing_else_is_touched(text in text()) {
            prop_assert!(!visible_line(&text).contains(is_hidden));
            let shown = visible(&text);
            prop_assert!(!shown.contains(|char| is_hidden(char) && !"\n\t".contains(char)));
            prop_assert_eq!(visible(&shown), shown.clone());
            prop_assert_eq!(visible_bytes(text.as_bytes()), shown);
            let seen = text.replace(is_hidden, "");
            prop_assert_eq!(visible_line(&seen), seen.as_str());
        }

        #[test]
        fn bytes_that_are_no_text_are_seen(bytes in any::<Vec<u8>>()) {
            prop_assert!(!visible_bytes(&bytes).contains(|char| is_hidden(char) && !"\n\t".contains(char)));
        }

        #[test]
        fn json_stays_the_same_json(text in text(), key in text()) {
            let value = serde_json::json!({ key: [text, { "n": 1.50 }] });
            for written in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let shown = visible(&written);
                prop_assert_eq!(&serde_json::from_str::<Value>(&shown).unwrap(), &value);
            }
        }
    }
}

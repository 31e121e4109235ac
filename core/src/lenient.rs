//! Reads single values leniently: what every adapter does alike with a member that may be anything.
//!
//! Each function gives `None` for what is of another type, and then the adapter leaves the member where it is, with a
//! warning. Which member has which type, and what its words mean, stays with the vendor's adapter.

use std::borrow::Cow;

use crate::{Members, Picture, PictureError, Raw, Text, decode_picture, scrub_urls};

use crate::word::find;

pub use crate::moment::{Moment, Unit, moment};

/// Longer numbers are no person's id.
const DIGITS_MAX: usize = 40;

/// A member that is told. A `null` says nothing, so it is taken out.
pub fn told<'a>(members: &mut Members<'a>, name: &str) -> Option<Raw<'a>> {
    told_at(members, name).map(|(_, raw)| raw)
}

/// The same with its place.
pub(crate) fn told_at<'a>(members: &mut Members<'a>, name: &str) -> Option<(usize, Raw<'a>)> {
    let place = members.place(name)?;
    let raw = members.at(place)?;
    if matches!(raw.get().as_bytes(), b"null") {
        members.remove(place, name);
        return None;
    }
    Some((place, raw))
}

/// Whether a text says anything: a blank one is how vendors say "nothing".
pub fn is_told(text: &Text<'_>) -> bool {
    // Nearly every text begins with a sign that is no blank.
    matches!(text.as_bytes().first(), Some(b'!'..=b'~')) || !text.trim().is_empty()
}

/// A text, borrowed where it has no escapes.
pub fn text(raw: Raw<'_>) -> Option<Text<'_>> {
    let inner = between_quotes(raw)?;
    if has(inner, b'\\') {
        return serde_json::from_str(raw.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// A text, or a whole number as sent, so that 64 bits never pass through a float.
pub fn identifier(raw: Raw<'_>) -> Option<Text<'_>> {
    text(raw).or_else(|| {
        let text = raw.get();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let whole =
            digits.len() <= DIGITS_MAX && digits.bytes().all(|digit| digit.is_ascii_digit());
        whole.then_some(Cow::Borrowed(text))
    })
}

/// A number that is not beyond all floats. The standard library gives the nearest one, whatever serde_json was built with.
pub fn number(raw: Raw<'_>) -> Option<f64> {
    let text = raw.get();
    let is_number = text.starts_with(|sign: char| sign == '-' || sign.is_ascii_digit());
    let number: f64 = is_number.then(|| text.parse().ok())??;
    number.is_finite().then_some(number)
}

/// How far beyond an end of its scale rounding carries a score, as a part of the scale. Engines sum up products of floats
/// of 32 bits, and of 16, whose next number above 1 is 1.00098.
const ROUNDING: f64 = 1e-3;

/// A score on the scale from 0 to `top`. What is outside by no more than rounding belongs to the end of the scale; what is
/// clearly outside is of another scale, or no score: `None`.
pub fn on_scale(number: f64, top: f64) -> Option<f64> {
    let slack = top * ROUNDING;
    let near = (-slack..=top + slack).contains(&number);
    near.then(|| number.clamp(0.0, top))
}

/// Sorts candidates by their scores, the best first; of equals the first that was sent stays first. One whose score is not
/// known says nothing about the order, and may be the best: then all stay as they were sent, and the answer is `false`, for
/// a warning.
pub fn best_first<T>(candidates: &mut [T], score: impl Fn(&T) -> Option<f64>) -> bool {
    if candidates.len() > 1 && candidates.iter().any(|one| score(one).is_none()) {
        return false;
    }
    let order = |one: &T| score(one).unwrap_or_default();
    candidates.sort_by(|one, other| order(other).total_cmp(&order(one)));
    true
}

/// Whether a value says nothing: `null`, a blank text, or a list or an object of such.
pub fn says_nothing(raw: Raw<'_>) -> bool {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => text(raw).is_some_and(|text| !is_told(&text)),
        Some(b'{') => Members::of(raw).is_some_and(|members| members.say_nothing(&[])),
        Some(b'[') => raw
            .items()
            .is_some_and(|items| items.into_iter().all(says_nothing)),
        _ => json == "null",
    }
}

/// The same text without the credentials of the URLs in it; still borrowed where there are none.
pub fn without_credentials(text: Text<'_>) -> Text<'_> {
    match text {
        text if !has(&text, b'/') => text,
        Cow::Borrowed(text) => scrub_urls(text),
        Cow::Owned(text) => Cow::Owned(scrub_urls(&text).into_owned()),
    }
}

/// A picture in base64, bare or as a `data:` URL; `None` for a blank text.
///
/// # Errors
/// When it is something else, or no picture.
pub fn picture(raw: Raw<'_>) -> Result<Option<Picture>, PictureError> {
    let inner = between_quotes(raw).ok_or(PictureError::NotBase64)?;
    match decode_picture(inner) {
        // Base64 has no backslash, so a text that decodes needs no unescaping and no copy. Writers that escape `/` are rare.
        Err(_) if inner.contains('\\') => {
            decode_picture(&text(raw).ok_or(PictureError::NotBase64)?)
        }
        result => result,
    }
}

/// A link to a picture, which some send in place of the picture: without credentials, and without blanks around it.
pub fn link(raw: Raw<'_>) -> Option<Text<'_>> {
    let link = match text(raw)? {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    };
    let behind = ["http://", "https://"]
        .iter()
        .find_map(|scheme| link.strip_prefix(scheme))?;
    let is_link = !behind.is_empty()
        && !link.contains(|sign: char| sign.is_whitespace() || sign.is_control());
    is_link.then(|| without_credentials(link))
}

/// The text between the quotes of a JSON string, still escaped.
fn between_quotes(raw: Raw<'_>) -> Option<&str> {
    match raw.get().as_bytes() {
        [b'"', .., b'"'] => raw.get().get(1..raw.get().len() - 1),
        _ => None,
    }
}

/// Whether this ASCII sign is in a text. Most texts are so short that eight bytes at a time are quicker than a search.
pub(crate) fn has(text: &str, sign: u8) -> bool {
    if text.len() > 64 {
        return memchr::memchr(sign, text.as_bytes()).is_some();
    }
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    for word in words {
        if find(u64::from_le_bytes(*word), sign) != 0 {
            return true;
        }
    }
    rest.contains(&sign)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        best_first, identifier, is_told, link, number, on_scale, picture, says_nothing, text, told,
        without_credentials,
    };
    use crate::{Members, Raw};

    fn raw(json: &str) -> Raw<'_> {
        Raw::parse(json).unwrap()
    }

    #[test]
    fn a_null_is_taken_out_and_not_told() {
        let mut members = Members::parse(r#"{"a":null,"b":" ","c":1}"#).unwrap();
        assert!(told(&mut members, "a").is_none() && !members.has("a"));
        assert_eq!(told(&mut members, "b").unwrap().get(), "\" \"");
        assert!(told(&mut members, "c").is_some() && members.has("c"));
        assert!(told(&mut members, "d").is_none());
    }

    #[test]
    fn texts_are_unescaped() {
        assert_eq!(text(raw(r#""a\"b""#)).unwrap(), "a\"b");
        assert_eq!(text(raw(r#""\u674e""#)).unwrap(), "李");
        let plain = text(raw(r#""plain""#)).unwrap();
        assert!(matches!(plain, std::borrow::Cow::Borrowed("plain")));
        for other in ["1", "null", "true", "{}", "[\"a\"]"] {
            assert_eq!(text(raw(other)), None);
        }
        assert!(is_told(&"a".into()) && !is_told(&" \n".into()) && !is_told(&"".into()));
    }

    #[test]
    fn identifiers_keep_every_digit() {
        assert_eq!(
            identifier(raw("9007199254740993")).unwrap(),
            "9007199254740993"
        );
        assert_eq!(identifier(raw("-3")).unwrap(), "-3");
        assert_eq!(identifier(raw("\"007\"")).unwrap(), "007");
        assert!(identifier(raw(&"9".repeat(40))).is_some());
        for other in ["5.5", "1e3", "true", "null", "[]", &"9".repeat(41)] {
            assert_eq!(identifier(raw(other)), None);
        }
    }

    #[test]
    fn numbers_are_the_nearest_floats() {
        for written in ["0.9312784671783447", "0.9436722993850708", "1e-1", "-0.0"] {
            assert_eq!(number(raw(written)), Some(written.parse().unwrap()));
        }
        for other in ["1e999", "\"1\"", "null", "true", "{}"] {
            assert_eq!(number(raw(other)), None);
        }
    }

    #[test]
    fn credentials_leave_escaped_texts_too() {
        let clean = |json| without_credentials(text(raw(json)).unwrap()).into_owned();
        assert_eq!(clean(r#""rtsp://a:b@h/1""#), "rtsp://h/1");
        assert_eq!(clean(r#""rtsp:\/\/a:b@h\/1""#), "rtsp://h/1");
        assert_eq!(clean(r#""Gate 1""#), "Gate 1");
    }

    #[test]
    fn links_lose_their_credentials() {
        assert_eq!(
            link(raw(r#"" http:\/\/u:p@h\/1.jpg?token=t ""#)).unwrap(),
            "http://h/1.jpg"
        );
        assert_eq!(link(raw(r#""https://h""#)).unwrap(), "https://h");
        for other in [
            r#""http://""#,
            r#""ftp://h""#,
            r#""http://h see there""#,
            r#""""#,
            "1",
        ] {
            assert_eq!(link(raw(other)), None, "{other}");
        }
    }

    #[test]
    fn a_picture_is_found_behind_escapes() {
        let plain = picture(raw(r#""/9j/4A==""#)).unwrap().unwrap();
        let escaped = picture(raw(r#""\/9j\/4A==""#)).unwrap().unwrap();
        assert_eq!(plain.sha256, escaped.sha256);
        assert!(picture(raw(r#""\u0020""#)).unwrap().is_none());
        assert!(picture(raw(r#"["/9j/4A=="]"#)).is_err());
    }

    #[test]
    fn rounding_never_leaves_the_scale() {
        for top in [1.0, 100.0] {
            for (sent, read) in [
                (0.0, Some(0.0)),
                (1.0, Some(1.0)),
                (1.000_000_1, Some(1.0)),
                // The next float of 16 bits.
                (1.000_976_562_5, Some(1.0)),
                (0.999_999_9, Some(0.999_999_9)),
                (-1e-7, Some(0.0)),
                (1.01, None),
                (-0.01, None),
                (f64::INFINITY, None),
                (f64::NAN, None),
            ] {
                let read = read.map(|read| read * top);
                assert_eq!(on_scale(sent * top, top), read, "{sent} of {top}");
            }
        }
    }

    #[test]
    fn nothing_is_said_by_nulls_blanks_and_what_holds_only_them() {
        for nothing in [
            "null",
            "\"\"",
            "\" \\n\"",
            "[]",
            "{}",
            r#"{"a":[null,{"b":" "}]}"#,
        ] {
            assert!(says_nothing(raw(nothing)), "{nothing}");
        }
        for something in ["0", "false", "\"-\"", "[0]", r#"{"a":{"b":false}}"#] {
            assert!(!says_nothing(raw(something)), "{something}");
        }
    }

    proptest! {
        /// No one comes before one that may be better.
        #[test]
        fn nobody_is_named_in_place_of_a_better_one(scores in prop::collection::vec(prop::option::weighted(0.8, 0.0..=1.0_f64), 0..8)) {
            let sent: Vec<(usize, Option<f64>)> = scores.into_iter().enumerate().collect();
            let mut sorted = sent.clone();
            let known = best_first(&mut sorted, |(_, score)| *score);
            if known {
                prop_assert!(sorted.windows(2).all(|pair| pair[0].1 > pair[1].1 || pair[0].1 == pair[1].1 && pair[0].0 < pair[1].0));
            } else {
                prop_assert_eq!(&sorted, &sent);
            }
            prop_assert_eq!(known, sent.len() < 2 || sent.iter().all(|(_, score)| score.is_some()));
        }

        /// The scale never holds what was not near it, and what was inside stays to the last bit.
        #[test]
        fn scores_stay(sent in -2.0..3.0_f64) {
            match on_scale(sent, 1.0) {
                Some(read) => prop_assert!((0.0..=1.0).contains(&read) && (read - sent).abs() <= 1e-3),
                None => prop_assert!(!(-1e-3..=1.001).contains(&sent)),
            }
            if (0.0..=1.0).contains(&sent) {
                prop_assert_eq!(on_scale(sent, 1.0), Some(sent));
            }
        }
    }
}

//! Character sets: what `Content-Type` or a byte order mark names becomes UTF-8, strictly. What is not named is not
//! guessed, but a reason may say what it probably is.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_KR, Encoding, GBK, REPLACEMENT, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1251,
};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::Undecoded;

/// What is known of a body's character set.
#[derive(Debug, Default)]
pub(crate) struct Recoded {
    /// The body in UTF-8, when it was in another character set.
    pub(crate) text: Option<String>,
    /// What an event of it is to warn of.
    pub(crate) warning: Option<&'static str>,
    /// A character set that the header names and that is not known: for a reason, if there has to be one.
    pub(crate) unknown: Option<String>,
}

/// Of the name of a character set this much is repeated.
const LABEL_BYTES_MAX: usize = 40;

/// Names by which Windows and Java call what the web calls otherwise.
const ALIASES: [(&str, &Encoding); 8] = [
    ("cp936", GBK),
    ("ms936", GBK),
    ("windows-936", GBK),
    ("euc-cn", GBK),
    ("cp950", BIG5),
    ("cp932", SHIFT_JIS),
    ("cp949", EUC_KR),
    ("cp65001", UTF_8),
];

const IS_UTF8: &str = "charset: the Content-Type names another one, but the body is in UTF-8";
const IS_EITHER: &str =
    "charset: read as the Content-Type says, but the body could be in UTF-8 too";

/// Makes a body UTF-8 where its byte order mark, or else its header, says what it is in.
pub(crate) fn recode(headers: &HeaderMap, body: &[u8]) -> Result<Recoded, Undecoded> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    // The parts of such a form may be pictures.
    let parts = kind.trim_start().get(..10);
    if parts.is_some_and(|start| start.eq_ignore_ascii_case("multipart/")) {
        return Ok(Recoded::default());
    }
    match Encoding::for_bom(body) {
        Some((encoding, _)) if encoding == UTF_8 => return Ok(Recoded::default()),
        Some((encoding, mark)) => {
            let why = "as its byte order mark says";
            return by(encoding, &body[mark..], why);
        }
        None => {}
    }
    let Some(label) = label(kind) else {
        return Ok(Recoded::default());
    };
    let Some(encoding) = known(label, body) else {
        return Ok(Recoded {
            unknown: Some(shown(label)),
            ..Recoded::default()
        });
    };
    if encoding == UTF_8 || body.is_ascii() && encoding.is_ascii_compatible() {
        return Ok(Recoded::default());
    }
    if is_surely_utf8(encoding, body) {
        return Ok(Recoded {
            warning: Some(IS_UTF8),
            ..Recoded::default()
        });
    }
    let is_either = encoding.is_ascii_compatible() && std::str::from_utf8(body).is_ok();
    let read = by(encoding, body, "as its Content-Type says")?;
    Ok(Recoded {
        warning: is_either.then_some(IS_EITHER),
        ..read
    })
}

fn by(encoding: &'static Encoding, body: &[u8], why: &str) -> Result<Recoded, Undecoded> {
    match encoding.decode_without_bom_handling_and_without_replacement(body) {
        Some(text) => Ok(Recoded {
            text: Some(text.into_owned()),
            ..Recoded::default()
        }),
        None => {
            let reason = format!("not {}, {why}", encoding.name()).into();
            let (text, _) = encoding.decode_without_bom_handling(body);
            Err(match is_open(text.as_bytes()) {
                true => Undecoded::CutOff(reason),
                false => Undecoded::Unreadable(reason),
            })
        }
    }
}

/// Whether a body that is JSON does not end as JSON does: it did not come whole, whatever its characters are.
pub(crate) fn is_open(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    matches!(body, [b'{', ..] if !body.ends_with(b"}"))
        || matches!(body, [b'[', ..] if !body.ends_with(b"]"))
}

/// The parameter `charset` of a content type.
fn label(kind: &str) -> Option<&str> {
    let (_, parameters) = kind.split_once(';')?;
    let values = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']).trim();
        (name.trim().eq_ignore_ascii_case("charset") && !value.is_empty()).then_some(value)
    });
    let mut values = values;
    values.next()
}

fn known(label: &str, body: &[u8]) -> Option<&'static Encoding> {
    // Without a mark, it is the first sign's zero that tells the order.
    if label.eq_ignore_ascii_case("utf-16") && body.starts_with(b"\0") {
        return Some(UTF_16BE);
    }
    let alias = ALIASES
        .iter()
        .find(|(name, _)| label.eq_ignore_ascii_case(name));
    let encoding = match alias {
        Some((_, encoding)) => Some(*encoding),
        None => Encoding::for_label(label.as_bytes()),
    };
    // Labels that the web decodes to nothing but one replacement character.
    encoding.filter(|encoding| *encoding != REPLACEMENT)
}

/// Libraries put `ISO-8859-1` into a header without looking at the body, and such a body has always been read as the
/// UTF-8 that it is. Of a character set with two bytes a sign, short texts may look like UTF-8 by chance: they are in
/// UTF-8 only where characters take three bytes: more of them than an accident makes, or ones that the named set can
/// write, as a name has that a device of that country put into UTF-8.
fn is_surely_utf8(encoding: &'static Encoding, body: &[u8]) -> bool {
    let is_utf16 = encoding == UTF_16LE || encoding == UTF_16BE;
    if is_utf16 {
        return false;
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return false;
    };
    encoding.is_single_byte()
        || match text.chars().filter(|sign| *sign >= '\u{800}').count() {
            0 => false,
            wide => wide > ACCIDENT_MAX || most_can_be_written(encoding, text),
        }
}

/// So many characters of three bytes come about by chance: nine bytes of a legacy text that are three of them in a row
/// are one in millions.
const ACCIDENT_MAX: usize = 2;

fn most_can_be_written(encoding: &'static Encoding, text: &str) -> bool {
    let (mut yes, mut no) = (0, 0);
    for sign in text.chars().filter(|sign| !sign.is_ascii()) {
        let (_, _, is_lost) = encoding.encode(sign.encode_utf8(&mut [0; 4]));
        match is_lost {
            true => no += 1,
            false => yes += 1,
        }
    }
    yes > no
}

fn shown(label: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    match label.len() <= LABEL_BYTES_MAX && label.bytes().all(is_plain) {
        true => format!("the charset {label} of its Content-Type is not known"),
        false => "the charset of its Content-Type is not known".to_owned(),
    }
}

/// What a body, or an element, that is no UTF-8 probably is, and what would have to be said: the end of a reason.
pub(crate) fn hint(text: &[u8], unknown: Option<&str>) -> Option<Cow<'static, str>> {
    if text.starts_with(&[0x1F, 0x8B]) {
        let hint = "probably packed with gzip: let the device say so, `Content-Encoding: gzip`";
        return Some(hint.into());
    }
    let wide = match text {
        [0, _, 0, _, ..] => Some("UTF-16BE"),
        [_, 0, _, 0, ..] => Some("UTF-16LE"),
        _ => None,
    };
    if wide.is_none() && std::str::from_utf8(text).is_ok() {
        return None;
    }
    if let Some(unknown) = unknown {
        return Some(unknown.to_owned().into());
    }
    let name = wide.or_else(|| probable(text))?;
    let hint = format!(
        "probably {name}: let the device say so, `Content-Type: application/json; charset={name}`"
    );
    Some(hint.into())
}

/// By what it decodes to cleanly, and by how the bytes that are no ASCII stand together.
fn probable(text: &[u8]) -> Option<&'static str> {
    let runs: Vec<&[u8]> = text
        .split(u8::is_ascii)
        .filter(|run| !run.is_empty())
        .collect();
    let all = |is: fn(u8) -> bool| runs.iter().all(|run| run.iter().all(|byte| is(*byte)));
    // Letters with accents stand among others, and are letters.
    if runs.iter().all(|run| run.len() == 1) && all(|byte| (0xC0..0xFF).contains(&byte)) {
        return Some("ISO-8859-1");
    }
    let odd = runs.iter().any(|run| run.len() % 2 == 1);
    if odd && all(|byte| byte >= 0xC0 || matches!(byte, 0xA8 | 0xB8)) {
        return Some(WINDOWS_1251.name());
    }
    [GBK, BIG5, SHIFT_JIS, EUC_KR]
        .into_iter()
        .find(|encoding| {
            let decoded = encoding.decode_without_bom_handling_and_without_replacement(text);
            decoded.is_some_and(|text| !text.chars().any(is_odd))
        })
        .map(Encoding::name)
}

/// A sign that no name has: a control, or one of private use.
fn is_odd(sign: char) -> bool {
    matches!(sign, '\u{80}'..='\u{9F}' | '\u{E000}'..='\u{F8FF}')
}

#[cfg(test)]
mod tests {
    use encoding_rs::Encoding;
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::{IS_UTF8, Recoded, hint, recode};

    fn of(kind: &str, body: &[u8]) -> Result<Recoded, String> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", kind.parse().unwrap());
        recode(&headers, body).map_err(|error| error.to_string())
    }

    fn text(kind: &str, body: &[u8]) -> Option<String> {
        of(kind, body).unwrap().text
    }

    fn written(label: &str, text: &str) -> Vec<u8> {
        let encoding = Encoding::for_label(label.as_bytes()).unwrap();
        let (bytes, _, lossy) = encoding.encode(text);
        assert!(!lossy && encoding.name() != "UTF-8", "{label}");
        bytes.into_owned()
    }

    #[test]
    fn the_header_says_what_it_is() {
        for (label, name) in [
            ("GBK", "王小明"),
            ("GB2312", "李娜"),
            ("gb18030", "㐀王"),
            ("Big5", "陳美麗"),
            ("Shift_JIS", "山田ﾊﾅ"),
            ("EUC-KR", "김민수"),
            ("windows-1251", "Иван"),
            ("iso-8859-1", "Brünner"),
            ("windows-1252", "Zoë"),
        ] {
            let body = format!("{{\"name\":\"{name}\"}}");
            let kind = format!("application/json; charset={label}");
            assert_eq!(text(&kind, &written(label, &body)), Some(body), "{label}");
        }
        let body = "{\"name\":\"王小明\"}";
        for kind in [
            "text/plain;CHARSET=\"gbk\"",
            "text/plain; a=b; charset='cp936' ",
            "*;charset=euc-cn",
        ] {
            assert_eq!(
                text(kind, &written("gbk", body)).as_deref(),
                Some(body),
                "{kind}"
            );
        }
    }

    #[test]
    fn utf_16_is_told_by_its_mark_or_its_header() {
        let body = "{\"name\":\"王小明😀\"}";
        let little: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = body.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (kind, mark, bytes) in [
            ("text/plain", b"\xFF\xFE".as_slice(), &little),
            ("text/plain;charset=gbk", b"\xFF\xFE", &little),
            ("text/plain", b"\xFE\xFF", &big),
            ("text/plain;charset=utf-16le", b"", &little),
            ("text/plain;charset=utf-16be", b"", &big),
            ("text/plain;charset=UTF-16", b"", &little),
            ("text/plain;charset=UTF-16", b"", &big),
        ] {
            let bytes = [mark, bytes].concat();
            assert_eq!(text(kind, &bytes).as_deref(), Some(body), "{kind}");
        }
        let error = of("text/plain", b"\xFF\xFE{\0\"").unwrap_err();
        assert_eq!(error, "not UTF-16LE, as its byte order mark says");
    }

    #[test]
    fn bytes_that_are_not_what_the_header_says_are_not_guessed_at() {
        for (label, body) in [
            ("gbk", b"\"\xFF\"".as_slice()),
            ("shift_jis", b"\"\x81\""),
            ("euc-kr", b"\"\xFF\""),
        ] {
            let error = of(&format!("a/b;charset={label}"), body).unwrap_err();
            assert!(error.ends_with(", as its Content-Type says"), "{error}");
        }
    }

    #[test]
    fn what_was_read_as_utf_8_still_is() {
        let body = "{\"name\":\"王小明 Brünner\"}".as_bytes();
        for kind in [
            "a/b",
            "a/b;charset=utf-8",
            "a/b; charset=x-ours",
            "a/b;charset=iso-8859-1",
            "a/b;charset=gbk",
        ] {
            assert_eq!(text(kind, body), None, "{kind}");
        }
        assert!(of("a/b;charset=gbk", body).unwrap().warning.is_some());
        assert!(of("a/b;charset=utf-8", body).unwrap().warning.is_none());
        assert_eq!(text("a/b;charset=gbk", b"{\"name\":\"Tove\"}"), None);
        assert_eq!(text("a/b;charset=gbk", b"\xEF\xBB\xBF{}"), None);
        assert_eq!(
            text("multipart/form-data;charset=gbk", b"\xFF\xFE\xD8"),
            None
        );
    }

    /// Found by the property below: three Korean signs whose bytes are two of UTF-8, which no Korean device writes.
    #[test]
    fn what_is_utf_8_by_accident_is_what_the_header_says() {
        for (label, name) in [("euc-kr", "小김И"), ("gbk", "谢平"), ("gbk", "恪板东")] {
            let body = format!("{{\"name\":\"{name}\"}}");
            let bytes = written(label, &body);
            assert!(std::str::from_utf8(&bytes).is_ok(), "{name} is no accident");
            let kind = format!("a/b;charset={label}");
            assert_eq!(text(&kind, &bytes), Some(body), "{label}");
        }
        for name in ["王小明😀", "王", "김민수박"] {
            let body = format!("{{\"name\":\"{name}\"}}");
            assert_eq!(text("a/b;charset=gbk", body.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_reason_names_what_it_probably_is() {
        for (label, name, probably) in [
            ("gbk", "王小明", Some("GBK")),
            ("gbk", "李娜", Some("GBK")),
            ("big5", "許功蓋", Some("Big5")),
            ("shift_jis", "ﾊﾅｺ", Some("Shift_JIS")),
            ("windows-1251", "Иван Ким", Some("windows-1251")),
            ("iso-8859-1", "Brünner, Zoë", Some("ISO-8859-1")),
        ] {
            let found = hint(&written(label, name), None).map(String::from);
            let found = found
                .as_deref()
                .and_then(|hint| hint.split_once("charset="));
            assert_eq!(
                found.map(|(_, name)| name.trim_end_matches('`')),
                probably,
                "{name}"
            );
        }
        assert_eq!(hint("王小明".as_bytes(), Some("unknown")), None);
        assert_eq!(hint(b"\xFF\xFF", None), None);
        assert!(hint(b"{\0\"\0", None).unwrap().contains("UTF-16LE"));
        assert!(
            hint(b"\x1F\x8B\x08", None)
                .unwrap()
                .contains("Content-Encoding: gzip")
        );
        let unknown = of("a/b;charset=x-ours", b"\xFF").unwrap().unknown;
        assert_eq!(
            hint(b"\xFF", unknown.as_deref()).unwrap(),
            "the charset x-ours of its Content-Type is not known"
        );
        let unknown = of("a/b;charset=\"<b>\"", b"\xFF").unwrap().unknown;
        assert_eq!(
            unknown.unwrap(),
            "the charset of its Content-Type is not known"
        );
    }

    proptest! {
        #[test]
        fn any_label_and_any_bytes(label in "[ -~]{0,12}", body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = of(&format!("text/plain; charset={label}"), &body);
            let _ = hint(&body, None);
        }

        /// What a header names comes back sign by sign.
        #[test]
        fn what_is_written_is_read(
            label in prop::sample::select(vec!["gbk", "gb18030", "big5", "shift_jis", "euc-kr", "windows-1251", "iso-8859-1", "koi8-r"]),
            name in "[a-zé李王小明許功ﾊ김И ]{0,12}",
        ) {
            let encoding = Encoding::for_label(label.as_bytes()).unwrap();
            let can_write = |sign: &char| !encoding.encode(sign.encode_utf8(&mut [0; 4])).2;
            let name: String = name.chars().filter(can_write).collect();
            let body = format!("{{\"name\":\"{name}\"}}");
            let (bytes, _, _) = encoding.encode(&body);
            let read = of(&format!("text/plain; charset={label}"), &bytes).unwrap();
            // What is UTF-8 by accident is at least told.
            prop_assume!(read.warning != Some(IS_UTF8));
            // ASCII stays where it is.
            prop_assert_eq!(read.text.unwrap_or(String::from_utf8_lossy(&bytes).into_owned()), body);
        }
    }
}

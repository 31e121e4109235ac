//! Forms. A box can be told to report its history as `form-data`; the documents do not show such a request, so both
//! kinds of form are read, with one object in each field that is one in JSON, or with the whole record in one field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faceway_core::{Arrival, Reject, element, mend};
use serde_json::value::RawValue;

use crate::message::PICTURES;

/// More fields than this are no form of a box.
const FIELDS_MAX: usize = 1000;

/// Fields that are an object or a list in JSON. As anything else, such as Python's way of writing, they cannot be read.
const NESTED: [&str; 8] = [
    "ext_data",
    "ep_info",
    "media_device_info",
    "identity_info",
    "recognize_face_attr",
    "sub_devices",
    "media_devices",
    "gateway_ext_data",
];

/// Fields that are a number in JSON.
const NUMBERS: [&str; 5] = [
    "timestamp",
    "in_timestamp",
    "out_timestamp",
    "score",
    "person_type",
];

struct Field {
    name: String,
    value: Vec<u8>,
}

/// The form's record as JSON; `None` when the body is no form. A body that begins as JSON is JSON, whatever its header
/// says: so it comes from those who forget the header.
pub(crate) fn of(arrival: &Arrival<'_>) -> Result<Option<String>, Reject> {
    let Some(kind) = arrival.header("content-type") else {
        return Ok(None);
    };
    if matches!(arrival.body.trim_ascii_start(), [b'{' | b'[', ..]) {
        return Ok(None);
    }
    let (media_type, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let fields = match media_type.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => urlencoded(arrival.body),
        "multipart/form-data" => multipart(arrival.body, parameters)
            .ok_or_else(|| unreadable("not a form as its header says"))?,
        _ => return Ok(None),
    };
    if fields.is_empty() {
        return Err(unreadable("a form without fields"));
    }
    if fields.len() > FIELDS_MAX {
        return Err(unreadable("more than 1000 fields in one form"));
    }
    json(&fields).map(Some)
}

fn unreadable(reason: &'static str) -> Reject {
    Reject::Unreadable(reason.into())
}

fn json(fields: &[Field]) -> Result<String, Reject> {
    if let [field] = fields
        && !NESTED.contains(&field.name.as_str())
        && let Ok(value) = std::str::from_utf8(&field.value)
        && value.trim_start().starts_with(['{', '['])
    {
        return Ok(value.to_owned());
    }
    let mut json = String::from("{");
    for field in fields {
        if let Some(value) = value(field)? {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&quoted(&field.name));
            json.push(':');
            json.push_str(&value);
        }
    }
    json.push('}');
    Ok(json)
}

fn value(field: &Field) -> Result<Option<String>, Reject> {
    let name = field.name.as_str();
    if PICTURES.iter().any(|(picture, _)| *picture == name) {
        return Ok(Some(picture(&field.value)));
    }
    let text = std::str::from_utf8(&field.value)
        .map_err(|_| unreadable("a field of the form is not UTF-8"))?;
    if NESTED.contains(&name) {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        // What can be mended is mended with the record, which then says so.
        let is_json = serde_json::from_str::<&RawValue>(text).is_ok()
            || mend(text.as_bytes()).is_some_and(|mended| element(mended.json.as_bytes()).is_ok());
        return match is_json {
            true => Ok(Some(text.to_owned())),
            false => Err(Reject::Unreadable(
                format!("`{name}` of the form is not JSON").into(),
            )),
        };
    }
    let number =
        NUMBERS.contains(&name) && serde_json::from_str::<serde_json::Number>(text).is_ok();
    Ok(Some(match number {
        true => text.trim().to_owned(),
        false => quoted(text),
    }))
}

/// A picture as base64 or, in a part of its own, as its bytes. A `+` that was not escaped arrives as a blank.
fn picture(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if faceway_core::media_type(value).is_none() => {
            quoted(&text.trim().replace(' ', "+"))
        }
        _ => quoted(&STANDARD.encode(value)),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn urlencoded(body: &[u8]) -> Vec<Field> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.trim_ascii().is_empty())
        .take(FIELDS_MAX + 1)
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
            Field {
                name: String::from_utf8_lossy(&unescaped(name)).into_owned(),
                value: unescaped(value.get(1..).unwrap_or_default()),
            }
        })
        .collect()
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        let escaped = match (byte, behind) {
            (b'%', [high, low, ..]) => hexadecimal(*high, *low),
            _ => None,
        };
        plain.push(match (byte, escaped) {
            (_, Some(escaped)) => {
                rest = &behind[2..];
                escaped
            }
            (b'+', _) => b' ',
            _ => byte,
        });
    }
    plain
}

fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The parts of RFC 7578. `None` when the body is not in its shape.
fn multipart(body: &[u8], parameters: &str) -> Option<Vec<Field>> {
    let boundary = parameter(parameters, "boundary").filter(|text| !text.is_empty())?;
    let delimiter = format!("--{boundary}").into_bytes();
    let mut fields = Vec::new();
    let mut rest = &body[find(body, &delimiter)? + delimiter.len()..];
    let between = [b"\r\n", delimiter.as_slice()].concat();
    while !rest.starts_with(b"--") && fields.len() <= FIELDS_MAX {
        let part = rest.trim_ascii_start_of_line();
        let end = find(part, &between)?;
        fields.extend(field(&part[..end]));
        rest = &part[end + between.len()..];
    }
    Some(fields)
}

fn field(part: &[u8]) -> Option<Field> {
    let (headers, value) = match find(part, b"\r\n\r\n") {
        Some(end) => (&part[..end], &part[end + 4..]),
        None => return None,
    };
    let headers = String::from_utf8_lossy(headers);
    let disposition = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    Some(Field {
        name: parameter(disposition, "name")?,
        value: value.to_owned(),
    })
}

/// The value of a parameter of a header, with or without quotes.
fn parameter(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    // A part's first byte is rare enough in base64 that looking for it is no work.
    let first = *part.first()?;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(part) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

trait Line {
    /// What follows the line's end, with which a delimiter ends.
    fn trim_ascii_start_of_line(&self) -> &[u8];
}

impl Line for [u8] {
    fn trim_ascii_start_of_line(&self) -> &[u8] {
        let blanks = self
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let line = &self[blanks..];
        line.strip_prefix(b"\r\n").unwrap_or(line)
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::Arrival;

    use super::of;

    fn read(kind: &str, body: &[u8]) -> Result<Option<String>, String> {
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", kind.parse().unwrap());
        let arrival = Arrival {
            headers: &headers,
            peer: None,
            body,
        };
        of(&arrival).map_err(|reject| reject.to_string())
    }

    const URLENCODED: &str = "application/x-www-form-urlencoded; charset=utf-8";

    #[test]
    fn reads_urlencoded_fields() {
        assert_eq!(
            read(URLENCODED, b"score=94.8&identity_name=%E6%9D%8E+%2B&ext_data=%7B%22a%22%3A1%7D&reg_pic=a+b%2B&x&%zz=%4"),
            Ok(Some(r#"{"score":94.8,"identity_name":"李 +","ext_data":{"a":1},"reg_pic":"a+b+","x":"","%zz":"%4"}"#.into()))
        );
        assert_eq!(
            read(URLENCODED, b"event=%5B%7B%7D%5D"),
            Ok(Some("[{}]".into()))
        );
        assert_eq!(
            read(URLENCODED, b"ext_data=&score=x").unwrap().unwrap(),
            r#"{"score":"x"}"#
        );
    }

    #[test]
    fn reads_parts() {
        let kind = "multipart/form-data; boundary=\"xyz\"";
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"score\"\r\n\r\n94.8\r\n--xyz\r\ncontent-disposition: form-data; filename=\"a.jpg\"; name=\"spot_pic\"\r\nContent-Type: image/jpeg\r\n\r\n\xFF\xD8\xFF\xE0\r\n--xyz--\r\n";
        assert_eq!(
            read(kind, body),
            Ok(Some(r#"{"score":94.8,"spot_pic":"/9j/4A=="}"#.into()))
        );
        assert_eq!(
            read(kind, b"--xyz\r\ncut off"),
            Err("not a form as its header says".into())
        );
        assert_eq!(read(kind, b"--xyz--"), Err("a form without fields".into()));
    }

    #[test]
    fn says_why_it_cannot_be_read() {
        assert_eq!(
            read(URLENCODED, b"ext_data={'a':1}&score=1"),
            Err("`ext_data` of the form is not JSON".into())
        );
        assert_eq!(
            read(URLENCODED, b"identity_name=%FF"),
            Err("a field of the form is not UTF-8".into())
        );
        assert_eq!(
            read(URLENCODED, "a&".repeat(1001).as_bytes()),
            Err("more than 1000 fields in one form".into())
        );
    }

    #[test]
    fn json_stays_json() {
        assert_eq!(read(URLENCODED, b" {\"a\":1}"), Ok(None));
        assert_eq!(read("text/plain", b"a=1"), Ok(None));
    }
}

//! Takes secrets, face templates and pictures out of what stays under `vendor`.
//!
//! The documented ones are taken where they are read. This is for members that no document names, and for places where
//! no document puts them.

use faceway_core::{Members, Rest, Text};
use serde_json::value::RawValue;

use crate::wire::PICTURES;

/// Names of secrets, in lower case and without separators.
const SECRETS: [&str; 9] = [
    "pin",
    "pincode",
    "pwd",
    "passwd",
    "token",
    "accesstoken",
    "apikey",
    "secret",
    "authorization",
];

/// What stands in the names of secrets and of face templates.
const SECRET_PARTS: [&str; 4] = ["password", "feature", "template", "embedding"];

/// How the base64 of a picture begins: JPEG, PNG, GIF, WebP, and any as a URL. With a `/` that may be escaped.
const PICTURE_STARTS: [&str; 7] = [
    "/9j/",
    "\\/9j",
    "iVBORw0KGgo",
    "R0lGOD",
    "UklGR",
    "data:image/",
    "data:image\\/",
];

/// What is nested deeper is left out unread: each level is one more pass over its text. The document has 3 levels.
const DEPTH_MAX: usize = 16;

/// Gives the members without secrets and pictures, at any depth.
pub(crate) fn scrub<'a>(members: Members<'a>, warnings: &mut Vec<Text<'a>>) -> Members<'a> {
    if members.iter().all(|(name, rest)| is_plain(name, rest)) {
        return members;
    }
    let mut scrubbed = Members::default();
    for (name, rest) in members.iter() {
        if let Some(rest) = scrub_rest(name, rest, warnings) {
            scrubbed.put(name.to_owned(), rest);
        }
    }
    scrubbed
}

/// Whether there is nothing to look into and nothing to take out. Almost every push ends here.
fn is_plain(name: &str, rest: &Rest<'_>) -> bool {
    let plain = match rest {
        Rest::Raw(raw) => !raw.get().starts_with(['{', '[']) && !is_picture(raw),
        Rest::Owned(_) | Rest::Object(_) => false,
    };
    plain && !is_secret(name) && !is_picture_name(name)
}

fn scrub_rest<'a>(name: &str, rest: &Rest<'a>, warnings: &mut Vec<Text<'a>>) -> Option<Rest<'a>> {
    let Rest::Raw(raw) = rest else {
        return Some(rest.clone());
    };
    if is_plain(name, rest) {
        return Some(Rest::Raw(raw));
    }
    let mut writer = Writer::default();
    let kept = !is_secret(name) && writer.member(name, raw, 1);
    if let Some(warning) = writer.warning
        && !warnings.iter().any(|known| known == warning)
    {
        warnings.push(warning.into());
    }
    let text = writer.text;
    kept.then(|| RawValue::from_string(text).ok().map(Rest::Owned))?
}

/// Writes a value again, without secrets and pictures. One value is in hand at a time, so that a list of a million
/// objects takes no more memory than its text.
#[derive(Default)]
struct Writer {
    text: String,
    warning: Option<&'static str>,
}

impl Writer {
    /// Writes the value of a member that is no secret; gives whether there is anything to keep.
    fn member(&mut self, name: &str, raw: &RawValue, depth: usize) -> bool {
        if is_picture_name(name) {
            return self.leave_out(PICTURE_LEFT_OUT);
        }
        self.value(raw, depth)
    }

    fn value(&mut self, raw: &RawValue, depth: usize) -> bool {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{' | b'[') if depth > DEPTH_MAX => self.leave_out(DEPTH_LEFT_OUT),
            Some(b'{') => self.object(raw, depth),
            Some(b'[') => self.list(text, depth),
            _ if is_picture(raw) => self.leave_out(PICTURE_LEFT_OUT),
            _ => {
                self.text.push_str(text);
                true
            }
        }
    }

    fn object(&mut self, raw: &RawValue, depth: usize) -> bool {
        let Some(members) = Members::of(raw) else {
            return false;
        };
        self.text.push('{');
        for (name, rest) in members.iter() {
            if let Rest::Raw(raw) = rest
                && !is_secret(name)
            {
                let before = self.comma();
                self.text
                    .push_str(&serde_json::Value::from(name).to_string());
                self.text.push(':');
                if !self.member(name, raw, depth + 1) {
                    self.text.truncate(before);
                }
            }
        }
        self.text.push('}');
        true
    }

    fn list(&mut self, text: &str, depth: usize) -> bool {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            return false;
        };
        self.text.push('[');
        for item in items {
            let before = self.comma();
            if !self.value(item, depth + 1) {
                self.text.truncate(before);
            }
        }
        self.text.push(']');
        true
    }

    /// Writes a comma where one is due; gives where the text ended before.
    fn comma(&mut self) -> usize {
        let before = self.text.len();
        if !self.text.ends_with(['{', '[']) {
            self.text.push(',');
        }
        before
    }

    const fn leave_out(&mut self, warning: &'static str) -> bool {
        self.warning = Some(warning);
        false
    }
}

const PICTURE_LEFT_OUT: &str = "vendor: a picture in an undocumented place was left out";
const DEPTH_LEFT_OUT: &str = "vendor: what is nested deeper than 16 levels was left out";

fn is_secret(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    SECRETS.contains(&plain.as_str()) || SECRET_PARTS.iter().any(|part| plain.contains(part))
}

fn is_picture_name(name: &str) -> bool {
    PICTURES.iter().any(|(picture, _)| *picture == name)
}

fn is_picture(raw: &RawValue) -> bool {
    raw.get().strip_prefix('"').is_some_and(|text| {
        let text = text.trim_start();
        PICTURE_STARTS.iter().any(|start| text.starts_with(start))
    })
}

#[cfg(test)]
mod tests {
    use faceway_core::Members;

    use super::scrub;

    fn scrubbed(json: &str) -> (String, usize) {
        let mut warnings = Vec::new();
        let members = scrub(Members::parse(json).unwrap(), &mut warnings);
        (serde_json::to_string(&members).unwrap(), warnings.len())
    }

    #[test]
    fn takes_out_secrets_at_any_depth() {
        assert_eq!(
            scrubbed(
                r#"{"a":1.50,"PIN":"1","b":[{"p\u0069n":1,"c":" "}],"face_feature":[1],"Admin-Password":"x"}"#
            ),
            (r#"{"a":1.50,"b":[{"c":" "}]}"#.into(), 0)
        );
    }

    #[test]
    fn takes_out_pictures_at_any_depth() {
        assert_eq!(
            scrubbed(
                r#"{"a":{"ir":"/9j/4A==","b":["data:image/png;base64,AA",2]},"c":{"rgb_image":"x"}}"#
            ),
            (r#"{"a":{"b":[2]},"c":{}}"#.into(), 1)
        );
    }

    #[test]
    fn leaves_out_what_is_too_deep() {
        let deep = |levels: usize| {
            let json = format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
            scrubbed(&json)
        };
        assert_eq!(deep(16).1, 0);
        assert_eq!(deep(17).1, 1);
    }

    #[test]
    fn leaves_the_rest_as_sent() {
        let sent = r#"{"a":1.50,"b":" ","c":null,"d":12345678901234567890}"#;
        assert_eq!(scrubbed(sent), (sent.into(), 0));
    }
}

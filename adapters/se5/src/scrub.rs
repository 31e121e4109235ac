//! Takes secrets, face templates, pictures and the credentials of URLs out of what stays under `vendor`.
//!
//! The documented ones are taken where they are read. This is for members that no document names, and for places where
//! no document puts them.

use faceway_core::{Members, Rest, Text};
use serde_json::value::RawValue;

use crate::fields::text;
use crate::message::PICTURES;
use crate::url::without_credentials;

/// Names of secrets, in lower case and without separators. `dev_sno` is a box's licence, as is `mq_license_key`.
const SECRETS: [&str; 11] = [
    "pin",
    "pincode",
    "pwd",
    "passwd",
    "token",
    "accesstoken",
    "logintoken",
    "apikey",
    "secret",
    "authorization",
    "devsno",
];

/// What stands in the names of secrets and of face templates.
const SECRET_PARTS: [&str; 6] = [
    "password",
    "licensekey",
    "licencekey",
    "feature",
    "template",
    "embedding",
];

/// How the base64 of a picture begins: JPEG, PNG, GIF, WebP, and any as a URL.
const PICTURE_STARTS: [&str; 5] = ["/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "data:image/"];

/// Longer texts than this are no words: a picture may stand somewhere in them.
const WORDS_MAX: usize = 200;

/// What is nested deeper is left out unread: each level is one more pass over its text. The documents have 4 levels.
const DEPTH_MAX: usize = 16;

/// Gives the members without secrets and pictures, at any depth. `licences` are taken out of texts too: a camera's
/// `ep_id` begins with that of its box.
pub(crate) fn scrub(
    members: &Members<'_>,
    licences: &[String],
    warnings: &mut Vec<Text<'static>>,
) -> Members<'static> {
    let mut scrubbed = Members::default();
    for (name, rest) in members.iter() {
        let Rest::Raw(raw) = rest else { continue };
        let mut writer = Writer::new(licences);
        let kept = !is_secret(name) && writer.member(name, raw, 1);
        if let Some(warning) = writer.warning
            && !warnings.iter().any(|known| known == warning)
        {
            warnings.push(warning.into());
        }
        if kept && let Ok(value) = RawValue::from_string(writer.text) {
            scrubbed.put(name.to_owned(), Rest::Owned(value));
        }
    }
    scrubbed
}

/// Writes a value again, without secrets and pictures. One value is in hand at a time, so that a list of a million
/// objects takes no more memory than its text.
struct Writer<'l> {
    text: String,
    warning: Option<&'static str>,
    licences: &'l [String],
}

impl<'l> Writer<'l> {
    const fn new(licences: &'l [String]) -> Self {
        Self {
            text: String::new(),
            warning: None,
            licences,
        }
    }

    /// Writes the value of a member that is no secret; gives whether there is anything to keep.
    fn member(&mut self, name: &str, raw: &RawValue, depth: usize) -> bool {
        if PICTURES.iter().any(|(picture, _)| *picture == name) {
            return match raw.get() {
                "null" | "\"\"" => false,
                _ => self.leave_out(PICTURE_LEFT_OUT),
            };
        }
        self.value(raw, depth)
    }

    fn value(&mut self, raw: &RawValue, depth: usize) -> bool {
        match raw.get().as_bytes().first() {
            Some(b'{' | b'[') if depth > DEPTH_MAX => self.leave_out(DEPTH_LEFT_OUT),
            Some(b'{') => self.object(raw, depth),
            Some(b'[') => self.list(raw.get(), depth),
            Some(b'"') => self.string(raw),
            _ => {
                self.text.push_str(raw.get());
                true
            }
        }
    }

    fn string(&mut self, raw: &RawValue) -> bool {
        let Some(sent) = text(raw).filter(|sent| sent.contains(['/', '+', ':']) || sent.len() > 6)
        else {
            self.text.push_str(raw.get());
            return true;
        };
        if is_picture(&sent) {
            return self.leave_out(PICTURE_LEFT_OUT);
        }
        let clean = without_licences(&without_credentials(&sent), self.licences);
        match clean == sent {
            true => self.text.push_str(raw.get()),
            false => self.text.push_str(&quoted(&clean)),
        }
        true
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
                self.text.push_str(&quoted(name));
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

/// The text without the box's licences, and without the two underscores that stand behind one.
pub(crate) fn without_licences(text: &str, licences: &[String]) -> String {
    let mut clean = text.to_owned();
    for licence in licences {
        if clean.contains(licence.as_str()) {
            clean = clean
                .replace(&format!("{licence}__"), "")
                .replace(licence.as_str(), "");
        }
    }
    clean
}

const PICTURE_LEFT_OUT: &str = "vendor: a picture in an undocumented place was left out";
const DEPTH_LEFT_OUT: &str = "vendor: what is nested deeper than 16 levels was left out";

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn is_secret(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|letter| letter.is_alphanumeric())
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    SECRETS.contains(&plain.as_str()) || SECRET_PARTS.iter().any(|part| plain.contains(part))
}

fn is_picture(text: &str) -> bool {
    let text = text.trim_start();
    PICTURE_STARTS.iter().any(|start| text.starts_with(start))
        || text.len() > WORDS_MAX
            && ["/9j/", "\\/9j", "iVBORw0KGgo", ";base64,"]
                .iter()
                .any(|start| text.contains(start))
}

#[cfg(test)]
mod tests {
    use faceway_core::Members;

    use super::scrub;

    fn scrubbed(json: &str) -> (String, usize) {
        let mut warnings = Vec::new();
        let licences = ["AKOPK".to_owned()];
        let members = scrub(&Members::parse(json).unwrap(), &licences, &mut warnings);
        (serde_json::to_string(&members).unwrap(), warnings.len())
    }

    #[test]
    fn takes_out_secrets_at_any_depth() {
        assert_eq!(
            scrubbed(
                r#"{"a":1.50,"PIN":"1","b":[{"mq_l\u0069cense_key":1,"c":" "}],"feature_binary":[1],"Dev-Sno":"x"}"#
            ),
            (r#"{"a":1.50,"b":[{"c":" "}]}"#.into(), 0)
        );
    }

    #[test]
    fn takes_licences_out_of_texts() {
        assert_eq!(
            scrubbed(r#"{"a":[{"ep_id":"AKOPK__10.0.0.1"}],"b":"of AKOPK"}"#),
            (r#"{"a":[{"ep_id":"10.0.0.1"}],"b":"of "}"#.into(), 0)
        );
    }

    #[test]
    fn takes_out_pictures_at_any_depth() {
        let long = format!(r#"{{"a":"{{'spot_pic':'/9j/{}'}}"}}"#, "A".repeat(300));
        assert_eq!(scrubbed(&long), ("{}".into(), 1));
        assert_eq!(
            scrubbed(
                r#"{"a":{"ir":"\/9j\/4A==","b":["data:image/png;base64,AA",2],"reg_pic":""},"c":{"spot_pic":"x"}}"#
            ),
            (r#"{"a":{"b":[2]},"c":{}}"#.into(), 1)
        );
    }

    #[test]
    fn takes_credentials_out_of_urls() {
        assert_eq!(
            scrubbed(r#"{"a":[{"u":"rtsp:\/\/admin:x@10.0.0.1\/1"}],"b":"rtsp://10.0.0.1/1"}"#),
            (
                r#"{"a":[{"u":"rtsp://10.0.0.1/1"}],"b":"rtsp://10.0.0.1/1"}"#.into(),
                0
            )
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
        let sent = r#"{"a":1.50,"b":" ","c":null,"d":12345678901234567890,"e":"\u674e/"}"#;
        assert_eq!(scrubbed(sent), (sent.into(), 0));
    }
}

//! Takes secrets, face templates and pictures out of what a vendor sent.
//!
//! The documented ones are taken where they are read. This is for members that no document names, and for places where
//! no document puts them.

mod url;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::lenient::has;
use crate::{Members, Raw, Rest, Text};

pub use url::scrub_urls;

/// What of one vendor must not stay under `vendor`, beyond what never stays: secrets by their names, face templates,
/// credentials in URLs, and texts that begin as the base64 of a picture does.
#[derive(Clone, Copy, Debug)]
pub struct Scrub {
    /// Members that hold pictures, wherever they stand.
    pub pictures: &'static [&'static str],
    /// Members that go without a word, by their names in lower case and without separators: `facefeature`.
    pub drops: fn(&str) -> bool,
}

/// What is nested deeper is left out unread: each level is one more pass over its text.
const DEPTH_MAX: usize = 16;

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

const PICTURE_LEFT_OUT: &str = "vendor: a picture in an undocumented place was left out";
const DEPTH_LEFT_OUT: &str = "vendor: what is nested deeper than 16 levels was left out";

impl Scrub {
    /// Gives the members without any of it, at any depth. What has nothing of it stays as sent.
    pub fn members<'a>(&self, members: Members<'a>, warnings: &mut Vec<Text<'a>>) -> Members<'a> {
        if members.iter().all(|(name, rest)| self.is_plain(name, rest)) {
            return members;
        }
        let mut scrubbed = Members::default();
        for (name, rest) in members.into_parts() {
            if let Some(rest) = self.rest(&name, rest, warnings) {
                scrubbed.put(scrub_urls(&name).into_owned(), rest);
            }
        }
        scrubbed
    }

    /// Whether there is nothing to look into and nothing to take out. Almost every member ends here.
    fn is_plain(&self, name: &str, rest: &Rest<'_>) -> bool {
        let plain = match rest {
            Rest::Raw(raw) => {
                let text = raw.get();
                !text.starts_with(['{', '[']) && !is_picture(text) && !may_hold_url(text)
            }
            Rest::Whole(..) | Rest::Owned(_) | Rest::Object(_) => false,
        };
        plain && !self.is_dropped(name) && !self.pictures.contains(&name) && !may_hold_url(name)
    }

    fn is_dropped(&self, name: &str) -> bool {
        with_plain(name, |name| is_secret(name) || (self.drops)(name))
    }

    fn rest<'a>(
        &self,
        name: &str,
        rest: Rest<'a>,
        warnings: &mut Vec<Text<'a>>,
    ) -> Option<Rest<'a>> {
        if self.is_dropped(name) {
            return None;
        }
        if self.is_plain(name, &rest) {
            return Some(rest);
        }
        let raw = match &rest {
            Rest::Raw(raw) | Rest::Whole(raw, _) => *raw,
            Rest::Owned(raw) => Raw::from(&**raw),
            Rest::Object(members) => {
                let members = self.members(members.clone(), warnings);
                return Some(Rest::Object(members));
            }
        };
        let mut writer = Writer::new(*self);
        let kept = writer.member(name, raw, 1);
        if let Some(warning) = writer.warning
            && !warnings.iter().any(|known| known == warning)
        {
            warnings.push(warning.into());
        }
        let text = writer.text;
        kept.then(|| RawValue::from_string(text).ok().map(Rest::Owned))?
    }
}

/// Writes a value again, without secrets and pictures. One value is in hand at a time, so that a list of a million
/// objects takes no more memory than its text.
struct Writer {
    scrub: Scrub,
    text: String,
    warning: Option<&'static str>,
}

impl Writer {
    const fn new(scrub: Scrub) -> Self {
        Self {
            scrub,
            text: String::new(),
            warning: None,
        }
    }

    /// Writes the value of a member that is no secret; gives whether there is anything to keep.
    fn member(&mut self, name: &str, raw: Raw<'_>, depth: usize) -> bool {
        if self.scrub.pictures.contains(&name) {
            return self.leave_out(PICTURE_LEFT_OUT);
        }
        self.value(raw, depth)
    }

    fn value(&mut self, raw: Raw<'_>, depth: usize) -> bool {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{' | b'[') if depth > DEPTH_MAX => return self.leave_out(DEPTH_LEFT_OUT),
            Some(b'{') => return self.object(raw, depth),
            Some(b'[') => return self.list(raw, depth),
            _ if is_picture(text) => return self.leave_out(PICTURE_LEFT_OUT),
            _ if may_hold_url(text) => self.text.push_str(&without_credentials(text)),
            _ => self.text.push_str(text),
        }
        true
    }

    fn object(&mut self, raw: Raw<'_>, depth: usize) -> bool {
        let Some(members) = Members::of(raw) else {
            return false;
        };
        self.text.push('{');
        for (name, rest) in members.iter() {
            if let Some(raw) = rest.sent()
                && !self.scrub.is_dropped(name)
            {
                let before = self.comma();
                let shown = serde_json::Value::from(scrub_urls(name));
                self.text.push_str(&shown.to_string());
                self.text.push(':');
                if !self.member(name, raw, depth + 1) {
                    self.text.truncate(before);
                }
            }
        }
        self.text.push('}');
        true
    }

    fn list(&mut self, raw: Raw<'_>, depth: usize) -> bool {
        let Some(items) = raw.items() else {
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

/// Gives a name in lower case and without separators. Every name of every message is asked: those of documents are short and
/// ASCII, and then nothing is allocated.
fn with_plain<T>(name: &str, ask: impl FnOnce(&str) -> T) -> T {
    let mut short = [0; 48];
    if name.len() > short.len() || !name.is_ascii() {
        return ask(&plain(name));
    }
    let mut length = 0;
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            short[length] = byte.to_ascii_lowercase();
            length += 1;
        }
    }
    ask(std::str::from_utf8(&short[..length]).unwrap_or_default())
}

/// A name in lower case and without separators.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Whether members of this name hold a secret or a face template: `pin`, `Admin-Password`, `access_token`.
pub fn is_secret_name(name: &str) -> bool {
    with_plain(name, is_secret)
}

fn is_secret(name: &str) -> bool {
    let exact = ["pin", "pincode", "pwd", "authorization", "credentials"];
    let ends = ["token", "secret", "passwd", "passphrase"];
    let keys = [
        "apikey",
        "accesskey",
        "secretkey",
        "privatekey",
        "licensekey",
        "licencekey",
    ];
    let parts = ["password", "template", "embedding", "featurevector"];
    exact.contains(&name)
        || ends.iter().chain(&keys).any(|end| name.ends_with(end))
        || parts.iter().any(|part| name.contains(part))
}

/// Whether the text of a JSON value begins as the base64 of a picture does.
fn is_picture(json: &str) -> bool {
    json.strip_prefix('"').is_some_and(|text| {
        let text = text.trim_start();
        PICTURE_STARTS.iter().any(|start| text.starts_with(start))
    })
}

/// Whether a text, or the text of a JSON value, may hold a URL. Slashes may be escaped.
fn may_hold_url(text: &str) -> bool {
    has(text, b'\\') || has(text, b'/') && url::may_hold_url(text)
}

fn without_credentials(json: &str) -> Cow<'_, str> {
    let Ok(text) = serde_json::from_str::<String>(json) else {
        return Cow::Borrowed(json);
    };
    match scrub_urls(&text) {
        Cow::Borrowed(_) => Cow::Borrowed(json),
        Cow::Owned(scrubbed) => Cow::Owned(serde_json::Value::from(scrubbed).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::Scrub;
    use crate::{Members, Rest};

    const SCRUB: Scrub = Scrub {
        pictures: &["rgb_image"],
        drops: |name| name.contains("feature"),
    };

    fn scrubbed(json: &str) -> (String, usize) {
        let mut warnings = Vec::new();
        let members = SCRUB.members(Members::parse(json).unwrap(), &mut warnings);
        (serde_json::to_string(&members).unwrap(), warnings.len())
    }

    #[test]
    fn takes_out_secrets_at_any_depth() {
        assert_eq!(
            scrubbed(
                r#"{"a":1.50,"PIN":"1","b":[{"p\u0069n":1,"c":" "}],"face_feature":[1],"Admin-Password":"x","external_detector_token":"t"}"#
            ),
            (r#"{"a":1.50,"b":[{"c":" "}]}"#.into(), 0)
        );
    }

    #[test]
    fn takes_credentials_out_of_urls_at_any_depth() {
        assert_eq!(
            scrubbed(
                r#"{"a":"rtsp://u:p@h/1","b":[{"c":"http:\/\/h\/?token=t&x=1"}],"rtsp://u:p@h":{"\u002f/u@h":1},"d":"http:\/\/h"}"#
            ),
            (
                r#"{"a":"rtsp://h/1","b":[{"c":"http://h/?x=1"}],"rtsp://h":{"//h":1},"d":"http:\/\/h"}"#.into(),
                0
            )
        );
    }

    #[test]
    fn looks_into_objects_of_which_some_was_taken() {
        let mut members = Members::default();
        let camera = Members::parse(r#"{"url":"rtsp://u:p@h","password":"x"}"#).unwrap();
        members.put("camera", Rest::Object(camera));
        let members = SCRUB.members(members, &mut Vec::new());
        assert_eq!(
            serde_json::to_string(&members).unwrap(),
            r#"{"camera":{"url":"rtsp://h"}}"#
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
        let sent = r#"{"a":1.50,"b":" ","c":null,"d":12345678901234567890,"e":"\u674e","monkey":1,"description":2}"#;
        assert_eq!(scrubbed(sent), (sent.into(), 0));
    }
}

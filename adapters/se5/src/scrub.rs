//! Takes secrets, face templates, pictures and the credentials of URLs out of what stays under `vendor`, and makes it
//! independent of the body.

use faceway_core::{Members, Rest, Scrub, Text};
use serde_json::value::RawValue;

use crate::message::PICTURES;

/// `dev_sno` is a box's licence, as is `mq_license_key`, which is a secret by its name.
const SCRUB: Scrub = Scrub {
    pictures: &PICTURE_NAMES,
    drops: |name| name.contains("feature") || name == "devsno",
};

const PICTURE_NAMES: [&str; PICTURES.len()] = {
    let mut names = [""; PICTURES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = PICTURES[index].0;
        index += 1;
    }
    names
};

/// Longer texts than this are no words: a message that was put into a text may hold a picture anywhere.
const WORDS_MAX: usize = 200;

const TEXT_LEFT_OUT: &str = "vendor: a text with a picture in it was left out";

/// Gives the members without any of it, at any depth. A camera's `ep_id` is written behind the licence of its box: it
/// loses one of `licences`.
pub(crate) fn scrub(
    members: &Members<'_>,
    licences: &[String],
    warnings: &mut Vec<Text<'static>>,
) -> Members<'static> {
    let mut found = Vec::new();
    let members = SCRUB.members(members.clone(), &mut found);
    warnings.extend(
        found
            .into_iter()
            .map(|warning| Text::Owned(warning.into_owned())),
    );
    let mut scrubbed = Members::default();
    for (name, rest) in members.iter() {
        let text = match rest {
            Rest::Raw(raw) | Rest::Whole(raw, _) => raw.get(),
            Rest::Owned(raw) => raw.get(),
            // Scrubbed and put back by itself.
            Rest::Object(_) => continue,
        };
        if has_picture_inside(text) {
            warnings.push(TEXT_LEFT_OUT.into());
        } else if let Ok(value) = RawValue::from_string(without_licences(text, licences)) {
            scrubbed.put(name.to_owned(), Rest::Owned(value));
        }
    }
    scrubbed
}

fn has_picture_inside(json: &str) -> bool {
    json.starts_with('"')
        && json.len() > WORDS_MAX
        && ["/9j/", "\\/9j", "iVBORw0KGgo", ";base64,"]
            .iter()
            .any(|start| json.contains(start))
}

/// The value's text, without the licences that texts in it begin with.
fn without_licences(json: &str, licences: &[String]) -> String {
    licences.iter().fold(json.to_owned(), |json, licence| {
        json.replace(&format!("\"{licence}__"), "\"")
    })
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
                r#"{"a":1.50,"PIN":"1","b":[{"mq_l\u0069cense_key":1,"c":" "}],"feature_binary":[1],"Dev-Sno":"x","LOGIN_TOKEN":1}"#
            ),
            (r#"{"a":1.50,"b":[{"c":" "}]}"#.into(), 0)
        );
        assert_eq!(
            scrubbed(r#"{"a":[{"u":"rtsp:\/\/admin:x@10.0.0.1\/1"}]}"#),
            (r#"{"a":[{"u":"rtsp://10.0.0.1/1"}]}"#.into(), 0)
        );
        assert_eq!(
            scrubbed(r#"{"a":[{"ep_id":"AKOPK__10.0.0.1"}],"b":"AKOPK__"}"#),
            (r#"{"a":[{"ep_id":"10.0.0.1"}],"b":""}"#.into(), 0)
        );
    }

    #[test]
    fn takes_out_pictures_at_any_depth() {
        let long = format!(r#"{{"a":"{{'spot_pic':'/9j/{}'}}"}}"#, "A".repeat(300));
        assert_eq!(scrubbed(&long), ("{}".into(), 1));
        assert_eq!(
            scrubbed(r#"{"a":{"ir":"\/9j\/4A==","b":[2]},"c":{"spot_pic":"x"}}"#),
            (r#"{"a":{"b":[2]},"c":{}}"#.into(), 1)
        );
    }

    #[test]
    fn leaves_the_rest_as_sent() {
        let sent = r#"{"a":1.50,"b":" ","c":null,"d":12345678901234567890,"e":"\u674e/"}"#;
        assert_eq!(scrubbed(sent), (sent.into(), 0));
    }
}

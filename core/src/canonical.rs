//! A digest of what JSON says, however it is written.

use std::borrow::Cow;

use serde_json::Value;
use sha2::Digest as _;

use crate::{Sha256, is_secret_name};

/// The digest of a JSON text's content: the same for another order of members, other blanks, escapes and spellings of
/// numbers (`94.8` and `94.80`), and for a member that is `null` or missing. Secrets are not in it. A text that is no JSON gives the digest of
/// its bytes. Ids are made from it, so what it gives may never change.
pub fn content_digest(json: &str) -> Sha256 {
    let Ok(value) = serde_json::from_str::<Value>(json) else {
        return Sha256::of(json.as_bytes());
    };
    let mut hasher = sha2::Sha256::new();
    feed(&mut hasher, &value);
    Sha256(hasher.finalize().into())
}

/// Every value begins with its kind and ends where its length or a count says, so that no two values run into each other.
fn feed(hasher: &mut sha2::Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Number(number) => text(hasher, b"#", &spelled(number.as_str())),
        Value::String(string) => text(hasher, b"s", string),
        Value::Array(items) => {
            hasher.update(b"[");
            hasher.update((items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| feed(hasher, item));
        }
        Value::Object(members) => {
            let mut told: Vec<_> = members
                .iter()
                .filter(|(name, value)| !value.is_null() && !is_secret(name))
                .collect();
            // serde_json's map may keep the order sent, when another crate of the build asks for that.
            told.sort_unstable_by_key(|(name, _)| *name);
            hasher.update(b"{");
            hasher.update((told.len() as u64).to_be_bytes());
            for (name, value) in told {
                text(hasher, b"k", name);
                feed(hasher, value);
            }
        }
    }
}

/// Receivers see ids: a PIN of four digits could be found by trying all of them.
fn is_secret(name: &str) -> bool {
    name == "pin" || is_secret_name(name)
}

fn text(hasher: &mut sha2::Sha256, kind: &[u8], text: &str) {
    hasher.update(kind);
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text);
}

/// Whole numbers keep every digit; others are spelled as the nearest float is.
fn spelled(number: &str) -> Cow<'_, str> {
    let digits = number.strip_prefix('-').unwrap_or(number);
    if digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Cow::Borrowed(number);
    }
    match number.parse::<f64>() {
        Ok(float) if float.is_finite() => Cow::Owned(float.to_string()),
        _ => Cow::Borrowed(number),
    }
}

#[cfg(test)]
mod tests {
    use super::content_digest;

    #[test]
    fn the_same_content_has_one_digest_however_it_is_written() {
        let one = content_digest(r#"{"a":1.50,"b":["x",{"c":"/"}],"d":null}"#);
        for same in [
            r#"{ "b" : ["x", {"c":"\/"}], "a" : 1.5 }"#,
            r#"{"a":15e-1,"b":["\u0078",{"c":"/"}]}"#,
        ] {
            assert_eq!(content_digest(same), one, "{same}");
        }
        assert_eq!(content_digest("5"), content_digest("5.0"));
    }

    #[test]
    fn secrets_do_not_count() {
        let without = content_digest(r#"{"user":{"id":1}}"#);
        for name in ["pin", "password", "token"] {
            let with = format!(r#"{{"user":{{"id":1,"{name}":"1234"}}}}"#);
            assert_eq!(content_digest(&with), without, "{name}");
        }
    }

    #[test]
    fn another_content_has_another_digest() {
        let texts = [
            "{}",
            "[]",
            "[[]]",
            "[[],[]]",
            "[{}]",
            r#""""#,
            "0",
            "false",
            "true",
            "null",
            r#"{"a":""}"#,
            r#"{"a":0}"#,
            r#"{"a":"0"}"#,
            r#"{"a":[0]}"#,
            r#"{"a":{"b":0}}"#,
            r#"{"a":{},"b":0}"#,
            r#"["a","b"]"#,
            r#"["ab",""]"#,
            "9007199254740993",
            "9007199254740992",
            "no json",
            "{",
        ];
        let digests: std::collections::HashSet<_> = texts.map(content_digest).into_iter().collect();
        assert_eq!(digests.len(), texts.len());
    }
}

//! What looks like a secret in the text of a file. The reader masks every value where a secret is expected; this finds
//! them also where the file cannot be read, so that a missing quote does not show the password behind it.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// What is shown in place of a secret.
pub(super) const MASK: &str = "********";

/// Words that a secret's key has in it, or nearly: a slip of a finger must not show what it is for.
const WORDS: [&str; 10] = [
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "credential",
    "authorization",
    "cookie",
    "apikey",
    "bearer",
];
/// Short ones, which many words are near to: a whole part of a key is one of them, or has one letter more or less.
const SHORT: [&str; 2] = ["sign", "auth"];
/// Shorter ones.
const SHORTEST: [&str; 4] = ["pass", "pwd", "psk", "pin"];

#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, and a test uses both"
)]
static KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?m)(?:^|[\s{,."'])([\w-]+)["']?[ \t]*=[ \t]*"#).unwrap());

/// Who logs in, and everything behind the host: a webhook's path and parameters often are its secret.
#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, and a test uses both"
)]
static IN_URL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"://(?:([^\s"'<>]+)@)?[^\s"'<>/?\#@]*[/?\#]*([^\s"'<>]+)?"#).unwrap()
});

/// The stretches of `text` that look like secrets.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(key) = KEY.captures_at(text, at) {
        let Some((whole, name)) = key.get(0).zip(key.get(1)) else {
            break;
        };
        if is_secret(name.as_str()) {
            value(text, whole.end(), &mut found);
        }
        // A value may be the next key: `path = token = "x"`.
        at = name.end();
    }
    for url in IN_URL.captures_iter(text) {
        let parts = [url.get(1), url.get(2)];
        found.extend(parts.into_iter().flatten().map(|part| part.range()));
    }
    found
}

/// A text as it may be shown: what looks like a secret in it is masked, as in the lines of files.
pub fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for secret in secrets(text) {
        if secret.start >= at && !secret.is_empty() {
            shown.push_str(&text[at..secret.start]);
            shown.push_str(MASK);
            at = secret.end;
        }
    }
    shown.push_str(&text[at..]);
    shown
}

/// Whether a key is that of a secret, or a slip away from one.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let whole = key.replace(['-', '_'], "");
    let near = |part: &str, word: &str, slips| strsim::damerau_levenshtein(part, word) <= slips;
    let has = |part: &str| {
        WORDS
            .iter()
            .any(|word| part.contains(word) || near(part, word, if word.len() > 5 { 2 } else { 1 }))
            || SHORT.iter().any(|word| near(part, word, 1))
            || SHORTEST.contains(&part)
    };
    has(&whole) || whole.contains("auth") || key.split(['-', '_']).any(has)
}

/// The inside of a quoted string, so that the mask stands between the quotes.
pub(super) fn inside_quotes(text: &str, span: Range<usize>) -> Range<usize> {
    let value = text.get(span.clone()).unwrap_or_default();
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        let closed = value.len() >= 2 * quote.len() && value.ends_with(quote);
        if closed && value.starts_with(quote) {
            return span.start + quote.len()..span.end - quote.len();
        }
    }
    span
}

/// The texts of the value whose key ends at `at`.
pub(crate) fn value_behind(text: &str, at: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let rest = text.get(at..).unwrap_or_default();
    let behind = rest.trim_start_matches(['"', '\'', ' ', '\t']);
    if let Some(behind) = behind.strip_prefix('=') {
        let begin = text.len() - behind.trim_start_matches([' ', '\t']).len();
        value(text, begin, &mut found);
    }
    found
}

/// Masks the value that begins at `at`: a string, a bare word, or each string of a list. A table names its secret.
fn value(text: &str, at: usize, found: &mut Vec<Range<usize>>) {
    match text[at..].chars().next() {
        Some('"' | '\'') => {
            string(text, at, found);
        }
        Some('[') => list(text, at + 1, found),
        Some('{' | '#' | '\n' | '\r') | None => {}
        Some(_) => {
            let end = text[at..].find(['\n', '\r', ',', '#', '}']);
            found.push(at..end.map_or(text.len(), |end| at + end));
        }
    }
}

/// Masks a string, closed or not, and says where it ends.
fn string(text: &str, at: usize, found: &mut Vec<Range<usize>>) -> usize {
    let rest = &text[at..];
    for quote in ["\"\"\"", "'''"] {
        if let Some(inside) = rest.strip_prefix(quote) {
            let end = inside.find(quote).unwrap_or(inside.len());
            found.push(at + 3..at + 3 + end);
            return (at + 3 + end + 3).min(text.len());
        }
    }
    let quote = rest.as_bytes()[0];
    let mut escaped = false;
    let end = rest.bytes().skip(1).position(|byte| {
        let ends = matches!(byte, b'\n' | b'\r') || (byte == quote && !escaped);
        escaped = quote == b'"' && byte == b'\\' && !escaped;
        ends
    });
    let end = at + 1 + end.unwrap_or(rest.len() - 1);
    found.push(at + 1..end);
    (end + 1).min(text.len())
}

fn list(text: &str, mut at: usize, found: &mut Vec<Range<usize>>) {
    while let Some(char) = text.get(at..).and_then(|rest| rest.chars().next()) {
        at = match char {
            '"' | '\'' => string(text, at, found),
            '{' => at + text[at..].find(['}', '\n']).map_or(1, |end| end + 1),
            ',' | '[' => at + 1,
            char if char.is_whitespace() => at + char.len_utf8(),
            _ => return,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::secrets;

    fn masked(text: &str) -> Vec<&str> {
        secrets(text).into_iter().map(|at| &text[at]).collect()
    }

    #[test]
    fn finds_secrets_in_readable_and_broken_text() {
        assert_eq!(masked(r#"token = "abc""#), ["abc"]);
        assert_eq!(masked("token = \"abc\nx = 1"), ["abc"]);
        assert_eq!(masked("password = abc # so"), ["abc "]);
        assert_eq!(masked(r#"sign = ["a", { env = "X" }, 'b']"#), ["a", "b"]);
        assert_eq!(masked("\"X-Api-Key\" = '''a\nb"), ["a\nb"]);
        assert_eq!(masked(r#"token = "a\"b""#), [r#"a\"b"#]);
        assert_eq!(masked(r#"url = "https://me:p/w@host/x""#), ["me:p/w", "x"]);
        assert_eq!(
            masked(r#"url = "https://h?a=1&token=t9&b=2""#),
            ["a=1&token=t9&b=2"]
        );
    }

    #[test]
    fn a_slip_shows_nothing() {
        for key in [
            "pasword",
            "passwrd",
            "tokn",
            "tokken",
            "usr_password",
            "usr-pasword",
            "secrt",
            "sgn",
            "sing",
            "pass",
            "pwd",
            "Autorization",
            "x-api_key",
            "api-key",
            "acces_tokne",
            "cookies",
            "credentals",
        ] {
            let text = format!("x = {{ {key} = \"hunter2\" }}");
            assert_eq!(masked(&text), ["hunter2"], "{key}");
            assert_eq!(
                masked(&format!("path = {key} = hunter2")),
                ["hunter2"],
                "{key}"
            );
        }
    }

    #[test]
    fn of_a_url_the_host_is_shown() {
        for (url, parts) in [
            (
                "https://hooks.example/services/T0/B0?x=1#y",
                &["services/T0/B0?x=1#y"][..],
            ),
            ("https://me:p/w@host:8443/x", &["me:p/w", "x"]),
            ("https://host?token=t", &["token=t"]),
            ("mqtts://me@broker:8883", &["me"]),
            ("wss://host:8443/", &[]),
            ("http://[::1]:8080/a", &["a"]),
        ] {
            assert_eq!(masked(&format!("url = \"{url}\"")), parts, "{url}");
        }
    }

    #[test]
    fn leaves_names_alone() {
        assert!(masked(r#"token = { env = "LOBBY_TOKEN" }"#).is_empty());
        assert!(masked(r#"designs = "x""#).is_empty());
        for key in [
            "path",
            "to",
            "topic",
            "type",
            "since",
            "size",
            "site",
            "only",
            "omit",
            "once",
            "url",
            "name",
            "kind",
            "within",
            "timeout",
            "paths",
            "retry",
            "sink",
            "key",
            "cert",
            "client_id",
            "device",
            "spin",
            "basis",
        ] {
            assert!(masked(&format!("{key} = \"x\"")).is_empty(), "{key}");
        }
        assert!(masked("url = \"https://host\"\nname = \"a@b\"").is_empty());
    }
}

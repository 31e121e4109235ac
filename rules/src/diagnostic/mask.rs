//! What looks like a secret in the text of a file. The reader masks every value where a secret is expected; this finds
//! them also where the file cannot be read, so that a missing quote does not show the password behind it.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// What is shown in place of a secret.
pub(super) const MASK: &str = "********";

#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, and a test uses both"
)]
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    let words = "token|password|passwd|secret|auth|cookie|credential|api[-_]?key";
    Regex::new(&format!(
        r#"(?im)(?:^|[\s{{,."'])(?:[\w-]*(?:{words})[\w-]*|sign)["']?[ \t]*=[ \t]*"#
    ))
    .unwrap()
});

#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, and a test uses both"
)]
static IN_URL: LazyLock<Regex> = LazyLock::new(|| {
    let words = "token|password|passwd|secret|key|sig|auth";
    Regex::new(&format!(
        r#"(?i)://([^\s"'<>]+)@|[?&][\w-]*(?:{words})[\w-]*=([^&\s"'\#]+)"#
    ))
    .unwrap()
});

/// The stretches of `text` that look like secrets.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for key in KEY.find_iter(text) {
        value(text, key.end(), &mut found);
    }
    for url in IN_URL.captures_iter(text) {
        found.extend(url.get(1).or_else(|| url.get(2)).map(|part| part.range()));
    }
    found
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
        assert_eq!(masked(r#"url = "https://me:p/w@host/x""#), ["me:p/w"]);
        assert_eq!(masked(r#"url = "https://h/x?a=1&token=t9&b=2""#), ["t9"]);
    }

    #[test]
    fn leaves_names_alone() {
        assert!(masked(r#"token = { env = "LOBBY_TOKEN" }"#).is_empty());
        assert!(masked(r#"designs = "x""#).is_empty());
        assert!(masked("url = \"https://host/x\"\nname = \"a@b\"").is_empty());
    }
}

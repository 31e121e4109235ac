//! The path of a request as `routes.toml` writes paths.

use std::borrow::Cow;

/// The same path without what makes no difference (RFC 3986, section 6.2.2 and empty segments): `/in/lobby/`, `//in/lobby`
/// and `/in/l%6fbby` are `/in/lobby`. An escape of anything but a letter, a digit or one of `-._~` stays, so it reaches no
/// inbound: no path in `routes.toml` has such a sign.
pub(super) fn normal(path: &str) -> Cow<'_, str> {
    let is_normal = !path.contains('%')
        && !path.contains("//")
        && !path.contains("/.")
        && (path.len() < 2 || !path.ends_with('/'));
    if is_normal {
        return Cow::Borrowed(path);
    }
    let plain = unescaped(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in plain.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    Cow::Owned(format!("/{}", segments.join("/")))
}

fn unescaped(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3);
        let sign = code
            .and_then(|code| u8::from_str_radix(code, 16).ok())
            .map(char::from);
        match sign {
            Some(sign) if sign.is_ascii_alphanumeric() || "-._~".contains(sign) => {
                plain.push(sign);
                rest = &rest[at + 3..];
            }
            _ => {
                plain.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn what_makes_no_difference_is_taken_away() {
        for path in [
            "/in/lobby",
            "/in/lobby/",
            "//in/lobby",
            "/in//lobby//",
            "/in/l%6fbby",
            "/in/%6C%6fbby/",
            "/in/./lobby",
            "/x/../in/lobby",
            "/in/lobby/%2e",
        ] {
            assert_eq!(normal(path), "/in/lobby", "{path}");
        }
    }

    #[test]
    fn what_makes_a_difference_stays() {
        for (path, expected) in [
            ("/", "/"),
            ("", ""),
            ("/in/Lobby", "/in/Lobby"),
            ("/in%2flobby", "/in%2flobby"),
            ("/in/lobby%", "/in/lobby%"),
            ("/in/lobby%00", "/in/lobby%00"),
            ("/in/lobby%c3%a9", "/in/lobby%c3%a9"),
            ("/../../in", "/in"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }
}

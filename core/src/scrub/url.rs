//! Credentials in URLs.

use std::borrow::Cow;

use super::plain;

/// The text without the credentials of the URLs in it: `rtsp://user:pass@host/1?token=x&ch=2` becomes
/// `rtsp://host/1?ch=2`. Removed are the user and password before the host, parameters that carry a user, password, token
/// or key (also as a segment of the path, as some cameras want it), and parameters whose value is such a URL, encoded.
/// Nothing else changes. Where a badly written password makes the end of the credentials doubtful, more is removed, not
/// less.
pub fn scrub_urls(text: &str) -> Cow<'_, str> {
    scrub(text, NESTED_MAX)
}

/// How many URLs may be encoded in one another; what is deeper goes.
const NESTED_MAX: usize = 3;

fn scrub(text: &str, nested_max: usize) -> Cow<'_, str> {
    if !may_hold_url(text) {
        return Cow::Borrowed(text);
    }
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    // Asked once, so that many URLs without credentials are not searched to the end of the text each.
    let last_at = text.rfind('@');
    let credentials = |url: &str| match last_at {
        Some(at) if text.len() - url.len() <= at => credentials(url),
        _ => 0,
    };
    while let Some(at) = rest.find("//") {
        let (before, url) = rest.split_at(at + 2);
        scrubbed.push_str(before);
        rest = &url[credentials(url)..];
        let tail = rest.find(ends_host).unwrap_or(rest.len());
        scrubbed.push_str(&rest[..tail]);
        rest = &rest[tail..];
        // A URL may stand in the path of another one.
        let end = rest.find("//").map_or(rest.len(), |next| next + 1);
        let end = rest[..end].find(char::is_whitespace).unwrap_or(end);
        push_tail(&mut scrubbed, &rest[..end], nested_max);
        rest = &rest[end..];
        // The second slash of a `//` that ends the tail begins the next find.
        if let Some(behind) = scrubbed
            .ends_with('/')
            .then(|| rest.strip_prefix('/'))
            .flatten()
        {
            scrubbed.push('/');
            rest = &behind[credentials(behind)..];
        }
    }
    scrubbed.push_str(rest);
    match scrubbed == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(scrubbed),
    }
}

/// Whether `//` is in it. Every text of every message is asked, and almost none has as much as one slash.
pub(super) fn may_hold_url(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'/', bytes).any(|at| bytes.get(at + 1) == Some(&b'/'))
}

fn ends_host(letter: char) -> bool {
    matches!(letter, '/' | '?' | '#') || letter.is_whitespace()
}

/// How long the credentials at the start of `url`, behind its `//`, are; with their `@`.
fn credentials(url: &str) -> usize {
    let host = &url[..url.find(ends_host).unwrap_or(url.len())];
    if host.contains('@') {
        return doubtful(url).rfind('@').map_or(0, |at| at + 1);
    }
    // `admin:pa/ss@10.0.0.1`: what looks like a port is the start of a password.
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|digit| digit.is_ascii_digit());
    if host.starts_with('[') || host.split_once(':').is_none_or(|(_, port)| is_port(port)) {
        return 0;
    }
    let word = &url[..url.find(char::is_whitespace).unwrap_or(url.len())];
    let at = word.rfind('@').or_else(|| last_at_of_a_later_word(url));
    at.map_or(0, |at| at + 1)
}

/// The last `@` of the first word that has one: a password may have blanks, and that word may be a URL whose own password
/// has an `@`.
fn last_at_of_a_later_word(url: &str) -> Option<usize> {
    let first = url.find('@')?;
    let end = url[first..].find(char::is_whitespace);
    let end = end.map_or(url.len(), |length| first + length);
    url[..end].rfind('@')
}

/// How far the credentials of a URL that has some may reach: `p@ss/w#rd@cam`. Not into its parameters, nor the next URL.
fn doubtful(url: &str) -> &str {
    let word = &url[..url.find(char::is_whitespace).unwrap_or(url.len())];
    let word = &word[..word.find("://").unwrap_or(word.len())];
    let parameters = word.match_indices('?').find(|(at, _)| {
        let behind = &word[*at..];
        behind.find('@').is_none_or(|at| behind[..at].contains('='))
    });
    &word[..parameters.map_or(word.len(), |(at, _)| at)]
}

/// Writes path, query and fragment, without the parameters that carry credentials.
fn push_tail(out: &mut String, tail: &str, nested_max: usize) {
    let mut rest = tail;
    let mut in_query = false;
    // The delimiter of a parameter that was left out, for the one behind it.
    let mut owed = None;
    while let Some(delimiter) = rest.chars().next() {
        in_query |= matches!(delimiter, '?' | '#');
        let delimits = |letter: char| match letter {
            '&' | '#' | ';' => true,
            '/' | '?' => !in_query,
            _ => false,
        };
        let body = &rest[delimiter.len_utf8()..];
        let (body, behind) = body.split_at(body.find(delimits).unwrap_or(body.len()));
        rest = behind;
        let joins = matches!(delimiter, '&' | ';');
        // A raw `#` or `;` may belong to the secret before it.
        let of_secret = owed.is_some() && matches!(delimiter, '#' | ';') && !body.contains('=');
        if of_secret || is_secret_parameter(body, nested_max) {
            owed = owed.filter(|_| joins || of_secret).or(Some(delimiter));
            continue;
        }
        out.push(owed.take().filter(|_| joins).unwrap_or(delimiter));
        out.push_str(body);
    }
}

fn is_secret_parameter(parameter: &str, nested_max: usize) -> bool {
    let Some((_, value)) = parameter.split_once('=') else {
        return false;
    };
    // `user=admin_password=1_channel=1_stream=0.sdp` is one segment of a path.
    let named = parameter.split('_').chain([parameter]).any(|part| {
        part.split_once('=')
            .is_some_and(|(name, _)| is_secret_name(&decoded(name)))
    });
    named || carries_credentials(value, nested_max)
}

/// Whether a value is a URL, encoded, with credentials of its own.
fn carries_credentials(value: &str, nested_max: usize) -> bool {
    if !value.contains('%') {
        return false;
    }
    let value = decoded(value);
    nested_max
        .checked_sub(1)
        .is_none_or(|nested_max| matches!(scrub(&value, nested_max), Cow::Owned(_)))
}

/// Names of parameters that carry credentials, in lower case and without separators.
fn is_secret_name(name: &str) -> bool {
    let name = plain(name);
    let ends = [
        "token",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "username",
    ];
    let exact = [
        "user",
        "usr",
        "login",
        "pass",
        "pw",
        "psw",
        "auth",
        "authorization",
        // A token, in the websocket URLs of OMNI Platform up to 1.14.
        "access",
        "pin",
        "key",
    ];
    let keys = [
        "apikey",
        "accesskey",
        "authkey",
        "secretkey",
        "privatekey",
        "streamkey",
        "appkey",
    ];
    exact.contains(&name.as_str()) || ends.iter().chain(&keys).any(|end| name.ends_with(end))
}

/// Without percent escapes; those that give no UTF-8 stay unreadable.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%')
            .then(|| escaped(bytes.get(at + 1..at + 3)?))
            .flatten();
        decoded.push(escape.unwrap_or(byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    Some(digit(*digits.first()?)? * 16 + digit(*digits.get(1)?)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::scrub_urls;

    #[test]
    fn credentials_leave() {
        for (sent, kept) in [
            (
                "rtsp://admin:1q2w@192.0.2.7:554/s?ch=1",
                "rtsp://192.0.2.7:554/s?ch=1",
            ),
            ("rtsp://admin@cam/1", "rtsp://cam/1"),
            (
                "RTSP://a:b@[2001:db8::7]:554/1",
                "RTSP://[2001:db8::7]:554/1",
            ),
            // Passwords that are not encoded.
            ("rtsp://admin:p@ss@cam/1", "rtsp://cam/1"),
            ("rtsp://admin:p@s/s#@cam/1", "rtsp://cam/1"),
            ("rtsp://a:b@cam/1?mail=c@d", "rtsp://cam/1?mail=c@d"),
            ("rtsp://a:b@x/1,rtsp://c:d@y/2", "rtsp://x/1,rtsp://y/2"),
            ("rtsp://admin:pa/ss@cam/1", "rtsp://cam/1"),
            ("rtsp://admin:p?a#s@cam/1", "rtsp://cam/1"),
            ("rtsp://admin:two words@cam/1", "rtsp://cam/1"),
            // Found by the property test below: a host that looks like credentials, before a URL that has some.
            ("//:a rtsp://root:x9S@Z7q@cam/", "//cam/"),
            ("rtsp://admin:123456/7@cam/1", "rtsp://cam/1"),
            ("rtsp://admin:%40%3a@cam", "rtsp://cam"),
            // In a text, and several.
            ("Gate (rtsp://a:b@cam) north", "Gate (rtsp://cam) north"),
            ("rtsp://a:b@x/1 rtsp://c:d@y/2", "rtsp://x/1 rtsp://y/2"),
            ("http://proxy/rtsp://a:b@cam/1", "http://proxy/rtsp://cam/1"),
            ("//a:b@cam", "//cam"),
            // Parameters.
            (
                "http://cam/v?user=a&channel=1&password=b",
                "http://cam/v?channel=1",
            ),
            ("http://cam/v?channel=1&pwd=b#t", "http://cam/v?channel=1"),
            ("http://cam/v?Access-Token=a/b?c", "http://cam/v"),
            ("http://cam?key=1&x=2", "http://cam?x=2"),
            (
                "ws://omni/event-service/ws?access=1",
                "ws://omni/event-service/ws",
            ),
            ("http://cam/v?password=a#b&x=1", "http://cam/v?x=1"),
            ("http://cam/v?%70assword=a&x=1", "http://cam/v?x=1"),
            ("http://cam/v?api_key=a;x=1", "http://cam/v?x=1"),
            ("http://cam/v#access_token=a", "http://cam/v"),
            (
                "http://g/?src=rtsp%3A%2F%2Fa%3Ab%40cam&x=1",
                "http://g/?x=1",
            ),
            (
                "rtsp://cam:554/user=a_password=b_channel=1.sdp?real",
                "rtsp://cam:554?real",
            ),
            (
                "rtsp://cam/user=a&password=b&channel=1",
                "rtsp://cam/channel=1",
            ),
        ] {
            assert_eq!(scrub_urls(sent), kept, "{sent}");
        }
    }

    #[test]
    fn the_rest_stays() {
        for url in [
            "rtsp://192.0.2.7:554/cam/realmonitor?channel=1&subtype=0",
            "http://host/path@2x.png",
            "http://[2001:db8::7]/1",
            "http://host/a//b?c=//d&e=%2F%2Ff",
            "http://host/monkey=1/author=2?turkish=3&keys=4",
            "mail a@b.example, 10:30 // no URL",
            "///",
            "//",
            "",
            "a//",
            "http://",
            "//@",
            "x: //y",
        ] {
            let same = if url == "//@" { "//" } else { url };
            assert_eq!(scrub_urls(url), same);
        }
    }

    #[test]
    fn many_urls_take_no_quadratic_time() {
        for part in [
            "//",
            "//a",
            "//a:b",
            "//a@",
            "//a:b@c/",
            "http://a:b@c/?x=%2F%2Fd:e@f&user=1 ",
            "//a:b ",
            "?a",
            "//h/?a",
        ] {
            let text = part.repeat(30_000);
            assert!(scrub_urls(&text).len() <= text.len());
            // One sign at the end keeps every part of it searching.
            assert!(scrub_urls(&(text + "@")).len() <= part.len() * 30_000 + 1);
        }
    }

    proptest! {
        #[test]
        fn no_credentials_survive(
            password in "[a-zA-Z0-9@:/?#%&_.]{0,12}",
            before in "[a-z/ :]{0,8}",
            path in "[a-z/?&=]{0,8}",
        ) {
            // A password that looks like a port and a path cannot be told from them.
            prop_assume!(!password.contains("//"));
            let text = format!("{before}rtsp://root:x9S{password}Z7q@cam/{path}");
            let scrubbed = scrub_urls(&text);
            prop_assert!(!scrubbed.contains("x9S"), "{text:?} became {scrubbed:?}");
            prop_assert!(!scrubbed.contains("Z7q"), "{text:?} became {scrubbed:?}");
        }

        #[test]
        fn any_text_can_be_scrubbed(text in "[a:/@?#&;=%2Fé \"_]{0,40}") {
            let once = scrub_urls(&text).into_owned();
            prop_assert!(once.len() <= text.len());
        }
    }
}

//! Takes credentials out of URLs. Boxes name cameras by their video's URL, and cameras ask for a password in it.

use std::borrow::Cow;

/// The text, each URL in it without user, password, token and key.
pub(crate) fn without_credentials(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, after) = rest.split_at(at + 3);
        clean.push_str(scheme);
        let (url, behind) = after.split_at(url_end(after));
        clean.push_str(&without_pairs(behind_credentials(url)));
        rest = behind;
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// Where a URL ends: at a blank, a quote, or where the next one begins.
fn url_end(after: &str) -> usize {
    let end = after
        .find(|sign: char| sign.is_whitespace() || matches!(sign, '"' | '<' | '>'))
        .unwrap_or(after.len());
    match after[..end].find("://") {
        Some(next) => {
            let scheme = after[..next]
                .bytes()
                .rev()
                .take_while(u8::is_ascii_alphanumeric);
            next - scheme.count()
        }
        None => end,
    }
}

/// The URL from its host on.
fn behind_credentials(url: &str) -> &str {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    if let Some(at) = authority.rfind('@') {
        return &url[at + 1..];
    }
    // A password may hold a `/`. Then what looks like the host is a user: it has no dot, or no port behind its colon.
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let is_host = host.is_empty()
        || host.starts_with('[')
        || host.contains('.') && port.bytes().all(|digit| digit.is_ascii_digit())
        || !authority.contains(':');
    match url.rfind('@') {
        Some(at) if !is_host => &url[at + 1..],
        _ => url,
    }
}

/// What begins a pair, or ends one.
const BETWEEN: [char; 7] = ['/', '?', '&', ';', '#', '=', ','];

/// The URL without pairs `name=value` that are a user, password, token or key, wherever they stand in it: some cameras
/// have them in the path (`/user=admin&password=…&channel=1`).
fn without_pairs(url: &str) -> String {
    let mut clean = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('=') {
        let begin = rest[..at].rfind(BETWEEN).map_or(0, |begin| begin + 1);
        let value = &rest[at + 1..];
        let end = value.find(['&', ';', '#', '/', '?']).unwrap_or(value.len());
        if is_secret(&rest[begin..at]) {
            clean.push_str(&rest[..begin]);
            rest = &value[end..];
            if clean.ends_with(['?', '&', ';', '/']) && rest.starts_with(['&', ';']) {
                rest = &rest[1..];
            } else if clean.ends_with(['?', '&', ';']) {
                clean.pop();
            }
        } else {
            clean.push_str(&rest[..=at]);
            rest = value;
        }
    }
    clean.push_str(rest);
    clean
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts = ["pass", "pwd", "token", "secret", "auth", "credential"];
    parts.iter().any(|part| name.contains(part))
        || ["user", "usr", "login", "account", "sign"]
            .iter()
            .any(|start| name.starts_with(start))
        || name.ends_with("key")
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn takes_credentials_out() {
        for (sent, clean) in [
            ("rtsp://10.0.0.1:554/ch2", "rtsp://10.0.0.1:554/ch2"),
            ("rtsp://admin:x@10.0.0.1/ch2", "rtsp://10.0.0.1/ch2"),
            ("rtsp://admin:p@x@10.0.0.1/ch2", "rtsp://10.0.0.1/ch2"),
            ("rtsp://admin:p/x@10.0.0.1/ch2", "rtsp://10.0.0.1/ch2"),
            ("rtsp://admin:1/x@10.0.0.1/ch2", "rtsp://10.0.0.1/ch2"),
            ("rtsp://10.0.0.1:554/ch@2", "rtsp://10.0.0.1:554/ch@2"),
            ("http://cam/a@b", "http://cam/a@b"),
            ("rtsp://h/a?ch=1&password=x", "rtsp://h/a?ch=1"),
            ("rtsp://h/a?user=u&ch=1&Pwd=x&s=2", "rtsp://h/a?ch=1&s=2"),
            ("rtsp://h/a?token=x", "rtsp://h/a"),
            ("rtsp://h/user=u&password=x&ch=1.sdp", "rtsp://h/ch=1.sdp"),
            ("rtsp://h/user=u_password=x_ch=1.sdp?real", "rtsp://h/?real"),
            ("0xe0__rtsp://u:p@h/1", "0xe0__rtsp://h/1"),
            ("rtsp://u:p@h/1,rtsp://v:q@i/2 x", "rtsp://h/1,rtsp://i/2 x"),
            ("a@b.example, user=x", "a@b.example, user=x"),
            ("://", "://"),
            ("rtsp://é:é@", "rtsp://"),
        ] {
            assert_eq!(without_credentials(sent), clean, "{sent}");
        }
    }
}

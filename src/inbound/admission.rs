//! Who may push: by address and by token.

use std::net::IpAddr;

use faceway_core::Private;
use http::Uri;
use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

/// Who may push to an inbound.
#[derive(Debug, Default)]
pub struct Admission {
    allow: Vec<IpNet>,
    /// Digest of the token, so that comparing tells nothing by its time.
    token: Option<Private<[u8; 32]>>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// 403.
    Address,
    /// 401.
    Token,
    /// 403: a browser sends it for a web page.
    Page,
}

impl Admission {
    /// Lets in requests that come from one of `allow` (from anywhere when it is empty) and name `token` (if there is one).
    pub fn new(allow: Vec<IpNet>, token: Option<&Private<String>>) -> Self {
        let token = token.map(|token| Private::new(Sha256::digest(token.reveal()).into()));
        Self { allow, token }
    }

    /// Whether a token is needed.
    pub(crate) const fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    pub(super) fn check(&self, peer: IpAddr, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        if !self.allow.is_empty() && !self.allow.iter().any(|net| net.contains(&peer)) {
            return Err(Denied::Address);
        }
        let Some(expected) = &self.token else {
            // Any page that a person on the site looks at could push otherwise.
            return if is_from_a_page(headers) {
                Err(Denied::Page)
            } else {
                Ok(())
            };
        };
        let named = bearer(headers).is_some_and(|token| matches(token, expected))
            || uri
                .query()
                .and_then(token_of_query)
                .is_some_and(|token| matches(&token, expected));
        if named { Ok(()) } else { Err(Denied::Token) }
    }
}

/// Browsers name the page that sends (`Origin`) and how it stands to us (`Sec-Fetch-Site`); devices send neither. A page of
/// our own would name our own address as its origin. A name with a dot is not believed: its owner may have pointed it
/// here.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("?").trim())
    };
    if matches!(text(SEC_FETCH_SITE), Some(site) if !matches!(site, "none" | "same-origin")) {
        return true;
    }
    let Some(origin) = text(ORIGIN.as_str()) else {
        return false;
    };
    let authority = origin
        .split_once("://")
        .map_or("", |(_, authority)| authority);
    let host = text(HOST.as_str()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_own = !authority.is_empty()
        && authority.eq_ignore_ascii_case(host)
        && (is_address || !name.contains('.'));
    !is_own
}

const SEC_FETCH_SITE: &str = "sec-fetch-site";

fn matches(token: &[u8], expected: &Private<[u8; 32]>) -> bool {
    let digest: [u8; 32] = Sha256::digest(token).into();
    digest == *expected.reveal()
}

/// The token of `Authorization: Bearer …`, by its bytes: a token beyond ASCII is the UTF-8 that most clients send.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn token_of_query(query: &str) -> Option<Vec<u8>> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
        .map(percent_decoded)
}

/// Undoes `%XX` and `+`; what is no escape stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match (
            byte,
            digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()),
        ) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 3;
            }
            (b'+', _) => {
                decoded.push(b' ');
                at += 1;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        admission: &Admission,
        peer: &str,
        uri: &str,
        authorization: Option<&str>,
    ) -> Result<(), Denied> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        admission.check(peer.parse().unwrap(), &uri.parse().unwrap(), &headers)
    }

    #[test]
    fn a_token_is_taken_from_the_query_or_the_header() {
        let admission = Admission::new(Vec::new(), Some(&Private::new("a+b c%".to_owned())));
        assert_eq!(
            check(&admission, "127.0.0.1", "/in/x", None),
            Err(Denied::Token)
        );
        assert_eq!(
            check(&admission, "127.0.0.1", "/in/x?token=a", None),
            Err(Denied::Token)
        );
        assert_eq!(
            check(&admission, "127.0.0.1", "/in/x?a=1&token=a%2Bb+c%25", None),
            Ok(())
        );
        assert_eq!(
            check(&admission, "127.0.0.1", "/in/x?token=a%2Bb%20c%", None),
            Ok(())
        );
        assert_eq!(
            check(&admission, "127.0.0.1", "/in/x", Some("bearer a+b c%")),
            Ok(())
        );
        assert_eq!(
            check(&admission, "127.0.0.1", "/in/x", Some("Basic a+b c%")),
            Err(Denied::Token)
        );
        for (authorization, token) in [
            ("Bearer", Err(Denied::Token)),
            ("Bearer ", Err(Denied::Token)),
            ("Bearera+b c%", Err(Denied::Token)),
            ("BEARER  a+b c% ", Ok(())),
        ] {
            let told = check(&admission, "127.0.0.1", "/in/x", Some(authorization));
            assert_eq!(told, token, "{authorization}");
        }
    }

    #[test]
    fn a_token_beyond_ascii_is_taken_by_both_ways() {
        let admission = Admission::new(Vec::new(), Some(&Private::new("pässwörd 口".to_owned())));
        let ask = |uri, authorization| check(&admission, "127.0.0.1", uri, authorization);
        assert_eq!(ask("/in/x", Some("Bearer pässwörd 口")), Ok(()));
        assert_eq!(ask("/in/x", Some("Bearer passwörd 口")), Err(Denied::Token));
        let query = "/in/x?token=p%C3%A4ssw%C3%B6rd%20%E5%8F%A3";
        assert_eq!(ask(query, None), Ok(()));
        let headers = |value: &[u8]| {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            HeaderMap::from_iter([(AUTHORIZATION, value)])
        };
        let peer = "127.0.0.1".parse().unwrap();
        let latin1 = headers(b"Bearer p\xe4ssw\xf6rd");
        let uri = "/in/x".parse().unwrap();
        assert_eq!(admission.check(peer, &uri, &latin1), Err(Denied::Token));
    }

    #[test]
    fn web_pages_may_not_push_where_no_token_is_asked() {
        let open = Admission::default();
        let shut = Admission::new(Vec::new(), Some(&Private::new("t".to_owned())));
        for (headers, allowed) in [
            (&[][..], true),
            (&[("origin", "http://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "none")], true),
            (
                &[
                    ("host", "10.0.0.5:8080"),
                    ("origin", "http://10.0.0.5:8080"),
                ],
                true,
            ),
            (
                &[("host", "Gateway:8080"), ("origin", "http://gateway:8080")],
                true,
            ),
            (
                &[
                    ("host", "evil.example:8080"),
                    ("origin", "http://evil.example:8080"),
                ],
                false,
            ),
        ] {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    let name = http::HeaderName::from_static(name);
                    (name, http::HeaderValue::from_static(value))
                })
                .collect();
            let peer = "127.0.0.1".parse().unwrap();
            let ask = |admission: &Admission| {
                admission.check(peer, &"/in/x?token=t".parse().unwrap(), &headers)
            };
            let expected = if allowed { Ok(()) } else { Err(Denied::Page) };
            assert_eq!(ask(&open), expected, "{headers:?}");
            assert_eq!(ask(&shut), Ok(()), "{headers:?}");
        }
    }

    #[test]
    fn addresses_outside_the_list_are_denied_before_the_token_is_looked_at() {
        let admission = Admission::new(
            vec!["10.1.0.0/16".parse().unwrap()],
            Some(&Private::new("t".to_owned())),
        );
        assert_eq!(
            check(&admission, "10.2.0.1", "/in/x?token=t", None),
            Err(Denied::Address)
        );
        assert_eq!(check(&admission, "10.1.9.9", "/in/x?token=t", None), Ok(()));
    }
}

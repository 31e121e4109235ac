//! Our address, as devices are told it.

use faceway_core::Private;

/// `<public_url><path>?token=<token>`; without the query where no token is wanted.
pub(crate) fn address(
    public_url: &str,
    path: Option<&str>,
    token: Option<Private<String>>,
) -> Private<String> {
    let address = format!(
        "{}{}",
        public_url.trim_end_matches('/'),
        path.unwrap_or_default()
    );
    match token {
        None => Private::new(address),
        Some(token) => token.map(|token| format!("{address}?token={}", percent_encoded(&token))),
    }
}

/// Everything but the letters, digits and signs that mean themselves everywhere in a URL.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn a_token_is_encoded() {
        let told = |url, token: Option<&str>| {
            let token = token.map(|token| token.to_owned().into());
            address(url, Some("/in/lobby"), token).into_revealed()
        };
        assert_eq!(told("http://a:80", None), "http://a:80/in/lobby");
        assert_eq!(
            told("https://a/b/", Some("a-b_c.d~9")),
            "https://a/b/in/lobby?token=a-b_c.d~9"
        );
        assert_eq!(
            told("http://a", Some("a b&c=d+e/é%\"")),
            "http://a/in/lobby?token=a%20b%26c%3Dd%2Be%2F%C3%A9%25%22"
        );
    }
}

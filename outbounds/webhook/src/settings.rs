//! What a webhook needs to know, and what is wrong with it.

use std::time::Duration;

use faceway_core::{Private, SettingsError};
use faceway_tls::ClientTls;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use reqwest::Url;

/// How to reach an endpoint.
#[derive(Clone)]
pub struct WebhookSettings {
    /// `http://` or `https://`, with everything that belongs to it.
    pub url: String,
    /// Sent with every request, over our own where the names meet. Mark secret values as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Secrets of Standard Webhooks, each giving one signature: `whsec_` and base64 of the key, or else any text, whose
    /// bytes are the key. Several are for rotation. None: nothing is signed.
    pub sign: Vec<Private<String>>,
    /// For a whole delivery, from looking up the name to the head of the answer.
    pub timeout: Duration,
    /// For `https://` with a CA of one's own, or with a client certificate.
    pub tls: Option<ClientTls>,
    /// A proxy to go through. The environment's proxies are never used.
    pub proxy: Option<ProxySettings>,
    /// Whether bodies of more than a kilobyte are compressed.
    pub gzip: bool,
    /// Idle connections that are kept: as many as deliveries run at once.
    pub connections_max: usize,
}

/// How to reach a proxy.
#[derive(Clone)]
pub struct ProxySettings {
    /// `http://` or `https://`.
    pub url: String,
    /// Who we are to it, by HTTP's basic authentication.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Private<String>>,
}

impl From<String> for ProxySettings {
    fn from(url: String) -> Self {
        Self {
            url,
            username: None,
            password: None,
        }
    }
}

impl WebhookSettings {
    pub(crate) fn parsed_url(&self) -> Result<Url, SettingsError> {
        http_url("url", &self.url)
    }

    pub(crate) fn parsed_proxy(&self) -> Result<Option<Url>, SettingsError> {
        let proxy = self.proxy.as_ref();
        proxy.map(|proxy| http_url("proxy", &proxy.url)).transpose()
    }

    pub(crate) fn checked_headers(&self) -> Result<HeaderMap, SettingsError> {
        if let Some((name, _)) = self.headers.iter().find(|(name, _)| is_ours(name)) {
            let problem = format!("`{name}` is set by Faceway itself; leave it out");
            return Err(SettingsError::new("headers", problem));
        }
        Ok(self.headers.iter().cloned().collect())
    }
}

/// Headers that decide where a body ends or what its signature is.
fn is_ours(name: &HeaderName) -> bool {
    let framing = [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    framing.contains(name) || crate::sign::NAMES.contains(&name.as_str())
}

/// The URL may hold a password or a token, so no error repeats it.
fn http_url(key: &'static str, text: &str) -> Result<Url, SettingsError> {
    let url: Url = text.trim().parse().map_err(|error| {
        let problem =
            format!("is not a URL ({error}); write https://host/path or http://host/path");
        SettingsError::new(key, problem)
    })?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(SettingsError::new(
            key,
            "must begin with https:// or http://",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderName, HeaderValue, SettingsError, WebhookSettings};

    fn settings(url: &str) -> WebhookSettings {
        WebhookSettings {
            url: url.into(),
            headers: Vec::new(),
            sign: Vec::new(),
            timeout: std::time::Duration::from_secs(1),
            tls: None,
            proxy: None,
            gzip: false,
            connections_max: 1,
        }
    }

    #[test]
    fn a_url_is_http_and_never_repeated_in_an_error() {
        assert!(
            settings("https://erp.example/faces?k=v")
                .parsed_url()
                .is_ok()
        );
        for url in [
            "",
            "erp.example/s3cret",
            "ftp://user:s3cret@erp.example",
            "http://[s3cret",
            "mailto:s3cret@erp.example",
            "http://",
        ] {
            let error = settings(url).parsed_url().expect_err(url);
            assert_eq!(error.key, "url");
            assert!(!error.to_string().contains("s3cret"), "{error}");
            assert!(error.to_string().contains("http://"), "{error}");
        }
    }

    #[test]
    fn headers_of_ours_are_refused() {
        for name in ["content-length", "webhook-id", "webhook-signature"] {
            let mut settings = settings("http://erp.example");
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_static("s3cret");
            settings.headers = vec![(name.clone(), value)];
            let problem = format!("`{name}` is set by Faceway itself; leave it out");
            let expected = SettingsError::new("headers", problem);
            assert_eq!(settings.checked_headers(), Err(expected));
        }
    }
}

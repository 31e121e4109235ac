//! Talking with a device over its own HTTP API: sends what a dialogue asks, and hands in what is answered.

use std::error::Error;
use std::time::Duration;

use anyhow::Context as _;
use faceway_core::{ApiAnswer, ApiRequest, Dialogue, Step};
use faceway_tls::{ClientTls, Keys, Untrusted};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, Response, Url};

/// The HTTP API of one device.
pub(crate) struct Api {
    client: Client,
    base: Url,
    /// What a reason why there was no TLS calls things.
    keys: Keys,
}

/// How a dialogue ended.
#[derive(Debug)]
pub(crate) struct Led<T> {
    /// What came of it.
    pub(crate) result: T,
    /// Whether the device was asked anything; what was found out may change then.
    pub(crate) asked: bool,
}

/// Why a dialogue came to no result, by what is to be done.
#[derive(Debug)]
pub(crate) enum Lost {
    /// No answer as it should be: it may pass.
    Unreachable(String),
    /// Its certificate is not trusted, so it was told nothing.
    Untrusted(Untrusted),
    /// It refuses: an operator has to put something right.
    Refused(String),
    /// It does not accept who we say we are: it must not be asked again soon.
    Denied(String),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(text) | Self::Refused(text) | Self::Denied(text) => f.write_str(text),
            Self::Untrusted(untrusted) => untrusted.fmt(f),
        }
    }
}

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For one request, its answer's body included.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A dialogue that asks more often than this goes round in circles.
const REQUESTS_MAX: usize = 16;

impl Api {
    /// The API at `url`; nothing is dialled yet.
    ///
    /// # Errors
    /// When the URL or a certificate cannot be used.
    pub(crate) fn new(url: &str, tls: &ClientTls) -> anyhow::Result<Self> {
        let config = tls.config(url.starts_with("https://"))?;
        Self::with(url, config, tls.keys().at("api_url"))
    }

    /// The same with what many devices may share.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub(crate) fn with(url: &str, tls: rustls::ClientConfig, keys: Keys) -> anyhow::Result<Self> {
        let base: Url = url.parse().context("the URL of the API cannot be used")?;
        let client = Client::builder()
            .user_agent(concat!("faceway/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_MAX)
            .timeout(ANSWER_MAX)
            // Minutes pass between two dialogues, and a device has few connections.
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(tls)
            .build()?;
        Ok(Self { client, base, keys })
    }

    /// Leads a dialogue to its end; why it failed is told in words that name neither secret nor answer.
    pub(crate) async fn lead<T>(&self, dialogue: &mut dyn Dialogue<T>) -> Result<Led<T>, String> {
        let led = self.converse(dialogue).await;
        led.map_err(|lost| match lost {
            Lost::Untrusted(untrusted) => format!(
                "no TLS with the device's API: {}; its SHA-256 is {}",
                untrusted.distrust.reason(self.keys),
                untrusted.fingerprint()
            ),
            lost => lost.to_string(),
        })
    }

    /// The same, with what is to be done when it failed.
    pub(crate) async fn converse<T>(&self, dialogue: &mut dyn Dialogue<T>) -> Result<Led<T>, Lost> {
        let mut step = dialogue.begin();
        for asked in 0..=REQUESTS_MAX {
            match step {
                Step::Done(result) => {
                    return Ok(Led {
                        result,
                        asked: asked > 0,
                    });
                }
                Step::Failed(reason) => return Err(Lost::Refused(reason.into_owned())),
                Step::Denied(reason) => return Err(Lost::Denied(reason.into_owned())),
                Step::Ask(request) => {
                    let (status, body) = self.ask(request).await?;
                    let body = &body;
                    step = dialogue.hear(&ApiAnswer { status, body });
                }
            }
        }
        let text = "the device's API gives answers that lead nowhere";
        Err(Lost::Refused(text.into()))
    }

    async fn ask(&self, request: ApiRequest) -> Result<(u16, Vec<u8>), Lost> {
        let request = self.request(request).map_err(Lost::Refused)?;
        let response =
            self.client
                .execute(request)
                .await
                .map_err(|error| match Untrusted::among(&error) {
                    Some(untrusted) => Lost::Untrusted(untrusted.clone()),
                    None => Lost::Unreachable(format!(
                        "the device's API cannot be asked: {}",
                        why(&error, self.keys)
                    )),
                })?;
        let status = response.status().as_u16();
        let body = self.body(response).await.map_err(Lost::Unreachable)?;
        Ok((status, body))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES_MAX => {
                    return Err(format!(
                        "the device's API answers with more than {ANSWER_BYTES_MAX} bytes"
                    ));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => {
                    return Err(format!(
                        "the answer of the device's API broke off: {}",
                        why(&error, self.keys)
                    ));
                }
            }
        }
    }

    fn request(&self, asked: ApiRequest) -> Result<Request, String> {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}{}",
            self.base.path().trim_end_matches('/'),
            asked.path
        ));
        let method = Method::from_bytes(asked.method.as_str().as_bytes());
        let mut request = Request::new(method.unwrap_or_default(), url);
        // Revealed to be sent to the device that they are for; marked so that nothing on the way prints them.
        if let Some(authorization) = asked.authorization {
            let value = HeaderValue::from_str(authorization.reveal());
            let mut value = value.map_err(|_| "a token of the device's API is no header")?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        if let Some(body) = asked.body {
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
            *request.body_mut() = Some(body.into_revealed().into());
        }
        Ok(request)
    }
}

/// Why there was no TLS; else the innermost cause, which says it shortest, and names no address.
pub(super) fn why(error: &(dyn Error + 'static), keys: Keys) -> String {
    if let Some(reason) = faceway_tls::why(error, keys) {
        return format!("no TLS with it: {reason}");
    }
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    match error.downcast_ref::<reqwest::Error>() {
        Some(error) if error.is_timeout() => "no answer in time".into(),
        _ => innermost.to_string(),
    }
}

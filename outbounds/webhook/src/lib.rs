//! Events to an HTTP endpoint: one `POST` an event, confirmed by any 2xx.
//!
//! `README.md` beside this crate tells a receiver's author what arrives and how each answer is taken.
//!
//! **Invariant:** no retry, no buffer and no queue lives here. The one exception is a request that died on a kept-alive
//! connection which the far side had already closed: it was not seen, so it is sent again at once.

mod client;
mod failure;
mod fresh;
mod gzip;
mod kind;
mod settings;
mod sign;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{BoxFuture, Clock, Message, Outbound, SettingsError, Verdict};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Client, Method, Request, Response, Url};
use tokio::time::{Instant, timeout_at};

use crate::failure::Dialled;
use crate::sign::Signer;

pub use crate::kind::KIND;
pub use crate::settings::{ProxySettings, WebhookSettings};

/// An HTTP endpoint.
pub struct Webhook {
    url: Url,
    headers: HeaderMap,
    signer: Signer,
    /// Keeps connections for the next request.
    pooled: Client,
    /// Opens a connection for every request.
    unpooled: Client,
    dialled: Dialled,
    gzip: bool,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// Prepares deliveries to `settings.url`. Nothing is dialled yet. `clock` gives the `webhook-timestamp`.
    ///
    /// # Errors
    /// When a setting cannot mean anything: the error names its key and what to write instead.
    pub fn new(settings: WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        let url = settings.parsed_url()?;
        let tls = settings.tls.clone().unwrap_or_default();
        let dialled = Dialled {
            keys: tls.keys(),
            encrypted: url.scheme() == "https",
            proxied: settings.proxy.is_some(),
        };
        let (pooled, unpooled) = client::build(&settings, &url)?;
        let (url, headers) = client::addressed(&pooled, url, settings.checked_headers()?)?;
        Ok(Self {
            url,
            headers,
            signer: Signer::new(&settings.sign)?,
            pooled,
            unpooled,
            dialled,
            gzip: settings.gzip,
            timeout: settings.timeout,
            clock,
        })
    }

    async fn attempt(&self, message: &Message) -> Verdict {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.answer(message)).await {
            Ok(Ok(response)) => {
                let verdict = verdict::of(&response, self.dialled.proxied, self.clock.now());
                drain(response, deadline).await;
                verdict
            }
            Ok(Err(error)) => failure::verdict(&error, self.dialled),
            Err(_) => failure::timeout(),
        }
    }

    /// Sends the message and waits for the head of the answer.
    async fn answer(&self, message: &Message) -> reqwest::Result<Response> {
        let request = self.request(message).await;
        let again = request.try_clone();
        let (answered, reused) = fresh::watch(self.pooled.execute(request)).await;
        match (answered, again) {
            (Err(error), Some(again)) if reused && failure::is_unanswered(&error) => {
                // Another kept connection may be as stale as this one, so not one of those.
                self.unpooled.execute(again).await
            }
            (answered, _) => answered,
        }
    }

    async fn request(&self, message: &Message) -> Request {
        let mut request = Request::new(Method::POST, self.url.clone());
        // Revealed to be sent: rendering has already taken out what this destination may not see.
        let body = message.body.reveal();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(message.content_type));
        headers.extend(self.headers.clone());
        for (name, value) in &message.headers {
            // Rendering has made them what a header may be; what is not all the same is left out rather than sent broken.
            if let (Ok(name), Ok(value)) = (
                name.parse::<HeaderName>(),
                HeaderValue::from_str(value.reveal()),
            ) {
                headers.insert(name, value);
            }
        }
        // What is signed is the body as the receiver's code sees it, after its server has unpacked it.
        for (name, value) in self.signer.headers(message.id, self.clock.now(), body) {
            headers.insert(HeaderName::from_static(name), value);
        }
        let packed = match self.gzip {
            true => gzip::compressed(body).await,
            false => None,
        };
        if packed.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        *request.body_mut() = Some(Body::from(packed.unwrap_or_else(|| body.clone())));
        request
    }
}

impl Outbound for Webhook {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(self.attempt(message))
    }
}

/// Bytes of an answer's body that are read (and forgotten), so that the connection can carry the next request.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long the rest of an answer may take before opening a new connection is the better deal.
const ANSWER_REST_MAX: Duration = Duration::from_secs(1);

/// Reads what is left of the answer. The verdict stands already: a 2xx is a confirmation whatever follows it.
async fn drain(mut response: Response, deadline: Instant) {
    let limit = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    if response.content_length().is_some_and(|bytes| bytes > limit) {
        return;
    }
    let deadline = deadline.min(Instant::now() + ANSWER_REST_MAX);
    let mut read = 0;
    while let Ok(Ok(Some(chunk))) = timeout_at(deadline, response.chunk()).await {
        read += chunk.len();
        if read > ANSWER_BYTES_MAX {
            return;
        }
    }
}

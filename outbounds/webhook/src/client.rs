//! The HTTP clients of one webhook.

use std::time::Duration;

use faceway_tls::ClientTls;
use http::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Proxy, Url, retry};
use rustls::ClientConfig;

use crate::WebhookSettings;
use crate::fresh::Mark;
use faceway_core::SettingsError;

/// Below the five seconds after which Node closes an idle connection (`server.keepAliveTimeout`); a request on a
/// connection that is being closed is lost.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// A name has an address or has none; waiting longer for a handshake than this only delays the verdict.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Of an answer. The bytes of its head have a limit of their own.
const ANSWER_HEADERS_MAX: usize = 1000;

/// One client that keeps connections, and one that never does.
pub(crate) fn build(
    settings: &WebhookSettings,
    url: &Url,
) -> Result<(Client, Client), SettingsError> {
    let proxy = settings.parsed_proxy()?;
    let encrypted = [Some(url), proxy.as_ref()]
        .into_iter()
        .flatten()
        .any(|url| url.scheme() == "https");
    let tls = tls(settings.tls.as_ref(), encrypted)?;
    let client = |idle_max| {
        let mut builder = common(settings.timeout, tls.clone()).pool_max_idle_per_host(idle_max);
        if let (Some(url), Some(asks)) = (proxy.clone(), &settings.proxy) {
            let mut proxy = Proxy::all(url)
                .map_err(|_| SettingsError::new("proxy", "cannot be used as a proxy"))?;
            if let Some(username) = &asks.username {
                let password = asks.password.as_ref();
                // Revealed to be sent to the proxy, and only to it.
                let password = password.map_or("", |password| password.reveal());
                proxy = proxy.basic_auth(username, password);
            }
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|error| SettingsError::new("url", error.without_url().to_string()))
    };
    Ok((client(settings.connections_max)?, client(0)?))
}

/// What every request has in common. A user and password in the URL become a header, which `headers` may replace.
pub(crate) fn addressed(
    client: &Client,
    url: Url,
    headers: HeaderMap,
) -> Result<(Url, HeaderMap), SettingsError> {
    let request = client
        .post(url)
        .headers(headers)
        .build()
        .map_err(|error| SettingsError::new("url", error.without_url().to_string()))?;
    Ok((request.url().clone(), request.headers().clone()))
}

fn common(timeout: Duration, tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("faceway/", env!("CARGO_PKG_VERSION")))
        // HTTP/1 shows a dead connection by its closing; a dead HTTP/2 connection only lingers.
        .http1_only()
        // The status line says what became of the event. A header that is not read does not matter, however it is written;
        // browsers and curl take these as well.
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        .http1_max_headers(ANSWER_HEADERS_MAX)
        .timeout(timeout)
        .read_timeout(timeout)
        .connect_timeout(timeout.min(CONNECT_MAX))
        .pool_idle_timeout(IDLE_MAX)
        .connector_layer(Mark)
        // An event goes where the operator said, not where an answer or the environment says.
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .retry(retry::never())
        .tls_backend_preconfigured(tls)
}

fn tls(tls: Option<&ClientTls>, encrypted: bool) -> Result<ClientConfig, SettingsError> {
    let mut config = tls.cloned().unwrap_or_default().config(encrypted)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

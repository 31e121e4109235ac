//! HTTP as the commands speak it: to a gateway that runs, as a device to one, and for the demo's receiver.

use std::error::Error as _;
use std::time::Duration;

use reqwest::Client;

use super::Failure;

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A client that goes where it is told: no proxies, no redirects. It trusts any certificate, as devices do that know a
/// gateway by its address only; commands that carry a token speak plain HTTP anyway.
pub(crate) fn client(answer_max: Duration) -> Result<Client, Failure> {
    // An error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("faceway/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_MAX)
        .timeout(answer_max)
        .tls_certs_only([])
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| Failure::trouble(format!("cannot make an HTTP client: {}", cause(error))))
}

/// The innermost cause, which says it shortest (`Connection refused`).
pub(crate) fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

//! The HTTP clients of one webhook.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Proxy, Url, retry};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::fresh::Mark;
use crate::{SettingsError, TlsFiles, WebhookSettings};

/// Below the five seconds after which Node closes an idle connection (`server.keepAliveTimeout`); a request on a
/// connection that is being closed is lost.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// A name has an address or has none; waiting longer for a handshake than this only delays the verdict.
const CONNECT_MAX: Duration = Duration::from_secs(10);

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
        if let Some(proxy) = proxy.clone() {
            let proxy = Proxy::all(proxy)
                .map_err(|_| SettingsError::new("proxy", "cannot be used as a proxy"))?;
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

fn tls(files: Option<&TlsFiles>, encrypted: bool) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new("tls", error.to_string()))?
        .with_root_certificates(roots(
            files.and_then(|files| files.ca.as_deref()),
            encrypted,
        )?);
    let mut config = match files.and_then(|files| files.identity.as_ref()) {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates("tls.cert", chain)?;
            // Revealed to be parsed; what it becomes cannot be printed.
            let key = PrivateKeyDer::from_pem_slice(key.reveal())
                .map_err(|_| SettingsError::new("tls.key", "holds no private key in PEM"))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                SettingsError::new("tls.key", format!("does not fit tls.cert: {error}"))
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Whom to trust: `ca` alone when it is given; else the system's certificates, as administrators keep their company's
/// there; else, in an image that has none, Mozilla's as of this build. None are loaded when nothing is encrypted.
fn roots(ca: Option<&[u8]>, encrypted: bool) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = ca {
        for certificate in certificates("tls.ca", pem)? {
            roots.add(certificate).map_err(|error| {
                SettingsError::new("tls.ca", format!("holds no CA certificate: {error}"))
            })?;
        }
    } else if encrypted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    }
    Ok(roots)
}

fn certificates(
    key: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| SettingsError::new(key, "is no PEM file"))?;
    if certificates.is_empty() {
        let problem = "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        return Err(SettingsError::new(key, problem));
    }
    Ok(certificates)
}

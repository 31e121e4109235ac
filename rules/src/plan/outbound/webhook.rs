//! `[outbound.webhook.<name>]`.

use http::header::HeaderName;

use crate::diagnostic::Reporter;
use crate::read::{Node, Table};
use crate::{Projection, Secret, Template};

use super::{HeaderValue, TlsPlan, common, headers};

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookPlan {
    /// Where events are posted.
    pub url: String,
    /// Keys for signatures, the newest first.
    pub sign: Vec<Secret>,
    /// Further headers. The name is valid, and so is a text; a secret is not known yet.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Own authorities, client certificate.
    pub tls: Option<TlsPlan>,
    /// Proxy to go through.
    pub proxy: Option<ProxyPlan>,
}

/// An HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyPlan {
    /// Where it listens.
    pub url: String,
    /// Who Faceway is to it.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
}

impl WebhookPlan {
    pub(super) fn secrets(&self, key: impl Fn(&str) -> String) -> Vec<(String, &Secret)> {
        let sign = self.sign.iter().map(|secret| (key("sign"), secret));
        let headers = self.headers.iter();
        let headers = headers.filter_map(|(name, value)| match value {
            HeaderValue::Secret(secret) => Some((key(&format!("headers.{name}")), secret)),
            HeaderValue::Text(_) | HeaderValue::Template(_) => None,
        });
        let password = self
            .proxy
            .as_ref()
            .and_then(|proxy| proxy.password.as_ref());
        let password = password.map(|secret| (key("proxy.password"), secret));
        sign.chain(headers).chain(password).collect()
    }

    pub(super) fn templates(&self) -> Vec<(&str, &Template)> {
        let headers = self.headers.iter();
        let templates = headers.filter_map(|(name, value)| match value {
            HeaderValue::Template(template) => Some((name.as_str(), template)),
            HeaderValue::Text(_) | HeaderValue::Secret(_) => None,
        });
        templates.collect()
    }
}

pub(super) fn read(table: &Table<'_>, projection: &Projection) -> WebhookPlan {
    let url = table.url("url").unwrap_or_default();
    let sign = table.secrets("sign").unwrap_or_default();
    if let Some(node) = table.get("sign")
        && node.value.is_empty_list()
    {
        let message = "`sign` names no secret";
        table
            .reporter()
            .error(node.span, message, "leave it out, or name one");
    }
    if let Some(node) = table.get("url") {
        warn_of_secret(table.reporter(), node, &url);
    }
    let proxy = proxy(table);
    // What is between us and an encrypted proxy is TLS as well.
    let dialled = proxy.as_ref().map(|proxy| &proxy.url);
    let dialled = dialled.filter(|proxy| proxy.starts_with("https://"));
    WebhookPlan {
        tls: common::tls(table, dialled.unwrap_or(&url), ("http", "https")),
        url,
        sign,
        headers: headers::of_webhook(table, projection),
        gzip: table.bool("gzip").unwrap_or(false),
        proxy,
    }
}

fn proxy(table: &Table<'_>) -> Option<ProxyPlan> {
    let node = table.get("proxy")?;
    if node.text().is_none() && node.entries().is_none() {
        let message = "`proxy` is neither a URL nor a table";
        let help = "write `proxy = \"http://host:port\"`, or `proxy = { url = \"…\", username = \"…\", password = { env = \"NAME\" } }`";
        table.reporter().error(node.span, message, help);
        return None;
    }
    if node.entries().is_none() {
        return table.url("proxy").map(|url| ProxyPlan {
            url,
            username: None,
            password: None,
        });
    }
    let proxy = table.table("proxy")?;
    let plan = ProxyPlan {
        url: proxy.url("url").unwrap_or_default(),
        username: proxy.text("username").map(str::to_owned),
        password: proxy.secret("password"),
    };
    if let (None, Some(password)) = (&plan.username, proxy.get("password")) {
        let message = "a password of a proxy without the `username` that it is of";
        let help = "write `username = \"…\"` beside it";
        table.reporter().error(password.span, message, help);
    }
    proxy.finish();
    Some(plan)
}

fn warn_of_secret(reporter: &Reporter, node: &Node, url: &str) {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let telling = ["token", "secret", "password", "key", "sig"];
    let secret = query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or_default();
        !value.is_empty()
            && telling
                .iter()
                .any(|part| name.to_lowercase().contains(part))
    });
    if secret {
        let message = "the URL seems to carry a secret, which everybody who reads this file sees";
        let help = "if the receiver takes it in a header, name it there: `headers = { … = { env = \"NAME\" } }`";
        reporter.warning(node.span, message, help);
    }
}

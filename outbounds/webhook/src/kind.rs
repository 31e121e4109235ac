//! `[outbound.webhook.<name>]`: what it may hold, what is wrong with it, and how it is opened.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::outbound_kind::{
    At, HeaderStyle, Headers, Meant, OpenContext, OpenError, Reading, Readme, TLS_FILES,
};
use faceway_core::{Key, Outbound, OutboundKind, OutboundSettings, Secret, Shape, TlsFiles};
use faceway_tls::ClientTls;

use crate::{ProxySettings, Webhook, WebhookSettings};

/// What this protocol declares.
pub static KIND: OutboundKind = OutboundKind {
    name: "webhook",
    readme: Some(Readme {
        path: "outbounds/webhook/README.md",
        text: include_str!("../README.md"),
    }),
    aliases: &["http", "https", "rest"],
    keys: KEYS,
    meant: &[
        Meant {
            keys: &[
                "token",
                "username",
                "user",
                "password",
                "auth",
                "authorization",
            ],
            help: "write the whole header's value into a secret and name it: `headers = { authorization = { env = \"NAME\" } }`",
        },
        Meant {
            keys: &["method"],
            help: "it is always POST; leave it out",
        },
    ],
    address: None,
    headers: Some(Headers {
        style: HeaderStyle::Http,
        taken: &[
            "host",
            "content-length",
            "content-encoding",
            "transfer-encoding",
            "connection",
            "upgrade",
            "te",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        ],
    }),
    // An endpoint answers one request after another.
    concurrency: 4,
    batches: Some("a request"),
    read: |table| Arc::new(read(table)),
};

const KEYS: &[Key] = &[
    Key::required(
        "url",
        Shape::Url(&["https", "http"]),
        "where events are posted, such as \"https://erp.example/faces\"",
    ),
    Key::new(
        "sign",
        Shape::Secrets,
        "Keys for signatures by Standard Webhooks; several for rotation.",
    ),
    Key::new(
        "headers",
        Shape::Headers { secrets: true },
        "Further headers, with placeholders.",
    ),
    Key::new(
        "gzip",
        Shape::Bool,
        "Whether bodies of more than 1KiB are compressed; false when left out.",
    ),
    TLS_FILES,
    Key::new(
        "proxy",
        Shape::UrlOrTable(&["http", "https"], PROXY),
        "Proxy to go through, as its URL, or as a table where it asks for a password; none when left out.",
    ),
];

const PROXY: &[Key] = &[
    Key::required(
        "url",
        Shape::Url(&["http", "https"]),
        "where it listens, such as \"http://proxy.example:3128\"",
    ),
    Key::new("username", Shape::Text, "Who Faceway is to the proxy."),
    Key::new("password", Shape::Secret, "The password of `username`."),
];

/// The settings as the table has them; what only the gateway knows is filled in when they are opened.
struct Read {
    settings: WebhookSettings,
    sign: Vec<Secret>,
    tls: Option<TlsFiles>,
    proxy_password: Option<Secret>,
}

fn read(table: &Reading<'_>) -> Read {
    let url = table.text("url").unwrap_or_default().to_owned();
    warn_of_secret(table, &url);
    let sign = table.secrets("sign");
    if sign.as_ref().is_some_and(Vec::is_empty) {
        let message = "`sign` names no secret";
        table.error(At::Value("sign"), message, "leave it out, or name one");
    }
    let (proxy, proxy_password) = proxy(table).unzip();
    // What is between us and an encrypted proxy is TLS as well.
    let dialled = proxy.as_ref().map(|proxy: &ProxySettings| &proxy.url);
    let dialled = dialled.filter(|proxy| proxy.starts_with("https://"));
    Read {
        tls: table.tls(dialled.unwrap_or(&url), ("http", "https")),
        sign: sign.unwrap_or_default(),
        proxy_password: proxy_password.flatten(),
        settings: WebhookSettings {
            url,
            headers: Vec::new(),
            sign: Vec::new(),
            timeout: Duration::ZERO,
            tls: None,
            proxy,
            gzip: table.bool("gzip").unwrap_or(false),
            connections_max: 0,
        },
    }
}

impl OutboundSettings for Read {
    fn open(&self, context: &OpenContext<'_>) -> Result<Arc<dyn Outbound>, OpenError> {
        let resources = context.resources;
        let sign = self.sign.iter().map(|secret| resources.secret(secret));
        let tls = self.tls.as_ref();
        let mut settings = WebhookSettings {
            headers: context.headers.clone(),
            sign: sign.collect::<Result<_, _>>()?,
            tls: tls
                .map(|files| ClientTls::read(files, resources))
                .transpose()?,
            timeout: context.timeout,
            connections_max: context.concurrency_max,
            ..self.settings.clone()
        };
        if let (Some(proxy), Some(password)) = (&mut settings.proxy, &self.proxy_password) {
            let password = resources.secret(password);
            proxy.password = Some(password.map_err(|missing| missing.of("the proxy's password"))?);
        }
        Ok(Arc::new(Webhook::new(settings, Arc::clone(context.clock))?))
    }

    fn url(&self) -> Option<&str> {
        Some(&self.settings.url)
    }
}

/// A proxy as its URL or as a table, with the name of its password.
fn proxy(table: &Reading<'_>) -> Option<(ProxySettings, Option<Secret>)> {
    if let Some(url) = table.text("proxy") {
        return Some((url.to_owned().into(), None));
    }
    table.table("proxy", |proxy| {
        let username = proxy.text("username").map(str::to_owned);
        if username.is_none() && proxy.is_written("password") {
            let message = "a password of a proxy without the `username` that it is of";
            let help = "write `username = \"…\"` beside it";
            proxy.error(At::Value("password"), message, help);
        }
        let settings = ProxySettings {
            url: proxy.text("url").unwrap_or_default().to_owned(),
            username,
            password: None,
        };
        (settings, proxy.secret("password"))
    })
}

fn warn_of_secret(table: &Reading<'_>, url: &str) {
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
        table.warning(At::Value("url"), message, help);
    }
}

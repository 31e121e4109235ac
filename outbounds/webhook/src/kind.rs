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
        let message = "the URL seems to carry a secret, which every reader of this file sees";
        let help = "if the receiver takes it in a header, name it there: `headers = { … = { env = \"NAME\" } }`";
        table.warning(At::Value("url"), message, help);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use faceway_core::outbound_kind::{Missing, Resources};
    use faceway_core::{Private, Value, Values};

    use super::*;

    /// A machine without any secret or file.
    struct Bare;

    impl Resources for Bare {
        fn secret(&self, secret: &Secret) -> Result<Private<String>, Missing> {
            Err(Missing(format!("the {secret} is not set")))
        }

        fn pem(&self, file: &Path, key: &str) -> Result<Vec<u8>, Missing> {
            Err(Missing(format!("cannot read {} ({key})", file.display())))
        }
    }

    fn text(text: &str) -> Option<Value> {
        Some(Value::Text(text.to_owned()))
    }

    fn table(values: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Values {
        let mut table = Values::default();
        for (key, value) in values {
            table.add(key, value);
        }
        table
    }

    fn read_of(table: &Values) -> (Read, Vec<String>) {
        let (read, found) = Reading::of((KEYS, table), "canonical", &|_| true, read);
        let found = found.into_iter().map(|finding| finding.message);
        (read, found.collect())
    }

    #[test]
    fn a_secret_or_file_that_is_not_there_is_named_with_what_it_is_for() {
        let secret = || Some(Value::Secret(Secret::Env("X".to_owned())));
        let proxy = table([
            ("url", text("http://proxy")),
            ("username", text("u")),
            ("password", secret()),
        ]);
        let tls = TlsFiles {
            ca: Some("/ca.pem".into()),
            client: None,
        };
        let url = || ("url", text("https://erp.example/"));
        let cases = [
            (
                (
                    "sign",
                    Some(Value::Secrets(vec![Secret::Env("S".to_owned())])),
                ),
                "the environment variable S is not set",
            ),
            (
                ("proxy", Some(Value::Table(proxy))),
                "the proxy's password: the environment variable X is not set",
            ),
            (
                ("tls", Some(Value::Tls(tls))),
                "cannot read /ca.pem (tls.ca)",
            ),
        ];
        let clock: Arc<dyn faceway_core::Clock> = Arc::new(faceway_core::SystemClock);
        for (value, expected) in cases {
            let (read, found) = read_of(&table([url(), value]));
            assert_eq!(found, Vec::<String>::new());
            let context = OpenContext {
                name: "erp",
                gateway: "g",
                no_picture: "",
                timeout: Duration::from_secs(10),
                concurrency_max: 4,
                headers: Vec::new(),
                needs_headers: false,
                before: None,
                clock: &clock,
                resources: &Bare,
            };
            let error = read.open(&context).err().unwrap();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn tls_has_a_use_where_the_endpoint_or_its_proxy_is_encrypted() {
        let tls = || ("tls", Some(Value::Tls(TlsFiles::default())));
        let found = |url: &str, proxy: &str| {
            let values = [("url", text(url)), ("proxy", text(proxy)), tls()];
            read_of(&table(values)).1
        };
        for (url, proxy) in [
            ("https://erp.example", "http://proxy"),
            ("http://erp.example", "https://proxy"),
        ] {
            assert_eq!(found(url, proxy), Vec::<String>::new(), "{url} {proxy}");
        }
        let expected = ["`tls` has no use with a URL that begins with http://"];
        assert_eq!(found("http://erp.example", "http://proxy"), expected);
    }
}

//! `[outbound.<protocol>.<name>]`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::header::HeaderName;

use crate::diagnostic::Reporter;
use crate::projection::ProjectionError;
use crate::read::{Entry, Node, Table};
use crate::{Projection, Secret, suggest};

use super::{Names, check_name, headers, inbound, outbound_keys};

/// One way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundPlan {
    /// Its name, unique over all protocols.
    pub name: String,
    /// What every outbound has.
    pub common: Common,
    /// How it delivers.
    pub protocol: Protocol,
}

/// What every outbound has, whatever its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// Pictures.
    pub images: Images,
    /// What it may see of an event.
    pub projection: Projection,
    /// Deliveries at the same time, at least 1.
    pub concurrency_max: u32,
    /// Where a new outbound begins.
    pub since: Since,
    /// Pauses and limits.
    pub retry: Retry,
    /// For one delivery.
    pub timeout: Duration,
}

/// What becomes of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Images {
    /// They are left out.
    #[default]
    None,
    /// As signed links.
    Url,
    /// Inside the event.
    Inline,
}

/// Where a new outbound begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// With new events.
    #[default]
    Now,
    /// With the history.
    Oldest,
}

/// Pauses and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// First pause.
    pub backoff_min: Duration,
    /// Longest pause, not shorter than the first.
    pub backoff_max: Duration,
    /// Attempts of one event that fails alone; `None` = without end.
    pub attempts_max: Option<NonZeroU32>,
    /// An older event is buried; `None` = without end.
    pub age_max: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            attempts_max: NonZeroU32::new(10),
            age_max: None,
        }
    }
}

/// How an outbound delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// By HTTP.
    Webhook(WebhookPlan),
    /// One event a line on stdout.
    Stdout,
}

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookPlan {
    /// Where events are posted.
    pub url: String,
    /// Keys for signatures, the newest first.
    pub sign: Vec<Secret>,
    /// Further headers. The name is valid, and so is a text; a secret is not known yet.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Own authorities, client certificate.
    pub tls: Option<TlsPlan>,
    /// Proxy to go through.
    pub proxy: Option<String>,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// As written.
    Text(String),
    /// Named.
    Secret(Secret),
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPlan {
    /// Authorities to trust in place of the usual ones.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl OutboundPlan {
    pub(super) fn secrets(&self) -> Vec<(String, &Secret)> {
        let Protocol::Webhook(webhook) = &self.protocol else {
            return Vec::new();
        };
        let key = |rest: &str| format!("outbound.webhook.{}.{rest}", self.name);
        let sign = webhook.sign.iter().map(|secret| (key("sign"), secret));
        let headers = webhook.headers.iter();
        let headers = headers.filter_map(|(name, value)| match value {
            HeaderValue::Secret(secret) => Some((key(&format!("headers.{name}")), secret)),
            HeaderValue::Text(_) => None,
        });
        sign.chain(headers).collect()
    }
}

/// Protocols that the contract names and that come later.
const LATER: [&str; 2] = ["mqtt", "amqp"];

/// Reads every outbound, also the names of those that cannot be read, so that routes to them are not wrong as well.
pub(super) fn all(reporter: &Reporter, node: Option<&Node>) -> (Vec<OutboundPlan>, Names) {
    let mut outbounds = Vec::new();
    let mut names = Names::default();
    let protocols = outbound_keys();
    for (protocol, table) in inbound::groups(reporter, "outbound", "protocol", node) {
        let known = protocols.iter().find(|(name, _)| *name == protocol.key);
        if known.is_none() {
            let known: Vec<_> = protocols.iter().map(|(name, _)| *name).collect();
            unknown(reporter, protocol, &known);
        }
        for entry in table {
            check_name(reporter, "outbound", &entry.key, entry.span);
            names.add(reporter, "outbounds", &entry.key, entry.span);
            let title = format!("[outbound.{}.{}]", protocol.key, entry.key);
            let table = known.and_then(|(_, keys)| Table::open(reporter, title, &entry.node, keys));
            outbounds.extend(table.map(|table| (entry.span, one(&protocol.key, entry, table))));
        }
    }
    names.0.sort_by_key(|(_, span)| *span);
    outbounds.sort_by_key(|(span, _)| *span);
    let outbounds = outbounds.into_iter().map(|(_, outbound)| outbound);
    (outbounds.collect(), names)
}

fn unknown(reporter: &Reporter, protocol: &Entry, known: &[&str]) {
    let name = &protocol.key;
    let (message, help) = if LATER.contains(&name.as_str()) {
        (
            format!("protocol `{name}` is not in this version yet"),
            format!("protocols: {}", suggest::listing(known)),
        )
    } else {
        (
            format!("there is no protocol `{name}`"),
            suggest::help(name, "protocols", known),
        )
    };
    reporter.error(protocol.span, message, help);
}

fn one(protocol: &str, entry: &Entry, table: Table<'_>) -> OutboundPlan {
    let plan = OutboundPlan {
        name: entry.key.clone(),
        common: common(&table),
        protocol: match protocol {
            "webhook" => Protocol::Webhook(webhook(&table)),
            _ => Protocol::Stdout,
        },
    };
    table.finish();
    plan
}

fn common(table: &Table<'_>) -> Common {
    table.word("format");
    if table.whole("batch_max").is_some_and(|batch| batch > 1)
        && let Some(node) = table.get("batch_max")
    {
        let message = "`batch_max` above 1 is not in this version yet";
        table.reporter().error(node.span, message, "leave it out");
    }
    let concurrency_max = table.whole("concurrency_max").unwrap_or(4);
    Common {
        images: match table.word("images") {
            Some("url") => Images::Url,
            Some("inline") => Images::Inline,
            _ => Images::None,
        },
        projection: projection(table),
        concurrency_max: u32::try_from(concurrency_max).unwrap_or(1),
        since: match table.word("since") {
            Some("oldest") => Since::Oldest,
            _ => Since::Now,
        },
        retry: retry(table),
        timeout: table.duration("timeout").unwrap_or(Duration::from_secs(10)),
    }
}

fn projection(table: &Table<'_>) -> Projection {
    let (omit, only) = (paths(table, "omit"), paths(table, "only"));
    match (omit, only) {
        (Some(_), Some(only)) => {
            let span = table.get("only").map_or(table.span(), |node| node.span);
            let message = "`omit` and `only` exclude each other";
            table.reporter().error(span, message, "keep one of them");
            Projection::only(only).unwrap_or_default()
        }
        (Some(omit), None) => Projection::omit(omit).unwrap_or_default(),
        (None, Some(only)) => Projection::only(only).unwrap_or_default(),
        (None, None) => Projection::default(),
    }
}

/// The paths of `omit` or `only` that are good.
fn paths<'d>(table: &Table<'d>, key: &'static str) -> Option<Vec<&'d str>> {
    let reporter = table.reporter();
    let texts = table.texts(key)?;
    if texts.is_empty() {
        let span = table.get(key)?.span;
        let message = format!("`{key}` names no field");
        reporter.error(span, message, "leave it out, or name some");
    }
    let good = |(path, span)| match Projection::check(path, key == "omit") {
        Ok(()) => Some(path),
        Err(ProjectionError::Unknown { path, help }) => {
            reporter.error(span, format!("the event has no field `{path}`"), help);
            None
        }
        Err(kept @ ProjectionError::Kept(_)) => {
            let help = "a receiver could neither read the event nor drop what it has seen";
            reporter.error(span, kept.to_string(), help);
            None
        }
    };
    Some(texts.into_iter().filter_map(good).collect())
}

fn retry(table: &Table<'_>) -> Retry {
    let default = Retry::default();
    let Some(table) = table.table("retry") else {
        return default;
    };
    let backoff_min = table.duration("backoff_min");
    let backoff_max = table.duration("backoff_max");
    let attempts = table.whole("attempts_max").map(u32::try_from);
    let retry = Retry {
        backoff_min: backoff_min.unwrap_or(default.backoff_min),
        backoff_max: backoff_max.unwrap_or(default.backoff_max),
        attempts_max: match attempts {
            Some(Ok(attempts)) => NonZeroU32::new(attempts),
            _ => default.attempts_max,
        },
        age_max: table.duration("age_max").filter(|age| !age.is_zero()),
    };
    if retry.backoff_min > retry.backoff_max {
        let key = if backoff_max.is_some() {
            "backoff_max"
        } else {
            "backoff_min"
        };
        let span = table.get(key).map_or(table.span(), |node| node.span);
        let message = "`backoff_min` is longer than `backoff_max`";
        table
            .reporter()
            .error(span, message, "1s and 5m when left out");
    }
    table.finish();
    retry
}

fn webhook(table: &Table<'_>) -> WebhookPlan {
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
    let tls = tls(table);
    if let (Some(_), Some(entry)) = (&tls, table.entry("tls"))
        && url.starts_with("http://")
    {
        let message = "`tls` has no use with a URL that begins with http://";
        table
            .reporter()
            .error(entry.span, message, "write https://");
    }
    WebhookPlan {
        url,
        sign,
        headers: headers::read(table),
        tls,
        proxy: table.url("proxy"),
    }
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

pub(super) fn tls(table: &Table<'_>) -> Option<TlsPlan> {
    let table = table.table("tls")?;
    let (ca, cert, key) = (table.path("ca"), table.path("cert"), table.path("key"));
    let halves = (table.get("cert").is_some(), table.get("key").is_some());
    if halves.0 != halves.1 {
        let message = "`cert` and `key` belong together";
        let missing = if halves.0 { "key" } else { "cert" };
        let help = format!("add `{missing}`");
        table.reporter().absent(table.span(), message, help);
    }
    table.finish();
    Some(TlsPlan {
        ca,
        client: cert.zip(key),
    })
}

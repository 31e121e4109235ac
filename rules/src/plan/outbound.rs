//! `[outbound.<protocol>.<name>]`.

mod address;
mod amqp;
mod batch;
mod broker;
mod common;
mod format;
mod headers;
mod mqtt;
mod webhook;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::diagnostic::Reporter;
use crate::format::Format;
use crate::read::{Entry, Node, Table};
use crate::{Projection, ReadFile, Secret, Template};

pub use amqp::{AmqpPlan, ExchangeKind, QueuePlan};
pub(super) use common::tls_files;
pub use headers::HeaderValue;
pub use mqtt::{MqttPlan, MqttVersion, Qos};
pub use webhook::{ProxyPlan, WebhookPlan};

use super::AdapterGrammar;
use super::groups::Section;
use super::{Names, check_name, outbound_keys};

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
    /// How an event is written.
    pub format: Format,
    /// Events in one message, at least 1. More only where the format has a way to write several.
    pub batch_max: u32,
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
    /// To an MQTT broker.
    Mqtt(MqttPlan),
    /// To an AMQP 0-9-1 broker.
    Amqp(AmqpPlan),
    /// One event a line on stdout.
    Stdout,
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPlan {
    /// Authorities to trust in place of the usual ones.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Protocol {
    /// What `routes.toml` calls it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mqtt(_) => "mqtt",
            Self::Amqp(_) => "amqp",
            Self::Stdout => "stdout",
        }
    }

    /// The largest payload, in bytes; `None` where the protocol has no limit of its own.
    pub const fn payload_bytes_max(&self) -> Option<u64> {
        match self {
            Self::Mqtt(mqtt) => Some(mqtt.payload_bytes_max),
            Self::Amqp(amqp) => Some(amqp.payload_bytes_max),
            Self::Webhook(_) | Self::Stdout => None,
        }
    }

    /// Where in the destination an event goes; `None` where the protocol knows no such thing.
    pub const fn address(&self) -> Option<&Template> {
        match self {
            Self::Mqtt(mqtt) => Some(&mqtt.topic),
            Self::Amqp(amqp) => Some(&amqp.routing_key),
            Self::Webhook(_) | Self::Stdout => None,
        }
    }

    /// Whether `headers` sets this one, by its lower-case name.
    pub fn sets_header(&self, name: &str) -> bool {
        match self {
            Self::Webhook(webhook) => webhook.headers.iter().any(|(known, _)| known == name),
            Self::Mqtt(_) | Self::Amqp(_) | Self::Stdout => {
                self.headers().iter().any(|(known, _)| *known == name)
            }
        }
    }

    /// What goes beside each event, by lower-case name, and is not the same for all.
    pub fn headers(&self) -> Vec<(&str, &Template)> {
        match self {
            Self::Mqtt(mqtt) => headers::borrowed(&mqtt.headers),
            Self::Amqp(amqp) => headers::borrowed(&amqp.headers),
            Self::Webhook(webhook) => webhook.templates(),
            Self::Stdout => Vec::new(),
        }
    }
}

impl TlsPlan {
    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(client).map(PathBuf::as_path)
    }
}

impl OutboundPlan {
    /// Where its events go; none for standard output.
    pub fn address(&self) -> Option<&str> {
        match &self.protocol {
            Protocol::Webhook(webhook) => Some(&webhook.url),
            Protocol::Mqtt(mqtt) => Some(&mqtt.url),
            Protocol::Amqp(amqp) => Some(&amqp.url),
            Protocol::Stdout => None,
        }
    }

    /// The files that it names, other than secrets and its template, which is part of the plan.
    pub fn files(&self) -> Vec<&Path> {
        let tls = match &self.protocol {
            Protocol::Webhook(webhook) => webhook.tls.as_ref(),
            Protocol::Mqtt(mqtt) => mqtt.tls.as_ref(),
            Protocol::Amqp(amqp) => amqp.tls.as_ref(),
            Protocol::Stdout => None,
        };
        tls.into_iter().flat_map(TlsPlan::files).collect()
    }

    /// Every secret that it names, with the key that names it.
    pub fn secrets(&self) -> Vec<(String, &Secret)> {
        let protocol = self.protocol.name();
        let key = |rest: &str| format!("outbound.{protocol}.{}.{rest}", self.name);
        let password = match &self.protocol {
            Protocol::Webhook(webhook) => return webhook.secrets(key),
            Protocol::Mqtt(mqtt) => mqtt.password.as_ref(),
            Protocol::Amqp(amqp) => amqp.password.as_ref(),
            Protocol::Stdout => None,
        };
        let password = password.map(|secret| (key("password"), secret));
        password.into_iter().collect()
    }
}

/// Reads every outbound, also the names of those that cannot be read, so that routes to them are not wrong as well.
pub(super) fn all(
    reporter: &Reporter,
    node: Option<&Node>,
    adapters: &[AdapterGrammar],
    files: ReadFile<'_>,
) -> (Vec<OutboundPlan>, Names) {
    let adapters: Vec<_> = adapters.iter().map(|adapter| adapter.name).collect();
    let mut outbounds = Vec::new();
    let mut names = Names::default();
    let protocols = outbound_keys();
    let known: Vec<_> = protocols.iter().map(|(name, _)| *name).collect();
    let section = Section {
        key: "outbound",
        group: "protocol",
        known: &known,
        others: &adapters,
        example: "erp",
    };
    for (protocol, table) in section.read(reporter, node) {
        let known = protocols.iter().find(|(name, _)| *name == protocol.key);
        for entry in table {
            check_name(reporter, "outbound", &entry.key, entry.span);
            names.add(reporter, "outbounds", &entry.key, entry.span);
            let title = format!("[outbound.{}.{}]", protocol.key, entry.key);
            let table = known.and_then(|(_, keys)| Table::open(reporter, title, &entry.node, keys));
            let read = |table| (entry.span, one(&protocol.key, entry, table, files));
            outbounds.extend(table.map(read));
        }
    }
    names.0.sort_by_key(|(_, span)| *span);
    outbounds.sort_by_key(|(span, _)| *span);
    let outbounds = outbounds.into_iter().map(|(_, outbound)| outbound);
    (outbounds.collect(), names)
}

fn one(protocol: &str, entry: &Entry, table: Table<'_>, files: ReadFile<'_>) -> OutboundPlan {
    let projection = common::projection(&table);
    let protocol = match protocol {
        "webhook" => Protocol::Webhook(webhook::read(&table, &projection)),
        "mqtt" => Protocol::Mqtt(mqtt::read(&table, &projection)),
        "amqp" => Protocol::Amqp(amqp::read(&table, &projection)),
        _ => Protocol::Stdout,
    };
    let plan = OutboundPlan {
        name: entry.key.clone(),
        common: common::read(&table, projection, &protocol, files),
        protocol,
    };
    table.finish();
    plan
}

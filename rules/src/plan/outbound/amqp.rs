//! `[outbound.amqp.<name>]`.

use crate::read::Table;
use crate::{Projection, Secret, Template};

use super::address::Wrong;
use super::{TlsPlan, address, broker, common, headers};

/// An AMQP 0-9-1 broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpPlan {
    /// `amqp://` or `amqps://`, a host, and the virtual host as its path. Nobody's password is in it.
    pub url: String,
    /// Who Faceway is to the broker.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
    /// Where events are published.
    pub exchange: String,
    /// Declare the exchange of this type, durable; `None` = it must exist.
    pub declare: Option<ExchangeKind>,
    /// The routing key of an event. Its fixed parts have at most 255 bytes.
    pub routing_key: Template,
    /// Declare this queue and bind it.
    pub queue: Option<QueuePlan>,
    /// Largest payload, in bytes.
    pub payload_bytes_max: u64,
    /// Headers of an event, by lower-case name.
    pub headers: Vec<(String, Template)>,
    /// Own authorities, client certificate; only with `amqps://`.
    pub tls: Option<TlsPlan>,
}

/// How an exchange hands on what is published to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// By patterns of routing keys.
    Topic,
    /// By the routing key itself.
    Direct,
    /// To every queue.
    Fanout,
    /// By headers.
    Headers,
}

/// A durable quorum queue, bound to the exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePlan {
    /// Its name.
    pub name: String,
    /// What it takes of the exchange.
    pub bind: String,
}

impl ExchangeKind {
    /// What AMQP calls it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Headers => "headers",
        }
    }
}

const ROUTING_KEY: &str = "{kind}";
/// Everything on the exchange.
const BIND: &str = "#";
/// The protocol's own limit of names and routing keys, in bytes.
const NAME_BYTES_MAX: usize = 255;

pub(super) fn read(table: &Table<'_>, projection: &Projection) -> AmqpPlan {
    let url = table.url("url").unwrap_or_default();
    broker::nothing_behind(table, &url, false);
    one_virtual_host(table, &url);
    let (username, password) = broker::login(table);
    if let (Some(entry), None) = (table.entry("username"), table.get("password")) {
        let message = "`username` has no use without `password`";
        let help = "name it: `password = { env = \"NAME\" }`";
        table.reporter().absent(entry.span, message, help);
    }
    let declare = declare(table);
    AmqpPlan {
        tls: common::tls(table, &url, ("amqp", "amqps")),
        url,
        username,
        password,
        exchange: exchange(table, declare).unwrap_or_default(),
        declare,
        routing_key: address::read(table, "routing_key", ROUTING_KEY, projection, wrong_key),
        queue: queue(table, declare),
        payload_bytes_max: broker::payload_bytes_max(table),
        headers: headers::of_broker(table, projection),
    }
}

fn one_virtual_host(table: &Table<'_>, url: &str) {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    if path.contains('/')
        && let Some(node) = table.get("url")
    {
        let message = "`url` has more than a virtual host behind the broker's address";
        let help = "a slash in the name of a virtual host is written `%2f`";
        table.reporter().error(node.span, message, help);
    }
}

fn declare(table: &Table<'_>) -> Option<ExchangeKind> {
    Some(match table.word("declare")? {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "headers" => ExchangeKind::Headers,
        _ => ExchangeKind::Topic,
    })
}

fn queue(table: &Table<'_>, declare: Option<ExchangeKind>) -> Option<QueuePlan> {
    let bind = table.text("bind");
    let Some(name) = name(table, "queue", true) else {
        if let (Some(entry), None) = (table.entry("bind"), table.get("queue")) {
            let message = "`bind` has no use without `queue`";
            let help = "name the queue that is bound: `queue = \"faceway\"`";
            table.reporter().absent(entry.span, message, help);
        }
        return None;
    };
    let node = table.get("bind");
    if let Some((message, help)) = bind.and_then(too_long)
        && let Some(node) = node
    {
        let message = format!("`bind` {message}");
        table.reporter().error(node.span, message, help);
    }
    if declare == Some(ExchangeKind::Direct)
        && node.is_none()
        && let Some(entry) = table.entry("queue")
    {
        let message = "a queue takes from a direct exchange what has its very routing key";
        let help = "say which with `bind`, or write `declare = \"topic\"`";
        table.reporter().absent(entry.span, message, help);
    }
    let bind = bind.unwrap_or(BIND).to_owned();
    Some(QueuePlan { name, bind })
}

/// An exchange's name. The blank one is the broker's default exchange: the routing key is then a queue's name.
fn exchange(table: &Table<'_>, declare: Option<ExchangeKind>) -> Option<String> {
    if table.get("exchange")?.text() != Some("") {
        return name(table, "exchange", declare.is_some());
    }
    for (key, message) in [
        (
            "declare",
            "the default exchange, `exchange = \"\"`, is there in every broker, and is not declared",
        ),
        (
            "bind",
            "the default exchange has every queue under its name, and binds nothing else",
        ),
    ] {
        if let Some(entry) = table.entry(key) {
            table
                .reporter()
                .absent(entry.span, message, "leave it out, or name an exchange");
        }
    }
    Some(String::new())
}

/// A name of an exchange or a queue; those that begin with `amq.` are the broker's, and cannot be declared.
fn name(table: &Table<'_>, key: &'static str, declared: bool) -> Option<String> {
    let name = table.text(key)?;
    let wrong = match declared && name.starts_with("amq.") {
        true => Some((
            "begins with `amq.`, and such names are the broker's own",
            "choose another, or do not declare it",
        )),
        false => too_long(name),
    };
    if let Some((message, help)) = wrong {
        let span = table.get(key)?.span;
        let message = format!("`{key}` {message}");
        table.reporter().error(span, message, help);
    }
    Some(name.to_owned())
}

fn wrong_key(key: &Template) -> Wrong {
    let fixed: String = key.literals().collect();
    too_long(&fixed)
}

fn too_long(name: &str) -> Wrong {
    if name.len() > NAME_BYTES_MAX {
        return Some(("is longer than 255 bytes", "write a shorter one"));
    }
    name.contains(char::is_control)
        .then_some(("has a control character", "leave it out"))
}

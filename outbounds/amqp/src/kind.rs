//! `[outbound.amqp.<name>]`: what it may hold, what is wrong with it, and how it is opened.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::outbound_kind::{
    Address, At, Headers, OpenContext, OpenError, PASSWORD, PAYLOAD_BYTES_MAX, Reading, Readme,
    TLS_FILES, USERNAME, Wrong,
};
use faceway_core::{Key, Outbound, OutboundKind, OutboundSettings, Secret, Shape, TlsFiles};
use faceway_tls::ClientTls;

use crate::settings::NAME_BYTES_MAX;
use crate::{Amqp, AmqpSettings, ExchangeType};

/// What this protocol declares.
pub static KIND: OutboundKind = OutboundKind {
    name: "amqp",
    readme: Some(Readme {
        path: "outbounds/amqp/README.md",
        text: include_str!("../README.md"),
    }),
    aliases: &["rabbitmq", "amqps"],
    keys: KEYS,
    meant: &[],
    address: Some(Address {
        key: "routing_key",
        called: "routing key",
        default: "{kind}",
        wrong: wrong_key,
        meaningful: ".*#",
        reserved: None,
        bytes_max: NAME_BYTES_MAX,
    }),
    headers: Some(Headers::OF_BROKER),
    // A broker confirms many at once, on one connection.
    concurrency: 32,
    batches: None,
    read: |table| Arc::new(read(table)),
};

const KEYS: &[Key] = &[
    Key::required(
        "url",
        Shape::Url(&["amqps", "amqp"]),
        "the broker and its virtual host, such as \"amqps://broker:5671/%2f\"",
    ),
    USERNAME,
    PASSWORD,
    Key::required(
        "exchange",
        Shape::TextOrEmpty,
        "where events are published, such as \"faces\"",
    ),
    Key::new(
        "declare",
        Shape::Word(&["topic", "direct", "fanout", "headers"]),
        "Declare the exchange of this type, durable; it must exist when left out.",
    ),
    Key::new(
        "routing_key",
        Shape::Template,
        "`{kind}` when left out. Placeholders are fields of the event.",
    ),
    Key::new(
        "queue",
        Shape::Text,
        "Declare this durable quorum queue and bind it to the exchange.",
    ),
    Key::new(
        "bind",
        Shape::Text,
        "What `queue` takes of the exchange; `#` when left out.",
    ),
    PAYLOAD_BYTES_MAX,
    Key::new(
        "headers",
        Shape::Headers { secrets: false },
        "Headers of each event, with placeholders.",
    ),
    TLS_FILES,
];

/// A connection that says nothing is tried after this.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Everything on the exchange.
const BIND: &str = "#";

/// The settings as the table has them; what only the gateway knows is filled in when they are opened.
struct Read {
    settings: AmqpSettings,
    password: Option<Secret>,
    tls: Option<TlsFiles>,
}

fn read(table: &Reading<'_>) -> Read {
    let url = table.text("url").unwrap_or_default().to_owned();
    table.nothing_behind(&url, None);
    check_virtual_host(table, &url);
    let (username, password) = table.login();
    if table.is_written("username") && !table.is_written("password") {
        let message = "`username` has no use without `password`";
        let help = "name it: `password = { env = \"NAME\" }`";
        table.absent(At::Key("username"), message, help);
    }
    let declare = declare(table);
    let exchange = exchange(table, declare).unwrap_or_default();
    let (queue, bind) = queue(table, declare).unzip();
    Read {
        tls: table.tls(&url, ("amqp", "amqps")),
        password,
        settings: AmqpSettings {
            url,
            username,
            password: None,
            declare,
            queue,
            // The default exchange has every queue under its name.
            bind: bind.filter(|_| !exchange.is_empty()),
            exchange,
            payload_bytes_max: usize::try_from(table.payload_bytes_max()).unwrap_or(usize::MAX),
            heartbeat: HEARTBEAT,
            tls: None,
            timeout: Duration::ZERO,
            window: 0,
        },
    }
}

impl OutboundSettings for Read {
    fn open(&self, context: &OpenContext<'_>) -> Result<Arc<dyn Outbound>, OpenError> {
        let resources = context.resources;
        let password = self.password.as_ref();
        let tls = self.tls.as_ref();
        let settings = AmqpSettings {
            password: password
                .map(|password| resources.secret(password))
                .transpose()?,
            tls: tls
                .map(|files| ClientTls::read(files, resources))
                .transpose()?,
            timeout: context.timeout,
            window: context.concurrency_max,
            ..self.settings.clone()
        };
        Ok(Arc::new(Amqp::new(&settings)?))
    }

    fn url(&self) -> Option<&str> {
        Some(&self.settings.url)
    }

    fn payload_bytes_max(&self) -> Option<u64> {
        u64::try_from(self.settings.payload_bytes_max).ok()
    }

    fn lacks_attributes(&self) -> Option<&'static str> {
        Some("it is not defined for AMQP 0-9-1")
    }
}

fn check_virtual_host(table: &Reading<'_>, url: &str) {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    if path.contains('/') {
        let message = "`url` has more than a virtual host behind the broker's address";
        let help = "a slash in the name of a virtual host is written `%2f`";
        table.error(At::Value("url"), message, help);
    }
}

fn declare(table: &Reading<'_>) -> Option<ExchangeType> {
    Some(match table.text("declare")? {
        "direct" => ExchangeType::Direct,
        "fanout" => ExchangeType::Fanout,
        "headers" => ExchangeType::Headers,
        _ => ExchangeType::Topic,
    })
}

/// The name of a queue, and what it takes of the exchange.
fn queue(table: &Reading<'_>, declare: Option<ExchangeType>) -> Option<(String, String)> {
    let bind = table.text("bind");
    let Some(name) = name(table, "queue", true) else {
        if table.is_written("bind") && !table.is_written("queue") {
            let message = "`bind` has no use without `queue`";
            let help = "name the queue that is bound: `queue = \"faceway\"`";
            table.absent(At::Key("bind"), message, help);
        }
        return None;
    };
    if let Some((message, help)) = bind.and_then(too_long) {
        table.error(At::Value("bind"), format!("`bind` {message}"), help);
    }
    if declare == Some(ExchangeType::Direct) && !table.is_written("bind") {
        let message = "a queue takes from a direct exchange what has its very routing key";
        let help = "say which with `bind`, or write `declare = \"topic\"`";
        table.absent(At::Key("queue"), message, help);
    }
    Some((name, bind.unwrap_or(BIND).to_owned()))
}

/// An exchange's name. The empty one is the broker's default exchange: the routing key is then a queue's name.
fn exchange(table: &Reading<'_>, declare: Option<ExchangeType>) -> Option<String> {
    if table.text("exchange") != Some("") {
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
        if table.is_written(key) {
            table.absent(At::Key(key), message, "leave it out, or name an exchange");
        }
    }
    Some(String::new())
}

/// A name of an exchange or a queue; those that begin with `amq.` are the broker's, and cannot be declared.
fn name(table: &Reading<'_>, key: &'static str, declared: bool) -> Option<String> {
    let name = table.text(key)?;
    let wrong = if declared && name.starts_with("amq.") {
        Some((
            "begins with `amq.`, and such names are the broker's own",
            "choose another, or do not declare it",
        ))
    } else {
        too_long(name)
    };
    if let Some((message, help)) = wrong {
        table.error(At::Value(key), format!("`{key}` {message}"), help);
    }
    Some(name.to_owned())
}

fn wrong_key(parts: &[&str]) -> Wrong {
    too_long(&parts.concat())
}

fn too_long(name: &str) -> Wrong {
    if name.len() > NAME_BYTES_MAX {
        return Some(("is longer than 255 bytes", "write a shorter one"));
    }
    name.contains(char::is_control)
        .then_some(("has a control character", "leave it out"))
}

#[cfg(test)]
mod tests {
    use faceway_core::{Value, Values};

    use super::*;

    /// The settings of a table with these texts, with what the reading found.
    fn settings(texts: &[(&'static str, &str)]) -> (AmqpSettings, Vec<String>) {
        let mut table = Values::default();
        for (key, text) in texts {
            table.add(key, Some(Value::Text((*text).to_owned())));
        }
        let (read, found) = Reading::of((KEYS, &table), "canonical", &|_| true, read);
        let found = found.into_iter().map(|finding| finding.message);
        let settings = AmqpSettings {
            // The gateway's.
            timeout: Duration::from_secs(10),
            window: 32,
            ..read.settings
        };
        (settings, found.collect())
    }

    #[test]
    fn a_queue_takes_everything_and_the_default_exchange_binds_nothing() {
        let url = ("url", "amqp://broker");
        let queue = ("queue", "faceway");
        let (named, found) = settings(&[url, ("exchange", "faces"), queue]);
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(named.bind.as_deref(), Some("#"));
        assert_eq!((named.declare, named.payload_bytes_max), (None, 256 * 1024));
        assert_eq!(named.check(), Ok(()));
        let (default, found) = settings(&[url, ("exchange", ""), queue]);
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(
            (default.queue.as_deref(), default.bind.as_deref()),
            (Some("faceway"), None)
        );
        assert_eq!(default.check(), Ok(()));
    }

    /// What a table may say, the library's settings take: else a file that `check` calls good would not start.
    #[test]
    fn what_is_found_here_is_found_before_it_is_opened() {
        let url = ("url", "amqp://broker");
        let long = "x".repeat(256);
        let wrong: [&[(&'static str, &str)]; 6] = [
            &[url, ("exchange", &long)],
            &[url, ("exchange", "amq.topic"), ("declare", "topic")],
            &[url, ("exchange", "faces"), ("queue", "amq.mine")],
            &[url, ("exchange", "faces"), ("bind", "#")],
            &[url, ("exchange", "faces"), ("queue", "q"), ("bind", &long)],
            &[url, ("exchange", ""), ("declare", "topic")],
        ];
        for texts in wrong {
            let (_, found) = settings(texts);
            assert_eq!(found.len(), 1, "{texts:?}: {found:?}");
        }
    }
}

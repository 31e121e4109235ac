//! The keys of an outbound, by protocol.

use crate::read::{Key, Shape};
use crate::schema::own;

/// The protocols of this version, with the keys of an outbound of each.
pub(crate) fn outbound_keys() -> [(&'static str, Vec<Key>); 4] {
    [
        ("webhook", [WEBHOOK, COMMON].concat()),
        ("mqtt", [MQTT, COMMON].concat()),
        ("amqp", [AMQP, COMMON].concat()),
        ("stdout", COMMON.to_vec()),
    ]
}

const WEBHOOK: &[Key] = &[
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
        Shape::Own(own::headers),
        "Further headers, with placeholders.",
    ),
    Key::new(
        "gzip",
        Shape::Bool,
        "Whether bodies of more than 1KiB are compressed; false when left out.",
    ),
    Key::new(
        "tls",
        Shape::Table(TLS),
        "Own authorities, client certificate.",
    ),
    Key::new(
        "proxy",
        Shape::UrlOrTable(&["http", "https"], PROXY),
        "Proxy to go through, as its URL, or as a table where it asks for a password; none when left out.",
    ),
];

pub(in crate::plan) const PROXY: &[Key] = &[
    Key::required(
        "url",
        Shape::Url(&["http", "https"]),
        "where it listens, such as \"http://proxy.example:3128\"",
    ),
    Key::new("username", Shape::Text, "Who Faceway is to the proxy."),
    PASSWORD,
];

const MQTT: &[Key] = &[
    Key::required(
        "url",
        Shape::Url(&["mqtts", "mqtt"]),
        "the broker, such as \"mqtts://broker:8883\"",
    ),
    Key::new(
        "client_id",
        Shape::Text,
        "How the broker knows this client; stable and unique by itself when left out.",
    ),
    USERNAME,
    PASSWORD,
    Key::new(
        "topic",
        Shape::Text,
        "Where events go; `faceway/{inbound}/{device.id}/{kind}` when left out. Placeholders are fields of the event.",
    ),
    Key::new(
        "qos",
        Shape::Numbers(&[0, 1, 2]),
        "1 when left out. With 0 a broker confirms nothing.",
    ),
    Key::new(
        "version",
        Shape::Numbers(&[5, 4]),
        "5 when left out; 4 is MQTT 3.1.1.",
    ),
    Key::new(
        "retain",
        Shape::Bool,
        "Whether the broker keeps the last event of each topic; false when left out.",
    ),
    PAYLOAD_BYTES_MAX,
    Key::new(
        "keep_alive",
        Shape::Duration {
            min_ms: 5000,
            max_ms: 65_535_000,
        },
        "A silent connection is tried after this; 30s when left out.",
    ),
    Key::new(
        "expiry",
        Shape::Duration {
            min_ms: 1000,
            max_ms: 4_294_967_295_000,
        },
        "An event that waits longer in the broker is dropped there (MQTT 5); never when left out.",
    ),
    Key::new(
        "status_topic",
        Shape::Text,
        "Where `online` and `offline` stand, retained; `faceway/status/<client id>` when left out.",
    ),
    Key::new(
        "home_assistant",
        Shape::Bool,
        "`true`: devices show themselves to Home Assistant. `false`: those that did are taken back.",
    ),
    Key::new(
        "headers",
        Shape::Own(own::texts),
        "User properties of each event (MQTT 5), with placeholders.",
    ),
    TLS_KEY,
];

const AMQP: &[Key] = &[
    Key::required(
        "url",
        Shape::Url(&["amqps", "amqp"]),
        "the broker and its virtual host, such as \"amqps://broker:5671/%2f\"",
    ),
    USERNAME,
    PASSWORD,
    Key::required(
        "exchange",
        Shape::Text,
        "where events are published, such as \"faces\"",
    ),
    Key::new(
        "declare",
        Shape::Word(&["topic", "direct", "fanout", "headers"]),
        "Declare the exchange of this type, durable; it must exist when left out.",
    ),
    Key::new(
        "routing_key",
        Shape::Text,
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
        Shape::Own(own::texts),
        "Headers of each event, with placeholders.",
    ),
    TLS_KEY,
];

const USERNAME: Key = Key::new("username", Shape::Text, "Who Faceway is to the broker.");

const PASSWORD: Key = Key::new("password", Shape::Secret, "The password of `username`.");

const PAYLOAD_BYTES_MAX: Key = Key::new(
    "payload_bytes_max",
    Shape::Bytes { min: 1024 },
    "A larger event is buried, a picture that would make it so is sent as a link; 256KiB when left out.",
);

const TLS_KEY: Key = Key::new(
    "tls",
    Shape::Table(TLS),
    "Own authorities, client certificate.",
);

const COMMON: &[Key] = &[
    Key::new(
        "format",
        Shape::Word(&["canonical", "cloudevents", "cloudevents-binary", "template"]),
        "How an event is written; canonical when left out.",
    ),
    Key::new(
        "template",
        Shape::Path,
        "Jinja file for `format = \"template\"`, beside this file; its name tells what it makes: `erp.json.j2`.",
    ),
    Key::new(
        "batch_max",
        Shape::Whole { min: 1, max: 1000 },
        "Events in one message of a webhook, 1 when left out; more = a JSON array.",
    ),
    Key::new(
        "images",
        Shape::Word(&["none", "url", "inline"]),
        "Pictures: left out (default), as signed links, or inside the event.",
    ),
    Key::new(
        "omit",
        Shape::Own(own::fields),
        "Fields that are left out. `schema`, `id` and `kind` always stay.",
    ),
    Key::new(
        "only",
        Shape::Own(own::fields),
        "The only fields that are sent, with `schema`, `id` and `kind`.",
    ),
    Key::new(
        "concurrency_max",
        Shape::Whole { min: 1, max: 1000 },
        "Deliveries at the same time; 4 when left out, 32 for mqtt and amqp. Events of one device stay one after another.",
    ),
    Key::new(
        "timeout",
        Shape::TIMEOUT,
        "For one delivery; 10s when left out.",
    ),
    Key::new(
        "since",
        Shape::Word(&["now", "oldest"]),
        "A new outbound begins with new events (now, default) or with the history (oldest).",
    ),
    Key::new("retry", Shape::Table(RETRY), "Pauses and limits."),
];

const RETRY: &[Key] = &[
    Key::new(
        "backoff_min",
        Shape::TIMEOUT,
        "First pause; 1s when left out.",
    ),
    Key::new(
        "backoff_max",
        Shape::TIMEOUT,
        "Longest pause; 5m when left out.",
    ),
    Key::new(
        "attempts_max",
        Shape::Whole {
            min: 0,
            max: 1_000_000,
        },
        "Attempts of one event that fails alone, an outage does not count; 10 when left out, 0 = without end.",
    ),
    Key::new(
        "age_max",
        Shape::DURATION,
        "An older event is buried; 0s, without end, when left out.",
    ),
];

pub(super) const TLS: &[Key] = &[
    Key::new(
        "ca",
        Shape::Path,
        "PEM file of the authorities to trust in place of the usual ones.",
    ),
    Key::new(
        "cert",
        Shape::Path,
        "PEM file of the client's certificate chain.",
    ),
    Key::new("key", Shape::Path, "PEM file of the client's key."),
];

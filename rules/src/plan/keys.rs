//! Every key of `routes.toml`, once: the reader, its errors and the JSON Schema come from here.

use faceway_core::{Reach, Setting, SettingKind};

use super::AdapterGrammar;
use crate::read::{Key, Shape};
use crate::schema::own;

pub(crate) const ROOT: &[Key] = &[
    Key::new(
        "inbound",
        Shape::Own(own::nothing),
        "What comes in: `[inbound.<adapter>.<name>]`.",
    ),
    Key::new(
        "outbound",
        Shape::Own(own::nothing),
        "Where it goes: `[outbound.<protocol>.<name>]`.",
    ),
    Key::new("route", Shape::Own(own::nothing), "The rules between."),
    Key::new(
        "test",
        Shape::Own(own::nothing),
        "Tests of the rules, run by `faceway check`.",
    ),
];

const INBOUND: &[Key] = &[
    Key::new(
        "path",
        Shape::Text,
        "Where devices push to; `/in/<name>` when left out, none for an inbound with a `url`.",
    ),
    Key::new(
        "token",
        Shape::Secret,
        "Then `?token=…` or `Authorization: Bearer …` is required.",
    ),
    Key::new(
        "allow",
        Shape::Own(own::networks),
        "Addresses that may push; all when left out.",
    ),
];

const DIALLED: &[Key] = &[
    Key::new(
        "url",
        Shape::Url(&["ws", "wss"]),
        "A websocket that Faceway dials and keeps open.",
    ),
    Key::new(
        "query",
        Shape::Own(own::secrets_by_name),
        "Parameters of `url` that are secrets, such as { access = { env = \"OMNI_ACCESS\" } }.",
    ),
    Key::new(
        "tls",
        Shape::Table(TLS),
        "Own authorities, client certificate; for `url` and `api_url`.",
    ),
];

const API: &[Key] = &[Key::new(
    "api_url",
    Shape::Url(&["http", "https"]),
    "The source's HTTP API, which is asked for what is left out here.",
)];

const TERMINALS: &[Key] = &[Key::new(
    "terminals",
    Shape::Own(own::terminals),
    "Devices whose subscription Faceway keeps pointing at itself.",
)];

pub(crate) const TERMINAL: &[Key] = &[
    Key::required(
        "url",
        Shape::Url(&["https", "http"]),
        "the device's own API, such as \"https://10.1.0.20:8000\"",
    ),
    Key::required("username", Shape::Text, "a user of that API"),
    Key::required("password", Shape::Secret, "that user's password"),
    Key::new(
        "ca",
        Shape::Path,
        "PEM file of the authorities to trust in place of the usual ones, such as the device's own certificate.",
    ),
    Key::new(
        "fingerprint",
        Shape::Text,
        "SHA-256 of the device's certificate, 64 hexadecimal digits: trust this one and no other.",
    ),
];

/// The keys of an inbound of an adapter.
pub(crate) fn inbound_keys(adapter: &AdapterGrammar) -> Vec<Key> {
    let own = |setting: &Setting| {
        let shape = match setting.kind {
            SettingKind::Text => Shape::Text,
            SettingKind::Word(words) => Shape::Word(words),
            SettingKind::Number(numbers) => Shape::Numbers(numbers),
            SettingKind::Texts => Shape::Texts,
            SettingKind::Words(words) => Shape::Words(words),
        };
        Key::new(setting.name, shape, setting.about)
    };
    let mut keys = INBOUND.to_vec();
    for reach in adapter.reach {
        keys.extend_from_slice(match reach {
            Reach::Pushed => &[],
            Reach::Dialled { .. } => DIALLED,
            Reach::Subscribed => TERMINALS,
        });
        if matches!(reach, Reach::Dialled { api_for } if !api_for.is_empty()) {
            keys.extend_from_slice(API);
        }
    }
    let settings = adapter.settings.iter().map(own);
    keys.retain(|key| adapter.settings.iter().all(|own| own.name != key.name));
    keys.extend(settings);
    keys
}

pub(super) const RETRY: &[Key] = &[
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

pub(super) const ONCE: &[Key] = &[
    Key::required(
        "per",
        Shape::Own(own::fields),
        "fields that tell one from another, such as [\"person.id\"]",
    ),
    Key::required(
        "within",
        Shape::TIMEOUT,
        "how long the silence is, such as \"30s\"",
    ),
];

pub(crate) const ROUTE: &[Key] = &[
    Key::required(
        "name",
        Shape::Text,
        "a name that `explain` and metrics call it by",
    ),
    Key::new(
        "when",
        Shape::Own(own::when),
        "What must hold of an event; every event when left out.",
    ),
    Key::new(
        "otherwise",
        Shape::Bool,
        "true in place of `when`: events that no other route matched.",
    ),
    Key::required(
        "to",
        Shape::Own(own::names),
        "names of outbounds, such as [\"erp\"]",
    ),
    Key::new(
        "once",
        Shape::Table(ONCE),
        "The first of each, then silence for that long.",
    ),
];

pub(crate) const TEST: &[Key] = &[
    Key::required("name", Shape::Text, "what must come true"),
    Key::required(
        "given",
        Shape::Own(own::event),
        "an event, as far as the rules ask for it",
    ),
    Key::required(
        "expect",
        Shape::Own(own::names),
        "names of the outbounds that get it; [] for none",
    ),
];

const COMMON: &[Key] = &[
    Key::new(
        "format",
        Shape::WordSoFar {
            words: &["canonical"],
            later: &["cloudevents", "cloudevents-binary", "template"],
        },
        "How an event is written.",
    ),
    Key::new(
        "template",
        Shape::Later,
        "only `format = \"canonical\"` so far",
    ),
    Key::new(
        "batch_max",
        Shape::Whole {
            min: 1,
            max: 10_000,
        },
        "Events in one message; 1 so far.",
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
        "Deliveries at the same time; 4 when left out. Events of one device stay one after another.",
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
    Key::new("headers", Shape::Own(own::headers), "Further headers."),
    Key::new(
        "tls",
        Shape::Table(TLS),
        "Own authorities, client certificate.",
    ),
    Key::new(
        "proxy",
        Shape::Url(&["http", "https"]),
        "Proxy to go through; none when left out.",
    ),
];

/// The protocols of this version, with the keys of an outbound of each.
pub(crate) fn outbound_keys() -> [(&'static str, Vec<Key>); 2] {
    [
        ("webhook", [WEBHOOK, COMMON].concat()),
        ("stdout", COMMON.to_vec()),
    ]
}

//! Every key of `routes.toml`, once: the reader, its errors and the JSON Schema come from here.

mod outbound;

use faceway_core::{Reach, Setting, SettingKind};

use super::AdapterGrammar;
use crate::read::{Key, Shape};
use crate::schema::own;

pub(crate) use outbound::outbound_keys;

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
    Key::new(
        "gateways",
        Shape::Texts,
        "Where gateways share a site: names of those that may dial its source and ask its terminals; all when left out. Devices push to any.",
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
        Shape::Tls,
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

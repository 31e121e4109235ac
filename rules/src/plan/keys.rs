//! Every key of `routes.toml`, once: the reader, its errors and the JSON Schema come from here.

mod outbound;

use faceway_core::{Setting, SettingKind};

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
        "Where devices push to; `/in/<name>` when left out.",
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
        "url",
        Shape::Later,
        "so far devices push; Faceway does not dial them",
    ),
    Key::new(
        "api_url",
        Shape::Later,
        "so far devices push; Faceway does not dial them",
    ),
    Key::new(
        "terminals",
        Shape::Later,
        "enter the address of this inbound at the device by hand",
    ),
];

/// The keys of an inbound of an adapter.
pub(crate) fn inbound_keys(settings: &[Setting]) -> Vec<Key> {
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
    let settings: Vec<_> = settings.iter().map(own).collect();
    let common = INBOUND
        .iter()
        .filter(|key| !settings.iter().any(|setting| setting.name == key.name));
    common.copied().chain(settings.iter().copied()).collect()
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

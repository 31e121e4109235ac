//! The keys of an outbound.

use faceway_core::OutboundKind;

use crate::read::{Key, Shape};
use crate::schema::own;

/// The keys of an outbound of this protocol: its own, and what every outbound has.
pub(crate) fn outbound_keys(kind: &OutboundKind) -> Vec<Key> {
    [kind.keys, COMMON].concat()
}

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
        "Events in one message, 1 when left out; more = a JSON array.",
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
        "Deliveries at the same time. Events of one device stay one after another.",
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
    Key::new(
        "gateways",
        Shape::Texts,
        "Where gateways share a site: names of those that may deliver, as one network alone reaches the destination; all when left out.",
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

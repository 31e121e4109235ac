//! Why a broker may take no connection, and what the operator can do about it.

use crate::packet::Refusal;

const fn refusal(word: &'static str, advice: &'static str) -> Refusal {
    Refusal { word, advice }
}

pub(crate) const VERSION_5: Refusal = refusal(
    "version",
    "it does not speak MQTT 5, only 3.1.1: write `version = 4`, which has no `headers`, no `expiry` and no `cloudevents-binary`",
);
/// The same, where nothing is lost with the older version.
pub(crate) const FALLS_BACK: Refusal = refusal(
    "version",
    "it does not speak MQTT 5, so Faceway speaks 3.1.1 with it: write `version = 4`",
);
pub(crate) const VERSION_4: Refusal = refusal(
    "version",
    "it does not speak MQTT 3.1.1: write `version = 5`",
);
pub(crate) const CLIENT_ID: Refusal = refusal(
    "client-id",
    "it does not take this client id: write another under `client_id`",
);
pub(crate) const CREDENTIALS: Refusal = refusal(
    "credentials",
    "it does not know this user with this password: check `username` and `password`",
);
pub(crate) const NOT_AUTHORIZED: Refusal = refusal(
    "not-authorized",
    "it does not let this client in: check `username`, `password` and what the broker allows them",
);
pub(crate) const BANNED: Refusal = refusal(
    "banned",
    "it has banned this client: have it admitted again at the broker",
);
pub(crate) const UNAVAILABLE: Refusal = refusal("unavailable", "it is not available: wait");
pub(crate) const BUSY: Refusal = refusal("busy", "it is busy: wait");
pub(crate) const QUOTA: Refusal = refusal("quota", "a quota of it is used up: raise it there");
pub(crate) const RATE: Refusal = refusal("rate", "too many connections at once: wait");
pub(crate) const MOVED: Refusal =
    refusal("moved", "it wants another server to be used: change `url`");
pub(crate) const STATUS_TOPIC: Refusal = refusal(
    "status-topic",
    "it does not take the last will's topic: change `status_topic`",
);
pub(crate) const RETAIN: Refusal = refusal(
    "retain",
    "it keeps no retained messages: write `retain = false`",
);
pub(crate) const QOS: Refusal = refusal("qos", "it does not take this `qos`: write a smaller one");
pub(crate) const REJECTED: Refusal = refusal("rejected", "its log says why");

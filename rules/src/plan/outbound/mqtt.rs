//! `[outbound.mqtt.<name>]`.

use std::time::Duration;

use crate::read::Table;
use crate::{Field, Format, Projection, Secret, Template};

use super::address::Wrong;
use super::{TlsPlan, address, broker, common, headers};

/// An MQTT broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttPlan {
    /// `mqtt://` or `mqtts://`, a host, and a port where it is not the usual one. Nobody's password is in it.
    pub url: String,
    /// How the broker knows this client; `None` = made by the gateway, stable and unique.
    pub client_id: Option<String>,
    /// Who Faceway is to the broker.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Secret>,
    /// Where events go. Its fixed parts hold no wildcard and no NUL.
    pub topic: Template,
    /// How the broker confirms.
    pub qos: Qos,
    /// Version of the protocol.
    pub version: MqttVersion,
    /// Whether the broker keeps the last event of each topic.
    pub retain: bool,
    /// Largest payload, in bytes. Where the broker tells its own limit, the smaller one counts.
    pub payload_bytes_max: u64,
    /// A silent connection is tried after this; 5 to 65,535 seconds.
    pub keep_alive: Duration,
    /// An event that waits longer in the broker is dropped there; only with version 5.
    pub expiry: Option<Duration>,
    /// Where `online` and `offline` stand, retained; `None` = `faceway/status/<client id>`.
    pub status_topic: Option<String>,
    /// Whether devices show themselves to Home Assistant; `None` = they do not, and nothing of before is taken back either.
    pub home_assistant: Option<bool>,
    /// User properties, by lower-case name; only with version 5.
    pub headers: Vec<(String, Template)>,
    /// Own authorities, client certificate; only with `mqtts://`.
    pub tls: Option<TlsPlan>,
}

/// How an MQTT broker confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// 0: not at all.
    AtMostOnce,
    /// 1: by PUBACK.
    AtLeastOnce,
    /// 2: by PUBCOMP.
    ExactlyOnce,
}

/// Version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1, `version = 4`.
    V4,
    /// 5.
    V5,
}

const TOPIC: &str = "faceway/{inbound}/{device.id}/{kind}";
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The protocol's own limit, in bytes.
const TOPIC_BYTES_MAX: usize = 65_535;
/// Brokers must take 23 bytes and may take more; all that are known take these.
const CLIENT_ID_BYTES_MAX: usize = 128;

pub(super) fn read(table: &Table<'_>, projection: &Projection) -> MqttPlan {
    let url = table.url("url").unwrap_or_default();
    broker::nothing_behind(table, &url, true);
    let (username, password) = broker::login(table);
    let plan = MqttPlan {
        tls: common::tls(table, &url, ("mqtt", "mqtts")),
        url,
        client_id: client_id(table),
        username,
        password,
        topic: address::read(table, "topic", TOPIC, projection, wrong_topic),
        qos: match table.whole("qos") {
            Some(0) => Qos::AtMostOnce,
            Some(2) => Qos::ExactlyOnce,
            _ => Qos::AtLeastOnce,
        },
        version: match table.whole("version") {
            Some(4) => MqttVersion::V4,
            _ => MqttVersion::V5,
        },
        retain: table.bool("retain").unwrap_or(false),
        payload_bytes_max: broker::payload_bytes_max(table),
        keep_alive: table.duration("keep_alive").unwrap_or(KEEP_ALIVE),
        expiry: table.duration("expiry"),
        status_topic: status_topic(table),
        home_assistant: table.bool("home_assistant"),
        headers: headers::of_broker(table, projection),
    };
    tell_what_version_4_lacks(table, &plan);
    if plan.home_assistant == Some(true)
        && plan.retain
        && let Some(node) = table.get("retain")
    {
        let message = "with `retain = true` the triggers of Home Assistant ring again for the last event whenever it starts";
        table.reporter().warning(node.span, message, "false");
    }
    if plan.qos == Qos::AtMostOnce
        && let Some(node) = table.get("qos")
    {
        let message =
            "with `qos = 0` the broker confirms nothing, and an event may be lost on its way";
        table.reporter().warning(node.span, message, "1 or 2");
    }
    plan
}

fn tell_what_version_4_lacks(table: &Table<'_>, plan: &MqttPlan) {
    if plan.version != MqttVersion::V4 {
        return;
    }
    for key in ["expiry", "headers"] {
        if let Some(entry) = table.entry(key) {
            let message = format!("`{key}` needs MQTT 5");
            let help = "leave it out, or write `version = 5`";
            table.reporter().error(entry.span, message, help);
        }
    }
}

fn client_id(table: &Table<'_>) -> Option<String> {
    let id = table.text("client_id")?;
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    // It is a level of the status topic too.
    if id.len() > CLIENT_ID_BYTES_MAX || !id.chars().all(fits) {
        let span = table.get("client_id")?.span;
        let help = "letters, digits, `-` and `_`, at most 128";
        table
            .reporter()
            .error(span, "`client_id` is no name for a client", help);
    }
    Some(id.to_owned())
}

fn status_topic(table: &Table<'_>) -> Option<String> {
    let topic = table.text("status_topic")?;
    let wrong = match topic.contains(['{', '}']) {
        true => Some(("cannot have placeholders", "the gateway has one status")),
        false => wrong_part(topic),
    };
    if let Some((message, help)) = wrong {
        let span = table.get("status_topic")?.span;
        let message = format!("`status_topic` {message}");
        table.reporter().error(span, message, help);
    }
    Some(topic.to_owned())
}

/// The rules of topic names: MQTT 5, section 4.7.
fn wrong_topic(topic: &Template) -> Wrong {
    if topic
        .literals()
        .next()
        .is_some_and(|first| first.starts_with('$'))
    {
        return Some((
            "begins with `$`, where only the broker publishes",
            "begin it with a letter",
        ));
    }
    if topic.literals().map(str::len).sum::<usize>() > TOPIC_BYTES_MAX {
        return Some(("is longer than 65,535 bytes", "write a shorter one"));
    }
    topic.literals().find_map(wrong_part)
}

/// Home Assistant is told of devices by what canonical events say of them.
pub(super) fn check_home_assistant(table: &Table<'_>, format: &Format, projection: &Projection) {
    let Some(node) = table.get("home_assistant") else {
        return;
    };
    let hidden = Field::find("device.id").is_some_and(|id| projection.hides(&id));
    let wrong = match format {
        Format::Canonical if hidden => Some((
            "`home_assistant` has no use where `device.id` is not for this outbound",
            "let it see `device`",
        )),
        Format::Canonical => None,
        _ => Some((
            "`home_assistant` reads canonical events",
            "leave out `format`, or give Home Assistant an outbound of its own",
        )),
    };
    if let Some((message, help)) = wrong {
        table.reporter().error(node.span, message, help);
    }
}

fn wrong_part(part: &str) -> Wrong {
    if part.contains(['+', '#']) {
        return Some((
            "has a wildcard, which is for subscribers",
            "write it without `+` and `#`; placeholders such as `{device.id}` tell events apart",
        ));
    }
    part.contains(faceway_core::is_unsendable).then_some((
        "has a control character, or a code point that is no character: brokers end the connection at it",
        "leave it out",
    ))
}

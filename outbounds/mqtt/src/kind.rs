//! `[outbound.mqtt.<name>]`: what it may hold, what is wrong with it, and how it is opened.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::outbound_kind::{
    Address, At, Headers, OpenContext, OpenError, PASSWORD, PAYLOAD_BYTES_MAX, Reading, Readme,
    TLS_FILES, USERNAME, Wrong,
};
use faceway_core::{
    Key, Outbound, OutboundKind, OutboundSettings, Secret, Shape, TlsFiles, is_unsendable,
};
use faceway_tls::ClientTls;

use crate::settings::TEXT_BYTES_MAX;
use crate::{Mqtt, MqttSettings};

/// What this protocol declares.
pub static KIND: OutboundKind = OutboundKind {
    name: "mqtt",
    readme: Some(Readme {
        path: "outbounds/mqtt/README.md",
        text: include_str!("../README.md"),
    }),
    aliases: &["mosquitto", "mqtts"],
    keys: KEYS,
    meant: &[],
    address: Some(Address {
        key: "topic",
        called: "topic",
        default: "faceway/{inbound}/{device.id}/{kind}",
        wrong: wrong_topic,
        // MQTT 5, section 4.7.
        meaningful: "/+#",
        reserved: Some('$'),
        bytes_max: TEXT_BYTES_MAX,
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
        Shape::Template,
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
        Shape::Headers { secrets: false },
        "User properties of each event (MQTT 5), with placeholders.",
    ),
    TLS_FILES,
];

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Brokers must take 23 bytes and may take more; all that are known take these.
const CLIENT_ID_BYTES_MAX: usize = 128;

/// The settings as the table has them; what only the gateway knows is filled in when they are opened.
struct Read {
    settings: MqttSettings,
    client_id: Option<String>,
    password: Option<Secret>,
    tls: Option<TlsFiles>,
    /// `None`: devices are not announced, and nothing of before is taken back either.
    home_assistant: Option<bool>,
}

fn read(table: &Reading<'_>) -> Read {
    let url = table.text("url").unwrap_or_default().to_owned();
    table.nothing_behind(&url, Some("leave it out; where events go is `topic`"));
    let (username, password) = table.login();
    let home_assistant = table.bool("home_assistant");
    let read = Read {
        tls: table.tls(&url, ("mqtt", "mqtts")),
        client_id: client_id(table),
        password,
        home_assistant,
        settings: MqttSettings {
            url,
            username,
            password: None,
            client_id: String::new(),
            version: if table.whole("version") == Some(4) {
                4
            } else {
                5
            },
            fall_back: true,
            qos: match table.whole("qos") {
                Some(0) => 0,
                Some(2) => 2,
                _ => 1,
            },
            retain: table.bool("retain").unwrap_or(false),
            payload_bytes_max: usize::try_from(table.payload_bytes_max()).unwrap_or(usize::MAX),
            keep_alive: table.duration("keep_alive").unwrap_or(KEEP_ALIVE),
            expiry: table.duration("expiry"),
            tls: None,
            timeout: Duration::ZERO,
            window: 0,
            status_topic: status_topic(table),
            home_assistant: home_assistant == Some(true),
            withdraw: home_assistant == Some(false),
            no_picture: None,
        },
    };
    check_version_4(table, &read.settings);
    check_home_assistant(table, &read.settings);
    if read.settings.qos == 0 {
        let message =
            "with `qos = 0` the broker confirms nothing, and an event may be lost on its way";
        table.warning(At::Value("qos"), message, "1 or 2");
    }
    read
}

impl Read {
    /// The settings with what only the gateway has.
    fn filled(&self, context: &OpenContext<'_>) -> Result<MqttSettings, OpenError> {
        let client_id = self.client_id.clone();
        let client_id =
            client_id.unwrap_or_else(|| format!("faceway-{}-{}", context.gateway, context.name));
        let status_topic = self.settings.status_topic.clone();
        let resources = context.resources;
        let password = self.password.as_ref();
        let tls = self.tls.as_ref();
        // An outbound that announced devices and says nothing of Home Assistant any more takes them back: else they stayed
        // there for ever.
        let announced = context.before.and_then(|said| said.bool("home_assistant"));
        let stopped = self.home_assistant.is_none() && announced == Some(true);
        Ok(MqttSettings {
            password: password
                .map(|password| resources.secret(password))
                .transpose()?,
            tls: tls
                .map(|files| ClientTls::read(files, resources))
                .transpose()?,
            status_topic: status_topic.or_else(|| Some(format!("faceway/status/{client_id}"))),
            client_id,
            // User properties are all that a receiver has of the attributes of a CloudEvent.
            fall_back: !context.needs_headers,
            timeout: context.timeout,
            window: context.concurrency_max,
            withdraw: self.settings.withdraw || stopped,
            no_picture: Some(context.no_picture.to_owned()),
            ..self.settings.clone()
        })
    }
}

impl OutboundSettings for Read {
    fn open(&self, context: &OpenContext<'_>) -> Result<Arc<dyn Outbound>, OpenError> {
        Ok(Arc::new(Mqtt::new(self.filled(context)?)?))
    }

    fn url(&self) -> Option<&str> {
        Some(&self.settings.url)
    }

    fn payload_bytes_max(&self) -> Option<u64> {
        u64::try_from(self.settings.payload_bytes_max).ok()
    }

    fn lacks_attributes(&self) -> Option<&'static str> {
        (self.settings.version == 4).then_some("MQTT 3.1.1 has no place for the attributes")
    }
}

fn check_version_4(table: &Reading<'_>, settings: &MqttSettings) {
    for key in ["expiry", "headers"] {
        if table.is_written(key) && settings.version == 4 {
            let message = format!("`{key}` needs MQTT 5");
            let help = "leave it out, or write `version = 5`";
            table.error(At::Key(key), message, help);
        }
    }
}

/// Devices are announced to Home Assistant by what canonical events say of them.
fn check_home_assistant(table: &Reading<'_>, settings: &MqttSettings) {
    if !settings.home_assistant {
        return;
    }
    if settings.retain {
        let message = "with `retain = true` the triggers of Home Assistant ring again for the last event whenever it starts";
        table.warning(At::Value("retain"), message, "false");
    }
    let at = At::Value("home_assistant");
    if table.format() != "canonical" {
        let help = "leave out `format`, or give Home Assistant an outbound of its own";
        table.error(at, "`home_assistant` reads canonical events", help);
    } else if !table.shows("device.id") {
        let message = "`home_assistant` has no use where `device.id` is not for this outbound";
        table.error(at, message, "let it see `device`");
    }
}

fn client_id(table: &Reading<'_>) -> Option<String> {
    let id = table.text("client_id")?;
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    // It is a level of the status topic too.
    if id.len() > CLIENT_ID_BYTES_MAX || !id.chars().all(fits) {
        let help = "letters, digits, `-` and `_`, at most 128";
        let message = "`client_id` is no name for a client";
        table.error(At::Value("client_id"), message, help);
    }
    Some(id.to_owned())
}

fn status_topic(table: &Reading<'_>) -> Option<String> {
    let topic = table.text("status_topic")?;
    let wrong = if topic.contains(['{', '}']) {
        Some(("cannot have placeholders", "the gateway has one status"))
    } else {
        wrong_part(topic)
    };
    if let Some((message, help)) = wrong {
        let message = format!("`status_topic` {message}");
        table.error(At::Value("status_topic"), message, help);
    }
    Some(topic.to_owned())
}

/// The rules of topic names: MQTT 5, section 4.7.
fn wrong_topic(parts: &[&str]) -> Wrong {
    if parts.first().is_some_and(|first| first.starts_with('$')) {
        return Some((
            "begins with `$`, where only the broker publishes",
            "begin it with a letter",
        ));
    }
    if parts.iter().map(|part| part.len()).sum::<usize>() > TEXT_BYTES_MAX {
        return Some(("is longer than 65,535 bytes", "write a shorter one"));
    }
    parts.iter().find_map(|part| wrong_part(part))
}

fn wrong_part(part: &str) -> Wrong {
    if part.contains(['+', '#']) {
        return Some((
            "has a wildcard, which is for subscribers",
            "write it without `+` and `#`; placeholders such as `{device.id}` tell events apart",
        ));
    }
    part.contains(is_unsendable).then_some((
        "has a control character, or a code point that is no character: brokers end the connection at it",
        "leave it out",
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use faceway_core::outbound_kind::{Missing, Resources};
    use faceway_core::{Clock, Private, SystemClock, Value, Values};

    use super::*;

    /// A machine on which every secret is its name.
    struct Here;

    impl Resources for Here {
        fn secret(&self, secret: &Secret) -> Result<Private<String>, Missing> {
            Ok(secret.to_string().into())
        }

        fn pem(&self, file: &Path, _: &str) -> Result<Vec<u8>, Missing> {
            Err(Missing(file.display().to_string()))
        }
    }

    /// What a table with these values means to the gateway `g`, where another one said `before`.
    fn filled(
        values: impl IntoIterator<Item = (&'static str, Value)>,
        before: Option<&Values>,
    ) -> MqttSettings {
        let mut table = Values::default();
        table.add("url", Some(Value::Text("mqtt://broker".to_owned())));
        for (key, value) in values {
            table.add(key, Some(value));
        }
        let (read, found) = Reading::of((KEYS, &table), "canonical", &|_| true, read);
        assert_eq!(found, []);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let context = OpenContext {
            name: "bus",
            gateway: "g",
            no_picture: "http://gateway/none",
            timeout: Duration::from_secs(10),
            concurrency_max: 32,
            headers: Vec::new(),
            needs_headers: false,
            before,
            clock: &clock,
            resources: &Here,
        };
        read.filled(&context).unwrap()
    }

    #[test]
    fn what_is_left_out_has_its_usual_meaning() {
        let settings = filled([], None);
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(settings.client_id, "faceway-g-bus");
        assert_eq!(
            settings.status_topic.as_deref(),
            Some("faceway/status/faceway-g-bus")
        );
        assert_eq!((settings.version, settings.qos), (5, 1));
        assert!(!settings.retain && settings.fall_back);
        assert_eq!(settings.payload_bytes_max, 256 * 1024);
        assert_eq!(settings.keep_alive, Duration::from_secs(30));
        assert_eq!((settings.window, settings.timeout.as_secs()), (32, 10));
    }

    #[test]
    fn what_is_said_counts() {
        let text = |text: &str| Value::Text(text.to_owned());
        let settings = filled(
            [
                ("client_id", text("me")),
                ("version", Value::Whole(4)),
                ("qos", Value::Whole(2)),
                ("username", text("u")),
                ("password", Value::Secret(Secret::Env("P".to_owned()))),
            ],
            None,
        );
        assert_eq!((settings.version, settings.qos), (4, 2));
        assert_eq!(settings.status_topic.as_deref(), Some("faceway/status/me"));
        let password = settings.password.map(Private::into_revealed);
        assert_eq!(password.as_deref(), Some("environment variable P"));
    }

    #[test]
    fn announcements_are_taken_back_when_they_are_no_longer_asked_for() {
        let said = |said: bool| {
            let mut values = Values::default();
            values.add("home_assistant", Some(Value::Bool(said)));
            values
        };
        let (yes, no) = (said(true), said(false));
        let announces = |now: Option<bool>, before: Option<&Values>| {
            let now = now.map(|now| ("home_assistant", Value::Bool(now)));
            let settings = filled(now, before);
            (settings.home_assistant, settings.withdraw)
        };
        assert_eq!(announces(None, None), (false, false));
        assert_eq!(announces(None, Some(&no)), (false, false));
        assert_eq!(announces(None, Some(&yes)), (false, true));
        assert_eq!(announces(Some(false), None), (false, true));
        assert_eq!(announces(Some(true), Some(&yes)), (true, false));
    }
}

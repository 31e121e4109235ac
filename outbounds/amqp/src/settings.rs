//! What an AMQP outbound needs to know, and what is wrong with it.

use std::time::Duration;

use faceway_core::{Private, SettingsError};
use faceway_tls::ClientTls;
use lapin::ExchangeKind;
use url::Url;

/// How to reach a broker, and where in it events go.
#[derive(Clone)]
pub struct AmqpSettings {
    /// `amqp://` or `amqps://` with host, port and virtual host: `amqp://broker:5672/%2f`. Without a path it is the
    /// virtual host `/`. No user and no password stand in it.
    pub url: String,
    /// RabbitMQ's own default is `guest`, whom it lets in from its own machine only.
    pub username: Option<String>,
    /// The password of `username`.
    pub password: Option<Private<String>>,
    /// Where messages are published. Empty: the default exchange, whose routing keys are names of queues.
    pub exchange: String,
    /// Declare the exchange of this type, durable. `None`: it must exist.
    pub declare: Option<ExchangeType>,
    /// Declare this durable quorum queue and bind it.
    pub queue: Option<String>,
    /// The binding key of `queue`; `#` when `None`.
    pub bind: Option<String>,
    /// A larger body is buried before it is published.
    pub payload_bytes_max: usize,
    /// After two silent ones the connection is given up. Whole seconds, at least one.
    pub heartbeat: Duration,
    /// For `amqps://` with a CA of one's own, or with a client certificate.
    pub tls: Option<ClientTls>,
    /// For a whole delivery, from looking up the name to the broker's confirm.
    pub timeout: Duration,
    /// Messages that may wait for their confirm at once.
    pub window: usize,
}

/// How an exchange chooses queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeType {
    /// The binding key equals the routing key.
    Direct,
    /// The binding key is a pattern of the routing key.
    Topic,
    /// Every bound queue.
    Fanout,
    /// By headers.
    Headers,
}

impl ExchangeType {
    pub(crate) fn kind(self) -> ExchangeKind {
        match self {
            Self::Direct => ExchangeKind::Direct,
            Self::Topic => ExchangeKind::Topic,
            Self::Fanout => ExchangeKind::Fanout,
            Self::Headers => ExchangeKind::Headers,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Topic => "topic",
            Self::Fanout => "fanout",
            Self::Headers => "headers",
        }
    }
}

/// `url`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) encrypted: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) vhost: String,
}

/// Bytes of a name in AMQP 0-9-1 (section 4.2.5.3, short strings).
pub(crate) const NAME_BYTES_MAX: usize = 255;

impl AmqpSettings {
    pub(crate) fn broker(&self) -> Result<Broker, SettingsError> {
        let wrong = |problem: &str| Err(SettingsError::new("url", problem));
        let url: Url = match self.url.trim().parse() {
            Ok(url) => url,
            Err(error) => {
                return wrong(&format!(
                    "is not a URL ({error}); write amqp://host:5672/%2f or amqps://host:5671/%2f"
                ));
            }
        };
        let (encrypted, port) = match url.scheme() {
            "amqp" => (false, 5672),
            "amqps" => (true, 5671),
            _ => return wrong("must begin with amqp:// or amqps://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong(
                "holds a user or a password; write them as `username` and `password` (amqp://host:5672/%2f)",
            );
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong(
                "ends with the virtual host (amqp://host:5672/%2f); leave out what follows it",
            );
        }
        let host = match url.host_str() {
            Some(host) if !host.is_empty() => host.trim_matches(['[', ']']).to_owned(),
            _ => return wrong("names no host; write amqp://host:5672/%2f"),
        };
        let Some(vhost) = vhost(url.path()) else {
            return wrong(
                "names no virtual host that can be; write `/` in its name as %2f (amqp://host:5672/%2f)",
            );
        };
        let port = url.port().unwrap_or(port);
        Ok(Broker {
            encrypted,
            host,
            port,
            vhost,
        })
    }

    /// Everything that can be told before a broker is asked.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |key, problem: &str| Err(SettingsError::new(key, problem));
        for (key, name) in [
            ("exchange", Some(&self.exchange)),
            ("queue", self.queue.as_ref()),
            ("bind", self.bind.as_ref()),
        ] {
            if name.is_some_and(|name| name.len() > NAME_BYTES_MAX) {
                return wrong(key, "is longer than 255 bytes");
            }
        }
        let default_exchange = self.exchange.is_empty();
        match (self.declare, &self.queue, &self.bind) {
            (Some(_), ..) if default_exchange => {
                return wrong(
                    "declare",
                    "the default exchange (`exchange = \"\"`) is there already; leave it out",
                );
            }
            (Some(_), ..) if self.exchange.starts_with("amq.") => {
                return wrong(
                    "declare",
                    "exchanges that begin with `amq.` are the broker's own; leave it out",
                );
            }
            (_, None, Some(_)) => {
                return wrong("bind", "binds `queue`; name one, or leave `bind` out");
            }
            (_, Some(_), Some(_)) if default_exchange => {
                return wrong(
                    "bind",
                    "the default exchange binds each queue by its name; leave it out",
                );
            }
            (Some(ExchangeType::Direct), Some(_), None) => {
                return wrong(
                    "bind",
                    "a direct exchange needs the routing key that `queue` shall get",
                );
            }
            _ => {}
        }
        if self
            .queue
            .as_ref()
            .is_some_and(|name| name.is_empty() || name.starts_with("amq."))
        {
            return wrong(
                "queue",
                "must be a name of your own that does not begin with `amq.`",
            );
        }
        if !(1..=u64::from(u16::MAX)).contains(&self.heartbeat.as_secs()) {
            return wrong("heartbeat", "must be between 1s and 65535s");
        }
        if self.timeout.is_zero() {
            return wrong("timeout", "must be longer than 0s");
        }
        if self.window == 0 {
            return wrong("window", "must be at least 1");
        }
        Ok(())
    }
}

/// An empty one cannot be made by hand in RabbitMQ, but a trailing `/` is soon written: the default one is meant.
fn vhost(path: &str) -> Option<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        return Some("/".to_owned());
    }
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'/' => return None,
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    let name = String::from_utf8(bytes).ok()?;
    (name.len() <= NAME_BYTES_MAX).then_some(name)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{AmqpSettings, Broker, ExchangeType};
    use std::time::Duration;

    fn settings(url: &str) -> AmqpSettings {
        AmqpSettings {
            url: url.into(),
            username: None,
            password: None,
            exchange: "faces".into(),
            declare: Some(ExchangeType::Topic),
            queue: Some("faceway".into()),
            bind: Some("#".into()),
            payload_bytes_max: 1024,
            heartbeat: Duration::from_secs(30),
            tls: None,
            timeout: Duration::from_secs(1),
            window: 1,
        }
    }

    #[test]
    fn a_url_names_host_port_and_virtual_host() {
        let broker = |url: &str| settings(url).broker().unwrap();
        let expected = |encrypted, host: &str, port, vhost: &str| Broker {
            encrypted,
            host: host.into(),
            port,
            vhost: vhost.into(),
        };
        assert_eq!(
            broker("amqp://broker"),
            expected(false, "broker", 5672, "/")
        );
        assert_eq!(
            broker("amqp://broker/"),
            expected(false, "broker", 5672, "/")
        );
        assert_eq!(
            broker("amqp://10.0.0.1:1/%2f"),
            expected(false, "10.0.0.1", 1, "/")
        );
        assert_eq!(
            broker("amqps://[::1]/site%20a"),
            expected(true, "::1", 5671, "site a")
        );
        assert_eq!(
            broker("amqp://b/%E7%8E%8B"),
            expected(false, "b", 5672, "王")
        );
    }

    #[test]
    fn a_url_is_never_repeated_in_an_error() {
        for url in [
            "",
            "s3cret",
            "http://s3cret",
            "amqp://user:s3cret@broker",
            "amqp://s3cret@broker",
            "amqp://",
            "amqp://broker/s3cret/more",
            "amqp://broker/s3cret%2",
            "amqp://broker/s3cret%zz",
            "amqp://broker/%2f?password=s3cret",
        ] {
            let error = settings(url).broker().expect_err(url);
            assert_eq!(error.key, "url");
            assert!(!error.to_string().contains("s3cret"), "{error}");
            assert!(error.to_string().contains("amqp://"), "{error}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        type Change = fn(&mut AmqpSettings);
        let cases: [(&str, Change); 12] = [
            ("exchange", |it| it.exchange = "x".repeat(256)),
            ("declare", |it| it.exchange = String::new()),
            ("declare", |it| it.exchange = "amq.topic".into()),
            ("bind", |it| it.queue = None),
            ("bind", |it| {
                it.exchange = String::new();
                it.declare = None;
            }),
            ("bind", |it| {
                it.declare = Some(ExchangeType::Direct);
                it.bind = None;
            }),
            ("queue", |it| it.queue = Some("amq.mine".into())),
            ("queue", |it| it.queue = Some(String::new())),
            ("heartbeat", |it| it.heartbeat = Duration::from_millis(900)),
            ("heartbeat", |it| it.heartbeat = Duration::from_secs(70_000)),
            ("timeout", |it| it.timeout = Duration::ZERO),
            ("window", |it| it.window = 0),
        ];
        assert_eq!(settings("amqp://b").check(), Ok(()));
        for (at, (key, change)) in cases.into_iter().enumerate() {
            let mut settings = settings("amqp://b");
            change(&mut settings);
            assert_eq!(settings.check().expect_err(key).key, key, "case {at}");
        }
    }
}

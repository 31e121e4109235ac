//! What an MQTT outbound needs to know, and what is wrong with it.

use std::time::Duration;

use faceway_core::{Private, SettingsError};
use faceway_tls::ClientTls;
use http::Uri;

use crate::topic;

/// How to reach a broker, and how to publish there.
#[derive(Clone)]
pub struct MqttSettings {
    /// `mqtt://host:1883` or, for TLS, `mqtts://host:8883`; the ports may be left out.
    pub url: String,
    /// User at the broker.
    pub username: Option<String>,
    /// His password.
    pub password: Option<Private<String>>,
    /// The name under which the broker knows this client: always the same for one outbound of one gateway, and no
    /// other's. Two clients with one name throw each other out.
    pub client_id: String,
    /// 5, or 4 for MQTT 3.1.1.
    pub version: u8,
    /// Whether 3.1.1 may be spoken in place of 5 with a broker that knows nothing else: not where messages say what only
    /// MQTT 5 can carry.
    pub fall_back: bool,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker keeps the last message of each topic for who subscribes later.
    pub retain: bool,
    /// Larger payloads are buried. Where the broker tells a limit (MQTT 5), the smaller one counts.
    pub payload_bytes_max: usize,
    /// How often the broker is pinged; that it is gone is noticed after this and `timeout`. 1 s to 18 h.
    pub keep_alive: Duration,
    /// How long after it was published the broker may still hand a message on. MQTT 5 only.
    pub expiry: Option<Duration>,
    /// For `mqtts://` with a CA of one's own, or with a client certificate.
    pub tls: Option<ClientTls>,
    /// For a whole delivery, from dialling where nothing is connected to the broker's confirmation.
    pub timeout: Duration,
    /// Messages that are published and not yet confirmed, at most: as many as deliveries run at once. 1 to 1,000.
    pub window: usize,
    /// Where the retained `online` and `offline` of this gateway are kept; the latter is also the last will.
    pub status_topic: Option<String>,
    /// Whether devices are announced to Home Assistant.
    pub home_assistant: bool,
    /// Where devices are not announced: whether those that were announced before are taken back.
    pub withdraw: bool,
    /// A link to a picture that stands for none. Home Assistant shows it beside a person without a picture; without this
    /// link the last picture stays.
    pub no_picture: Option<String>,
}

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) encrypted: bool,
}

/// MQTT's limit of every text and of every binary value: a length of two bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 65_535;
/// MQTT's limit of a packet is 268,435,455 bytes; what is beside the payload stays far below the rest.
const PAYLOAD_BYTES_MAX: usize = 256 * 1000 * 1000;
/// Identifiers of packets run up to 65,535; more messages on their way than this only fill the broker's memory.
const WINDOW_MAX: usize = 1000;

impl MqttSettings {
    /// Everything that can be said without looking at a file or at the network.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |key, problem: &str| Err(SettingsError::new(key, problem));
        if !matches!(self.version, 4 | 5) {
            return wrong("version", "write 5, or 4 for MQTT 3.1.1");
        }
        if self.qos > 2 {
            return wrong("qos", "write 0, 1 or 2");
        }
        if self.version == 4 && self.expiry.is_some() {
            let problem = "only MQTT 5 knows it; write version = 5, or leave it out";
            return wrong("expiry", problem);
        }
        if self.password.is_some() && self.username.is_none() {
            return wrong("username", "is needed with a password");
        }
        if !(1..=PAYLOAD_BYTES_MAX).contains(&self.payload_bytes_max) {
            return wrong("payload_bytes_max", "write 1B to 256MB");
        }
        if !(1..=u64::from(u16::MAX)).contains(&self.keep_alive.as_secs()) {
            return wrong("keep_alive", "write 1s to 18h");
        }
        if self.timeout.is_zero() {
            return wrong("timeout", "write more than 0s, such as 10s");
        }
        if !(1..=WINDOW_MAX).contains(&self.window) {
            return wrong("concurrency_max", "write 1 to 1000");
        }
        self.check_texts()
    }

    fn check_texts(&self) -> Result<(), SettingsError> {
        let wrong = |key, problem: &str| Err(SettingsError::new(key, problem));
        if self.client_id.is_empty() || !is_text(&self.client_id) {
            let problem = "write a name that no other client of the broker has";
            return wrong("client_id", problem);
        }
        // Revealed to be measured.
        let password = self.password.as_ref().map(Private::reveal);
        for (key, text) in [("username", self.username.as_ref()), ("password", password)] {
            if text.is_some_and(|text| text.is_empty() || !is_text(text)) {
                return wrong(key, "must have 1 to 65,535 bytes and no zero character");
            }
        }
        match &self.status_topic {
            Some(topic) if !topic::is_publishable(topic) => wrong(
                "status_topic",
                "write a topic such as faceway/status/lobby, without # and +",
            ),
            _ => Ok(()),
        }
    }

    /// The URL may hold a password, so no error repeats it.
    pub(crate) fn address(&self) -> Result<Address, SettingsError> {
        let wrong = |problem: &str| SettingsError::new("url", problem);
        let form = "write mqtt://host:1883 or mqtts://host:8883";
        let uri: Uri = self.url.trim().parse().map_err(|_| wrong(form))?;
        let (encrypted, port) = match uri.scheme_str() {
            Some("mqtt") => (false, 1883),
            Some("mqtts") => (true, 8883),
            _ => return Err(wrong(form)),
        };
        let authority = uri.authority().ok_or_else(|| wrong(form))?;
        if authority.as_str().contains('@') {
            return Err(wrong("write the user under `username` and `password`"));
        }
        if uri
            .path_and_query()
            .is_some_and(|path| path.as_str() != "/")
        {
            return Err(wrong("ends after the port; where events go is `topic`"));
        }
        let named = authority.as_str().len() > authority.host().len();
        if authority.host().is_empty() || (named && authority.port_u16().is_none()) {
            return Err(wrong(form));
        }
        let host = authority.host();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Ok(Address {
            host: bare.unwrap_or(host).to_owned(),
            port: authority.port_u16().unwrap_or(port),
            encrypted,
        })
    }
}

/// Whether MQTT can carry it as a text.
pub(crate) fn is_text(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> MqttSettings {
        MqttSettings {
            url: "mqtt://broker".into(),
            username: None,
            password: None,
            client_id: "faceway-lobby".into(),
            version: 5,
            fall_back: true,
            qos: 1,
            retain: false,
            payload_bytes_max: 256 * 1024,
            keep_alive: Duration::from_secs(30),
            expiry: None,
            tls: None,
            timeout: Duration::from_secs(10),
            window: 4,
            status_topic: None,
            home_assistant: false,
            withdraw: false,
            no_picture: None,
        }
    }

    fn address(url: &str) -> Result<(String, u16, bool), SettingsError> {
        let mut settings = settings();
        settings.url = url.into();
        let address = settings.address()?;
        Ok((address.host, address.port, address.encrypted))
    }

    #[test]
    fn an_address_has_its_default_port() {
        let of = |host: &str, port, encrypted| Ok((host.to_owned(), port, encrypted));
        assert_eq!(address("mqtt://broker"), of("broker", 1883, false));
        assert_eq!(address(" mqtts://broker/ "), of("broker", 8883, true));
        assert_eq!(address("mqtt://10.0.0.7:1999"), of("10.0.0.7", 1999, false));
        assert_eq!(address("mqtt://[::1]:1999"), of("::1", 1999, false));
        assert_eq!(address("mqtts://[fe80::1]"), of("fe80::1", 8883, true));
    }

    #[test]
    fn a_url_is_never_repeated_in_an_error() {
        for url in [
            "",
            "s3cret",
            "tcp://s3cret",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://s3cret:port",
            "mqtt://s3cret:99999",
            "mqtt://user:s3cret@broker",
            "mqtt://broker/s3cret",
            "mqtt://broker?token=s3cret",
        ] {
            let error = address(url).expect_err(url);
            assert_eq!(error.key, "url");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn what_cannot_mean_anything_is_named() {
        type Change = fn(&mut MqttSettings);
        let cases: [(&str, Change); 14] = [
            ("version", |settings| settings.version = 3),
            ("qos", |settings| settings.qos = 3),
            ("payload_bytes_max", |settings| {
                settings.payload_bytes_max = 0
            }),
            ("keep_alive", |settings| {
                settings.keep_alive = Duration::ZERO
            }),
            ("keep_alive", |settings| {
                settings.keep_alive = Duration::from_secs(65_536);
            }),
            ("timeout", |settings| settings.timeout = Duration::ZERO),
            ("concurrency_max", |settings| settings.window = 0),
            ("concurrency_max", |settings| settings.window = 1001),
            ("client_id", |settings| settings.client_id.clear()),
            ("username", |settings| {
                settings.username = Some("a\0".into())
            }),
            ("username", |settings| {
                settings.password = Some("s3cret".to_owned().into());
            }),
            ("status_topic", |settings| {
                settings.status_topic = Some("status/#".into());
            }),
            ("status_topic", |settings| {
                settings.status_topic = Some(String::new());
            }),
            ("expiry", |settings| {
                settings.version = 4;
                settings.expiry = Some(Duration::from_secs(1));
            }),
        ];
        assert_eq!(settings().check(), Ok(()));
        for (key, change) in cases {
            let mut settings = settings();
            change(&mut settings);
            let error = settings.check().expect_err(key);
            assert_eq!(error.key, key);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}

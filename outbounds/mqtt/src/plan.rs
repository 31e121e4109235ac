//! The settings as meant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use faceway_tls::Keys;
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::MqttSettings;
use crate::own::OFFLINE;
use crate::packet::{Hello, Protocol, Will};
use crate::settings::Address;
use crate::v4::V4;
use crate::v5::V5;
use faceway_core::SettingsError;

/// The version of the protocol that may be spoken in place of a newer one.
pub(crate) const OLD: u8 = 4;

/// Everything that a connection needs to know. A value that exists is valid.
pub(crate) struct Plan {
    pub(crate) address: Address,
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(crate) version: u8,
    /// The version that this broker speaks, as far as one of our connections has found out.
    pub(crate) spoken: Arc<AtomicU8>,
    /// Whether 3.1.1 may be spoken in place of 5.
    pub(crate) fall_back: bool,
    /// What a reason why there was no TLS calls things.
    pub(crate) tls_keys: Keys,
    pub(crate) hello: Hello,
    pub(crate) will: Option<Will>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) payload_bytes_max: usize,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) keep_alive: Duration,
    pub(crate) timeout: Duration,
    pub(crate) window: usize,
    pub(crate) status_topic: Option<String>,
    /// Nothing is at the status topic, as the broker does not take it.
    pub(crate) no_status: Arc<AtomicBool>,
    /// Whether the broker has let the connection of the events in, as far as it is known now.
    pub(crate) welcomed: Arc<watch::Sender<bool>>,
    pub(crate) home_assistant: bool,
}

impl Plan {
    pub(crate) fn new(settings: MqttSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let address = settings.address()?;
        let tls = encryption(&settings, &address)?;
        let tls_keys = settings.tls.clone().unwrap_or_default().keys();
        // Our own messages have no more to lose than the operator's.
        let own_qos = settings.qos.min(1);
        let will = settings.status_topic.clone().map(|topic| Will {
            topic,
            payload: OFFLINE,
            qos: own_qos,
        });
        let whole_s = |time: Duration| time.as_secs().max(1);
        Ok(Self {
            address,
            tls,
            version: settings.version,
            spoken: Arc::new(AtomicU8::new(settings.version)),
            fall_back: settings.fall_back && settings.version == 5 && settings.expiry.is_none(),
            tls_keys,
            hello: Hello {
                client_id: settings.client_id,
                username: settings.username,
                password: settings.password,
                keep_alive_s: u16::try_from(whole_s(settings.keep_alive)).unwrap_or(u16::MAX),
            },
            will,
            qos: settings.qos,
            retain: settings.retain,
            payload_bytes_max: settings.payload_bytes_max,
            expiry_s: settings
                .expiry
                .map(|expiry| u32::try_from(whole_s(expiry)).unwrap_or(u32::MAX)),
            keep_alive: settings.keep_alive,
            timeout: settings.timeout,
            window: settings.window,
            status_topic: settings.status_topic,
            no_status: Arc::default(),
            welcomed: Arc::new(watch::Sender::new(false)),
            home_assistant: settings.home_assistant,
        })
    }

    /// Of another connection of the same outbound, on which nothing but messages of our own is said.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self {
            address: self.address.clone(),
            tls: self.tls.clone(),
            version: self.version,
            spoken: Arc::clone(&self.spoken),
            fall_back: self.fall_back,
            tls_keys: self.tls_keys,
            hello: Hello {
                client_id: format!("{}-{name}", self.hello.client_id),
                username: self.hello.username.clone(),
                password: self.hello.password.clone(),
                keep_alive_s: self.hello.keep_alive_s,
            },
            will: None,
            qos: self.own_qos(),
            retain: false,
            payload_bytes_max: self.payload_bytes_max,
            expiry_s: None,
            keep_alive: self.keep_alive,
            timeout: self.timeout,
            window: self.window,
            status_topic: None,
            no_status: Arc::clone(&self.no_status),
            welcomed: Arc::clone(&self.welcomed),
            home_assistant: false,
        }
    }

    /// The version that this broker speaks, as far as it is known.
    pub(crate) fn spoken(&self) -> u8 {
        self.spoken.load(Ordering::Relaxed)
    }

    /// From now on the connections beside the one of the events are opened with this version.
    pub(crate) fn speak(&self, version: u8) {
        self.spoken.store(version, Ordering::Relaxed);
    }

    /// The QoS of messages of our own.
    pub(crate) fn own_qos(&self) -> u8 {
        self.qos.min(1)
    }

    /// A version of the protocol.
    pub(crate) fn protocol(version: u8) -> &'static dyn Protocol {
        match version {
            4 => &V4,
            _ => &V5,
        }
    }
}

fn encryption(
    settings: &MqttSettings,
    address: &Address,
) -> Result<Option<(TlsConnector, ServerName<'static>)>, SettingsError> {
    if !address.encrypted {
        return match settings.tls {
            None => Ok(None),
            Some(_) => Err(SettingsError::new("tls", "needs a `url` with mqtts://")),
        };
    }
    let config = settings.tls.clone().unwrap_or_default().config(true)?;
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| SettingsError::new("url", "has no host name that a certificate can have"))?;
    Ok(Some((TlsConnector::from(Arc::new(config)), name)))
}

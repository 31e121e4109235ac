//! From settings to a channel that confirms: connection, channel, confirms, topology.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faceway_core::{Private, SettingsError};
use faceway_tls::Keys;
use lapin::options::{
    ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::tcp::AsyncTcpStream;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use rustls::ClientConfig;
use tokio::time::timeout;

use crate::AmqpSettings;
use crate::failure::Failure;
use crate::quiet::{mute_thread, quiet};
use crate::settings::{Broker, ExchangeType};
use crate::wire::{self, Cut, Wire};

/// Bytes of a frame that we propose. RabbitMQ would take 128 KiB, of which the library keeps 32 for each direction.
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// A handshake that takes longer only delays the verdict.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// The settings, checked: everything that opening takes.
pub(crate) struct Plan {
    broker: Broker,
    tls: Option<(Arc<ClientConfig>, Keys)>,
    user: AMQPUserInfo,
    heartbeat: u16,
    topology: Topology,
    open_max: Duration,
}

struct Topology {
    exchange: ShortString,
    declare: Option<ExchangeType>,
    queue: Option<ShortString>,
    bind: ShortString,
}

/// A channel that confirms, its connection, and the means to end both.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
    pub(crate) cut: Cut,
}

impl Plan {
    pub(crate) fn new(settings: &AmqpSettings) -> Result<Self, SettingsError> {
        let broker = settings.broker()?;
        settings.check()?;
        let tls = match broker.encrypted {
            true => {
                let tls = settings.tls.clone().unwrap_or_default();
                Some((Arc::new(tls.config(true)?), tls.keys()))
            }
            false => None,
        };
        let short = |key, text: &str| {
            ShortString::try_new(text)
                .map_err(|_| SettingsError::new(key, "is longer than 255 bytes"))
        };
        let topology = Topology {
            exchange: short("exchange", &settings.exchange)?,
            declare: settings.declare,
            queue: settings
                .queue
                .as_deref()
                .map(|name| short("queue", name))
                .transpose()?,
            bind: short("bind", settings.bind.as_deref().unwrap_or("#"))?,
        };
        let guest = || "guest".to_owned();
        Ok(Self {
            broker,
            tls,
            user: AMQPUserInfo {
                username: settings.username.clone().unwrap_or_else(guest),
                // Revealed to be shown to the broker.
                password: settings
                    .password
                    .as_ref()
                    .map(Private::reveal)
                    .cloned()
                    .unwrap_or_else(guest),
            },
            heartbeat: u16::try_from(settings.heartbeat.as_secs()).unwrap_or(u16::MAX),
            topology,
            open_max: settings.timeout.min(OPEN_MAX),
        })
    }

    /// Opens a channel. It ends by itself; when it fails or is dropped, nothing of it is left.
    pub(crate) async fn open(&self) -> Result<Opened, Failure> {
        let cut = CutOnDrop(Some(Cut::default()));
        let opening = self.steps(cut.0.clone().unwrap_or_default());
        let opened = timeout(self.open_max, quiet(opening)).await;
        let opened = opened.unwrap_or_else(|_| Err(Failure::word("timeout")))?;
        cut.keep();
        Ok(opened)
    }

    async fn steps(&self, cut: Cut) -> Result<Opened, Failure> {
        // A server of TLS 1.3 refuses a client's certificate only after its own handshake.
        let failure = |error: lapin::Error| match &self.tls {
            Some((_, keys)) => Failure::of_opening(&error, *keys),
            None => Failure::of(&error),
        };
        let wire = wire::dial(&self.broker, self.tls.as_ref(), cut.clone()).await?;
        let connection = self.handshake(wire).await.map_err(failure)?;
        let channel = connection.create_channel().await.map_err(failure)?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(failure)?;
        self.topology.set_up(&channel).await.map_err(failure)?;
        Ok(Opened {
            connection,
            channel,
            cut,
        })
    }

    async fn handshake(&self, wire: Wire) -> lapin::Result<Connection> {
        let properties = ConnectionProperties::default().with_connection_name("faceway".into());
        let wire = Mutex::new(Some(wire));
        let connect = async move |_: AMQPUri, _: wire::LibraryRuntime| {
            mute_thread();
            let wire = wire.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Asked a second time, it would try again by itself, which only the lane may.
            let again = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
            Ok(AsyncTcpStream::Plain(wire.ok_or_else(again)?))
        };
        Connection::connector(self.uri(), wire::runtime(), connect, properties).await
    }

    fn uri(&self) -> AMQPUri {
        AMQPUri {
            // TLS is beneath what the library sees.
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: self.user.clone(),
                host: self.broker.host.clone(),
                port: self.broker.port,
            },
            vhost: self.broker.vhost.clone(),
            query: AMQPQueryString {
                frame_max: Some(FRAME_BYTES_MAX),
                heartbeat: Some(self.heartbeat),
                ..AMQPQueryString::default()
            },
        }
    }

    /// Where messages are published.
    pub(crate) fn exchange(&self) -> ShortString {
        self.topology.exchange.clone()
    }

    /// Whether the queue is the outbound's own, so that what comes back as unroutable is declared anew.
    pub(crate) const fn owns_the_way(&self) -> bool {
        self.topology.queue.is_some()
    }

    /// Declares exchange, queue and binding; those that are there stay as they are.
    pub(crate) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        self.topology.set_up(channel).await
    }

    /// For the line that tells of an outage: what is declared, as far as anything is.
    pub(crate) fn declared(&self) -> &'static str {
        self.topology.declare.map_or("nothing", ExchangeType::word)
    }
}

impl Topology {
    async fn set_up(&self, channel: &Channel) -> lapin::Result<()> {
        let nothing = FieldTable::default;
        let is_default = self.exchange.as_str().is_empty();
        if !is_default {
            // Without a type it is only asked for: that it is missing is told before an event is tried.
            let options = ExchangeDeclareOptions {
                passive: self.declare.is_none(),
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let kind = self
                .declare
                .map_or(ExchangeKind::Direct, ExchangeType::kind);
            channel
                .exchange_declare(self.exchange.clone(), kind, options, nothing())
                .await?;
        }
        let Some(queue) = &self.queue else {
            return Ok(());
        };
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let mut quorum = FieldTable::default();
        quorum.insert(
            short("x-queue-type"),
            AMQPValue::LongString("quorum".into()),
        );
        channel
            .queue_declare(queue.clone(), options, quorum)
            .await?;
        if !is_default {
            let (exchange, bind) = (self.exchange.clone(), self.bind.clone());
            let options = QueueBindOptions::default();
            channel
                .queue_bind(queue.clone(), exchange, bind, options, nothing())
                .await?;
        }
        Ok(())
    }
}

fn short(text: &'static str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

/// Ends a connection that no session owns.
struct CutOnDrop(Option<Cut>);

impl CutOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(cut) = &self.0 {
            cut.cut();
        }
    }
}

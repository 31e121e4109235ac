//! The connection: it comes back by itself for as long as the engine is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::rustls::ClientConfig;
use async_nats::{ConnectOptions, Event};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use crate::names::{Names, StreamKind};
use crate::settings::{Credentials, JetStreamSettings};

use super::Failure;

/// Between two pings of a connection: a dead one is noticed after two of them.
const PING: Duration = Duration::from_secs(2);
/// Every server answers within this time.
const SILENCE: Duration = Duration::from_secs(1);
/// A server that is frozen takes connections, and says nothing: the next one is tried while this gateway's record as a member is
/// valid.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end of a connection may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest pause before the next try to connect.
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// Atomic batches on their way at once. The servers allow a stream 50, over all gateways.
const BATCHES_MAX: usize = 8;

/// A connection to the servers, and the names of a site at them. Clones share it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(super) nats: async_nats::Client,
    pub(crate) names: Names,
    pub(super) batches: Arc<Semaphore>,
    pub(super) ids: Arc<Ids>,
}

/// Makes ids that no other gateway makes.
pub(super) struct Ids {
    start: u64,
    next: AtomicU64,
}

impl Ids {
    pub(super) fn next(&self) -> String {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{next:x}", self.start)
    }
}

impl Client {
    /// Connects once.
    ///
    /// # Errors
    /// When no server answers, or the credentials are not accepted.
    pub(crate) async fn connect(
        settings: &JetStreamSettings,
        tls: Option<&ClientConfig>,
    ) -> Result<Self, Failure> {
        let options = options(settings, &settings.credentials, tls);
        let options = options.map_err(Failure::unavailable)?;
        let nats = options.connect(&settings.servers).await;
        Ok(Self {
            nats: nats.map_err(Failure::unavailable)?,
            names: Names::new(&settings.site),
            batches: Arc::new(Semaphore::new(BATCHES_MAX)),
            ids: Arc::new(Ids {
                start: rand::random(),
                next: AtomicU64::new(0),
            }),
        })
    }

    pub(crate) fn stream(&self, kind: StreamKind) -> String {
        self.names.stream(kind)
    }

    /// Sends what is queued, and lets go of the connection.
    pub(crate) async fn close(&self) {
        // It fails when the connection is gone, and then there is nothing to send.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, self.nats.drain()).await;
    }
}

/// Asks every server of the cluster, as a user of the system account: the pages that it would show at its monitoring address.
/// Gives what has come when nothing more comes.
pub(crate) async fn ask_servers(
    settings: &JetStreamSettings,
    tls: Option<&ClientConfig>,
    page: &str,
) -> Result<Vec<serde_json::Value>, Failure> {
    let options = options(settings, &settings.system, tls).map_err(Failure::unavailable)?;
    let nats = options.connect(&settings.servers).await;
    let nats = nats.map_err(Failure::unavailable)?;
    let inbox = nats.new_inbox();
    let mut answers = nats
        .subscribe(inbox.clone())
        .await
        .map_err(Failure::unavailable)?;
    let asked = nats.publish_with_reply(format!("$SYS.REQ.SERVER.PING.{page}"), inbox, "".into());
    asked.await.map_err(Failure::unavailable)?;
    let mut pages = Vec::new();
    while let Ok(Some(answer)) = tokio::time::timeout(SILENCE, answers.next()).await {
        let page: serde_json::Value =
            serde_json::from_slice(&answer.payload).map_err(Failure::unavailable)?;
        pages.push(page["data"].clone());
    }
    Ok(pages)
}

fn options(
    settings: &JetStreamSettings,
    credentials: &Credentials,
    tls: Option<&ClientConfig>,
) -> std::io::Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .name(format!("faceway {}", settings.gateway))
        .ping_interval(PING)
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| {
            let pause = Duration::from_millis(50) * u32::try_from(attempt).unwrap_or(20).min(20);
            pause.min(RECONNECT_MAX)
        })
        .event_callback(async |event| match event {
            Event::Connected => {
                tracing::info!("the gateway is connected to a server of the cluster")
            }
            Event::Disconnected => tracing::warn!(
                "the connection to a server of the cluster is lost; the gateway connects again"
            ),
            Event::SlowConsumer(_) => tracing::warn!(
                "the gateway reads from the cluster too slowly; it reads again what it missed"
            ),
            other => tracing::debug!("connection to the cluster: {other}"),
        });
    if let Some(tls) = tls {
        options = options.tls_client_config(tls.clone());
    }
    // The servers ask for these secrets, so they are revealed here.
    Ok(match credentials {
        Credentials::None => options,
        Credentials::File(text) => options.credentials(text.reveal())?,
        Credentials::Password(user, password) => {
            options.user_and_password(user.clone(), password.reveal().clone())
        }
        Credentials::Token(token) => options.token(token.reveal().clone()),
        Credentials::Nkey(seed) => options.nkey(seed.reveal().clone()),
    })
}

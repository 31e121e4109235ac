//! The client libraries with nothing around them: payloads that are ready, a window, and a confirmation for each.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use tokio::task::JoinSet;

use crate::outbound::Protocol;

/// What is published.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) count: usize,
    /// Unconfirmed ones at most.
    pub(crate) window: usize,
    /// Events a second; 0 is as many as go.
    pub(crate) rate: f64,
}

impl Task {
    /// Waits until number `at` is due.
    async fn due(&self, begin: Instant, at: usize) {
        if self.rate > 0.0 {
            let due = begin + Duration::from_secs_f64(at as f64 / self.rate);
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// Topics and routing keys, as so many devices have them.
const DEVICES: usize = 64;

/// Seconds that it took, and seconds from publishing to the confirmation of each, ascending.
pub(crate) struct Outcome {
    pub(crate) took: f64,
    waits: Vec<f64>,
}

impl Outcome {
    fn new(begin: Instant, mut waits: Vec<f64>) -> Self {
        let took = begin.elapsed().as_secs_f64();
        waits.sort_by(f64::total_cmp);
        Self { took, waits }
    }

    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let last = self.waits.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.waits.get(at).copied().unwrap_or_default()
    }
}

pub(crate) async fn run(
    protocol: Protocol,
    address: SocketAddr,
    payload: Bytes,
    task: Task,
) -> anyhow::Result<Outcome> {
    match protocol {
        Protocol::Webhook => webhook(address, payload, task).await,
        Protocol::Mqtt => mqtt(address, payload, task).await,
        Protocol::Amqp => amqp(address, payload, task).await,
    }
}

/// `window` workers that take the next number each.
async fn workers<F, P>(task: Task, publish: F) -> anyhow::Result<Outcome>
where
    F: Fn(usize) -> P + Clone + Send + 'static,
    P: Future<Output = anyhow::Result<()>> + Send,
{
    let (next, begin) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut workers = JoinSet::new();
    for _ in 0..task.window {
        let (next, publish) = (Arc::clone(&next), publish.clone());
        workers.spawn(async move {
            let mut waits = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= task.count {
                    return anyhow::Ok(waits);
                }
                task.due(begin, at).await;
                let sent = Instant::now();
                publish(at).await?;
                waits.push(sent.elapsed().as_secs_f64());
            }
        });
    }
    let mut waits = Vec::new();
    while let Some(worker) = workers.join_next().await {
        waits.extend(worker??);
    }
    Ok(Outcome::new(begin, waits))
}

async fn webhook(address: SocketAddr, payload: Bytes, task: Task) -> anyhow::Result<Outcome> {
    // It wants one even where nothing is encrypted; a second time it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .pool_max_idle_per_host(task.window)
        .build()?;
    let url = format!("http://{address}/");
    workers(task, move |_| {
        let request = client.post(&url).body(payload.clone());
        async move {
            request
                .header("content-type", "application/json")
                .send()
                .await?
                .error_for_status()?;
            Ok(())
        }
    })
    .await
}

/// Its event loop keeps the window; what it tells of packets is all that there is to measure by.
async fn mqtt(address: SocketAddr, payload: Bytes, task: Task) -> anyhow::Result<Outcome> {
    let mut options = MqttOptions::new("bare", address.ip().to_string(), address.port());
    options.set_outgoing_inflight_upper_limit(u16::try_from(task.window)?);
    let (client, mut events) = AsyncClient::new(options, task.window);
    while !matches!(events.poll().await?, Event::Incoming(Incoming::ConnAck(_))) {}
    let begin = Instant::now();
    let publishing = tokio::spawn(async move {
        for at in 0..task.count {
            task.due(begin, at).await;
            let topic = format!("faceway/bench/{}/recognition", at % DEVICES);
            client
                .publish(topic, QoS::AtLeastOnce, false, payload.clone())
                .await?;
        }
        // Its end would end the event loop.
        anyhow::Ok(client)
    });
    let (mut sent, mut waits) = (HashMap::new(), Vec::new());
    while waits.len() < task.count {
        match events.poll().await? {
            Event::Outgoing(Outgoing::Publish(id)) => drop(sent.insert(id, Instant::now())),
            Event::Incoming(Incoming::PubAck(ack)) => {
                let since: Option<Instant> = sent.remove(&ack.pkid);
                waits.push(since.map_or(0.0, |since| since.elapsed().as_secs_f64()));
            }
            _ => {}
        }
    }
    let outcome = Outcome::new(begin, waits);
    publishing.await??;
    Ok(outcome)
}

async fn amqp(address: SocketAddr, payload: Bytes, task: Task) -> anyhow::Result<Outcome> {
    let url = format!("amqp://guest:guest@{address}/%2f");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    declare(&channel).await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into());
    // The library closes a channel with its last handle. Were that in the workers, the connection could not be closed then.
    let publishing = channel.clone();
    let outcome = workers(task, move |at| {
        let channel = publishing.clone();
        let (payload, properties) = (payload.clone(), properties.clone());
        async move {
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let key = format!("recognition.{}", at % DEVICES);
            let published = channel
                .basic_publish("bench".into(), key.into(), options, &payload, properties)
                .await?;
            ensure!(published.await?.is_ack(), "not confirmed");
            Ok(())
        }
    })
    .await;
    connection.close(200, "done".into()).await?;
    drop(channel);
    outcome
}

/// As the gateway declares it.
async fn declare(channel: &Channel) -> anyhow::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default();
    channel
        .exchange_declare("bench".into(), ExchangeKind::Topic, durable, none.clone())
        .await?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut quorum = FieldTable::default();
    quorum.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    channel
        .queue_declare("bench".into(), durable, quorum)
        .await?;
    let (queue, exchange) = ("bench".into(), "bench".into());
    channel
        .queue_bind(
            queue,
            exchange,
            "#".into(),
            QueueBindOptions::default(),
            none,
        )
        .await?;
    Ok(())
}

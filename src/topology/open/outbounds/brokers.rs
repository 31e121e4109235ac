//! Outbounds to brokers.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::Outbound;
use faceway_outbound_amqp::{Amqp, AmqpSettings, ExchangeType};
use faceway_outbound_mqtt::{Mqtt, MqttSettings};
use faceway_rules::{AmqpPlan, ExchangeKind, Format, MqttPlan, MqttVersion, OutboundPlan, Qos};

use super::client_tls;
use crate::config::secrets;
use crate::link;

/// A connection that says nothing is tried after this.
const AMQP_HEARTBEAT: Duration = Duration::from_secs(30);

pub(super) fn mqtt(
    plan: &OutboundPlan,
    mqtt: &MqttPlan,
    gateway: &str,
    public_url: &str,
) -> anyhow::Result<Arc<dyn Outbound>> {
    let client_id = mqtt.client_id.clone();
    let client_id = client_id.unwrap_or_else(|| format!("faceway-{gateway}-{}", plan.name));
    let status_topic = mqtt.status_topic.clone();
    let status_topic = status_topic.unwrap_or_else(|| format!("faceway/status/{client_id}"));
    let settings = MqttSettings {
        url: mqtt.url.clone(),
        username: mqtt.username.clone(),
        password: mqtt.password.as_ref().map(secrets::resolve).transpose()?,
        client_id,
        version: match mqtt.version {
            MqttVersion::V4 => 4,
            MqttVersion::V5 => 5,
        },
        // User properties are all that a receiver has of the attributes of a CloudEvent.
        fall_back: mqtt.headers.is_empty() && plan.common.format != Format::CloudEventsBinary,
        qos: match mqtt.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
            Qos::ExactlyOnce => 2,
        },
        retain: mqtt.retain,
        payload_bytes_max: usize::try_from(mqtt.payload_bytes_max)?,
        keep_alive: mqtt.keep_alive,
        expiry: mqtt.expiry,
        tls: client_tls(mqtt.tls.as_ref())?,
        timeout: plan.common.timeout,
        window: plan.common.concurrency_max as usize,
        status_topic: Some(status_topic),
        home_assistant: mqtt.home_assistant == Some(true),
        withdraw: mqtt.home_assistant == Some(false),
        no_picture: Some(link::no_picture(public_url)),
    };
    Ok(Arc::new(Mqtt::new(settings)?))
}

pub(super) fn amqp(plan: &OutboundPlan, amqp: &AmqpPlan) -> anyhow::Result<Arc<dyn Outbound>> {
    let queue = amqp.queue.as_ref();
    let settings = AmqpSettings {
        url: amqp.url.clone(),
        username: amqp.username.clone(),
        password: amqp.password.as_ref().map(secrets::resolve).transpose()?,
        exchange: amqp.exchange.clone(),
        declare: amqp.declare.map(|kind| match kind {
            ExchangeKind::Topic => ExchangeType::Topic,
            ExchangeKind::Direct => ExchangeType::Direct,
            ExchangeKind::Fanout => ExchangeType::Fanout,
            ExchangeKind::Headers => ExchangeType::Headers,
        }),
        queue: queue.map(|queue| queue.name.clone()),
        // The default exchange has every queue under its name.
        bind: queue
            .filter(|_| !amqp.exchange.is_empty())
            .map(|queue| queue.bind.clone()),
        payload_bytes_max: usize::try_from(amqp.payload_bytes_max)?,
        heartbeat: AMQP_HEARTBEAT,
        tls: client_tls(amqp.tls.as_ref())?,
        timeout: plan.common.timeout,
        window: plan.common.concurrency_max as usize,
    };
    Ok(Arc::new(Amqp::new(&settings)?))
}

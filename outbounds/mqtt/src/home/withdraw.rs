//! Takes back what was announced, on a connection for that alone.

use std::collections::HashSet;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::packet::{Incoming, Publish};
use crate::plan::Plan;

use super::configuration::{self, CONFIGURATIONS};
use super::devices::DEVICES_MAX;
use super::reach::reach;

/// Of the subscription.
const SUBSCRIPTION: u16 = 1;

/// Clears every configuration at the broker that bears `mark`, and the picture beside it. `None`: the broker could not be
/// asked, or hung up. The caller bounds the time.
pub(super) async fn withdraw(plan: &Plan, mark: &str) -> Option<()> {
    let mut connection = reach(plan).await.ok()?;
    let (protocol, input) = (connection.protocol, &mut connection.input);
    let mut output = BytesMut::new();
    protocol
        .subscribe(SUBSCRIPTION, &[CONFIGURATIONS], &mut output)
        .ok()?;
    // Everything that is kept comes before the answer to it.
    protocol.ping(&mut output).ok()?;
    connection.stream.write_all_buf(&mut output).await.ok()?;
    connection.stream.flush().await.ok()?;
    let (mut ours, mut subscribed) = (HashSet::new(), false);
    loop {
        match protocol.read(input).ok()? {
            Some(Incoming::Published(topic, payload, _)) => {
                let key = configuration::key(&topic).filter(|_| ours.len() < DEVICES_MAX);
                let is_ours = configuration::read(&payload, mark).is_some();
                ours.extend(key.filter(|_| is_ours));
            }
            Some(Incoming::Subscribed(granted)) => subscribed = granted,
            Some(Incoming::Pong) if subscribed => break,
            Some(Incoming::Pong | Incoming::Goodbye(_)) => return None,
            Some(_) => {}
            None => match connection.stream.read_buf(input).await.ok()? {
                0 => return None,
                _ => continue,
            },
        }
    }
    let count = ours.len();
    for key in ours {
        // The entity first: Home Assistant logs an empty picture as an error.
        for topic in [configuration::topic(key), configuration::picture_topic(key)] {
            let publish = Publish {
                publication: configuration::retained(topic, ""),
                qos: 0,
                id: 0,
                bytes_max: None,
            };
            protocol.publish(publish, &mut output).ok()?;
        }
        connection.stream.write_all_buf(&mut output).await.ok()?;
    }
    // Its answer says that the broker has all of it.
    protocol.ping(&mut output).ok()?;
    connection.stream.write_all_buf(&mut output).await.ok()?;
    connection.stream.flush().await.ok()?;
    loop {
        match protocol.read(input).ok()? {
            Some(Incoming::Pong) => break,
            Some(_) => {}
            None => match connection.stream.read_buf(input).await.ok()? {
                0 => return None,
                _ => continue,
            },
        }
    }
    protocol.goodbye(&mut output).ok()?;
    connection.stream.write_all_buf(&mut output).await.ok()?;
    connection.stream.flush().await.ok()?;
    if count > 0 {
        let host = &plan.address.host;
        tracing::info!(host, count, "devices are taken back from Home Assistant");
    }
    Some(())
}

//! The life of an incarnation: its record is renewed, it asks itself through the servers, and it answers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{Failure, Headers, Reply};
use crate::duties;
use crate::shared::Shared;

use super::begin::{Ears, insist};
use super::record::MemberRecord;
use super::{CUT_OFF, Life, RENEW, TICK};

/// Lives until the engine is closed, one incarnation after the other.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut life: Arc<Life>,
    mut ears: Ears,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            // A gateway that stops answers nothing any more, so that the next one of its name can start.
            biased;
            () = stop.cancelled() => return,
            () = live(&shared, &life, &mut ears) => {}
        }
        shared.duties.lose_all(&life);
        tracing::warn!(
            "the gateway could not renew its record for {} s: its duties are lost, and it begins anew",
            super::VALID.as_secs()
        );
        let begun = tokio::select! {
            () = stop.cancelled() => return,
            begun = insist(&shared) => begun,
        };
        (life, ears) = (shared.members.begins(begun.0), begun.1);
        tracing::info!("the gateway is a member of the site again");
        shared.duties.wake();
    }
}

/// Ends when the incarnation does.
async fn live(shared: &Arc<Shared>, life: &Arc<Life>, ears: &mut Ears) {
    let Ears { pings, questions } = ears;
    tokio::select! {
        () = watch(shared, life) => {}
        () = renew(shared, life) => {}
        () = ping(shared, life) => {}
        () = answer(shared, pings) => {}
        () = duties::hear(shared, questions) => {}
    }
}

/// Takes duties away at the moment at which they are lost.
async fn watch(shared: &Shared, life: &Life) {
    let mut was_heard = true;
    while life.is_valid(Instant::now()) {
        let is_heard = life.time(Instant::now()).is_some();
        shared.duties.lose_over();
        if is_heard != was_heard {
            was_heard = is_heard;
            if is_heard {
                tracing::info!("the gateway hears itself through the servers again");
                shared.duties.wake();
            } else {
                tracing::warn!(
                    "the gateway has not heard itself through the servers for {} s: its duties are lost",
                    CUT_OFF.as_secs()
                );
            }
        }
        let next = if is_heard {
            life.deadline()
        } else {
            life.valid_until().min(Instant::now() + TICK / 5)
        };
        sleep_until(next).await;
    }
}

/// Publishes the record again and again. One that is not acknowledged soon is followed by others, as an election loses those
/// that were sent before it was over.
async fn renew(shared: &Shared, life: &Life) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tries = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let began = life.last_acked().began;
                let is_due = began.is_none_or(|began| began.elapsed() + TICK / 2 >= RENEW);
                if is_due {
                    tries.push(publish(shared, life));
                }
            }
            Some(published) = tries.next(), if !tries.is_empty() => {
                if let Err(failure) = published {
                    shared.warn("member", || format!("the gateway's record cannot be renewed: {failure}"));
                }
            }
        }
    }
}

/// Publishes the record once.
pub(crate) async fn publish(shared: &Shared, life: &Life) -> Result<u64, Failure> {
    let record = MemberRecord::of(shared, &life.incarnation, life.since);
    let message = record.message(shared);
    let began = Instant::now();
    let published = timeout(CUT_OFF, shared.client.publish_once(&message)).await;
    let ack = published.map_err(Failure::unavailable)??;
    shared.members.named(record.server);
    life.acked(began, ack.seq, Instant::now());
    Ok(ack.seq)
}

/// Asks itself through the servers.
async fn ping(shared: &Shared, life: &Life) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => asked.push(ping_once(shared, life)),
            Some(()) = asked.next(), if !asked.is_empty() => {}
        }
    }
}

async fn ping_once(shared: &Shared, life: &Life) {
    let (sent, server) = (Instant::now(), shared.client.server().0);
    let subject = shared.client.names.ping(&life.incarnation);
    let asked = shared
        .client
        .ask(subject, Headers::default(), Bytes::new(), CUT_OFF);
    let is_answered = matches!(asked.await, Ok(Reply::Answer(..)));
    // A server may answer that is cut off from the others, and that the keepers of MEMBERS do not know: what they see of all
    // servers says nothing of it. The answer counts when they have kept the record that names it.
    let is_known = shared.members.counts(&server);
    if is_answered && is_known && shared.client.server().0 == server {
        life.answered(sent, Instant::now());
    }
}

async fn answer(shared: &Shared, pings: &mut crate::client::Listener) {
    while let Some(ping) = pings.next().await {
        if let Some(reply) = ping.reply {
            shared
                .client
                .tell(reply, Headers::default(), Bytes::new())
                .await;
        }
    }
}

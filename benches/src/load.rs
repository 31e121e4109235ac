//! The load generator.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::task::{JoinSet, LocalSet};

use crate::client::Client;
use crate::push::Push;

/// Where the gateway and the bare server take pushes.
pub(crate) const PATH: &str = "/in/bench";

/// What is sent: as fast as the answers come on each connection, or at a steady rate.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) body_bytes: usize,
    /// It ends with the first of these two.
    pub(crate) count: u64,
    pub(crate) time: Duration,
    /// Events a second; 0 is as many as go.
    pub(crate) rate: f64,
    /// Different in every load of one gateway.
    pub(crate) series: u32,
}

/// What came back.
pub(crate) struct Outcome {
    pub(crate) events: u64,
    pub(crate) took: Duration,
    /// Microseconds from the first byte sent to the last byte received, ascending.
    answers: Vec<u32>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// In milliseconds; `part` is 0.5, 0.99 …
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let last = self.answers.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.answers
            .get(at)
            .map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

/// What the connections share.
struct Shared {
    load: Load,
    begin: Instant,
    sent: Cell<u64>,
}

/// Sends it all. Fails unless every answer is a success.
pub(crate) async fn run(load: Load) -> anyhow::Result<Outcome> {
    let shared = Rc::new(Shared {
        begin: Instant::now(),
        sent: Cell::new(0),
        load,
    });
    let connections = async {
        let mut connections = JoinSet::new();
        for device in 0..shared.load.connections {
            connections.spawn_local(pump(Rc::clone(&shared), device));
        }
        connections.join_all().await
    };
    let pumped = LocalSet::new().run_until(connections).await;
    let took = shared.begin.elapsed();
    let mut answers = Vec::new();
    let mut refused = BTreeMap::<u16, u64>::new();
    for one in pumped {
        let (times, statuses) = one?;
        answers.extend(times);
        for status in statuses {
            *refused.entry(status).or_default() += 1;
        }
    }
    ensure!(
        refused.is_empty(),
        "not every answer was a success: {refused:?}"
    );
    answers.sort_unstable();
    Ok(Outcome {
        events: u64::try_from(answers.len())?,
        took,
        answers,
    })
}

async fn pump(shared: Rc<Shared>, device: usize) -> anyhow::Result<(Vec<u32>, Vec<u16>)> {
    let load = &shared.load;
    let mut push = Push::new(PATH, load.body_bytes, device);
    let mut client = Client::connect(load.address).await.context("connecting")?;
    let (mut times, mut refused) = (Vec::new(), Vec::new());
    while shared.begin.elapsed() < load.time {
        let number = shared.sent.get();
        if number >= load.count {
            break;
        }
        shared.sent.set(number + 1);
        if load.rate > 0.0 {
            let due = shared.begin + Duration::from_secs_f64(number as f64 / load.rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let request = push.renew(load.series, number);
        let begin = Instant::now();
        let status = client.send(request).await?;
        times.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
        if status != 200 || is_refusal(client.body()) {
            refused.push(status);
        }
    }
    Ok((times, refused))
}

/// The vendor's answer repeats the status as `code` in its body.
fn is_refusal(body: &[u8]) -> bool {
    !body.is_empty() && !body.windows(4).any(|four| four == b":200")
}

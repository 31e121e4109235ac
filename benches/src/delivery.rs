//! Delivery to a fast local receiver: how fast a backlog drains, and how long an event takes when there is none.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::Common;
use crate::client::get;
use crate::gateway::{Companion, Gateway, Metrics, binary, free_port};
use crate::load::{Load, run as send};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Events of the backlog
    #[arg(long, default_value_t = 50_000)]
    count: u64,
    /// `concurrency_max` of the outbound
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// Events a second for the second part
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long the second part takes
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let binary = binary(options.common.faceway.as_deref())?;
    let address = free_port()?;
    let outbound = format!(
        "url = \"http://{address}/\"\nconcurrency_max = {}\nretry = {{ backoff_min = \"100ms\", backoff_max = \"1s\" }}",
        options.concurrency
    );
    let gateway = Gateway::start(&binary, &options.common.dir, &outbound).await?;
    drain(options, &gateway, address).await?;
    steady(options, &gateway, address).await
}

/// Fills a backlog while no receiver listens at `address`, then lets it drain.
async fn drain(options: &Options, gateway: &Gateway, address: SocketAddr) -> anyhow::Result<()> {
    send(load(options, gateway, options.count, 0.0)).await?;
    let cpu = gateway.process.cpu()?;
    let _sink = Companion::sink(&options.common.dir, address)?;
    let seconds = wait_received(address, options.count).await?;
    let cpu = (gateway.process.cpu()? - cpu).as_secs_f64() * 1e6 / options.count as f64;
    println!(
        "a backlog of {} drained at {:.0} events/s, with {cpu:.0} µs of the gateway's CPU an event",
        options.count,
        (options.count - 1) as f64 / seconds
    );
    Ok(())
}

/// A steady rate that leaves room.
async fn steady(options: &Options, gateway: &Gateway, address: SocketAddr) -> anyhow::Result<()> {
    let _sink = Companion::sink(&options.common.dir, address)?;
    // The lane has just lost its destination; one event makes it find the new one.
    send(load(options, gateway, 1, 0.0)).await?;
    wait_received(address, 1).await?;
    let before = gateway.metrics().await?;
    let count = (options.rate * options.seconds as f64) as u64;
    send(load(options, gateway, count, options.rate)).await?;
    wait_received(address, count + 1).await?;
    let after = gateway.metrics().await?;
    let quantile = |part| {
        quantile(&before, &after, "sink", part).context("faceway_delivery_seconds has no buckets")
    };
    println!(
        "at {:.0} events/s, from received to confirmed: p50 {:.1} ms, p99 {:.1} ms",
        options.rate,
        quantile(0.5)? * 1e3,
        quantile(0.99)? * 1e3
    );
    Ok(())
}

fn load(options: &Options, gateway: &Gateway, count: u64, rate: f64) -> Load {
    // Each of the three loads has another count.
    let series = u32::try_from(count).unwrap_or_default();
    Load {
        address: gateway.devices,
        connections: options.common.connections,
        body_bytes: 1024,
        count,
        time: Duration::from_secs(3600),
        rate,
        series,
    }
}

/// Waits until the receiver has `count`; gives the seconds from its first to its last.
async fn wait_received(address: SocketAddr, count: u64) -> anyhow::Result<f64> {
    let begin = Instant::now();
    loop {
        let (_, text) = get(address, "/").await?;
        let (received, seconds) = text.split_once(' ').context("no count")?;
        if received.parse::<u64>()? >= count {
            return Ok(seconds.parse()?);
        }
        let patience = begin.elapsed() < Duration::from_secs(600);
        ensure!(
            patience,
            "only {received} of {count} came within ten minutes"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A quantile of what was observed between two pages, in seconds, on a straight line within its bucket.
pub(crate) fn quantile(
    before: &Metrics,
    after: &Metrics,
    outbound: &str,
    part: f64,
) -> Option<f64> {
    let name = "faceway_delivery_seconds";
    let earlier = before.buckets(name, outbound);
    let counted = |at: usize| earlier.get(at).map_or(0.0, |(_, count)| *count);
    let buckets = after.buckets(name, outbound).into_iter().enumerate();
    let buckets: Vec<_> = buckets
        .map(|(at, (bound, count))| (bound, count - counted(at)))
        .collect();
    let rank = buckets.last()?.1 * part;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if count >= rank && count > below {
            let within = (rank - below) / (count - below);
            return Some(if bound.is_finite() {
                low + (bound - low) * within
            } else {
                low
            });
        }
        (low, below) = (bound, count);
    }
    None
}

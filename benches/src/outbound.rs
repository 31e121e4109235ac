//! An outbound beside the client library that it is made of, at one far side, in rounds that alternate.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use crate::Common;
use crate::bare::{self, Task};
use crate::brokers::Broker;
use crate::delivery::quantile;
use crate::gateway::{Companion, Gateway, binary};
use crate::intake::median;
use crate::load::{Load, run as send};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Events of a round
    #[arg(long, default_value_t = 20_000)]
    count: usize,
    /// `concurrency_max` of the outbound, and the library's window
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Events a second for p50 and p99
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// How long that takes in each round
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Webhook,
    Mqtt,
    Amqp,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mqtt => "mqtt",
            Self::Amqp => "amqp",
        }
    }
}

/// The far side, until it is dropped.
enum Far {
    Sink(Companion),
    Broker(Broker),
}

/// What one side did in one round; seconds.
struct Round {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// The gateway's CPU for an event.
    cpu: f64,
}

const INBOUND: &str = "[inbound.nebula.bench]\n";
/// A webhook's drain is what the metrics say, so they are looked at often enough to tell a second from another.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn run(options: &Options, protocol: Protocol) -> anyhow::Result<()> {
    // The library gets what the gateway gets: all cores.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(compare(options, protocol))
}

async fn compare(options: &Options, protocol: Protocol) -> anyhow::Result<()> {
    let binary = binary(options.common.faceway.as_deref())?;
    let dir = &options.common.dir;
    let far = match protocol {
        Protocol::Webhook => Far::Sink(Companion::sink(dir, ([127, 0, 0, 1], 0).into())?),
        Protocol::Mqtt => Far::Broker(Broker::mosquitto(dir)?),
        Protocol::Amqp => Far::Broker(Broker::rabbitmq(dir)?),
    };
    let address = match &far {
        Far::Sink(sink) => sink.address,
        Far::Broker(broker) => broker.address,
    };
    let spool = tempfile::Builder::new().prefix("bench-").tempdir_in(dir)?;
    let gateway = Gateway::start_in(&binary, spool.path(), INBOUND).await?;
    send(load(options, &gateway, options.count, 0.0, 0)).await?;
    drop(gateway);

    let payload = Bytes::from(vec![b'e'; 1024]);
    let (mut bares, mut gateways) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let bare = library(options, protocol, address, payload.clone()).await?;
        let routes = routes(options, protocol, address, round);
        let gateway = gateway_round(options, &binary, spool.path(), &routes, round).await?;
        println!(
            "round {round}: ratio {:.2}, library {:.0}/s, gateway {:.0}/s",
            gateway.per_second / bare.per_second,
            bare.per_second,
            gateway.per_second
        );
        bares.push(bare);
        gateways.push(gateway);
    }
    print(options, &bares, &gateways);
    Ok(())
}

async fn library(
    options: &Options,
    protocol: Protocol,
    address: SocketAddr,
    payload: Bytes,
) -> anyhow::Result<Round> {
    let mut task = Task {
        count: options.count,
        window: options.window,
        rate: 0.0,
    };
    let fast = bare::run(protocol, address, payload.clone(), task).await?;
    (task.count, task.rate) = (steady_count(options), options.rate);
    let steady = bare::run(protocol, address, payload, task).await?;
    Ok(Round {
        per_second: options.count as f64 / fast.took,
        p50: steady.quantile(0.5),
        p99: steady.quantile(0.99),
        cpu: 0.0,
    })
}

/// A gateway with an outbound that was never there before and gets everything since the beginning.
async fn gateway_round(
    options: &Options,
    binary: &Path,
    spool: &Path,
    routes: &str,
    round: u32,
) -> anyhow::Result<Round> {
    let gateway = Gateway::start_in(binary, spool, routes).await?;
    let backlog = format!("faceway_lane_backlog{{outbound=\"far{round}\"");
    let waiting = gateway.metrics().await?.sum(&backlog);
    ensure!(
        waiting >= options.count as f64 / 2.0,
        "all was over at once"
    );
    let (begin, cpu) = (Instant::now(), gateway.process.cpu()?);
    wait_through(&gateway, &backlog).await?;
    let per_second = waiting / begin.elapsed().as_secs_f64();
    let cpu = (gateway.process.cpu()? - cpu).as_secs_f64() / waiting;

    let before = gateway.metrics().await?;
    let count = steady_count(options);
    send(load(options, &gateway, count, options.rate, round)).await?;
    wait_through(&gateway, &backlog).await?;
    let after = gateway.metrics().await?;
    let outbound = format!("far{round}");
    let quantile =
        |part| quantile(&before, &after, &outbound, part).context("no faceway_delivery_seconds");
    Ok(Round {
        per_second,
        p50: quantile(0.5)?,
        p99: quantile(0.99)?,
        cpu,
    })
}

async fn wait_through(gateway: &Gateway, backlog: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    while gateway.metrics().await?.sum(backlog) > 0.0 {
        let patience = begin.elapsed() < Duration::from_secs(600);
        ensure!(patience, "it was not through within ten minutes");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn steady_count(options: &Options) -> usize {
    (options.rate * options.seconds as f64) as usize
}

fn load(options: &Options, gateway: &Gateway, count: usize, rate: f64, series: u32) -> Load {
    Load {
        address: gateway.devices,
        connections: options.common.connections,
        body_bytes: 1024,
        count: count as u64,
        time: Duration::from_secs(3600),
        rate,
        series,
    }
}

fn routes(options: &Options, protocol: Protocol, address: SocketAddr, round: u32) -> String {
    let name = format!("far{round}");
    let outbound = table(protocol.name(), &name, address);
    let window = options.window;
    format!(
        "{INBOUND}\n{outbound}\nsince = \"oldest\"\nconcurrency_max = {window}\n\n\
         [[route]]\nname = \"everything\"\nto = [\"{name}\"]\n"
    )
}

/// An outbound of this protocol, up to what all outbounds have in common.
pub(crate) fn table(protocol: &str, name: &str, address: SocketAddr) -> String {
    let rest = match protocol {
        "mqtt" => format!("url = \"mqtt://{address}\"\nversion = 5\nqos = 1"),
        "amqp" => format!(
            "url = \"amqp://{address}/%2f\"\nusername = \"guest\"\n\
             password = {{ env = \"FACEWAY_BENCH_PASSWORD\" }}\n\
             exchange = \"bench\"\ndeclare = \"topic\"\nqueue = \"bench\""
        ),
        _ => format!("url = \"http://{address}/\""),
    };
    format!("[outbound.{protocol}.{name}]\n{rest}")
}

fn print(options: &Options, bares: &[Round], gateways: &[Round]) {
    let pairs = gateways.iter().zip(bares);
    let ratios = pairs.map(|(gateway, bare)| gateway.per_second / bare.per_second);
    println!(
        "\nratio {:.2} (median of {} rounds), window {}, {:.0} events/s for p50 and p99\n",
        median(ratios),
        bares.len(),
        options.window,
        options.rate
    );
    println!("|         | events/s | p50 ms | p99 ms | CPU µs/event |");
    println!("|---------|---------:|-------:|-------:|-------------:|");
    for (name, rounds) in [("library", bares), ("gateway", gateways)] {
        let of = |field: fn(&Round) -> f64| median(rounds.iter().map(field));
        println!(
            "| {name} | {:8.0} | {:6.2} | {:6.2} | {:12.1} |",
            of(|round| round.per_second),
            of(|round| round.p50 * 1e3),
            of(|round| round.p99 * 1e3),
            of(|round| round.cpu * 1e6),
        );
    }
    println!();
}

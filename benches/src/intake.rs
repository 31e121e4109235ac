//! Durable intake beside the limit, in alternating rounds.

use std::path::Path;
use std::time::Duration;

use crate::Common;
use crate::gateway::{Companion, Gateway, binary};
use crate::load::{Load, Outcome, run as send};
use crate::peer::{self, Peer};
use crate::process::Process;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Sizes of the bodies, in KB of 1024 bytes
    #[arg(long, value_delimiter = ',', default_value = "1,100")]
    kb: Vec<usize>,
    /// Rounds of each size
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Longest time of a round
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Most bytes of a round, in MB, so that the disk does not fill
    #[arg(long, default_value_t = 3000)]
    mb: usize,
    /// With a webhook to a local receiver behind the gateway
    #[arg(long)]
    outbound: bool,
    /// Another program to measure in the same rounds: a command for the shell, which listens for HTTP at $BENCH_LISTEN, answers
    /// 200, forwards to the URL $BENCH_SINK (with --outbound) and keeps its files in $BENCH_DIR
    #[arg(long)]
    peer: Option<String>,
}

/// What one server did in one round.
struct Round {
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    /// Bytes given to the disk for each byte of a body.
    written: f64,
    idle: f64,
    peak: f64,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let binary = binary(options.common.faceway.as_deref())?;
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores, {} connections", options.common.connections);
    for kb in &options.kb {
        let (mut limits, mut gateways, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=options.rounds {
            let limit = limit(options, kb * 1024).await?;
            let gateway = gateway(options, &binary, kb * 1024).await?;
            let ratio = gateway.per_second / limit.per_second;
            println!(
                "{kb} KB, round {round}: limit {:.0}/s, gateway {:.0}/s, ratio {ratio:.2}",
                limit.per_second, gateway.per_second
            );
            limits.push(limit);
            gateways.push(gateway);
            if let Some(command) = &options.peer {
                peers.push(peer(options, command, kb * 1024).await?);
            }
        }
        let mut sides = vec![
            ("limit".to_owned(), limits),
            ("gateway".to_owned(), gateways),
        ];
        if let Some(command) = &options.peer {
            sides.push((peer::name(command)?, peers));
        }
        print(*kb, &sides);
    }
    Ok(())
}

async fn limit(options: &Options, body_bytes: usize) -> anyhow::Result<Round> {
    let server = Companion::limit(&options.common.dir)?;
    let load = load(options, server.address, body_bytes);
    measure(&server.process, load).await
}

async fn gateway(options: &Options, binary: &Path, body_bytes: usize) -> anyhow::Result<Round> {
    let dir = &options.common.dir;
    let sink = sink(options)?;
    let outbound = sink.as_ref().map_or_else(String::new, |sink| {
        format!("url = \"http://{}/\"\nconcurrency_max = 16", sink.address)
    });
    let gateway = Gateway::start(binary, dir, &outbound).await?;
    let load = load(options, gateway.devices, body_bytes);
    measure(&gateway.process, load).await
}

/// The peer has the receiver behind it, like the gateway.
async fn peer(options: &Options, command: &str, body_bytes: usize) -> anyhow::Result<Round> {
    let sink = sink(options)?;
    let forwards_to = sink.as_ref().map(|sink| sink.address);
    let peer = Peer::start(command, &options.common.dir, forwards_to).await?;
    let load = load(options, peer.address, body_bytes);
    measure(&peer.process, load).await
}

fn sink(options: &Options) -> anyhow::Result<Option<Companion>> {
    let any = ([127, 0, 0, 1], 0).into();
    let sink = options
        .outbound
        .then(|| Companion::sink(&options.common.dir, any));
    sink.transpose()
}

fn load(options: &Options, address: std::net::SocketAddr, body_bytes: usize) -> Load {
    Load {
        address,
        connections: options.common.connections,
        body_bytes,
        count: (options.mb * 1_000_000 / body_bytes) as u64,
        time: Duration::from_secs(options.seconds),
        rate: 0.0,
        series: 0,
    }
}

async fn measure(process: &Process, load: Load) -> anyhow::Result<Round> {
    let (idle, _) = process.memory()?;
    // Connections, caches and threads come to life outside the measured part.
    let warm = Load {
        count: 2_000.min(load.count / 10),
        series: 1,
        ..load.clone()
    };
    send(warm).await?;
    let (before, written) = (process.cpu()?, process.written()?);
    let body_bytes = load.body_bytes as f64;
    let outcome: Outcome = send(load).await?;
    let cpu = process.cpu()? - before;
    let written = (process.written()? - written) as f64;
    let (_, peak) = process.memory()?;
    Ok(Round {
        per_second: outcome.per_second(),
        p50: outcome.quantile(0.5),
        p99: outcome.quantile(0.99),
        cpu: cpu.as_secs_f64() * 1e6 / outcome.events as f64,
        written: written / (outcome.events as f64 * body_bytes),
        idle,
        peak,
    })
}

/// The first side is the limit.
fn print(kb: usize, sides: &[(String, Vec<Round>)]) {
    let Some((_, limits)) = sides.first() else {
        return;
    };
    println!("\n{kb} KB, medians of {} rounds\n", limits.len());
    println!(
        "|         | events/s | ratio | p50 ms | p99 ms | CPU µs/event | written/byte | idle MiB | peak MiB |"
    );
    println!(
        "|---------|---------:|------:|-------:|-------:|-------------:|-------------:|---------:|---------:|"
    );
    for (name, rounds) in sides {
        // Of each round, as the disk's speed drifts.
        let ratios = rounds.iter().zip(limits);
        let ratios = ratios.map(|(round, limit)| round.per_second / limit.per_second);
        let of = |field: fn(&Round) -> f64| median(rounds.iter().map(field));
        println!(
            "| {name:7} | {:8.0} | {:5.2} | {:6.2} | {:6.2} | {:12.1} | {:12.2} | {:8.1} | {:8.1} |",
            of(|round| round.per_second),
            median(ratios),
            of(|round| round.p50),
            of(|round| round.p99),
            of(|round| round.cpu),
            of(|round| round.written),
            of(|round| round.idle),
            of(|round| round.peak),
        );
    }
    println!();
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

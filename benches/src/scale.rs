//! What many routes and many outbounds cost, beside few, in rounds that alternate.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::Common;
use crate::gateway::{Companion, Gateway, binary};
use crate::intake::median;
use crate::load::{Load, run as send};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Numbers of routes
    #[arg(long, value_delimiter = ',', default_value = "10,10000")]
    routes: Vec<usize>,
    /// Numbers of outbounds
    #[arg(long, value_delimiter = ',', default_value = "1,100")]
    outbounds: Vec<usize>,
    /// Events of a round
    #[arg(long, default_value_t = 50_000)]
    count: u64,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// So many of each.
#[derive(Clone, Copy)]
struct Size {
    routes: usize,
    outbounds: usize,
}

struct Round {
    /// Kept, and delivered to the one outbound that each event is for.
    kept: f64,
    through: f64,
    cpu: f64,
    idle: f64,
    peak: f64,
}

const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let binary = binary(options.common.faceway.as_deref())?;
    let one = |routes: usize| Size {
        routes,
        outbounds: 1,
    };
    let routes: Vec<Size> = options.routes.iter().map(|routes| one(*routes)).collect();
    let outbounds = options.outbounds.iter();
    let outbounds: Vec<Size> = outbounds
        .map(|outbounds| Size {
            routes: *outbounds,
            outbounds: *outbounds,
        })
        .collect();
    for sizes in [routes, outbounds] {
        let mut rounds: Vec<Vec<Round>> = sizes.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (size, rounds) in sizes.iter().zip(&mut rounds) {
                rounds.push(measure(options, &binary, *size).await?);
            }
        }
        print(&sizes, &rounds);
    }
    Ok(())
}

async fn measure(options: &Options, binary: &Path, size: Size) -> anyhow::Result<Round> {
    let dir = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&options.common.dir)?;
    let sink = Companion::sink(&options.common.dir, ([127, 0, 0, 1], 0).into())?;
    let url = format!("http://{}/", sink.address);
    let routes = routes(size, &url, options.common.connections);
    let gateway = Gateway::start_in(binary, dir.path(), &routes).await?;
    let (idle, _) = gateway.process.memory()?;
    let (begin, cpu) = (Instant::now(), gateway.process.cpu()?);
    let sent = send(Load {
        address: gateway.devices,
        connections: options.common.connections,
        body_bytes: 1024,
        count: options.count,
        time: Duration::from_secs(3600),
        rate: 0.0,
        series: 0,
    })
    .await?;
    while gateway.metrics().await?.sum("faceway_lane_backlog{") > 0.0 {
        ensure!(
            begin.elapsed() < Duration::from_secs(600),
            "it was not through within ten minutes"
        );
        tokio::time::sleep(LOOK).await;
    }
    let took = begin.elapsed().as_secs_f64();
    let cpu = gateway.process.cpu()? - cpu;
    let delivered = gateway
        .metrics()
        .await?
        .sum("faceway_delivery_seconds_count");
    ensure!(
        delivered as u64 == sent.events,
        "{delivered} of {} were delivered once",
        sent.events
    );
    Ok(Round {
        kept: sent.per_second(),
        through: sent.events as f64 / took,
        cpu: cpu.as_secs_f64() * 1e6 / sent.events as f64,
        idle,
        peak: gateway.process.memory()?.1,
    })
}

/// Each device has one outbound, by the last routes of the file; the routes before them match nothing.
fn routes(size: Size, url: &str, devices: usize) -> String {
    let mut text = String::from("[inbound.nebula.bench]\n");
    for outbound in 0..size.outbounds {
        // Writing into a text never fails.
        _ = write!(
            text,
            "\n[outbound.webhook.o{outbound}]\nurl = \"{url}\"\nconcurrency_max = 16\n"
        );
    }
    for route in size.outbounds..size.routes {
        _ = write!(
            text,
            "\n[[route]]\nname = \"none {route}\"\nwhen = {{ \"device.id\" = \"D{route}\", \"match.score\" = {{ min = 0.8 }} }}\nto = [\"o0\"]\n"
        );
    }
    for outbound in 0..size.outbounds {
        let devices = (0..devices).filter(|device| device % size.outbounds == outbound);
        let devices: Vec<String> = devices
            .map(|device| format!("\"PSC700C0MC22F{device:05}\""))
            .collect();
        let devices = if devices.is_empty() {
            "\"none\"".to_owned()
        } else {
            devices.join(", ")
        };
        _ = write!(
            text,
            "\n[[route]]\nname = \"to {outbound}\"\nwhen = {{ \"device.id\" = [{devices}] }}\nto = [\"o{outbound}\"]\n"
        );
    }
    text
}

fn print(sizes: &[Size], rounds: &[Vec<Round>]) {
    println!("\n| routes | outbounds | kept/s | through/s | CPU µs/event | idle MiB | peak MiB |");
    println!("|-------:|----------:|-------:|----------:|-------------:|---------:|---------:|");
    for (size, rounds) in sizes.iter().zip(rounds) {
        let of = |field: fn(&Round) -> f64| median(rounds.iter().map(field));
        println!(
            "| {:6} | {:9} | {:6.0} | {:9.0} | {:12.1} | {:8.1} | {:8.1} |",
            size.routes,
            size.outbounds,
            of(|round| round.kept),
            of(|round| round.through),
            of(|round| round.cpu),
            of(|round| round.idle),
            of(|round| round.peak),
        );
    }
}

//! How long a start takes with much in the spool, after an orderly end and after a kill.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Common;
use crate::gateway::{Gateway, binary, free_port};
use crate::load::{Load, run as send};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// What lies in the spool before, in GB of bodies; they are pushed, so it takes a while
    #[arg(long, default_value_t = 10.0)]
    gb: f64,
    /// Size of a body, in KB of 1024 bytes; from 4 on most of it is a picture
    #[arg(long, default_value_t = 1)]
    kb: usize,
    /// With an outbound whose destination is down, so that all of it waits
    #[arg(long)]
    waiting: bool,
    /// Starts of each kind
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let binary = binary(options.common.faceway.as_deref())?;
    let dir = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&options.common.dir)?;
    let mut routes = String::from("[inbound.nebula.bench]\n");
    if options.waiting {
        routes += &format!(
            "\n[outbound.webhook.sink]\nurl = \"http://{}/\"\n\n[[route]]\nname = \"everything\"\nto = [\"sink\"]\n",
            free_port()?
        );
    }
    let gateway = Gateway::start_in(&binary, dir.path(), &routes).await?;
    let body_bytes = options.kb * 1024;
    let count = (options.gb * 1e9 / body_bytes as f64) as u64;
    send(load(options, &gateway, count, 0)).await?;
    let spool = gateway.metrics().await?.sum("faceway_spool_bytes") / 1e9;
    println!(
        "{count} events of {} KB, {spool:.1} GB in the spool\n",
        options.kb
    );
    println!("| start after | first answer ms | idle MiB | peak MiB |");
    println!("|-------------|----------------:|---------:|---------:|");
    let mut gateway = Some(gateway);
    for round in 1..=options.rounds {
        for is_orderly in [false, true] {
            if let Some(before) = gateway.take() {
                end(before, is_orderly).await?;
            }
            let started = start(
                options,
                &binary,
                dir.path(),
                &routes,
                round * 2 + u32::from(is_orderly),
            );
            gateway = Some(started.await?);
        }
    }
    Ok(())
}

async fn end(mut gateway: Gateway, is_orderly: bool) -> anyhow::Result<()> {
    let kind = if is_orderly {
        "an orderly end"
    } else {
        "kill -9"
    };
    print!("| {kind:11.11} |");
    if is_orderly {
        gateway.process.stop(Duration::from_secs(60)).await?;
    }
    // Else dropping kills it.
    Ok(())
}

async fn start(
    options: &Options,
    binary: &Path,
    dir: &Path,
    routes: &str,
    series: u32,
) -> anyhow::Result<Gateway> {
    let begin = Instant::now();
    let gateway = Gateway::start_in(binary, dir, routes).await?;
    send(load(options, &gateway, 1, series)).await?;
    let took = begin.elapsed().as_secs_f64() * 1e3;
    let (now, peak) = gateway.process.memory()?;
    println!(" {took:15.0} | {now:8.1} | {peak:8.1} |");
    Ok(gateway)
}

fn load(options: &Options, gateway: &Gateway, count: u64, series: u32) -> Load {
    Load {
        address: gateway.devices,
        connections: if count == 1 {
            1
        } else {
            options.common.connections
        },
        body_bytes: options.kb * 1024,
        count,
        time: Duration::from_secs(4 * 3600),
        rate: 0.0,
        series,
    }
}

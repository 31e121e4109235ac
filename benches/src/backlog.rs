//! Memory with a backlog: a destination that is down, and events that come all the same.

use std::time::Duration;

use crate::Common;
use crate::gateway::{Gateway, binary, free_port};
use crate::load::{Load, run as send};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Events that wait in the end
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// How often to tell on the way
    #[arg(long, default_value_t = 10)]
    steps: u32,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let binary = binary(options.common.faceway.as_deref())?;
    let outbound = format!("url = \"http://{}/\"", free_port()?);
    let gateway = Gateway::start(&binary, &options.common.dir, &outbound).await?;
    println!("| events waiting | events/s | memory MiB | peak MiB | spool MiB |");
    println!("|---------------:|---------:|-----------:|---------:|----------:|");
    tell(&gateway, 0.0).await?;
    for series in 0..options.steps {
        let load = Load {
            address: gateway.devices,
            connections: options.common.connections,
            body_bytes: 1024,
            count: options.count / u64::from(options.steps),
            time: Duration::from_secs(3600),
            rate: 0.0,
            series,
        };
        let sent = send(load).await?;
        tell(&gateway, sent.per_second()).await?;
    }
    // What was only for the load is given back by then.
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("after ten quiet seconds:");
    tell(&gateway, 0.0).await
}

async fn tell(gateway: &Gateway, per_second: f64) -> anyhow::Result<()> {
    let metrics = gateway.metrics().await?;
    let (now, peak) = gateway.process.memory()?;
    println!(
        "| {:14.0} | {per_second:8.0} | {now:10.1} | {peak:8.1} | {:9.1} |",
        metrics.sum("faceway_lane_backlog{"),
        metrics.sum("faceway_spool_bytes") / 1024.0 / 1024.0,
    );
    Ok(())
}

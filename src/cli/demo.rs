//! `faceway demo`: the whole way with nothing installed. Simulated terminals push to a real gateway, which delivers to a
//! receiver that is down now and then.

mod outage;
mod receiver;
mod screen;
mod stage;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use faceway::gateway::Gateway;
use faceway::observe::{self, LogFormat};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::moment::duration;
use super::simulate::{self, Tally};
use super::words::span;
use super::{Ended, Failure, Streams, block_on};
use outage::Outage;
use receiver::Receiver;
use stage::Stage;

/// How long the last deliveries may take at the end.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// See the whole thing with nothing installed: gateway, simulated terminals, a receiver.
///
/// It makes a temporary directory, takes free ports on 127.0.0.1, and prints what arrives. The receiver goes down now and
/// then, so that you see events wait and catch up. People, numbers and pictures are invented.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway demo --for 30s")]
pub(crate) struct Demo {
    /// End by itself after this time; without it with Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
}

impl Demo {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        // Log lines would stand between the arrivals, so they are for those who ask.
        if std::env::var_os("FACEWAY_LOG").is_some() {
            observe::install_logs(LogFormat::Text)?;
        }
        block_on(Box::pin(self.play(streams)))
    }

    async fn play(&self, streams: &mut Streams<'_>) -> Ended {
        let metrics = observe::install_metrics()?;
        let mut receiver = Receiver::start().await?;
        let stage = Stage::build(receiver.address())?;
        let gateway =
            Gateway::start(stage.config.clone(), stage.routes.clone(), metrics.clone()).await?;
        stage.greet(&gateway, self.length, streams)?;

        let (records, stop) = (Arc::new(Tally::default()), CancellationToken::new());
        let began = Instant::now();
        let terminals = simulate::start(stage.site()?, &records, &stop);
        show(&mut receiver, self.length, streams).await?;
        stop.cancel();
        terminals.join_all().await;
        let took = began.elapsed();

        catch_up(&mut receiver, &metrics, streams).await?;
        tally::sum_up(&records, &receiver, &metrics.render(), took, streams)?;
        gateway.stop().await;
        Ok(())
    }
}

/// Shows what arrives until the time is over or somebody ends it.
async fn show(
    receiver: &mut Receiver,
    length: Option<Duration>,
    streams: &mut Streams<'_>,
) -> Ended {
    let end = length.map(|length| Instant::now() + length);
    let mut outage = Outage::new(end);
    let over = async {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            biased;
            ended = tokio::signal::ctrl_c() => return ended.map_err(Failure::from),
            () = &mut over => return Ok(()),
            () = outage.changes() => {
                receiver.set_up(outage.is_up());
                screen::tell_outage(outage.is_up(), streams)?;
            }
            arrived = receiver.next() => screen::tell(&arrived, streams)?,
        }
    }
}

/// Lets the last events arrive, and those that an outage kept.
async fn catch_up(
    receiver: &mut Receiver,
    metrics: &metrics_exporter_prometheus::PrometheusHandle,
    streams: &mut Streams<'_>,
) -> Ended {
    receiver.set_up(true);
    let deadline = Instant::now() + DRAIN_MAX;
    while receiver.events() < tally::stored(&metrics.render()) {
        tokio::select! {
            arrived = receiver.next() => screen::tell(&arrived, streams)?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep_until(deadline) => {
                let waited = span(DRAIN_MAX);
                writeln!(streams.talk, "not everything arrived within {waited}; FACEWAY_LOG=info shows more")?;
                return Ok(());
            }
        }
    }
    Ok(())
}

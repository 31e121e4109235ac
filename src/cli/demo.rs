//! `faceway demo`: the whole way with nothing installed. Simulated sources of every vendor push to a real gateway or are
//! dialled by it, and it delivers to a receiver that is down now and then.

mod outage;
mod receiver;
mod screen;
mod stage;
mod tally;

use std::time::Duration;

use clap::Args;
use faceway::gateway::Gateway;
use faceway::observe::{self, LogFormat};
use metrics_exporter_prometheus::PrometheusHandle;
use outage::Outage;
use receiver::Receiver;
use stage::Stage;
use tokio::time::Instant;

use super::moment::duration;
use super::signals::Signals;
use super::words::span;
use super::{Ended, Failure, Streams, block_on};

/// How long the last deliveries may take at the end.
const DRAIN_MAX: Duration = Duration::from_secs(15);
/// How often it is looked whether they are over.
const LOOK: Duration = Duration::from_millis(50);

/// See the whole thing with nothing installed: gateway, simulated devices of every vendor, a receiver.
///
/// It makes a temporary directory, takes free ports on 127.0.0.1, and prints what arrives from the devices and platforms
/// of all vendors, all in the same words. The receiver goes down now and then, so that you see events wait and catch up.
/// People, numbers and pictures are invented.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway demo --for 30s")]
pub(crate) struct Demo {
    /// End by itself after this time; without it with Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
}

impl Demo {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        // Log lines would stand between the arrivals, so they come only when asked for.
        if std::env::var_os("FACEWAY_LOG").is_some_and(|chosen| !chosen.is_empty()) {
            observe::install_logs(LogFormat::Text)
                .map_err(|error| Failure::input(error.to_string()))?;
        }
        block_on(Box::pin(self.play(streams)))
    }

    async fn play(&self, streams: &mut Streams<'_>) -> Ended {
        let mut signals = Signals::listen()?;
        let metrics = observe::install_metrics()?;
        let mut receiver = Receiver::start().await?;
        let (stage, guests) = Stage::build(receiver.address())?;
        let gateway = Gateway::start(
            stage.config.clone(),
            Ok(stage.routes.clone()),
            None,
            metrics.clone(),
        )
        .await?;
        stage.greet(&gateway, self.length, streams)?;

        let began = Instant::now();
        let sources = stage.sources(guests)?;
        let mut audience = Audience {
            receiver: &mut receiver,
            metrics: &metrics,
            signals: &mut signals,
        };
        audience.watch(self.length, streams).await?;
        for source in sources {
            source.end().await;
        }
        let took = began.elapsed();

        audience.catch_up(streams).await?;
        tally::sum_up(&receiver, &metrics.render(), took, streams)?;
        gateway.stop().await;
        Ok(())
    }
}

/// Who watches what arrives.
struct Audience<'d> {
    receiver: &'d mut Receiver,
    metrics: &'d PrometheusHandle,
    signals: &'d mut Signals,
}

impl Audience<'_> {
    /// Shows what arrives until the time is over or a signal ends it.
    async fn watch(&mut self, length: Option<Duration>, streams: &mut Streams<'_>) -> Ended {
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
                () = self.signals.end() => return Ok(()),
                () = &mut over => return Ok(()),
                () = outage.changes() => self.tell_outage(outage.is_up(), streams)?,
                arrived = self.receiver.next() => screen::tell(&arrived, streams)?,
            }
        }
    }

    fn tell_outage(&self, up: bool, streams: &mut Streams<'_>) -> Ended {
        let waited = self.missing();
        self.receiver.set_up(up);
        if up {
            screen::tell_back(waited, streams)
        } else {
            screen::tell_down(streams)
        }
    }

    /// Events that the gateway has and the receiver has not.
    fn missing(&self) -> u64 {
        tally::stored(&self.metrics.render()).saturating_sub(self.receiver.events())
    }

    /// Lets the last events arrive, and those that an outage kept.
    async fn catch_up(&mut self, streams: &mut Streams<'_>) -> Ended {
        self.receiver.set_up(true);
        let deadline = Instant::now() + DRAIN_MAX;
        let mut look = tokio::time::interval(LOOK);
        while self.missing() > 0 || tally::undelivered(&self.metrics.render()) > 0 {
            tokio::select! {
                arrived = self.receiver.next() => screen::tell(&arrived, streams)?,
                _ = look.tick() => {}
                () = self.signals.end() => return Ok(()),
                () = tokio::time::sleep_until(deadline) => {
                    let waited = span(DRAIN_MAX);
                    writeln!(streams.talk, "not everything arrived within {waited}; FACEWAY_LOG=info shows more")?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

//! `faceway simulate`: plays devices and platforms, those of every adapter that has a simulator. What they do is said by
//! the adapters and done by `faceway-simulators`; here arguments are read and results told.

mod arguments;
mod report;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use faceway_core::simulator::{About, Door, Simulator};
use faceway_core::{Clock as _, SystemClock};
use faceway_simulators::{Doors, Play, Target};
use reqwest::Url;
use tokio::net::TcpListener;

use self::arguments::Asked;
use super::signals::Signals;
use super::{Ended, Failure, Streams, block_on, http};

/// How long a source waits for its answer. No vendor's page says it.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The smallest picture that a simulation can make.
const PICTURE_BYTES_MIN: usize = 24;

/// Play devices and platforms against a gateway.
#[derive(Args, Debug)]
#[command(long_about = long_about(), after_help = examples())]
pub(crate) struct Simulate {
    #[command(subcommand)]
    source: Asked,
}

/// The simulators by their adapters' names.
pub(super) fn simulators() -> Vec<(&'static str, &'static dyn Simulator)> {
    let adapters = faceway_adapters::all().into_iter();
    adapters
        .filter_map(|adapter| Some((adapter.name(), adapter.simulator()?)))
        .collect()
}

fn long_about() -> String {
    let simulators = simulators();
    let width = simulators.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or_default();
    let lines: Vec<String> = (simulators.iter())
        .map(|(name, simulator)| format!("  {name:width$}  {}", simulator.about().summary))
        .collect();
    format!(
        "\
Play devices and platforms against a gateway, with the defects that real ones have.

{}

With --to a source posts to an inbound. With --listen others come to it: to its websocket, or to its API; the addresses \
that were taken are told on standard error.

It ends with Ctrl-C, or when --count were sent, and tells what became of them. The exit code is 1 when something that was \
posted did not arrive. All people are invented.",
        lines.join("\n")
    )
}

/// The first example of each.
fn examples() -> String {
    let simulators = simulators().into_iter();
    let examples: Vec<String> = simulators
        .filter_map(|(_, simulator)| examples_of(simulator.about()).next())
        .collect();
    format!(
        "Examples:\n{}\n\n`faceway simulate ADAPTER --help` tells the rest of each.",
        examples.join("\n")
    )
}

fn examples_of(about: &'static About) -> impl Iterator<Item = String> {
    about.examples.iter().map(|example| format!("  {example}"))
}

/// What every source has.
#[derive(Args, Debug)]
struct Common {
    /// Records a second, all together
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Records in all; without it until Ctrl-C
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Size of each picture; without it no pictures. Some vendors send links only
    #[arg(long, value_name = "BYTES")]
    images: Option<usize>,
    /// The same seed gives the same people and record ids [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Simulate {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        block_on(Box::pin(async {
            let signals = Signals::listen()?;
            let play = self.source.start(streams).await?;
            watch::watch(play, signals, streams).await
        }))
    }
}

impl Asked {
    async fn start(&self, streams: &mut Streams<'_>) -> Result<Play, Failure> {
        let about = self.simulator.about();
        if self.pictures && !about.sends_pictures {
            writeln!(
                streams.talk,
                "note: --images changes nothing here: this vendor sends links to pictures, not pictures"
            )?;
        }
        let mut doors = Doors::default();
        let door = about.listen.map(|listen| listen.door);
        if let Some(address) = self.listen {
            match door {
                Some(Door::Api) => doors.api = Some(bind_api(address, streams).await?),
                _ => doors.websocket = Some(bind(address, "websocket", "ws", streams).await?),
            }
        }
        if let Some(address) = self.api_listen {
            doors.api = Some(bind_api(address, streams).await?);
        }
        // Where a device's API is told, it posts.
        let posts = self.to.is_some() || door == Some(Door::Api);
        let target = match posts {
            true => Some(Target {
                to: self.to.clone(),
                client: http::client(ANSWER_MAX)?,
            }),
            false => None,
        };
        let source = self.simulator.source(&self.chosen).into();
        let now = SystemClock.now();
        Ok(Play::start(source, doors, target, self.pace, now))
    }
}

async fn bind_api(address: SocketAddr, streams: &mut Streams<'_>) -> Result<TcpListener, Failure> {
    bind(address, "API", "http", streams).await
}

/// Takes `address` and tells where it is, as `<what> at <scheme>://<address>/`.
async fn bind(
    address: SocketAddr,
    what: &str,
    scheme: &str,
    streams: &mut Streams<'_>,
) -> Result<TcpListener, Failure> {
    let trouble = |error| Failure::trouble(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(trouble)?;
    let bound = listener.local_addr().map_err(trouble)?;
    writeln!(streams.talk, "{what} at {scheme}://{bound}/")?;
    Ok(listener)
}

impl Common {
    fn picture_bytes(&self) -> Option<usize> {
        let wanted = self.images.filter(|bytes| *bytes > 0);
        wanted.map(|bytes| bytes.max(PICTURE_BYTES_MIN))
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number")?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("must be greater than 0".into())
    }
}

fn target(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error| format!("not a URL: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("must begin with http:// or https://".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{rate, target};
    use crate::cli::Words;

    #[test]
    fn a_rate_is_a_number_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_is_reached_by_http() {
        assert!(target("https://gateway.example/in/lobby").is_ok());
        for wrong in ["ws://127.0.0.1:1/", "127.0.0.1", ""] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_source_goes_somewhere_or_is_come_to() {
        for (words, good) in [
            ("findface --to http://h/in/a --batch 3", true),
            ("findface", false),
            ("findface --listen 127.0.0.1:0", false),
            ("omni --listen 127.0.0.1:0", true),
            ("omni", false),
            ("se5 --to http://h/in/a --protocol v2", true),
            ("se5 --listen 127.0.0.1:0 --protocol v3", false),
            ("nebula --listen 127.0.0.1:0 --terminals 2", false),
            ("nebla --to http://h/in/a", false),
        ] {
            let words = ["faceway", "simulate"].into_iter().chain(words.split(' '));
            assert_eq!(Words::try_parse_from(words).is_ok(), good);
        }
    }
}

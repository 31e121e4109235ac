//! `faceway simulate`: plays devices and platforms.

mod account;
mod findface;
mod nebula;
mod omni;
mod pace;
mod play;
mod post;
mod se5;
mod socket;
mod tally;
mod terminal;

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Url;
use tokio::time::Instant;

use super::signals::Signals;
use super::{Ended, Streams, block_on};
pub(super) use findface::Platform as FindfacePlatform;
pub(super) use omni::{PICTURES as OMNI_PICTURES, Platform as OmniPlatform};
pub(super) use pace::Pace;
pub(super) use play::{Play, Ways};
pub(super) use se5::Cameras;
pub(super) use tally::Tally;
pub(super) use terminal::Site;

/// How long a source waits for its answer. No vendor's page says it.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The smallest picture that a simulation can make.
const PICTURE_BYTES_MIN: usize = 24;

const LONG: &str = "\
Play devices and platforms against a gateway, with the defects that real ones have.

  nebula    SenseNebula Pass terminals post each record until it is taken; they keep 50,000
  findface  a FindFace platform posts batches, and a whole batch again until it hears exactly 200
  omni      an OMNI Platform posts webhooks, each once, or serves its websocket, live only
  se5       a Sophon box serves its websocket, silent until configured, or reports its history

With --to a source posts to an inbound. With --listen others come to it: to the websocket of omni and se5, to the API of \
a terminal; the addresses that were taken are told on standard error.

It ends with Ctrl-C, or when --count were sent, and tells what became of them. The exit code is 1 when something that was \
posted did not arrive. All people are invented.";

/// Play devices and platforms against a gateway.
#[derive(Args, Debug)]
#[command(long_about = LONG, after_help = "\
Examples:
  faceway simulate nebula --to http://127.0.0.1:8080/in/lobby --rate 50 --count 1000 --images 40000
  faceway simulate findface --to http://127.0.0.1:8080/in/city --batch 20 --attempts 0 --verbose
  faceway simulate omni --listen 127.0.0.1:8001
  faceway simulate se5 --listen 127.0.0.1:5679 --api-listen 127.0.0.1:5555 --protocol v2

`faceway simulate ADAPTER --help` tells the rest of each.")]
pub(crate) struct Simulate {
    #[command(subcommand)]
    source: Source,
}

#[derive(Debug, Subcommand)]
#[command(
    subcommand_value_name = "ADAPTER",
    subcommand_help_heading = "Adapters"
)]
enum Source {
    Nebula(nebula::Nebula),
    Findface(findface::Findface),
    Omni(omni::Omni),
    Se5(se5::Se5),
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
    /// Size of each picture; without it no pictures. FindFace and OMNI send links only
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
            let play = match &self.source {
                Source::Nebula(source) => source.start(streams).await?,
                Source::Findface(source) => source.start(streams)?,
                Source::Omni(source) => source.start(streams).await?,
                Source::Se5(source) => source.start(streams).await?,
            };
            play.watch(signals, streams).await
        }))
    }
}

impl Common {
    const fn pace(&self) -> Pace {
        Pace::new(self.rate, self.count)
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(rand::random)
    }

    fn picture_bytes(&self) -> Option<usize> {
        let wanted = self.images.filter(|bytes| *bytes > 0);
        wanted.map(|bytes| bytes.max(PICTURE_BYTES_MIN))
    }
}

/// Tells who asks for pictures where the vendor sends none.
fn note_links(common: &Common, streams: &mut Streams<'_>) -> Ended {
    if common.images.is_some() {
        writeln!(
            streams.talk,
            "note: --images changes nothing here: this vendor sends links to pictures, not pictures"
        )?;
    }
    Ok(())
}

/// A source goes somewhere, or is come to.
fn way() -> ArgGroup {
    ArgGroup::new("way")
        .args(["to", "listen"])
        .required(true)
        .multiple(true)
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

/// Waits until then; for ever without a moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
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

//! `faceway simulate`: plays devices.

mod tally;
mod terminal;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use faceway_adapter_nebula::simulate::{Picture, Simulation};
use faceway_core::{Clock as _, SystemClock};
use reqwest::Url;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::words::{counted, grouped, span};
use super::{Ended, Failure, Streams, block_on, http};
pub(super) use tally::Tally;
pub(super) use terminal::{CACHE_MAX, Pace, Site};

/// How long a terminal waits for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The smallest picture that the simulation can make.
const PICTURE_BYTES_MIN: usize = 24;

/// Play devices against a gateway.
///
/// nebula plays SenseNebula Pass terminals, API 1.3.0: recognitions of invented people and now and then an alarm, posted
/// to --to, one after another for each terminal. As real ones do, a terminal keeps a record that is not answered with
/// HTTP 200 and code 200 (up to 50,000 of them), and sends it again before later ones.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  faceway simulate nebula --to http://127.0.0.1:8080/in/lobby --rate 50 --count 1000 --images 40000

Adapters: nebula.")]
pub(crate) struct Simulate {
    /// What to play: nebula
    adapter: String,
    /// Where to: the inbound's address, with ?token=… where it wants one
    #[arg(long, value_name = "URL")]
    to: Url,
    /// Records a second, of all terminals together
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Records in all; without it until Ctrl-C
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Size of each record's picture; without it no pictures
    #[arg(long, value_name = "BYTES")]
    images: Option<usize>,
    /// How many terminals
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    terminals: u64,
    /// Send every Nth record twice, as a terminal does whose answer got lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    twice: Option<u64>,
    /// The same seed gives the same people and record ids [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Simulate {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        if self.adapter != "nebula" {
            return Err(super::read::unknown(
                "adapter that can be played",
                &self.adapter,
                &["nebula"],
            ));
        }
        if !matches!(self.to.scheme(), "http" | "https") {
            return Err(Failure::input("--to must begin with http:// or https://"));
        }
        let picture = match self.images {
            None | Some(0) => Picture::None,
            Some(bytes) => Picture::Bytes(bytes.max(PICTURE_BYTES_MIN)),
        };
        let site = Site {
            simulation: Simulation::new(
                self.seed.unwrap_or_else(rand::random),
                self.terminals,
                picture,
            ),
            terminals: self.terminals,
            to: self.to.clone(),
            pace: Pace::new(self.rate, self.count),
            twice: self.twice,
            began_at: SystemClock.now(),
            client: http::client(ANSWER_MAX)?,
        };
        block_on(play(site, streams))
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

async fn play(site: Site, streams: &mut Streams<'_>) -> Ended {
    let tally = Arc::new(Tally::default());
    let stop = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let began = Instant::now();
    let mut terminals = start(site, &tally, &stop);
    let mut ticks = Progress::new();
    loop {
        tokio::select! {
            ended = terminals.join_next() => if ended.is_none() { break },
            () = signals.end() => stop.cancel(),
            () = ticks.next() => ticks.tell(&tally, streams),
        }
    }
    ticks.clear(streams);
    summary(&tally, began.elapsed(), streams)
}

/// Sets all terminals of a site to work. Each ends when its records are taken, or on `stop`.
pub(super) fn start(site: Site, tally: &Arc<Tally>, stop: &CancellationToken) -> JoinSet<()> {
    let site = Arc::new(site);
    let began = Instant::now();
    (0..site.terminals)
        .map(|index| {
            Arc::clone(&site)
                .terminal(index)
                .play(began, Arc::clone(tally), stop.clone())
        })
        .collect()
}

fn summary(tally: &Tally, took: Duration, streams: &mut Streams<'_>) -> Ended {
    let (made, taken, lost) = (tally.made(), tally.taken(), tally.lost());
    writeln!(
        streams.out,
        "{} in {}: {} taken",
        counted(made, "record"),
        span(took),
        grouped(taken)
    )?;
    if tally.twice() > 0 {
        writeln!(streams.out, "{} of them sent twice", grouped(tally.twice()))?;
    }
    if tally.failed() > 0 {
        let last = tally.last_failure().unwrap_or_default();
        writeln!(
            streams.out,
            "{} failed, the last with {last}",
            counted(tally.failed(), "attempt")
        )?;
    }
    let waiting = made.saturating_sub(taken + lost);
    if waiting + lost == 0 {
        return Ok(());
    }
    let mut text = format!("{} still waiting in the terminals", grouped(waiting));
    if lost > 0 {
        let limit = grouped(CACHE_MAX);
        text.push_str(&format!(
            ", {} lost: a terminal keeps {limit}",
            grouped(lost)
        ));
    }
    Err(Failure::Trouble(text))
}

/// The progress line: on a screen it is written over, elsewhere now and then a new one.
struct Progress {
    screen: bool,
    ticks: tokio::time::Interval,
}

impl Progress {
    fn new() -> Self {
        let screen = std::io::stderr().is_terminal();
        let mut ticks = tokio::time::interval(Duration::from_secs(if screen { 1 } else { 10 }));
        ticks.reset();
        Self { screen, ticks }
    }

    async fn next(&mut self) {
        self.ticks.tick().await;
    }

    fn tell(&self, tally: &Tally, streams: &mut Streams<'_>) {
        let line = tally.line();
        let _ = if self.screen {
            write!(streams.talk, "\r\x1b[K{line}")
        } else {
            writeln!(streams.talk, "{line}")
        };
    }

    fn clear(&self, streams: &mut Streams<'_>) {
        if self.screen {
            let _ = write!(streams.talk, "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, rate, summary};
    use crate::cli::Failure;
    use crate::cli::streams::Buffers;

    #[test]
    fn a_rate_is_a_number_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_not_taken_is_told_and_is_trouble() {
        let tally = Tally::default();
        tally.saw_made(3);
        (0..3).for_each(|_| tally.saw_taken());
        let took = std::time::Duration::from_secs(90);
        let (ended, out, _) = Buffers::run("", |streams| summary(&tally, took, streams));
        ended.unwrap();
        assert_eq!(out, "3 records in 1m: 3 taken\n");
        tally.saw_made(2);
        tally.saw_failed("refused".into());
        let (ended, out, _) = Buffers::run("", |streams| summary(&tally, took, streams));
        assert!(
            matches!(ended, Err(Failure::Trouble(text)) if text.starts_with("2 still waiting"))
        );
        assert!(
            out.contains("1 attempt failed, the last with refused"),
            "{out}"
        );
    }
}

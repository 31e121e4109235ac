//! Watches a simulated source until all was sent.

use std::io::IsTerminal as _;
use std::time::Duration;

use faceway_simulators::Play;

use super::report;
use crate::cli::signals::Signals;
use crate::cli::{Ended, Failure, Streams};

/// Shows how it goes until all was sent or a signal ends it, then tells what was done.
pub(super) async fn watch(
    mut play: Play,
    mut signals: Signals,
    streams: &mut Streams<'_>,
) -> Ended {
    let mut progress = Progress::new();
    loop {
        tokio::select! {
            () = play.finished() => break,
            () = signals.end() => play.stop(),
            () = progress.next() => progress.tell(&play, streams),
        }
    }
    progress.clear(streams);
    sum_up(&play, streams)
}

fn sum_up(play: &Play, streams: &mut Streams<'_>) -> Ended {
    let took = play.began().elapsed();
    let counts = play.counts();
    for counts in &counts {
        write!(streams.out, "{}", report::summary(counts, took))?;
    }
    let trouble: Vec<String> = counts.iter().filter_map(report::trouble).collect();
    match trouble.is_empty() {
        true => Ok(()),
        false => Err(Failure::Trouble(trouble.join("; "))),
    }
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

    fn tell(&self, play: &Play, streams: &mut Streams<'_>) {
        let lines: Vec<String> = play.counts().iter().map(report::line).collect();
        let line = lines.join("; ");
        let _ = if self.screen {
            Self::clear_line(streams).and_then(|()| write!(streams.talk, "{line}"))
        } else {
            writeln!(streams.talk, "{line}")
        };
    }

    fn clear(&self, streams: &mut Streams<'_>) {
        if self.screen {
            let _ = Self::clear_line(streams);
        }
    }

    fn clear_line(streams: &mut Streams<'_>) -> std::io::Result<()> {
        streams.talk.write_exact(b"\r\x1b[K")
    }
}

//! A simulated source at work: its tasks, what they have done, and who watches.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ANSWER_MAX, Tally};
use crate::cli::signals::Signals;
use crate::cli::{Ended, Failure, Streams, http};

/// How records leave a source that has a websocket and can post too: by one of both, or by both.
pub(crate) struct Ways {
    /// Clients come here.
    pub(crate) listener: Option<TcpListener>,
    /// Requests go there.
    pub(crate) to: Option<(Url, Client)>,
}

impl Ways {
    /// As the command line has it; tells where it listens.
    pub(super) async fn asked(
        listen: Option<SocketAddr>,
        to: Option<&Url>,
        streams: &mut Streams<'_>,
    ) -> Result<Self, Failure> {
        let listener = match listen {
            Some(address) => Some(bind(address, "websocket", "ws", streams).await?),
            None => None,
        };
        let to = match to {
            Some(to) => Some((to.clone(), http::client(ANSWER_MAX)?)),
            None => None,
        };
        Ok(Self { listener, to })
    }
}

/// A source at work. Its tasks end when all was sent, or on `stop`.
pub(crate) struct Play {
    pub(super) began: Instant,
    pub(super) tasks: JoinSet<()>,
    /// One for each way out.
    pub(super) tallies: Vec<Arc<Tally>>,
    pub(super) stop: CancellationToken,
}

impl Play {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            tasks: JoinSet::new(),
            tallies: Vec::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Another way out, to be counted by `tally`.
    pub(super) fn counted(&mut self, tally: Tally) -> Arc<Tally> {
        let tally = Arc::new(tally);
        self.tallies.push(Arc::clone(&tally));
        tally
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }

    /// Waits until all was sent.
    #[cfg(test)]
    pub(super) async fn finish(mut self) -> Vec<Arc<Tally>> {
        while self.tasks.join_next().await.is_some() {}
        self.tallies
    }

    /// Shows how it goes until all was sent or somebody ends it, then tells what was done.
    pub(super) async fn watch(mut self, mut signals: Signals, streams: &mut Streams<'_>) -> Ended {
        let mut progress = Progress::new();
        loop {
            tokio::select! {
                ended = self.tasks.join_next() => if ended.is_none() { break },
                () = signals.end() => self.stop.cancel(),
                () = progress.next() => progress.tell(&self.tallies, streams),
            }
        }
        progress.clear(streams);
        self.sum_up(streams)
    }

    fn sum_up(&self, streams: &mut Streams<'_>) -> Ended {
        let took = self.began.elapsed();
        for tally in &self.tallies {
            write!(streams.out, "{}", tally.summary(took))?;
        }
        let trouble: Vec<String> = self.tallies.iter().filter_map(|t| t.trouble()).collect();
        match trouble.is_empty() {
            true => Ok(()),
            false => Err(Failure::Trouble(trouble.join("; "))),
        }
    }
}

/// Takes `address` and tells where it is, as `<what> at <scheme>://<address>/`.
pub(super) async fn bind(
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

    fn tell(&self, tallies: &[Arc<Tally>], streams: &mut Streams<'_>) {
        let lines: Vec<String> = tallies.iter().map(|tally| tally.line()).collect();
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

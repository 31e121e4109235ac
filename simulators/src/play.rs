//! A simulated source at work: its tasks, and what they have done.

use std::sync::Arc;

use faceway_core::Timestamp;
use faceway_core::simulator::Source;
use reqwest::{Client, Url};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::pusher::Pusher;
use crate::socket::{Server, Show};
use crate::{Counts, Pace, Tally, api};

/// Where others come to a source.
#[derive(Debug, Default)]
pub struct Doors {
    /// Its websocket.
    pub websocket: Option<TcpListener>,
    /// Its API.
    pub api: Option<TcpListener>,
}

/// Where a source posts to.
#[derive(Clone, Debug)]
pub struct Target {
    /// `None` until its API is told.
    pub to: Option<Url>,
    /// The client that posts.
    pub client: Client,
}

/// A source at work. Its tasks end when all was sent, or when it is stopped.
#[derive(Debug)]
pub struct Play {
    began: Instant,
    tasks: JoinSet<()>,
    /// One for each way out.
    tallies: Vec<Arc<Tally>>,
    stop: CancellationToken,
}

impl Play {
    /// Sets a source to work: it serves its websocket and its API at `doors`, and posts to `target`. Its first record happens
    /// at `began_at`, and the others at `pace`.
    pub fn start(
        source: Arc<dyn Source>,
        doors: Doors,
        target: Option<Target>,
        pace: Pace,
        began_at: Timestamp,
    ) -> Self {
        let mut play = Self {
            began: Instant::now(),
            tasks: JoinSet::new(),
            tallies: Vec::new(),
            stop: CancellationToken::new(),
        };
        let first = target.as_ref().and_then(|target| target.to.clone());
        let to = watch::Sender::new(first);
        if let Some(listener) = doors.api {
            api::serve(&*source, listener, to.clone());
        }
        if let Some(listener) = doors.websocket {
            let tally = play.counted(Tally::streamed());
            let show = Show::new(pace, target.is_some(), play.began, began_at);
            let server = Server::new(Arc::clone(&source), tally, play.stop.clone());
            play.tasks.spawn(server.play(listener, show));
        }
        if let Some(Target { client, .. }) = target {
            let posting = source.posting();
            let tally = play.counted(Tally::pushed(posting.why_lost.clone()));
            let pusher = Pusher {
                pace: pace.batched(posting.batch),
                source,
                posting,
                to,
                began: play.began,
                began_at,
                client,
                tally,
                stop: play.stop.clone(),
            };
            pusher.start(&mut play.tasks);
        }
        play
    }

    /// Another way out, to be counted by `tally`.
    fn counted(&mut self, tally: Tally) -> Arc<Tally> {
        let tally = Arc::new(tally);
        self.tallies.push(Arc::clone(&tally));
        tally
    }

    /// When it began.
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// What each way out has done by now.
    pub fn counts(&self) -> Vec<Counts> {
        self.tallies.iter().map(|tally| tally.counts()).collect()
    }

    /// Tells it to end; [`Self::finished`] says when it has.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until all was sent, or until it has ended after [`Self::stop`]. Nothing is lost when the waiting is given up.
    pub async fn finished(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    /// Ends it, and waits until it has.
    pub async fn end(mut self) {
        self.stop();
        self.finished().await;
    }
}

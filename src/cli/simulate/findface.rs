//! FindFace Multi: events of each type wait in a queue of their own and leave it in order, in batches. A batch is sent
//! whole until it is answered with 200, with growing delays, and given up after so many attempts.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use faceway_adapter_findface::simulate::{
    Batch, Simulation, WEBHOOK_TYPES, pause_after, webhook_type,
};
use faceway_core::{Clock as _, SystemClock, Timestamp};
use reqwest::{Client, StatusCode, Url};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::post::{post, refused};
use super::{ANSWER_MAX, Common, Pace, Play, Tally, note_links, target};
use crate::cli::words::grouped;
use crate::cli::{Failure, Streams, http};

/// The platform is written in Python; its log has this library's error texts.
const USER_AGENT: &str = "Python/3.10 aiohttp/3.8.4";
/// How often the platform looks what has happened.
const LOOK: Duration = Duration::from_millis(50);
/// So many batches may happen at one look.
const BATCHES_MAX: u64 = 100_000;

/// A FindFace Multi platform, which posts to --to.
///
/// Face, body and car events, episodes, counters and areas, as JSON arrays of one type each. Every type has a queue of
/// its own that is sent strictly in order.
///
/// Anything but HTTP 200, also 202 and 204, and no answer are a failure: the whole
/// batch is sent again after 0.27 s, 0.73 s, 1.97 s and so on, up to 100 s, and given up after --attempts.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  faceway simulate findface --to http://127.0.0.1:8080/in/city --batch 20 --attempts 0 --verbose"
)]
pub(super) struct Findface {
    /// Where to: the inbound's address, with ?token=… where it wants one
    #[arg(long, value_name = "URL", value_parser = target)]
    to: Url,
    #[command(flatten)]
    common: Common,
    /// How many cameras
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    cameras: u64,
    /// Events in a batch (batch_size); --count is rounded up to whole batches
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    batch: u64,
    /// After how many attempts a batch is given up (send_attempts); 0 for never
    #[arg(long, value_name = "N", default_value_t = 10)]
    attempts: u32,
    /// With names in place of ids (VERBOSE_WEBHOOKS)
    #[arg(long)]
    verbose: bool,
}

impl Findface {
    pub(super) fn start(&self, streams: &mut Streams<'_>) -> Result<Play, Failure> {
        note_links(&self.common, streams)?;
        let simulation = Simulation::new(self.common.seed(), self.cameras, self.batch);
        let platform = Platform {
            simulation: match self.verbose {
                true => simulation.verbose(),
                false => simulation,
            },
            to: self.to.clone(),
            batch: self.batch,
            attempts: self.attempts,
            pace: self.common.pace().batched(self.batch),
            began_at: SystemClock.now(),
            client: http::client(ANSWER_MAX)?,
        };
        Ok(platform.start())
    }
}

/// A platform, and where it pushes.
pub(crate) struct Platform {
    pub(crate) simulation: Simulation,
    pub(crate) to: Url,
    /// Events in a batch, as the simulation makes them.
    pub(crate) batch: u64,
    /// After so many a batch is given up; 0 for never.
    pub(crate) attempts: u32,
    /// Of batches.
    pub(crate) pace: Pace,
    /// When the first batch happens.
    pub(crate) began_at: Timestamp,
    pub(crate) client: Client,
}

impl Platform {
    /// Sets a worker for each type to work.
    pub(crate) fn start(self) -> Play {
        let mut play = Play::new();
        let why_lost = format!("given up after {} attempts", grouped(self.attempts.into()));
        let tally = play.counted(Tally::pushed(why_lost));
        let platform = Arc::new(self);
        for kind in WEBHOOK_TYPES {
            let worker = Worker {
                platform: Arc::clone(&platform),
                kind,
                began: play.began,
                tally: Arc::clone(&tally),
                stop: play.stop.clone(),
            };
            play.tasks.spawn(worker.play());
        }
        let (began, stop) = (play.began, play.stop.clone());
        play.tasks.spawn(platform.happen(began, tally, stop));
        play
    }

    /// Counts what happens, whether the workers keep up or not.
    async fn happen(self: Arc<Self>, began: Instant, tally: Arc<Tally>, stop: CancellationToken) {
        let mut next = 0;
        loop {
            let now = self.pace.happened(next, began.elapsed(), BATCHES_MAX);
            tally.saw_made((now - next) * self.batch);
            next = now;
            if stop.is_cancelled() || self.pace.at(next).is_none() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// Sends the batches of one type.
struct Worker {
    platform: Arc<Platform>,
    kind: &'static str,
    began: Instant,
    tally: Arc<Tally>,
    stop: CancellationToken,
}

impl Worker {
    /// Sends its batches, one after another, until all have left or until `stop`.
    async fn play(self) {
        let mine = (0..).filter(|number| webhook_type(*number) == self.kind);
        for number in mine {
            let Some(at) = self.platform.pace.at(number) else {
                return;
            };
            let happens = self.began.checked_add(at);
            let batch = self
                .platform
                .simulation
                .batch(number, self.platform.began_at.plus(at));
            if !self.wait_until(happens).await || !self.send(&batch).await {
                return;
            }
        }
    }

    /// Sends a batch until it is taken or given up; `false` on `stop`.
    async fn send(&self, batch: &Batch) -> bool {
        let size = batch.ids.len() as u64;
        let attempts = self.platform.attempts;
        for attempt in 1.. {
            match self.post(batch).await {
                Ok(()) => {
                    self.tally.saw_taken(size);
                    return true;
                }
                Err(why) => self.tally.saw_failed(why),
            }
            if attempt == attempts {
                self.tally.saw_lost(size);
                return true;
            }
            if !self
                .wait_until(Some(Instant::now() + pause_after(attempt)))
                .await
            {
                return false;
            }
        }
        true
    }

    async fn post(&self, batch: &Batch) -> Result<(), String> {
        let headers = [("user-agent", USER_AGENT)];
        let platform = &self.platform;
        match post(&platform.client, &platform.to, &headers, batch.body.clone()).await? {
            (StatusCode::OK, _) => Ok(()),
            (status, _) => Err(refused(status)),
        }
    }

    /// `false` on `stop`.
    async fn wait_until(&self, moment: Option<Instant>) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = super::until(moment) => true,
        }
    }
}

//! A Sophon SE5 box: its websocket, its history reporting, its API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, Uri, header};
use axum::routing::{MethodRouter, get, post as posted};
use clap::{Args, ValueEnum};
use faceway_adapter_se5::connect::{Configured, Protocol, device_list};
use faceway_adapter_se5::simulate::{Picture, Simulation};
use faceway_core::{Clock as _, SystemClock, Timestamp};
use reqwest::{Client, Url};
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::post::{post, refused};
use super::socket::{Server, Show, Vendor};
use super::{Common, Pace, Play, Tally, Ways, play, target, way};
use crate::cli::{Failure, Streams};

/// How often the history is reported, and how much of it at once (documented).
const HISTORY_PERIOD: Duration = Duration::from_secs(1);
const HISTORY_RECORDS_MAX: u64 = 100;

/// An SE5 box, which serves its websocket at --listen, or reports its history to --to.
///
/// Websocket (a box has it at port 5679): silent until a client sends its configuration, then only events of the cameras
/// in it, with the pictures it asked for. Realtime is fire and forget: what happens while nobody is connected is lost, and
/// what a client does not read is dropped when its buffer of 64 messages is full. --count is what somebody was sent.
///
/// History: all records with all their pictures, one object a request, at most 100 a second; what is not answered with 200
/// is sent again in the next second, and later ones wait for it.
///
/// With both, --count is what happens, and a record comes twice.
#[derive(Args, Debug)]
#[command(group = way(), after_help = "\
Example:
  faceway simulate se5 --listen 127.0.0.1:5679 --api-listen 127.0.0.1:5555 --protocol v2
  faceway simulate se5 --to http://127.0.0.1:8080/in/hall --rate 5 --images 40000")]
pub(super) struct Se5 {
    /// Where the history goes: the inbound's address, with ?token=… where it wants one
    #[arg(long, value_name = "URL", value_parser = target)]
    to: Option<Url>,
    /// Serve the websocket there; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Serve the list of cameras there, as a box does at port 5555
    #[arg(long, value_name = "ADDR")]
    api_listen: Option<SocketAddr>,
    /// Whose names it uses: v1 (V2R6 to V5R7) or v2 (V6R1 and later)
    #[arg(long, value_name = "PROTOCOL", default_value = "v1")]
    protocol: Names,
    #[command(flatten)]
    common: Common,
    /// How many cameras
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    cameras: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Names {
    V1,
    V2,
}

impl Se5 {
    pub(super) async fn start(&self, streams: &mut Streams<'_>) -> Result<Play, Failure> {
        let protocol = match self.protocol {
            Names::V1 => Protocol::V1,
            Names::V2 => Protocol::V2,
        };
        let picture = (self.common.picture_bytes()).map_or(Picture::None, Picture::Bytes);
        let simulation = Simulation::new(self.common.seed(), protocol, self.cameras, picture);
        let ways = Ways::asked(self.listen, self.to.as_ref(), streams).await?;
        let cameras = Cameras {
            simulation,
            protocol,
            pace: self.common.pace(),
            began_at: SystemClock.now(),
        };
        if let Some(address) = self.api_listen {
            cameras.serve_api(play::bind(address, "API", "http", streams).await?);
        }
        Ok(cameras.start(ways))
    }
}

/// A box with its cameras.
#[derive(Clone)]
pub(crate) struct Cameras {
    pub(crate) simulation: Simulation,
    pub(crate) protocol: Protocol,
    pub(crate) pace: Pace,
    /// When the first record happens.
    pub(crate) began_at: Timestamp,
}

impl Cameras {
    /// Sets the box to work: serves its websocket, reports its history, or both.
    pub(crate) fn start(self, ways: Ways) -> Play {
        let mut play = Play::new();
        if let Some(listener) = ways.listener {
            let tally = play.counted(Tally::streamed());
            let show = Show::new(self.pace, ways.to.is_some(), play.began, self.began_at);
            let server = Server::new(self.clone(), tally, play.stop.clone());
            play.tasks.spawn(server.play(listener, show));
        }
        if let Some((to, client)) = ways.to {
            let history = History {
                cameras: self,
                to,
                client,
                tally: play.counted(Tally::pushed("")),
                made: 0,
                cursor: 0,
            };
            let (began, stop) = (play.began, play.stop.clone());
            play.tasks.spawn(history.play(began, stop));
        }
        play
    }

    /// Tells the box's cameras to whoever asks its API, until the process ends.
    pub(crate) fn serve_api(&self, listener: TcpListener) {
        let asked = device_list(self.protocol);
        let cameras = self.simulation.device_list();
        let answer = async move || {
            (
                [(header::CONTENT_TYPE, "application/json")],
                cameras.clone(),
            )
        };
        let route: MethodRouter = match asked.method {
            "GET" => get(answer),
            _ => posted(answer),
        };
        let router = axum::Router::new().route(asked.path, route);
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
}

impl Vendor for Cameras {
    type Wish = Configured;

    /// No page names a path.
    fn admit(&self, _: &Uri) -> Result<Self::Wish, (StatusCode, &'static str)> {
        Ok(Configured::default())
    }

    fn hear(&self, wish: &mut Self::Wish, text: &str) -> Result<(), &'static str> {
        *wish = Configured::read(self.protocol, text).ok_or("a configuration in JSON")?;
        Ok(())
    }

    fn tell(&self, wish: &Self::Wish, number: u64, at: Timestamp) -> Option<String> {
        let record = self.simulation.realtime(number, at, wish);
        record.map(|record| record.body)
    }
}

/// The history of a box: a cursor that moves over every record that was answered with 200.
struct History {
    cameras: Cameras,
    to: Url,
    client: Client,
    tally: Arc<Tally>,
    made: u64,
    cursor: u64,
}

impl History {
    async fn play(mut self, began: Instant, stop: CancellationToken) {
        let mut cycles = tokio::time::interval(HISTORY_PERIOD);
        cycles.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pace = self.cameras.pace;
        while pace.at(self.cursor).is_some() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = cycles.tick() => {}
            }
            let made = pace.happened(self.made, began.elapsed(), u64::MAX);
            self.tally.saw_made(made - self.made);
            self.made = made;
            if let Err(why) = self.cycle(&stop).await {
                self.tally.saw_failed(why);
            }
        }
    }

    /// Reports what has happened since the cursor, until one is refused.
    async fn cycle(&mut self, stop: &CancellationToken) -> Result<(), String> {
        let end = self.made.min(self.cursor + HISTORY_RECORDS_MAX);
        while self.cursor < end && !stop.is_cancelled() {
            let cameras = &self.cameras;
            let happened = cameras.pace.at(self.cursor).unwrap_or_default();
            let at = cameras.began_at.plus(happened);
            let record = cameras.simulation.history(self.cursor, at);
            match post(&self.client, &self.to, &[], record.body).await? {
                (StatusCode::OK, _) => {}
                (status, _) => return Err(refused(status)),
            }
            self.cursor += 1;
            self.tally.saw_taken(1);
        }
        Ok(())
    }
}

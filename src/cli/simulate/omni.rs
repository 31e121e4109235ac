//! OMNI Platform: webhooks, and the websockets of its event service.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use clap::Args;
use faceway_adapter_omni::simulate::Simulation;
use faceway_core::{Clock as _, SystemClock, Timestamp};
use reqwest::{Client, Url};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::post::{post, refused};
use super::socket::{Server, Show, Vendor};
use super::{Common, Pace, Play, Tally, Ways, note_links, target, way};
use crate::cli::{Failure, Streams};

/// Where its pictures would be. Nobody serves them.
pub(crate) const PICTURES: &str = "http://omni.invalid";
/// The types that had a websocket of their own up to 1.17.1; those of 1.14 and before are the first two.
const TYPES: [&str; 5] = [
    "identification",
    "non_identification",
    "har",
    "roi",
    "crossing",
];
const TYPES_OF_1_14: usize = 2;

/// An OMNI Platform, which posts webhooks to --to, or serves its websocket at --listen.
///
/// Webhooks: one object a request, one after another; 2xx is success. Whether the platform tries again is not documented:
/// here it does not, which is the worst that a receiver can meet, and what was lost is told.
///
/// Websocket: /event-service/ws?endpoint_id=… (1.18), /event-service/<type>/ws?endpoint_id=… (up to 1.17),
/// /event-service/identification/ws?access=… and non_identification (1.13, 1.14). Other paths are refused with 404, a
/// missing id with 401. Live only: what happens while nobody is connected is lost, and what a client does not read is
/// dropped when its buffer of 64 messages is full. --count is what somebody was sent.
///
/// With both, --count is what happens, and a record comes twice.
#[derive(Args, Debug)]
#[command(group = way(), after_help = "\
Example:
  faceway simulate omni --to http://127.0.0.1:8080/in/mall --rate 5
  faceway simulate omni --listen 127.0.0.1:8001 --count 100")]
pub(super) struct Omni {
    /// Where webhooks go: the inbound's address, with ?token=… where it wants one
    #[arg(long, value_name = "URL", value_parser = target)]
    to: Option<Url>,
    /// Serve the websocket there; port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    common: Common,
    /// How many cameras
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    cameras: u64,
}

impl Omni {
    pub(super) async fn start(&self, streams: &mut Streams<'_>) -> Result<Play, Failure> {
        note_links(&self.common, streams)?;
        let ways = Ways::asked(self.listen, self.to.as_ref(), streams).await?;
        let platform = Platform {
            simulation: Simulation::new(self.common.seed(), self.cameras, PICTURES),
            pace: self.common.pace(),
            began_at: SystemClock.now(),
        };
        Ok(platform.start(ways))
    }
}

/// A platform with cameras.
#[derive(Clone)]
pub(crate) struct Platform {
    pub(crate) simulation: Simulation,
    pub(crate) pace: Pace,
    /// When the first record happens.
    pub(crate) began_at: Timestamp,
}

impl Platform {
    /// Sets it to work: posts webhooks, serves its websocket, or both.
    pub(crate) fn start(self, ways: Ways) -> Play {
        let mut play = Play::new();
        if let Some(listener) = ways.listener {
            let tally = play.counted(Tally::streamed());
            let show = Show::new(self.pace, ways.to.is_some(), play.began, self.began_at);
            let server = Server::new(self.simulation.clone(), tally, play.stop.clone());
            play.tasks.spawn(server.play(listener, show));
        }
        if let Some((to, client)) = ways.to {
            let tally = play.counted(Tally::pushed("no page tells of a second attempt"));
            let (began, stop) = (play.began, play.stop.clone());
            play.tasks
                .spawn(self.post_all(to, client, began, tally, stop));
        }
        play
    }

    async fn post_all(
        self,
        to: Url,
        client: Client,
        began: Instant,
        tally: Arc<Tally>,
        stop: CancellationToken,
    ) {
        for number in 0.. {
            let Some(at) = self.pace.at(number) else {
                return;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = super::until(began.checked_add(at)) => tally.saw_made(1),
            }
            let message = self.simulation.message(number, self.began_at.plus(at));
            let why = match post(&client, &to, &[], message.body).await {
                Ok((status, _)) if status.is_success() => {
                    tally.saw_taken(1);
                    continue;
                }
                Ok((status, _)) => refused(status),
                Err(why) => why,
            };
            tally.saw_failed(why);
            tally.saw_lost(1);
        }
    }
}

impl Vendor for Simulation {
    /// The only type that is wanted.
    type Wish = Option<&'static str>;

    fn admit(&self, uri: &Uri) -> Result<Self::Wish, (StatusCode, &'static str)> {
        let path = uri.path().trim_start_matches("/event-service/");
        let (only, known) = match path.strip_suffix("/ws") {
            _ if path.len() == uri.path().len() => (None, &[][..]),
            None if path == "ws" => (None, &["endpoint_id"][..]),
            None => (None, &[][..]),
            Some(word) => match TYPES.iter().position(|known| *known == word) {
                Some(index) if index < TYPES_OF_1_14 => {
                    (Some(TYPES[index]), &["endpoint_id", "access"][..])
                }
                Some(index) => (Some(TYPES[index]), &["endpoint_id"][..]),
                None => (None, &[][..]),
            },
        };
        if known.is_empty() {
            return Err((StatusCode::NOT_FOUND, "no such path"));
        }
        let mut told = uri.query().unwrap_or_default().split('&');
        let has_id = told.any(|pair| {
            pair.split_once('=')
                .is_some_and(|(name, value)| known.contains(&name) && !value.is_empty())
        });
        match has_id {
            true => Ok(only),
            false => Err((StatusCode::UNAUTHORIZED, "no endpoint_id")),
        }
    }

    /// Whatever a client says, no page tells of it.
    fn hear(&self, _: &mut Self::Wish, _: &str) -> Result<(), &'static str> {
        Ok(())
    }

    fn tell(&self, only: &Self::Wish, number: u64, at: Timestamp) -> Option<String> {
        let message = self.message(number, at);
        if only.is_some_and(|only| only != message.event_type) {
            return None;
        }
        String::from_utf8(message.body).ok()
    }
}

#[cfg(test)]
mod tests {
    use faceway_adapter_omni::simulate::Simulation;

    use super::Vendor as _;

    #[test]
    fn the_three_forms_of_the_address_are_let_in() {
        let platform = Simulation::new(7, 1, "http://omni.invalid");
        let admit = |uri: &str| platform.admit(&uri.parse().unwrap());
        for (uri, only) in [
            ("/event-service/ws?endpoint_id=e-1", None),
            (
                "/event-service/crossing/ws?scope_id=s&endpoint_id=e-1",
                Some("crossing"),
            ),
            (
                "/event-service/identification/ws?access=t",
                Some("identification"),
            ),
            (
                "/event-service/non_identification/ws?access=t",
                Some("non_identification"),
            ),
        ] {
            assert_eq!(admit(uri), Ok(only), "{uri}");
        }
        for (uri, status) in [
            ("/event-service/ws", 401),
            ("/event-service/ws?endpoint_id=", 401),
            ("/event-service/ws?access=t", 401),
            ("/event-service/roi/ws?access=t", 401),
            ("/event-service/nothing/ws?endpoint_id=e-1", 404),
            ("/event-service/?endpoint_id=e-1", 404),
            ("/ws?endpoint_id=e-1", 404),
            ("/?endpoint_id=e-1", 404),
        ] {
            assert_eq!(admit(uri).unwrap_err().0, status, "{uri}");
        }
    }
}

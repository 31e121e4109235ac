//! One terminal: records happen at its pace, are kept in its cache, and leave it in order.
//!
//! A record is made anew from its number whenever it is sent, so the cache of 50,000 records is two numbers.

use std::sync::Arc;
use std::time::Duration;

use faceway_adapter_nebula::simulate::{Push, Simulation};
use faceway_core::Timestamp;
use reqwest::{Client, StatusCode, Url};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::post::{post, refused};
use super::{Pace, Play, Tally, until};
use crate::cli::words::grouped;

/// Records that a terminal keeps while nobody takes them, by the vendor's document. What it does beyond is not said;
/// here the oldest make room.
pub(crate) const CACHE_MAX: u64 = 50_000;
/// How long a terminal waits before it sends again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Terminals that stand together, and where they push.
pub(crate) struct Site {
    pub(crate) simulation: Simulation,
    pub(crate) terminals: u64,
    /// Where its subscription says; `None` while it has none.
    pub(crate) to: watch::Sender<Option<Url>>,
    /// Of all terminals together.
    pub(crate) pace: Pace,
    /// Every so many records are sent twice.
    pub(crate) twice: Option<u64>,
    /// When the first record happens.
    pub(crate) began_at: Timestamp,
    pub(crate) client: Client,
}

/// One terminal of a site. Its records are those whose number leaves `index` when divided by the number of terminals.
pub(crate) struct Terminal {
    site: Arc<Site>,
    index: u64,
    /// How many of its own records have happened, and how many of these have left it.
    made: u64,
    gone: u64,
}

impl Site {
    /// Sets all its terminals to work. Each ends when its records are taken.
    pub(crate) fn start(self) -> Play {
        let mut play = Play::new();
        let why_lost = format!("a terminal keeps {}", grouped(CACHE_MAX));
        let tally = play.counted(Tally::pushed(why_lost));
        let site = Arc::new(self);
        for index in 0..site.terminals {
            let terminal = Arc::clone(&site).terminal(index);
            let (tally, stop) = (Arc::clone(&tally), play.stop.clone());
            play.tasks.spawn(terminal.play(play.began, tally, stop));
        }
        play
    }

    /// The terminal with this index.
    fn terminal(self: Arc<Self>, index: u64) -> Terminal {
        Terminal {
            site: self,
            index,
            made: 0,
            gone: 0,
        }
    }
}

impl Terminal {
    /// Pushes until all its records are taken, or until `stop`.
    async fn play(mut self, began: Instant, tally: Arc<Tally>, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        let mut subscription = self.site.to.subscribe();
        while !stop.is_cancelled() {
            let next = self.make(began.elapsed(), &tally);
            let to = subscription.borrow_and_update().clone();
            let waits = self.gone < self.made;
            let wake = match to {
                Some(to) if waits => match self.send(&to, &tally).await {
                    Ok(()) => {
                        pause = PAUSE_MIN;
                        continue;
                    }
                    Err(why) => {
                        tally.saw_failed(why);
                        let wake = Instant::now() + pause;
                        pause = (pause * 2).min(PAUSE_MAX);
                        Some(wake)
                    }
                },
                _ if next.is_none() && !waits => return,
                _ => next.and_then(|next| began.checked_add(next)),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = until(wake) => {}
                _ = subscription.changed() => {}
            }
        }
    }

    /// Lets happen what has happened by now, and says when the next record does.
    fn make(&mut self, elapsed: Duration, tally: &Tally) -> Option<Duration> {
        let before = self.made;
        let mut next = self.site.pace.at(self.number(self.made));
        while next.is_some_and(|at| at <= elapsed) {
            self.made += 1;
            next = self.site.pace.at(self.number(self.made));
        }
        tally.saw_made(self.made - before);
        let lost = (self.made - self.gone).saturating_sub(CACHE_MAX);
        self.gone += lost;
        tally.saw_lost(lost);
        next
    }

    fn number(&self, own: u64) -> u64 {
        own * self.site.terminals + self.index
    }

    /// Sends the oldest record that is left.
    async fn send(&mut self, to: &Url, tally: &Tally) -> Result<(), String> {
        let number = self.number(self.gone);
        let site = &self.site;
        let happened = site.pace.at(number).unwrap_or_default();
        let push = site.simulation.push(number, site.began_at.plus(happened));
        self.post(to, &push).await?;
        self.gone += 1;
        tally.saw_taken(1);
        let every = self.site.twice;
        let again = every.is_some_and(|every| number % every == every - 1);
        if again && self.post(to, &push).await.is_ok() {
            tally.saw_twice();
        }
        Ok(())
    }

    async fn post(&self, to: &Url, push: &Push) -> Result<(), String> {
        // Terminals before API 1.1.0 send no Content-Type; later ones send these headers.
        let headers = [("model", "SIMULATED"), ("sn", push.device.as_str())];
        match post(&self.site.client, to, &headers, push.body.clone()).await? {
            (StatusCode::OK, body) => taken(&body),
            (status, _) => Err(refused(status)),
        }
    }
}

/// Whether an answer says that the record was taken.
fn taken(body: &[u8]) -> Result<(), String> {
    let answer: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| "an answer that is not JSON")?;
    match answer.get("code").and_then(serde_json::Value::as_i64) {
        Some(200) => Ok(()),
        Some(code) => Err(format!("code {code}")),
        None => Err("an answer without a code".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use faceway_adapter_nebula::simulate::{Picture, Simulation};
    use faceway_core::Timestamp;
    use tokio::sync::watch;

    use super::{CACHE_MAX, Site, taken};
    use crate::cli::simulate::{Pace, Tally};
    use crate::cli::{Failure, block_on, http};

    fn site(to: &str, pace: Pace, twice: Option<u64>) -> Site {
        Site {
            simulation: Simulation::new(7, 2, Picture::None),
            terminals: 2,
            to: watch::Sender::new(Some(to.parse().unwrap())),
            pace,
            twice,
            began_at: Timestamp::from_seconds(1_790_000_000).unwrap(),
            client: http::client(Duration::from_secs(30)).unwrap(),
        }
    }

    /// Every record with its device and body, and whether it was taken.
    type Seen = Arc<Mutex<Vec<(String, String, bool)>>>;

    /// Takes every request but those whose number `refuse` names.
    async fn gateway(refuse: fn(usize) -> Option<(StatusCode, &'static str)>) -> (String, Seen) {
        let seen = Seen::default();
        let noted = Arc::clone(&seen);
        let handler = async move |headers: HeaderMap, body: String| {
            let device = headers["sn"].to_str().unwrap().to_owned();
            let mut seen = noted.lock().unwrap();
            let refused = refuse(seen.len());
            seen.push((device, body, refused.is_none()));
            refused.unwrap_or((StatusCode::OK, r#"{"code":200,"msg":"success"}"#))
        };
        let router = Router::new().route("/in/lobby", post(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in/lobby", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, seen)
    }

    fn play(
        pace: Pace,
        twice: Option<u64>,
        refuse: fn(usize) -> Option<(StatusCode, &'static str)>,
    ) -> (Arc<Tally>, Vec<(String, String, bool)>) {
        block_on(async {
            let (url, seen) = gateway(refuse).await;
            let tallies = site(&url, pace, twice).start().finish().await;
            let tally = Arc::clone(&tallies[0]);
            let seen = seen.lock().unwrap().clone();
            Ok::<_, Failure>((tally, seen))
        })
        .unwrap()
    }

    #[test]
    fn what_is_not_taken_comes_again_before_later_ones() {
        let refuse = |number| match number {
            0 => Some((StatusCode::SERVICE_UNAVAILABLE, "")),
            1 => Some((StatusCode::OK, r#"{"code":503}"#)),
            _ => None,
        };
        let (tally, seen) = play(Pace::new(1e6, Some(10)), None, refuse);
        assert_eq!((tally.made(), tally.taken(), tally.lost()), (10, 10, 0));
        assert_eq!(tally.failed(), 2);
        let mut taken: HashMap<&str, Vec<&str>> = HashMap::new();
        for (device, body, _) in seen.iter().filter(|(_, _, taken)| *taken) {
            taken.entry(device).or_default().push(body);
        }
        let simulation = Simulation::new(7, 2, Picture::None);
        let at = Timestamp::from_seconds(1_790_000_000).unwrap();
        for (index, device) in ["PSC0SIM00000000", "PSC0SIM00000001"]
            .into_iter()
            .enumerate()
        {
            let made = (0..5).map(|own| simulation.push(own * 2 + index as u64, at).body);
            let made: Vec<String> = made.map(|body| String::from_utf8(body).unwrap()).collect();
            assert_eq!(taken[device], made, "{device}");
        }
    }

    #[test]
    fn every_nth_is_sent_twice() {
        let (tally, seen) = play(Pace::new(1e6, Some(12)), Some(3), |_| None);
        assert_eq!((tally.taken(), tally.twice(), seen.len()), (12, 4, 16));
    }

    #[test]
    fn a_terminal_keeps_so_many_and_no_more() {
        let site = Arc::new(site("http://127.0.0.1:9/", Pace::new(2.0, None), None));
        let mut terminal = site.terminal(1);
        let tally = Tally::pushed("");
        let next = terminal.make(Duration::from_secs(CACHE_MAX + 7), &tally);
        // Its own are the odd ones, one a second, the first half a second after the start.
        assert_eq!((tally.made(), tally.lost()), (CACHE_MAX + 7, 7));
        assert_eq!(
            next,
            Some(Duration::from_millis((CACHE_MAX + 7) * 1000 + 500))
        );
    }

    #[test]
    fn stopping_does_not_wait_for_the_gateway() {
        block_on(async {
            let site = site("http://127.0.0.1:9/", Pace::new(1e6, Some(2)), None);
            let play = site.start();
            let tally = Arc::clone(&play.tallies[0]);
            play.end().await;
            assert_eq!(tally.taken(), 0);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn only_code_200_is_success() {
        assert!(taken(br#"{"code":200,"msg":"success","message":"success","data":{}}"#).is_ok());
        for answer in [r#"{"code":503}"#, r#"{"msg":"success"}"#, "OK", "", "[]"] {
            assert!(taken(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}

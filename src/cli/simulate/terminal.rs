//! One terminal: records happen at its pace, are kept in its cache, and leave it in order.
//!
//! A record is made anew from its number whenever it is sent, so the cache of 50,000 records is two numbers.

use std::sync::Arc;
use std::time::Duration;

use faceway_adapter_nebula::simulate::{Push, Simulation};
use faceway_core::Timestamp;
use reqwest::{Client, Url};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Tally;
use crate::cli::http;

/// Records that a terminal keeps while nobody takes them, by the vendor's document. What it does beyond is not said;
/// here the oldest make room.
pub(crate) const CACHE_MAX: u64 = 50_000;
/// How long a terminal waits before it sends again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// An answer is a few words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Terminals that stand together, and where they push.
pub(crate) struct Site {
    pub(crate) simulation: Simulation,
    pub(crate) terminals: u64,
    pub(crate) to: Url,
    /// Of all terminals together.
    pub(crate) pace: Pace,
    /// Every so many records are sent twice.
    pub(crate) twice: Option<u64>,
    /// When the first record happens.
    pub(crate) began_at: Timestamp,
    pub(crate) client: Client,
}

/// When records happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    rate: f64,
    count: Option<u64>,
}

impl Pace {
    /// `rate` records a second, `count` in all.
    pub(crate) const fn new(rate: f64, count: Option<u64>) -> Self {
        Self { rate, count }
    }

    /// When the record with this number happens, from the beginning; `None` when there is none.
    fn at(&self, number: u64) -> Option<Duration> {
        if self.count.is_some_and(|count| number >= count) {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "nobody simulates for 2^53 records"
        )]
        Some(Duration::try_from_secs_f64(number as f64 / self.rate).unwrap_or(Duration::MAX))
    }
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
    /// The terminal with this index.
    pub(crate) fn terminal(self: Arc<Self>, index: u64) -> Terminal {
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
    pub(crate) async fn play(mut self, began: Instant, tally: Arc<Tally>, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        while !stop.is_cancelled() {
            let next = self.make(began.elapsed(), &tally);
            let wake = if self.gone < self.made {
                match self.send(&tally).await {
                    Ok(()) => {
                        pause = PAUSE_MIN;
                        continue;
                    }
                    Err(why) => {
                        tally.saw_failed(why);
                        let wake = Instant::now() + pause;
                        pause = (pause * 2).min(PAUSE_MAX);
                        wake
                    }
                }
            } else {
                let Some(wake) = next.and_then(|next| began.checked_add(next)) else {
                    return;
                };
                wake
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(wake) => {}
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
    async fn send(&mut self, tally: &Tally) -> Result<(), String> {
        let number = self.number(self.gone);
        let happened = self.site.pace.at(number).unwrap_or_default();
        let push = self
            .site
            .simulation
            .push(number, self.site.began_at.plus(happened));
        self.post(&push).await?;
        self.gone += 1;
        tally.saw_taken();
        if self
            .site
            .twice
            .is_some_and(|every| number % every == every - 1)
            && self.post(&push).await.is_ok()
        {
            tally.saw_twice();
        }
        Ok(())
    }

    async fn post(&self, push: &Push) -> Result<(), String> {
        // Terminals before API 1.1.0 send no Content-Type; later ones send these headers.
        let request = self
            .site
            .client
            .post(self.site.to.clone())
            .header("content-type", "application/json")
            .header("model", "SIMULATED")
            .header("sn", &push.device)
            .body(push.body.clone());
        let answer = request.send().await.map_err(word)?;
        let status = answer.status();
        if status != reqwest::StatusCode::OK {
            return Err(format!("HTTP {}", status.as_u16()));
        }
        match answer.bytes().await {
            Ok(body) if body.len() <= ANSWER_BYTES_MAX => taken(&body),
            Ok(_) => Err("an endless answer".into()),
            Err(error) => Err(word(error)),
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

fn word(error: reqwest::Error) -> String {
    if error.is_timeout() {
        "no answer in time".into()
    } else {
        http::cause(error)
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
    use tokio_util::sync::CancellationToken;

    use super::{CACHE_MAX, Pace, Site, taken};
    use crate::cli::simulate::{Tally, start};
    use crate::cli::{Failure, block_on, http};

    fn site(to: &str, pace: Pace, twice: Option<u64>) -> Site {
        Site {
            simulation: Simulation::new(7, 2, Picture::None),
            terminals: 2,
            to: to.parse().unwrap(),
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
            let tally = Arc::new(Tally::default());
            let terminals = start(site(&url, pace, twice), &tally, &CancellationToken::new());
            terminals.join_all().await;
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
        let tally = Tally::default();
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
            let tally = Arc::new(Tally::default());
            let stop = CancellationToken::new();
            let terminals = start(
                site("http://127.0.0.1:9/", Pace::new(1e6, Some(2)), None),
                &tally,
                &stop,
            );
            stop.cancel();
            terminals.join_all().await;
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

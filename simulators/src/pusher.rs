//! Requests that happen at a pace, are kept in queues, and leave each in their order.
//!
//! A request is made anew from its number whenever it is sent, so a queue of 50,000 is two numbers.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::Timestamp;
use faceway_core::simulator::{Again, Posting, Request, Source};
use reqwest::{Client, Url};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::post::post;
use crate::{Pace, Tally, until};

/// How often a queue that waits for its next attempt looks what has happened meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// So many requests of a queue may happen at one look: at any rate there is time to send some.
const MADE_MAX: u64 = 100_000;

/// A source that posts.
pub(crate) struct Pusher {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) posting: Posting,
    /// Where to; `None` while that is not known.
    pub(crate) to: watch::Sender<Option<Url>>,
    /// Of requests, those of all queues together.
    pub(crate) pace: Pace,
    pub(crate) began: Instant,
    /// When the first request happens.
    pub(crate) began_at: Timestamp,
    pub(crate) client: Client,
    pub(crate) tally: Arc<Tally>,
    pub(crate) stop: CancellationToken,
}

impl Pusher {
    /// Sets all its queues to work. Each ends when its requests are taken, or on `stop`.
    pub(crate) fn start(self, tasks: &mut JoinSet<()>) {
        let pusher = Arc::new(self);
        for index in 0..pusher.posting.queues {
            tasks.spawn(Queue::new(Arc::clone(&pusher), index).play());
        }
    }
}

/// One queue of a source.
struct Queue {
    pusher: Arc<Pusher>,
    index: u64,
    /// How many of its own requests have happened, and how many of these have left it.
    made: u64,
    gone: u64,
    /// Attempts at the oldest that have failed.
    attempts: u32,
    /// Nothing is sent before.
    rest: Option<Instant>,
    /// How many may leave in this cycle, where the source has cycles.
    budget: u64,
}

impl Queue {
    const fn new(pusher: Arc<Pusher>, index: u64) -> Self {
        Self {
            pusher,
            index,
            made: 0,
            gone: 0,
            attempts: 0,
            rest: None,
            budget: 0,
        }
    }

    async fn play(mut self) {
        let pusher = Arc::clone(&self.pusher);
        let mut address = pusher.to.subscribe();
        while !pusher.stop.is_cancelled() {
            let elapsed = pusher.began.elapsed();
            let next = self.make(elapsed);
            let to = address.borrow_and_update().clone();
            if let Some(to) = to
                && self.may_send()
            {
                self.attempt(&to).await;
                continue;
            }
            if next.is_none() && self.waiting() == 0 {
                return;
            }
            let wake = self.wake(elapsed, next);
            tokio::select! {
                () = pusher.stop.cancelled() => return,
                () = until(wake) => {}
                // Another address is tried at once.
                Ok(()) = address.changed() => self.rest = None,
            }
        }
    }

    const fn waiting(&self) -> u64 {
        self.made - self.gone
    }

    /// Lets happen what has happened by now, and says when the next request does.
    fn make(&mut self, elapsed: Duration) -> Option<Duration> {
        let Pusher { posting, tally, .. } = &*self.pusher;
        let at = |own| {
            let number = self.pusher.source.in_queue(self.index, own);
            self.pusher.pace.at(number)
        };
        let before = self.made;
        let mut next = at(self.made);
        while next.is_some_and(|at| at <= elapsed) && self.made - before < MADE_MAX {
            self.made += 1;
            next = at(self.made);
        }
        tally.saw_made((self.made - before) * posting.batch);
        let kept_max = posting.kept_max.unwrap_or(u64::MAX);
        let lost = self.waiting().saturating_sub(kept_max);
        self.gone += lost;
        tally.saw_lost(lost * posting.batch);
        next
    }

    /// Whether the oldest request may leave now. A cycle begins with what has happened by then.
    fn may_send(&mut self) -> bool {
        let now = Instant::now();
        let rests = self.rest.is_some_and(|rest| now < rest);
        let Again::Cycle {
            period,
            requests_max,
        } = self.pusher.posting.again
        else {
            return !rests && self.waiting() > 0;
        };
        if self.budget == 0 && !rests {
            self.budget = self.waiting().min(requests_max);
            self.rest = now.checked_add(period);
        }
        self.budget > 0
    }

    /// Sends the oldest request once, and does what its source does after that.
    async fn attempt(&mut self, to: &Url) {
        let pusher = Arc::clone(&self.pusher);
        let number = pusher.source.in_queue(self.index, self.gone);
        let happened = pusher.pace.at(number).unwrap_or_default();
        let at = pusher.began_at.plus(happened);
        let request = pusher.source.request(number, at);
        match pusher.post(to, &request).await {
            Ok(()) => {
                pusher.tally.saw_taken(pusher.posting.batch);
                self.done();
                pusher.post_twice(to, number, &request).await;
            }
            Err(why) => {
                pusher.tally.saw_failed(why);
                self.failed();
            }
        }
    }

    /// The oldest has left.
    const fn done(&mut self) {
        self.gone += 1;
        self.attempts = 0;
        self.budget = self.budget.saturating_sub(1);
    }

    fn failed(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        let lost = match self.pusher.posting.again {
            Again::Never => true,
            Again::After {
                pause,
                attempts_max,
            } => {
                let lost = attempts_max == Some(self.attempts);
                let rest = Instant::now().checked_add(pause(self.attempts));
                self.rest = rest.filter(|_| !lost);
                lost
            }
            Again::Cycle { .. } => {
                self.budget = 0;
                false
            }
        };
        if lost {
            self.pusher.tally.saw_lost(self.pusher.posting.batch);
            self.done();
        }
    }

    /// When there is something to do again: the next request happens, or the rest is over.
    fn wake(&self, elapsed: Duration, next: Option<Duration>) -> Option<Instant> {
        let now = Instant::now();
        let blocked = self.waiting() > 0;
        // What happens meanwhile is only counted, so it is looked at now and then.
        let next = next.map(|next| match blocked {
            true => next.max(elapsed + LOOK),
            false => next,
        });
        let next = next.and_then(|next| self.pusher.began.checked_add(next));
        let rest = self.rest.filter(|rest| *rest > now);
        [next, rest].into_iter().flatten().min()
    }
}

impl Pusher {
    async fn post(&self, to: &Url, request: &Request) -> Result<(), String> {
        let (status, body) = post(&self.client, to, request).await?;
        let taken = self.source.taken(status.as_u16(), &body);
        taken.map_err(std::borrow::Cow::into_owned)
    }

    /// A request whose turn it is comes once more although it was taken.
    async fn post_twice(&self, to: &Url, number: u64, request: &Request) {
        let every = self.posting.twice;
        let again = every.is_some_and(|every| number % every == every - 1);
        if again && self.post(to, request).await.is_ok() {
            self.tally.saw_twice();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::Router;
    use axum::routing::post;
    use faceway_adapter_nebula::Nebula;
    use faceway_core::simulator::{About, Chosen, Source};
    use faceway_core::{Adapter as _, Timestamp};
    use http::{HeaderMap, StatusCode};
    use tokio::sync::watch;

    use super::{Pusher, Queue};
    use crate::{Counts, Doors, Pace, Play, Tally, Target};

    /// Two terminals.
    fn source(twice: Option<u64>) -> Arc<dyn Source> {
        let simulator = Nebula.simulator().unwrap();
        let about: &About = simulator.about();
        let mut chosen = Chosen::defaults(about, 7);
        chosen.set("terminals", "2");
        if let Some(twice) = twice {
            chosen.set("twice", twice.to_string());
        }
        simulator.source(&chosen).into()
    }

    fn began_at() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000).unwrap()
    }

    fn client() -> reqwest::Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().build().unwrap()
    }

    fn play(to: &str, pace: Pace, twice: Option<u64>) -> Play {
        let target = Target {
            to: Some(to.parse().unwrap()),
            client: client(),
        };
        Play::start(
            source(twice),
            Doors::default(),
            Some(target),
            pace,
            began_at(),
        )
    }

    /// Every request with its device and body, and whether it was taken.
    type Seen = Vec<(String, String, bool)>;

    /// Plays against a gateway that takes every request but those whose number `refuse` names.
    async fn finished(
        pace: Pace,
        twice: Option<u64>,
        refuse: fn(usize) -> Option<(StatusCode, &'static str)>,
    ) -> (Counts, Seen) {
        let seen = Arc::new(Mutex::new(Seen::new()));
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
        let mut play = play(&url, pace, twice);
        play.finished().await;
        let counts = play.counts().remove(0);
        let seen = seen.lock().unwrap().clone();
        (counts, seen)
    }

    #[tokio::test]
    async fn what_is_not_taken_comes_again_before_later_ones() {
        let refuse = |number| match number {
            0 => Some((StatusCode::SERVICE_UNAVAILABLE, "")),
            1 => Some((StatusCode::OK, r#"{"code":503}"#)),
            _ => None,
        };
        let (counts, seen) = finished(Pace::new(1e6, Some(10)), None, refuse).await;
        assert_eq!((counts.made, counts.taken, counts.lost), (10, 10, 0));
        assert_eq!(counts.failed, 2);
        let mut taken: HashMap<&str, Vec<&str>> = HashMap::new();
        for (device, body, _) in seen.iter().filter(|(_, _, taken)| *taken) {
            taken.entry(device).or_default().push(body);
        }
        let source = source(None);
        for (queue, device) in [(0, "PSC0SIM00000000"), (1, "PSC0SIM00000001")] {
            let made = (0..5).map(|earlier| source.in_queue(queue, earlier));
            let made: Vec<String> = made
                .map(|number| String::from_utf8(source.request(number, began_at()).body).unwrap())
                .collect();
            assert_eq!(taken[device], made, "{device}");
        }
    }

    #[tokio::test]
    async fn every_nth_is_sent_twice() {
        let (counts, seen) = finished(Pace::new(1e6, Some(12)), Some(3), |_| None).await;
        assert_eq!((counts.taken, counts.twice, seen.len()), (12, 4, 16));
    }

    #[tokio::test]
    async fn a_queue_keeps_so_many_and_no_more() {
        let source = source(None);
        let posting = source.posting();
        let kept_max = posting.kept_max.unwrap();
        let pusher = Pusher {
            source,
            posting,
            to: watch::Sender::new(None),
            pace: Pace::new(2.0, None),
            began: tokio::time::Instant::now(),
            began_at: began_at(),
            client: client(),
            tally: Arc::new(Tally::pushed("")),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        let pusher = Arc::new(pusher);
        let next = Queue::new(Arc::clone(&pusher), 1).make(Duration::from_secs(kept_max + 7));
        // Its own are the odd ones, one a second, the first half a second after the start.
        assert_eq!(
            (pusher.tally.made(), pusher.tally.lost()),
            (kept_max + 7, 7)
        );
        assert_eq!(
            next,
            Some(Duration::from_millis((kept_max + 7) * 1000 + 500))
        );
    }

    #[tokio::test]
    async fn stopping_does_not_wait_for_the_gateway() {
        let mut play = play("http://127.0.0.1:9/", Pace::new(1e6, Some(2)), None);
        play.stop();
        play.finished().await;
        assert_eq!(play.counts()[0].taken, 0);
    }
}

//! The demo's receiver: an HTTP endpoint as an ERP would have it, which drops what it has seen, and fetches pictures.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use faceway_core::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cli::{Failure, http};

/// Arrivals that wait to be shown; then the receiver itself waits.
const ARRIVALS_MAX: usize = 1024;
const PICTURE_MAX: Duration = Duration::from_secs(5);
/// The endpoint that gets everything, and is down now and then.
const ERP: &str = "erp";

/// An event that arrived for the first time.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Which endpoint it came to.
    pub(super) to: String,
    /// The event.
    pub(super) event: Value,
    /// When.
    pub(super) at: Timestamp,
}

/// The receiver.
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    arrivals: mpsc::Receiver<Arrived>,
}

struct Shared {
    down: AtomicBool,
    seen: Mutex<HashSet<(String, String)>>,
    events: AtomicU64,
    again: AtomicU64,
    pictures: AtomicU64,
    picture_bytes: AtomicU64,
    client: reqwest::Client,
    arrivals: mpsc::Sender<Arrived>,
}

impl Receiver {
    /// Takes a free port and serves it.
    pub(super) async fn start() -> Result<Self, Failure> {
        let trouble = |error: std::io::Error| {
            Failure::trouble(format!("cannot listen on 127.0.0.1: {error}"))
        };
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(trouble)?;
        let address = listener.local_addr().map_err(trouble)?;
        let (sender, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let shared = Arc::new(Shared {
            down: AtomicBool::new(false),
            seen: Mutex::default(),
            events: AtomicU64::new(0),
            again: AtomicU64::new(0),
            pictures: AtomicU64::new(0),
            picture_bytes: AtomicU64::new(0),
            client: http::client(PICTURE_MAX)?,
            arrivals: sender,
        });
        let router = Router::new()
            .route("/{to}", post(receive))
            .with_state(Arc::clone(&shared));
        // It ends with the process.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            shared,
            arrivals,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next event that arrives.
    pub(super) async fn next(&mut self) -> Arrived {
        match self.arrivals.recv().await {
            Some(arrived) => arrived,
            None => std::future::pending().await,
        }
    }

    pub(super) fn set_up(&self, up: bool) {
        self.shared.down.store(!up, Ordering::Relaxed);
    }

    /// Events that the main endpoint got, each counted once, and shown by [`Receiver::next`].
    pub(super) fn events(&self) -> u64 {
        // Those that are not shown yet are still to come.
        self.shared
            .events
            .load(Ordering::Relaxed)
            .saturating_sub(self.arrivals.len() as u64)
    }

    /// Events that came a second time.
    pub(super) fn again(&self) -> u64 {
        self.shared.again.load(Ordering::Relaxed)
    }

    /// Pictures that could be fetched, and their bytes.
    pub(super) fn pictures(&self) -> (u64, u64) {
        (
            self.shared.pictures.load(Ordering::Relaxed),
            self.shared.picture_bytes.load(Ordering::Relaxed),
        )
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    Path(to): Path<String>,
    Json(event): Json<Value>,
) -> StatusCode {
    let at = SystemClock.now();
    if to == ERP && shared.down.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let Some(id) = event.get("id").and_then(Value::as_str) else {
        return StatusCode::BAD_REQUEST;
    };
    let new = shared
        .seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert((to.clone(), id.to_owned()));
    if !new {
        shared.again.fetch_add(1, Ordering::Relaxed);
        return StatusCode::NO_CONTENT;
    }
    for url in links(&event) {
        shared.fetch(url).await;
    }
    if to == ERP {
        shared.events.fetch_add(1, Ordering::Relaxed);
    }
    // The screen is gone when the demo is ending; the event has arrived all the same.
    let _ = shared.arrivals.send(Arrived { to, event, at }).await;
    StatusCode::NO_CONTENT
}

/// The links to the event's pictures that the gateway keeps. Those of platforms that keep their own lead to nowhere, as the
/// platforms are invented.
fn links(event: &Value) -> Vec<String> {
    let images = event
        .get("images")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let links = images.filter_map(|image| image.get("url")?.as_str());
    links
        .filter(|link| link.starts_with("http://127.0.0.1:"))
        .map(str::to_owned)
        .collect()
}

impl Shared {
    /// As a receiver does that keeps pictures itself: before it confirms.
    async fn fetch(&self, url: String) {
        let answer = self.client.get(url).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        if let Ok(answer) = answer
            && let Ok(bytes) = answer.bytes().await
        {
            self.pictures.fetch_add(1, Ordering::Relaxed);
            self.picture_bytes
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::Receiver;
    use crate::cli::{block_on, http};

    #[test]
    fn it_is_down_when_told_and_counts_each_event_once() {
        block_on(async {
            let mut receiver = Receiver::start().await?;
            let client = http::client(Duration::from_secs(30))?;
            let post = async |to: &str, id: &str| {
                let url = format!("http://{}/{to}", receiver.address());
                let answer = client
                    .post(url)
                    .json(&json!({ "id": id }))
                    .send()
                    .await
                    .unwrap();
                answer.status().as_u16()
            };
            receiver.set_up(false);
            assert_eq!(
                (post("erp", "1").await, post("guard", "1").await),
                (503, 204)
            );
            receiver.set_up(true);
            assert_eq!((post("erp", "1").await, post("erp", "1").await), (204, 204));
            assert_eq!(receiver.next().await.to, "guard");
            assert_eq!(receiver.next().await.to, "erp");
            assert_eq!((receiver.events(), receiver.again()), (1, 1));
            Ok(())
        })
        .unwrap();
    }
}

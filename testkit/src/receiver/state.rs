//! What a receiver has got and how it is to behave.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use ring::hmac;
use tokio::sync::watch;

use super::{Behaviour, Reply};

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST` …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// As sent.
    pub headers: HeaderMap,
    /// Whole.
    pub body: Bytes,
    /// Which connection it came over: 1 is the first that was accepted.
    pub connection: usize,
    /// Which request of its connection it is: 1 is the first.
    pub turn: usize,
    /// The status of the answer, from the moment when it is sent; `None` when none was (yet), or not a whole one.
    pub answered: Option<u16>,
}

impl Received {
    /// A header as text; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }

    /// The event's id, by `webhook-id`; empty when it is missing.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// Whether one of its signatures (Standard Webhooks) was made with `key`. By another implementation of HMAC than
    /// the one that signs.
    pub fn is_signed_by(&self, key: &[u8]) -> bool {
        let mut signed =
            format!("{}.{}.", self.id(), self.header("webhook-timestamp")).into_bytes();
        signed.extend_from_slice(&self.body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let signatures = self.header("webhook-signature").split(' ');
        let mut decoded =
            signatures.filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok());
        decoded.any(|tag| hmac::verify(&key, &signed, &tag).is_ok())
    }
}

type Script = Arc<dyn Fn(&Received) -> Behaviour + Send + Sync>;
type WholeScript = Arc<dyn Fn(&Received) -> Option<Behaviour> + Send + Sync>;

pub(super) struct State {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
}

struct Inner {
    received: Vec<Received>,
    /// How many were forgotten, so that answers find theirs.
    forgotten: usize,
    accepted: usize,
    script: Script,
    whole: WholeScript,
    next: VecDeque<Behaviour>,
    by_id: HashMap<String, Behaviour>,
}

impl Default for State {
    fn default() -> Self {
        let inner = Inner {
            received: Vec::new(),
            forgotten: 0,
            accepted: 0,
            script: Arc::new(|_| Behaviour::Answer(Reply::status(200))),
            whole: Arc::new(|_| None),
            next: VecDeque::new(),
            by_id: HashMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
            changes: watch::Sender::new(0),
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics inside")
    }

    fn changed(&self) {
        self.changes.send_modify(|change| *change += 1);
    }

    pub(super) fn script(&self, script: Script) {
        self.lock().script = script;
    }

    pub(super) fn script_whole(&self, script: WholeScript) {
        self.lock().whole = script;
    }

    pub(super) fn script_for(&self, id: String, behaviour: Option<Behaviour>) {
        match behaviour {
            Some(behaviour) => self.lock().by_id.insert(id, behaviour),
            None => self.lock().by_id.remove(&id),
        };
    }

    pub(super) fn script_next(&self, behaviour: Behaviour) {
        self.lock().next.push_back(behaviour);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.lock().received.clone()
    }

    pub(super) fn forget(&self) {
        let mut inner = self.lock();
        inner.forgotten += inner.received.len();
        inner.received.clear();
    }

    pub(super) fn accepted(&self) -> usize {
        self.lock().accepted
    }

    /// Counts a connection and gives its number.
    pub(super) fn accept(&self) -> usize {
        let number = {
            let mut inner = self.lock();
            inner.accepted += 1;
            inner.accepted
        };
        self.changed();
        number
    }

    /// What is to be done with a request whose head is there.
    pub(super) fn decide(&self, request: &Received) -> Behaviour {
        let mut inner = self.lock();
        if let Some(behaviour) = inner.by_id.get(request.id()) {
            return behaviour.clone();
        }
        match inner.next.pop_front() {
            Some(behaviour) => behaviour,
            None => Arc::clone(&inner.script)(request),
        }
    }

    /// What is to be done instead with a request that is there whole.
    pub(super) fn decide_whole(&self, request: &Received) -> Option<Behaviour> {
        let script = Arc::clone(&self.lock().whole);
        script(request)
    }

    /// Records a request and gives its place.
    pub(super) fn record(&self, request: Received) -> usize {
        let place = {
            let mut inner = self.lock();
            inner.received.push(request);
            inner.forgotten + inner.received.len() - 1
        };
        self.changed();
        place
    }

    /// Notes that the request at `place` was answered.
    pub(super) fn answered(&self, place: usize, status: u16) {
        {
            let mut inner = self.lock();
            let place = place.checked_sub(inner.forgotten);
            if let Some(request) = place.and_then(|place| inner.received.get_mut(place)) {
                request.answered = Some(status);
            }
        }
        self.changed();
    }

    pub(super) async fn wait_until(&self, holds: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            // The sender lives in `self`.
            let looked = changes.wait_for(|_| holds(&self.lock().received)).await;
            drop(looked.expect("the receiver lives"));
        };
        // Only so that a broken test ends at all.
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        let received = self.received();
        assert!(
            waited.is_ok(),
            "still waiting with {} requests received: {:?}",
            received.len(),
            received
                .iter()
                .map(|one| (one.id().to_owned(), one.answered))
                .collect::<Vec<_>>()
        );
        received
    }
}

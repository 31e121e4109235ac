//! Sites on the shared cluster.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faceway_core::{Batch, Duties as _, Duty, Held, Log as _, ReadMax};
use faceway_spool_jetstream::{
    Credentials, Durability, JetStreamSettings, JetStreamSpool, OpenError, Timing,
};
use faceway_testkit::broker::nats::Nats;
use faceway_testkit::clock::TestClock;
use faceway_testkit::spool::{event, number, time};

/// Nothing that is waited for takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that cannot be awaited.
const LOOK: Duration = Duration::from_millis(20);

/// Lets a moment pass before the next look.
pub(crate) async fn moment() {
    tokio::time::sleep(LOOK).await;
}

/// A site of its own: its streams go when it does.
pub(crate) struct Site {
    pub(crate) nats: Arc<Nats>,
    pub(crate) name: String,
    pub(crate) dir: tempfile::TempDir,
}

impl Site {
    /// One on the cluster that the tests share.
    pub(crate) async fn new() -> Self {
        Self::on(Nats::shared().await)
    }

    pub(crate) fn on(nats: Arc<Nats>) -> Self {
        Self {
            nats,
            name: name(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn settings(&self, gateway: &str) -> JetStreamSettings {
        settings(&self.nats, &self.name, &self.dir.path().join(gateway))
    }

    /// Opens the engine as a gateway of this name.
    pub(crate) async fn open(&self, gateway: &str) -> JetStreamSpool {
        open(self.settings(gateway)).await.unwrap()
    }
}

/// A name that no other site has.
pub(crate) fn name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("site-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn open(settings: JetStreamSettings) -> Result<JetStreamSpool, OpenError> {
    // Events of tests have made-up times: by the machine's clock they would be old enough to leave.
    let clock = TestClock::at(time(0));
    let opened = JetStreamSpool::open(settings, Arc::new(clock));
    tokio::time::timeout(PATIENCE, opened)
        .await
        .expect("it opens, or says why not")
}

/// The same; what needs 30 s and 5 s of placement needs a moment only.
pub(crate) async fn open_quick(settings: JetStreamSettings) -> JetStreamSpool {
    open_with(settings, Duration::from_millis(1500)).await
}

/// The same; it waits for no gateway that is placed better.
pub(crate) async fn open_at_once(settings: JetStreamSettings) -> JetStreamSpool {
    open_with(settings, Duration::ZERO).await
}

async fn open_with(settings: JetStreamSettings, wait: Duration) -> JetStreamSpool {
    let timing = Timing {
        wait,
        settle: Duration::from_secs(1),
    };
    let clock = Arc::new(TestClock::at(time(0)));
    let opened = JetStreamSpool::open_with(settings, clock, timing);
    let opened = tokio::time::timeout(PATIENCE, opened).await;
    opened.expect("it opens, or says why not").unwrap()
}

/// Takes the duty of a lane.
pub(crate) async fn take(spool: &JetStreamSpool, lane: &str) -> Box<dyn Held> {
    let taken = tokio::time::timeout(PATIENCE, spool.take(Duty::Lane(lane.into())));
    taken.await.expect("the duty is taken in time")
}

/// Whether a duty that was taken is lost.
pub(crate) fn is_lost(held: &dyn Held) -> bool {
    use futures_util::FutureExt as _;
    held.lost().now_or_never().is_some()
}

pub(crate) fn settings(nats: &Nats, site: &str, dir: &Path) -> JetStreamSettings {
    JetStreamSettings {
        site: site.to_owned(),
        gateway: dir.file_name().unwrap().to_string_lossy().into_owned(),
        public_url: "http://gate.example".into(),
        dir: dir.to_owned(),
        servers: nats.urls(),
        credentials: Credentials::None,
        tls: Default::default(),
        replicas: nats.count(),
        durability: Durability::Synced,
        monitor: nats.monitors(),
        system: Credentials::None,
        append_timeout: Duration::from_secs(15),
        dedup_window: Duration::from_secs(120),
        seen_max: 100_000,
        bytes_max: 1 << 30,
        history: Duration::from_secs(7 * 24 * 3600),
        images: Duration::from_secs(24 * 3600),
        quarantine: Duration::from_secs(7 * 24 * 3600),
        quarantine_bytes_max: 1 << 26,
    }
}

/// Asks JetStream's API, as another program would.
pub(crate) async fn api(nats: &Nats, request: &str, body: &str) -> serde_json::Value {
    let client = async_nats::connect(nats.urls()).await.unwrap();
    let subject = format!("$JS.API.{request}");
    let answer = client.request(subject, body.to_owned().into()).await;
    serde_json::from_slice(&answer.unwrap().payload).unwrap()
}

/// Removes a site's streams, so that the servers have few at a time.
pub(crate) async fn remove(nats: &Nats, site: &str) {
    for stream in [
        "EVENTS",
        "BLOBS",
        "STATE",
        "LANES",
        "ATTEMPTS",
        "QUARANTINE",
        "MEMBERS",
    ] {
        api(nats, &format!("STREAM.DELETE.FW_{site}_{stream}"), "").await;
    }
}

/// A batch of these events, of three devices in turn.
pub(crate) fn batch(numbers: impl IntoIterator<Item = u64>) -> Batch {
    Batch {
        events: numbers.into_iter().map(|n| event(n, n % 3)).collect(),
        ..Batch::default()
    }
}

/// Appends these events, which are new; gives their sequence numbers.
pub(crate) async fn append(
    spool: &JetStreamSpool,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<u64> {
    let receipts = spool.append(batch(numbers)).await.unwrap();
    receipts
        .into_iter()
        .map(|receipt| receipt.seq().expect("it is new"))
        .collect()
}

/// The numbers of the events in the log, in its order.
pub(crate) async fn kept(spool: &JetStreamSpool) -> Vec<u64> {
    let (mut after, mut kept) = (0, Vec::new());
    let max = ReadMax {
        entries: 1000,
        bytes: 1 << 22,
    };
    loop {
        let stretch = spool.read(after, u64::MAX, max).await.unwrap();
        kept.extend(stretch.entries.iter().map(|entry| number(entry.id)));
        if stretch.through_seq <= after {
            return kept;
        }
        after = stretch.through_seq;
    }
}

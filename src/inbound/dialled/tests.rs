//! What takes minutes in earnest, with short periods: silence, a spool that is full for a while, cameras that are added.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Entry, Log as _, ReadMax, SettingValue, Settings, SystemClock};
use faceway_testkit::memory::{MemoryDisk, MemorySpool};
use faceway_testkit::platform::{Connection, Platform};
use faceway_testkit::receiver::{Behaviour, FaultProxy, Receiver, Reply, Traffic};
use faceway_tls::ClientTls;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Source, SourceState, Sources, Status, Target, Timing};
use crate::context::Context;
use crate::inbound::{Api, Inbound, Intake};

const PATIENCE: Duration = Duration::from_secs(60);

const TIMING: Timing = Timing {
    ping: Duration::from_millis(200),
    connect_max: Duration::from_secs(10),
    pause: (Duration::from_millis(10), Duration::from_millis(100)),
    refresh: Duration::from_millis(50),
};

/// A source at work, and the log into which it appends.
struct Bench {
    log: Arc<MemorySpool>,
    disk: MemoryDisk,
    status: Arc<Status>,
    sources: Option<Sources>,
}

impl Bench {
    /// Dials `url` for an inbound of this adapter.
    async fn dial(adapter: &str, settings: Settings, url: &str, api: Option<&str>) -> Self {
        let clock: Arc<dyn faceway_core::Clock> = Arc::new(SystemClock);
        let disk = MemoryDisk::default();
        let log = disk.open();
        let adapter = faceway_adapters::all()
            .into_iter()
            .find(|known| known.name() == adapter);
        let store: Arc<dyn Intake> = Arc::clone(&log) as _;
        let adapter = Arc::from(adapter.unwrap());
        let context = Context::for_tests(&log, clock);
        let inbound = Inbound::new("hall", adapter, settings, store, &context);
        let tls = ClientTls::default();
        let target = Target::new(url, &[], &tls, 2 << 20).unwrap();
        let api = api.map(|url| Api::new(url, &tls).unwrap());
        let mut source = Source::new(&Arc::new(inbound), target, api, &context);
        source.timing = TIMING;
        let status = source.status();
        let mut sources = Sources::new();
        sources.start(source);
        Self {
            log,
            disk,
            status,
            sources: Some(sources),
        }
    }

    async fn omni(url: &str) -> Self {
        Self::dial("omni", Settings::default(), url, None).await
    }

    async fn stop(mut self) {
        self.sources.take().unwrap().stop().await;
    }

    fn full(&self, full: bool) {
        self.disk.set_full(full);
    }

    /// Waits until the source stands as it should.
    async fn wait_until(&self, holds: impl Fn(&super::SourceStatus) -> bool) {
        let waiting = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while !holds(&self.status.look()) {
                ticks.tick().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{:?}", self.status.look());
    }

    /// Waits for so many events, and gives the numbers of their messages in the order in which they were kept.
    async fn kept(&self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        let waiting = async {
            let many = ReadMax {
                entries: 1000,
                bytes: 1 << 30,
            };
            let mut after = 0;
            while numbers.len() < count {
                let stretch = self.log.read(after, u64::MAX, many).await.unwrap();
                numbers.extend(stretch.entries.iter().map(number));
                after = stretch.through_seq;
                if stretch.entries.is_empty() {
                    self.log.watch_tail(after).await.unwrap();
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        let status = self.status.look();
        assert!(
            waited.is_ok(),
            "only {} are kept: {status:?}",
            numbers.len()
        );
        numbers
    }
}

fn number(entry: &Entry) -> u64 {
    let event: Value = serde_json::from_slice(entry.body.reveal()).unwrap();
    event["vendor"]["n"].as_u64().unwrap()
}

fn message(n: u64) -> String {
    let id = format!("6c1d2f00-0000-4000-8000-{n:012}");
    json!({ "type": "har", "n": n, "camera": { "id": "7" }, "event": { "id": id } }).to_string()
}

async fn say(connection: &mut Connection, numbers: std::ops::Range<u64>) {
    for n in numbers {
        assert!(connection.say(message(n)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silent_for_two_periods_is_given_up() {
    let platform = Platform::start().await;
    let bench = Bench::omni(&platform.url()).await;
    let mut connection = platform.connection().await;
    say(&mut connection, 0..3).await;
    assert_eq!(bench.kept(3).await, [0, 1, 2]);
    // From here on it is not read, so no ping is answered.
    let _again = platform.connection().await;
    bench.wait_until(|status| status.gaps == 1).await;
    let error = bench.status.look().last_error.unwrap();
    assert!(error.contains("not even an answer to our pings"), "{error}");
    drop(connection);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_cable_is_noticed_and_what_was_read_is_kept() {
    let platform = Platform::start().await;
    let proxy = FaultProxy::start(platform.address()).await;
    let bench = Bench::omni(&format!("ws://{}", proxy.address())).await;
    let mut connection = platform.connection().await;
    say(&mut connection, 0..100).await;
    connection.read_by_client().await;
    proxy.set(Traffic::Stall);
    bench
        .wait_until(|status| status.state != SourceState::Connected)
        .await;
    proxy.set(Traffic::Pass);
    let mut connection = platform.connection().await;
    say(&mut connection, 100..101).await;
    assert_eq!(bench.kept(101).await, (0..101).collect::<Vec<_>>());
    bench.stop().await;
}

/// A message that is longer on its way than a peer may be silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_message_is_no_silence() {
    let platform = Platform::start().await;
    let bench = Bench::omni(&platform.url()).await;
    let mut connection = platform.connection().await;
    let text = message(7);
    connection
        .say_raw(&[0x81, 126, 0, u8::try_from(text.len()).unwrap()])
        .await;
    let began = Instant::now();
    let mut bytes = text.as_bytes().chunks(text.len().div_ceil(20));
    let mut ticks = tokio::time::interval(TIMING.ping / 2);
    for _ in 0..20 {
        ticks.tick().await;
        connection.say_raw(bytes.next().unwrap_or_default()).await;
    }
    assert!(began.elapsed() > TIMING.ping * 4, "it was slow");
    assert_eq!(bench.kept(1).await, [7]);
    assert_eq!(platform.accepted(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_waited_for_in_order_and_without_loss() {
    let platform = Platform::start().await;
    let bench = Bench::omni(&platform.url()).await;
    let mut connection = platform.connection().await;
    say(&mut connection, 0..10).await;
    connection.read_by_client().await;
    bench.full(true);
    // Far more than queue, memory and the buffers of the system take: the platform cannot get rid of it.
    let padding = "x".repeat(100_000);
    let rest = tokio::spawn(async move {
        for n in 10..200_u64 {
            let text = message(n).replacen('{', &format!("{{\"padding\":\"{padding}\","), 1);
            assert!(
                connection.say(text).await,
                "the source is not given up for our own slowness"
            );
        }
        // Until it is stopped.
        connection.hear().await
    });
    bench
        .wait_until(|status| status.state == SourceState::Blocked)
        .await;
    // Longer than a peer may be silent.
    tokio::time::sleep(TIMING.ping * 4).await;
    assert!(!rest.is_finished(), "it is not read");
    assert_eq!(platform.accepted(), 1);
    bench.full(false);
    assert_eq!(bench.kept(200).await, (0..200).collect::<Vec<_>>());
    assert_eq!(platform.accepted(), 1);
    let status = bench.status.look();
    assert_eq!((status.state, status.gaps), (SourceState::Connected, 1));
    bench.stop().await;
    assert_eq!(rest.await.unwrap(), None);
}

/// What came while the spool was full may together be more than it ever has room for.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_at_once_is_kept_in_parts() {
    let platform = Platform::start().await;
    let bench = Bench::omni(&platform.url()).await;
    let mut connection = platform.connection().await;
    bench.full(true);
    bench.disk.set_batch_max(3);
    say(&mut connection, 0..40).await;
    connection.read_by_client().await;
    bench
        .wait_until(|status| status.state == SourceState::Blocked)
        .await;
    bench.full(false);
    assert_eq!(bench.kept(40).await, (0..40).collect::<Vec<_>>());
    bench
        .wait_until(|status| status.state == SourceState::Connected)
        .await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_does_not_wait_for_a_full_spool() {
    let platform = Platform::start().await;
    let bench = Bench::omni(&platform.url()).await;
    let mut connection = platform.connection().await;
    bench.full(true);
    say(&mut connection, 0..10).await;
    bench
        .wait_until(|status| status.state == SourceState::Blocked)
        .await;
    let stopped = tokio::time::timeout(PATIENCE, bench.stop()).await;
    assert!(stopped.is_ok());
}

/// What a source says before it hears that we go is still read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_at_a_stop_is_kept() {
    let platform = Platform::start().await;
    let mut bench = Bench::omni(&platform.url()).await;
    let mut connection = platform.connection().await;
    say(&mut connection, 0..1).await;
    connection.read_by_client().await;
    let sources = bench.sources.take().unwrap();
    let stop = sources.stop.clone();
    let stopping = tokio::spawn(sources.stop());
    stop.cancelled().await;
    say(&mut connection, 1..300).await;
    assert_eq!(connection.hear().await, None, "then it hears the closing");
    stopping.await.unwrap();
    assert_eq!(bench.kept(300).await, (0..300).collect::<Vec<_>>());
}

fn cameras(ids: &[&str]) -> Behaviour {
    let list: Vec<_> = ids.iter().map(|id| json!({ "device_id": id })).collect();
    let body = json!({ "data": { "devices_list": list } }).to_string();
    Behaviour::Answer(Reply::status(200).body(body))
}

async fn watched(connection: &mut Connection) -> Value {
    let greeting = connection.hear().await.expect("it is greeted");
    let greeting: Value = serde_json::from_str(&greeting).unwrap();
    greeting["event_list"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_is_added_later_is_included() {
    let (platform, api) = (Platform::start().await, Receiver::start().await);
    api.script(cameras(&["3f1a"]));
    let mut settings = Settings::default();
    settings.set("protocol", SettingValue::Text("v1".into()));
    let url = format!("http://{}", api.address());
    let bench = Bench::dial("se5", settings, &platform.url(), Some(&url)).await;
    let mut connection = platform.connection().await;
    assert_eq!(watched(&mut connection).await, json!(["3f1a"]));
    // The list is asked for again and again; as long as it stays, so does the connection.
    api.wait_for(5).await;
    assert_eq!(platform.accepted(), 1);

    api.script(cameras(&["3f1a", "77c2"]));
    assert_eq!(connection.hear().await, None, "closed, to be greeted anew");
    let mut connection = platform.connection().await;
    assert_eq!(watched(&mut connection).await, json!(["3f1a", "77c2"]));

    // Without its API a box is greeted as the last time.
    api.refuse().await;
    connection.reset();
    let mut connection = platform.connection().await;
    assert_eq!(watched(&mut connection).await, json!(["3f1a", "77c2"]));
    bench.stop().await;
}

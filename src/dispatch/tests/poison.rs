//! Devices that send what the destination cannot take, beside others: over one connection, which breaks for all.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use faceway_core::{DeviceKey, Scope};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::*;

const POISON: std::ops::Range<u64> = 1000..1050;

const WIRE: &str = "[outbound.stdout.erp]\nconcurrency_max = 8\nretry = { backoff_min = \"400ms\", attempts_max = 3 }\n\
                    [[route]]\nname = \"all\"\nto = [\"erp\"]\n";

/// One connection, as to a broker: poison breaks it, and with it all that is on its way.
struct Wire {
    broken: watch::Sender<u64>,
    down: AtomicBool,
    delivered: Mutex<Vec<(DeviceKey, faceway_core::EventId)>>,
    attempts: Mutex<BTreeMap<u64, usize>>,
}

impl Wire {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            broken: watch::Sender::new(0),
            down: false.into(),
            delivered: Mutex::default(),
            attempts: Mutex::default(),
        })
    }

    fn delivered(&self) -> Vec<(DeviceKey, faceway_core::EventId)> {
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn attempts(&self) -> BTreeMap<u64, usize> {
        self.attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Outbound for Wire {
    fn deliver<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            let mut broken = self.broken.subscribe();
            let device = message.device;
            *self.attempts.lock().unwrap().entry(device.0).or_default() += 1;
            let answer = async {
                tokio::time::sleep(Duration::from_millis(2)).await;
                if POISON.contains(&device.0) || self.down.load(Ordering::SeqCst) {
                    self.broken.send_modify(|times| *times += 1);
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = answer => {}
                _ = broken.changed() => {
                    return Verdict::Retry {
                        scope: Scope::Destination,
                        code: Code::word("closed"),
                        after: None,
                    };
                }
            }
            self.delivered.lock().unwrap().push((device, message.id));
            Verdict::Delivered {
                code: Code::word("ok"),
            }
        })
    }
}

pub(super) struct Ticking(AbortHandle);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets the clock go with the real time.
pub(super) fn tick(clock: &TestClock) -> Ticking {
    race(clock, 1)
}

/// Lets the clock go faster than the real time.
pub(super) fn race(clock: &TestClock, times: u32) -> Ticking {
    let clock = clock.clone();
    let task = tokio::spawn(async move {
        let (began, start) = (tokio::time::Instant::now(), clock.now());
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        loop {
            ticks.tick().await;
            clock.set(start.plus(began.elapsed() * times));
        }
    });
    Ticking(task.abort_handle())
}

impl Bench {
    /// Keeps an event of each of these devices, with ascending numbers.
    pub(super) async fn push(&self, first: u64, devices: impl IntoIterator<Item = u64>) {
        let events = (first..).zip(devices).map(|(n, device)| {
            let mut event = event(n, device);
            event.received_at = self.clock.now();
            event.body = Private::new(canonical(&event).into());
            event
        });
        let batch = Batch {
            events: events.collect(),
            ..Batch::default()
        };
        self.spool.append(batch).await.unwrap();
    }
}

/// Fifty devices whose events break the connection: before, between and behind those of ten others.
#[tokio::test]
async fn devices_that_break_the_connection_hold_up_nobody_else() {
    let mut bench = Bench::of(WIRE).await;
    let _ticking = tick(&bench.clock);
    let wire = Wire::new();
    bench.add(Arc::clone(&wire) as _).await;
    // The ten have had a success.
    bench.push(0, 1..=10).await;
    bench.eventually(|_| wire.delivered().len() == 10).await;

    for round in 1..=5 {
        let poison = POISON.skip(10 * (round - 1)).step_by(2).take(5);
        bench
            .push(
                1000 * round as u64,
                poison
                    .clone()
                    .chain(1..=10)
                    .chain(poison.map(|device| device + 1)),
            )
            .await;
    }
    bench.eventually(|_| wire.delivered().len() == 60).await;
    let buried = bench
        .disk
        .buried(None, faceway_core::Page::first(1000))
        .await
        .unwrap();
    assert!(buried.len() < 50, "they were not waited for");

    // While others go on, each of the fifty is tried alone as often as it may be, and buried in the end.
    let mut good = 60;
    let buried = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while bench
            .disk
            .buried(None, faceway_core::Page::first(1000))
            .await
            .unwrap()
            .len()
            < 50
        {
            bench
                .push(100_000 + good as u64, [1 + good as u64 % 10])
                .await;
            good += 1;
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, buried).await.unwrap();
    bench.eventually(|_| wire.delivered().len() == good).await;
    let buried = bench
        .disk
        .buried(None, faceway_core::Page::first(1000))
        .await
        .unwrap();
    let ids: HashSet<_> = buried.iter().map(|buried| buried.id).collect();
    for (device, id) in wire.delivered() {
        assert!(!POISON.contains(&device.0) && !ids.contains(&id));
    }
    for device in 1..=10 {
        let delivered = wire.delivered();
        let of = delivered.iter().filter(|(of, _)| of.0 == device);
        let numbers: Vec<u64> = of
            .map(|(_, id)| faceway_testkit::spool::number(*id))
            .collect();
        assert!(
            numbers.is_sorted_by(|one, next| one < next),
            "{device}: {numbers:?}"
        );
    }
}

/// The destination is down while devices that never had a success are on their way, again and again.
#[tokio::test]
async fn an_outage_uses_up_no_attempts_of_new_devices() {
    let mut bench = Bench::of(&WIRE.replace("400ms", "100ms")).await;
    let _ticking = tick(&bench.clock);
    let wire = Wire::new();
    bench.add(Arc::clone(&wire) as _).await;
    bench.push(0, 1..=3).await;
    bench.eventually(|_| wire.delivered().len() == 3).await;
    let mut all = 3;
    for outage in 1..=5_u64 {
        wire.down.store(true, Ordering::SeqCst);
        let attempts = wire.attempts();
        // Old ones and new ones.
        bench
            .push(outage * 100, (1..=3).chain(outage * 10..outage * 10 + 5))
            .await;
        all += 8;
        bench.eventually(|_| wire.attempts() != attempts).await;
        bench.waits().await;
        wire.down.store(false, Ordering::SeqCst);
        bench.eventually(|_| wire.delivered().len() == all).await;
    }
    assert!(
        bench
            .disk
            .buried(None, faceway_core::Page::first(1000))
            .await
            .unwrap()
            .is_empty()
    );
}

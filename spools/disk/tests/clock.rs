//! A wall clock that is set: nothing waits longer for it, and nothing leaves earlier.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{HandClock, HandLane, append, capacity, pass_groups, settings};
use faceway_core::{
    Batch, Clock as _, History as _, LaneStore as _, Log as _, NewEvent, NewUnreadable, Picture,
    Private, Sha256, Start,
};
use faceway_lane::{Action, Lane, Now, Policy, Tick};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use faceway_testkit::spool::{event, id, unreadable};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEARS: i64 = 3650 * DAY;
const STEPS: [i64; 6] = [HOUR, DAY, YEARS, -HOUR, -DAY, -YEARS];
const PAUSE: Duration = Duration::from_secs(10);

fn set(clock: &HandClock, by: i64) {
    clock.set(clock.now().plus_millis(by));
}

async fn open(settings: DiskSettings, clock: &Arc<HandClock>) -> DiskSpool {
    DiskSpool::open(settings, Arc::clone(clock) as _)
        .await
        .unwrap()
}

/// An event that comes in now.
fn now(n: u64, clock: &HandClock) -> NewEvent {
    NewEvent {
        received_at: clock.now(),
        ..event(n, n)
    }
}

fn moment(clock: &HandClock) -> Now {
    Now {
        tick: Tick::after(clock.monotonic()),
        wall: clock.now(),
    }
}

/// A parked event keeps its pause, whatever the wall clock shows meanwhile; after a start it waits no longer than that.
#[tokio::test]
async fn a_parked_event_waits_for_its_pause() {
    for step in STEPS {
        let dir = tempfile::tempdir().unwrap();
        let clock = HandClock::new();
        let spool = open(settings(dir.path()), &clock).await;
        let mut lane = HandLane::claim(&spool, "erp").await;
        // It was wrong before.
        set(&clock, 5 * DAY);
        append(&spool, vec![now(1, &clock)]).await.unwrap();
        let seq = lane.take(&spool, 1).await[0].seq;
        lane.park(seq, clock.now(), PAUSE);
        lane.commit(&spool).await.unwrap();
        let kept = spool.look("erp").await.unwrap().unwrap();
        set(&clock, step);
        assert_eq!(spool.look("erp").await.unwrap().unwrap(), kept, "{step}");
        spool.close().await;
        drop(spool);
        let spool = open(settings(dir.path()), &clock).await;
        let (_, state) = spool.claim("erp", Start::Now).await.unwrap();
        assert_eq!(state, kept, "{step}: the next owner gets it as it was kept");
        let (mut lane, damaged) = Lane::load(Policy::default(), state, moment(&clock));
        assert_eq!(damaged, [0; 0]);
        // A restart is believed to have taken as long as the clock says.
        if step < 0 {
            let due = moment(&clock).tick.plus(PAUSE);
            assert_eq!(lane.view().next_due, Some(due), "{step}");
            clock.forward(PAUSE - Duration::from_secs(1));
            let early = lane.next(moment(&clock).tick, 0.5);
            assert!(matches!(early, Action::Wait(_)), "{step}: {early:?}");
            clock.forward(Duration::from_secs(1));
        }
        let Action::Deliver(delivery) = lane.next(moment(&clock).tick, 0.5) else {
            panic!("{step}: it waits on");
        };
        assert_eq!(delivery.events[0].seq, seq);
        spool.close().await;
    }
}

/// What came in keeps the time of its arrival, also over a start with a clock that is set.
#[tokio::test]
async fn an_event_keeps_its_time() {
    for step in STEPS {
        let dir = tempfile::tempdir().unwrap();
        let clock = HandClock::new();
        let mut spool = open(settings(dir.path()), &clock).await;
        let mut lane = HandLane::claim(&spool, "erp").await;
        let received_at = clock.now();
        append(&spool, vec![now(1, &clock)]).await.unwrap();
        for by in [step, -step / 2, step] {
            clock.forward(Duration::from_secs(300));
            pass_groups(&spool, 1).await;
            set(&clock, by);
            assert_eq!(lane.take(&spool, 9).await[0].received_at, received_at);
            spool.close().await;
            drop(spool);
            spool = open(settings(dir.path()), &clock).await;
            lane = HandLane::claim(&spool, "erp").await;
        }
        assert_eq!(lane.take(&spool, 9).await[0].received_at, received_at);
        spool.close().await;
    }
}

const KEPT: Duration = Duration::from_secs(1000);

fn short(dir: &Path) -> DiskSettings {
    DiskSettings {
        history: KEPT,
        images: KEPT,
        quarantine: KEPT,
        ..settings(dir)
    }
}

/// An event with a picture that is delivered, and a body that could not be read.
async fn keep_all(spool: &DiskSpool, lane: &mut HandLane, clock: &HandClock, n: u64) -> Sha256 {
    let bytes = Bytes::from(n.to_le_bytes().repeat(100));
    let sha256 = Sha256::of(&bytes);
    let unreadable = NewUnreadable {
        received_at: clock.now(),
        ..unreadable("gate", "{")
    };
    let kept = Batch {
        events: vec![NewEvent {
            images: vec![sha256],
            ..now(n, clock)
        }],
        pictures: vec![Picture {
            sha256,
            media_type: None,
            bytes: Private::new(bytes),
        }],
        unreadable: vec![unreadable],
    };
    spool.append(kept).await.unwrap();
    assert_eq!(lane.deliver(spool).await, [n]);
    sha256
}

/// How many of three are there: event, picture, body.
async fn there(spool: &DiskSpool, n: u64, sha256: Sha256) -> [bool; 3] {
    // What is due leaves with the next groups.
    pass_groups(spool, 4).await;
    let event = spool.trace(id(n)).await.unwrap().is_some();
    let picture = spool.picture(sha256).await.unwrap().is_some();
    [event, picture, capacity(spool).quarantined > 0]
}

/// Nothing leaves because the clock is set, everything leaves by the time that goes by: what came in before, and what
/// comes in while the clock is wrong.
#[tokio::test]
async fn a_clock_that_is_set_erases_nothing_and_keeps_nothing() {
    for step in [YEARS, -YEARS, 2 * HOUR, -2 * HOUR] {
        for restart in [false, true] {
            if restart && step.abs() == 2 * HOUR {
                // So long a gateway may be off, and then everything is older.
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let clock = HandClock::new();
            let mut spool = open(short(dir.path()), &clock).await;
            let mut lane = HandLane::claim(&spool, "erp").await;
            let first = keep_all(&spool, &mut lane, &clock, 1).await;
            let at = |what: &str| format!("{step}, restart {restart}: {what}");
            for (by, n) in [(step, 2), (-step, 3)] {
                if restart {
                    spool.close().await;
                    drop(spool);
                    set(&clock, by);
                    spool = open(short(dir.path()), &clock).await;
                    lane = HandLane::claim(&spool, "erp").await;
                } else {
                    set(&clock, by);
                }
                clock.forward(KEPT / 10);
                assert_eq!(there(&spool, 1, first).await, [true; 3], "{}", at("erased"));
                if n == 2 {
                    keep_all(&spool, &mut lane, &clock, n).await;
                }
            }
            clock.forward(KEPT);
            let left = there(&spool, 1, first).await;
            assert_eq!(left[..2], [false; 2], "{}", at("kept"));
            let second = Sha256::of(&Bytes::from(2_u64.to_le_bytes().repeat(100)));
            clock.forward(KEPT / 2);
            assert_eq!(there(&spool, 2, second).await, [false; 3], "{}", at("kept"));
            spool.close().await;
        }
    }
}

/// A replay finds every event of its span, wherever in the log it is.
#[tokio::test]
async fn a_replay_finds_its_events_after_the_clock_was_set() {
    for moved in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let clock = HandClock::new();
        let spool = open(settings(dir.path()), &clock).await;
        let mut lane = HandLane::claim(&spool, "erp").await;
        let begin = clock.now();
        let mut times = Vec::new();
        let mut shown = begin;
        // An hour, a day back, ten years ahead, and right again; more than fits into one block.
        for (stretch, by) in [0, -DAY, DAY + YEARS, -YEARS + HOUR]
            .into_iter()
            .enumerate()
        {
            shown = shown.plus_millis(by);
            if moved {
                clock.set(shown);
            }
            let events: Vec<NewEvent> = (0..1500)
                .map(|n| NewEvent {
                    received_at: shown.plus_millis(n * 1000),
                    ..event(stretch as u64 * 1500 + n as u64, n as u64)
                })
                .collect();
            times.extend(events.iter().map(|event| event.received_at));
            for part in events.chunks(500) {
                append(&spool, part.to_vec()).await.unwrap();
            }
        }
        assert_eq!(lane.deliver(&spool).await.len(), times.len());
        for (since, until) in [
            (-DAY, -DAY + HOUR),
            (0, 600_000),
            (0, HOUR + 60_000),
            (HOUR, 2 * HOUR),
            (YEARS, YEARS + HOUR),
            (-2 * DAY, 2 * YEARS),
            (3 * HOUR, DAY),
        ] {
            let span = begin.plus_millis(since)..begin.plus_millis(until);
            let wanted = times.iter().enumerate().filter(|(_, at)| span.contains(at));
            let wanted: Vec<u64> = wanted.map(|(n, _)| n as u64).collect();
            let found = lane.replay(&spool, span.start, span.end).await;
            assert_eq!(found, wanted.len() as u64, "{since} {until}");
            lane.commit(&spool).await.unwrap();
            let got = lane.deliver(&spool).await;
            assert_eq!(got, wanted, "{since} {until}");
        }
        spool.close().await;
    }
}

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
use common::{HandClock, batch, settings};
use faceway_core::{
    Batch, Clock as _, Lane, Lease, NewEvent, NewUnreadable, Picture, Private, Repair as _,
    Settled, Settlement, Sha256, Spool as _, Start,
};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use faceway_testkit::spool::{alone, event, id, number, numbers};

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

async fn lease(spool: &DiskSpool, lane: Lane, clock: &HandClock) -> Vec<Lease> {
    spool.lease(lane, 99, clock.now()).await.unwrap()
}

fn settle(spool: &DiskSpool, lane: Lane, leases: &[Lease], outcome: &Settled) {
    let settlement = |lease: &Lease| Settlement {
        seq: lease.seq,
        outcome: outcome.clone(),
        attempt: None,
    };
    spool.settle(lane, leases.iter().map(settlement).collect());
}

/// An event that comes in now.
fn now(n: u64, clock: &HandClock) -> NewEvent {
    NewEvent {
        received_at: clock.now(),
        ..event(n, n)
    }
}

/// A parked event is due when its pause is over, whatever the wall clock shows meanwhile; the lane says when.
#[tokio::test]
async fn a_parked_event_waits_for_its_pause() {
    for step in STEPS {
        for restart in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let clock = HandClock::new();
            let mut spool = open(settings(dir.path()), &clock).await;
            let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
            // It was wrong before.
            set(&clock, 5 * DAY);
            spool.append(batch(vec![now(1, &clock)])).await.unwrap();
            let leases = lease(&spool, lane, &clock).await;
            settle(&spool, lane, &leases, &alone(clock.now().plus(PAUSE)));
            if restart {
                spool.close().await;
                drop(spool);
                set(&clock, step);
                spool = open(settings(dir.path()), &clock).await;
                assert_eq!(spool.open_lane("erp", Start::Now).await.unwrap(), lane);
            } else {
                spool.sync().await.unwrap();
                set(&clock, step);
            }
            // A restart is believed to have taken as long as the clock says, if that makes sense.
            let believed = restart && (step == HOUR || step == DAY);
            if !believed {
                clock.forward(PAUSE - Duration::from_secs(1));
                let leases = lease(&spool, lane, &clock).await;
                assert!(leases.is_empty(), "{step} {restart}: tried too early");
                let survey = spool.survey(lane, clock.now()).await.unwrap();
                let due = survey.next_due.unwrap();
                assert_eq!(due, clock.now().plus_millis(1000), "{step} {restart}");
                let story = spool.story(id(1)).await.unwrap().unwrap();
                assert_eq!(story.lanes[0].due, Some(due));
                clock.forward(Duration::from_secs(1));
            }
            let leases = lease(&spool, lane, &clock).await;
            assert_eq!(numbers(&leases), [1], "{step} {restart}: it waits on");
            spool.close().await;
        }
    }
}

/// The age of what waits is never less than the time for which it has waited.
#[tokio::test]
async fn what_waits_grows_older_while_the_clock_is_set_back() {
    let waits = Duration::from_secs(300);
    for step in STEPS {
        for restart in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let clock = HandClock::new();
            let mut spool = open(settings(dir.path()), &clock).await;
            let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
            spool.append(batch(vec![now(1, &clock)])).await.unwrap();
            spool.sync().await.unwrap();
            let mut waited = Duration::ZERO;
            for by in [step, -step / 2, step] {
                clock.forward(waits);
                spool.sync().await.unwrap();
                set(&clock, by);
                if restart {
                    spool.close().await;
                    drop(spool);
                    spool = open(settings(dir.path()), &clock).await;
                }
                waited += waits;
                let survey = spool.survey(lane, clock.now()).await.unwrap();
                let age = clock.now().since(survey.oldest.unwrap());
                assert!(age >= waited, "{step} {restart}: {age:?} < {waited:?}");
            }
            spool.close().await;
        }
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
async fn keep_all(spool: &DiskSpool, lane: Lane, clock: &HandClock, n: u64) -> Sha256 {
    let bytes = Bytes::from(n.to_le_bytes().repeat(100));
    let sha256 = Sha256::of(&bytes);
    let unreadable = NewUnreadable {
        inbound: "gate".into(),
        received_at: clock.now(),
        reason: "not JSON".into(),
        headers: Private::new("{}".into()),
        body: Private::new(Bytes::from_static(b"{")),
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
    let leases = lease(spool, lane, clock).await;
    assert_eq!(numbers(&leases), [n]);
    settle(spool, lane, &leases, &Settled::Done);
    spool.sync().await.unwrap();
    sha256
}

/// How many of three are there: event, picture, body.
async fn there(spool: &DiskSpool, n: u64, sha256: Sha256) -> [bool; 3] {
    // What is due leaves with the next groups.
    for _ in 0..4 {
        spool.sync().await.unwrap();
    }
    let event = spool.story(id(n)).await.unwrap().is_some();
    let picture = spool.picture(sha256).await.unwrap().is_some();
    [event, picture, spool.room().quarantined > 0]
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
            let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
            let first = keep_all(&spool, lane, &clock, 1).await;
            let at = |what: &str| format!("{step}, restart {restart}: {what}");
            for (by, n) in [(step, 2), (-step, 3)] {
                if restart {
                    spool.close().await;
                    drop(spool);
                    set(&clock, by);
                    spool = open(short(dir.path()), &clock).await;
                } else {
                    set(&clock, by);
                }
                clock.forward(KEPT / 10);
                assert_eq!(there(&spool, 1, first).await, [true; 3], "{}", at("erased"));
                if n == 2 {
                    keep_all(&spool, lane, &clock, n).await;
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
        let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
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
                spool.append(batch(part.to_vec())).await.unwrap();
            }
        }
        loop {
            let leases = spool.lease(lane, 999, shown).await.unwrap();
            if leases.is_empty() {
                break;
            }
            settle(&spool, lane, &leases, &Settled::Done);
        }
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
            let found = spool.replay("erp".into(), span.start, span.end).await;
            assert_eq!(found.unwrap(), Some(wanted.len() as u64), "{since} {until}");
            let mut got = Vec::new();
            loop {
                let leases = spool.lease(lane, 999, shown).await.unwrap();
                if leases.is_empty() {
                    break;
                }
                got.extend(leases.iter().map(|lease| number(lease.id)));
                settle(&spool, lane, &leases, &Settled::Done);
            }
            assert_eq!(got, wanted, "{since} {until}");
        }
        spool.close().await;
    }
}

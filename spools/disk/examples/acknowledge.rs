//! How fast acknowledgements become durable: a lane commits 256 at a time.
//!
//! `cargo run --profile dist -p faceway-spool-disk --example acknowledge -- [EVENTS] [DIR]`
//!
//! It delivers a backlog as fast as it can, each acknowledgement with its attempt, and waits until it is durable before it goes
//! on. Once alone, and once beside a producer whose groups it shares. CPU is that of the whole process.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faceway_core::{
    Attempt, AttemptResult, Batch, Clock as _, Code, DeviceKey, EventId, LaneChange,
    LaneStore as _, Log as _, NewEvent, Private, ReadMax, Start, SystemClock, waiting,
};
use faceway_spool_disk::{DiskSettings, DiskSpool};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const AT_ONCE: usize = 256;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let events = arguments.first().and_then(|text| text.parse().ok());
    let events: u64 = events.unwrap_or(100_000);
    let parent = arguments.get(1).cloned().unwrap_or_else(|| ".".into());
    for round in 1..=3 {
        for with_producer in [false, true] {
            let beside = if with_producer {
                "beside a producer"
            } else {
                "alone"
            };
            let dir = tempfile::tempdir_in(&parent)?;
            let spool = filled(dir.path(), events).await?;
            let committed = measure(&spool, with_producer, commit(&spool, events)).await?;
            println!("round {round}, {beside}: committed {committed}");
            spool.close().await;
        }
    }
    Ok(())
}

async fn filled(dir: &Path, events: u64) -> Result<Arc<DiskSpool>, Failure> {
    let settings = DiskSettings {
        dir: dir.join("spool"),
        bytes_max: 16 << 30,
        free_min: 0,
        history: Duration::from_secs(3600),
        images: Duration::from_secs(3600),
        quarantine: Duration::from_secs(3600),
        quarantine_bytes_max: 1 << 27,
    };
    let spool = Arc::new(DiskSpool::open(settings, Arc::new(SystemClock)).await?);
    for first in (1..=events).step_by(AT_ONCE) {
        let events = (first..=events.min(first + AT_ONCE as u64 - 1)).map(event);
        spool.append(batch(events.collect())).await?;
    }
    Ok(spool)
}

fn batch(events: Vec<NewEvent>) -> Batch {
    Batch {
        events,
        ..Batch::default()
    }
}

fn event(n: u64) -> NewEvent {
    let id = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    NewEvent {
        id: EventId::from_bytes(id.to_be_bytes()),
        device: DeviceKey(n % 64),
        received_at: SystemClock.now(),
        images: Vec::new(),
        trace_context: None,
        body: Private::new(vec![b'x'; 1024].into()),
    }
}

async fn measure(
    spool: &Arc<DiskSpool>,
    with_producer: bool,
    work: impl Future<Output = Result<u64, Failure>>,
) -> Result<String, Failure> {
    let stop = Arc::new(AtomicBool::new(!with_producer));
    let (of_producer, stopped) = (Arc::clone(spool), Arc::clone(&stop));
    let producer = tokio::spawn(async move {
        let mut n = 1 << 40;
        while !stopped.load(Ordering::Relaxed) {
            n += 1;
            if of_producer.append(batch(vec![event(n)])).await.is_err() {
                break;
            }
        }
    });
    let (begin, used) = (Instant::now(), cpu());
    let done = work.await? as f64;
    let (took, used) = (begin.elapsed(), cpu().saturating_sub(used));
    stop.store(true, Ordering::Relaxed);
    producer.await?;
    Ok(format!(
        "{:>8.0}/s  {:>5.1} us CPU each",
        done / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / done
    ))
}

fn attempt() -> Attempt {
    Attempt {
        at: SystemClock.now(),
        took: Duration::from_millis(1),
        result: AttemptResult::Delivered,
        code: Code::status(200),
    }
}

/// As behind an outage: all is routed and waits, and each commit takes 256 events out of its ranges.
async fn commit(spool: &DiskSpool, events: u64) -> Result<u64, Failure> {
    let (claim, state) = spool.claim("lane", Start::Oldest).await?;
    let mut through = state.routed_through;
    let mut done = 0;
    while done < events {
        let max = ReadMax {
            entries: AT_ONCE,
            bytes: 1 << 20,
        };
        let stretch = spool.read(through, u64::MAX, max).await?;
        through = stretch.through_seq;
        let seqs = stretch.entries.iter().map(|entry| entry.seq);
        let left = |range: u64| {
            let rest = through + 1..(range + 1) * waiting::RANGE;
            let events: Vec<_> = rest.map(|seq| (seq, DeviceKey(seq % 64))).collect();
            (!events.is_empty()).then(|| waiting::encode(range, &events))
        };
        let mut ranges: Vec<u64> = seqs.clone().map(waiting::range_of).collect();
        ranges.dedup();
        let change = LaneChange {
            routed_through: events,
            waiting: ranges
                .into_iter()
                .map(|range| (range, left(range)))
                .collect(),
            attempts: seqs.map(|seq| (seq, attempt())).collect(),
            ..LaneChange::default()
        };
        done += stretch.entries.len() as u64;
        spool.commit(&claim, change).await?;
    }
    Ok(done)
}

fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    let ticks = ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0);
    Duration::from_millis(ticks * 10)
}

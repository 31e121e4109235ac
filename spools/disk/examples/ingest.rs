//! How fast events are kept, beside a bare log that appends a group and syncs it.
//!
//! `cargo run --profile dist -p faceway-spool-disk --example ingest -- [SECONDS] [BYTES] [PRODUCERS] [DIR] [LANES] [PICTURE_BYTES]`
//!
//! Both run in alternation in the same directory; read the ratio. A producer waits for its answer before it sends
//! again. CPU is that of the whole process, producers included.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faceway_core::{
    AppendError, Batch, Clock as _, DeviceKey, EventId, LaneChange, LaneStore as _, Log as _,
    NewEvent, Picture, Private, ReadMax, Sha256, Start, SystemClock,
};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use tokio::sync::{mpsc, oneshot};

#[derive(Clone)]
struct Plan {
    seconds: u64,
    bytes: usize,
    producers: usize,
    lanes: usize,
    picture: usize,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: usize| {
        arguments
            .get(at)
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    };
    let plan = Plan {
        seconds: number(0, 3) as u64,
        bytes: number(1, 1024),
        producers: number(2, 64),
        lanes: number(4, 0),
        picture: number(5, 0),
    };
    let parent = arguments.get(3).cloned().unwrap_or_else(|| ".".into());
    let mut ratios = Vec::new();
    for round in 1..=5 {
        let dir = tempfile::tempdir_in(&parent)?;
        let log = bare_log(dir.path(), &plan).await?;
        let dir = tempfile::tempdir_in(&parent)?;
        let spool = spool(dir.path(), &plan).await?;
        println!("round {round}: log {log}");
        println!("round {round}: spool {spool}");
        ratios.push(spool.per_second / log.per_second);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "ratio, median of {}: {:.2}",
        ratios.len(),
        ratios[ratios.len() / 2]
    );
    Ok(())
}

struct Outcome {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu_us: f64,
    note: String,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            per_second,
            p50,
            p99,
            cpu_us,
            note,
        } = self;
        write!(
            f,
            "{per_second:>8.0}/s  p50 {p50:>9.2?}  p99 {p99:>9.2?}  {cpu_us:>5.1} us CPU each{note}"
        )
    }
}

fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn summary(mut times: Vec<Duration>, took: Duration, used: Duration, note: String) -> Outcome {
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get(times.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    let count = times.len().max(1) as f64;
    Outcome {
        per_second: count / took.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        cpu_us: used.as_secs_f64() * 1e6 / count,
        note,
    }
}

/// The limit: one thread appends what waits to a file and syncs it once.
async fn bare_log(dir: &Path, plan: &Plan) -> Result<Outcome, Failure> {
    let (queue, mut inbox) = mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>(4096);
    let mut file = File::create(dir.join("log"))?;
    let writer = std::thread::spawn(move || {
        let mut group = Vec::new();
        while inbox.blocking_recv_many(&mut group, 1024) > 0 {
            let mut bytes = Vec::new();
            let (bodies, answers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
            for body in bodies {
                bytes.extend_from_slice(&body);
            }
            if file
                .write_all(&bytes)
                .and_then(|()| file.sync_data())
                .is_err()
            {
                return;
            }
            for answer in answers {
                let _ = answer.send(());
            }
        }
    });
    let (begin, used) = (Instant::now(), cpu());
    let end = begin + Duration::from_secs(plan.seconds);
    let tasks: Vec<_> = (0..plan.producers)
        .map(|_| {
            let (queue, size) = (queue.clone(), plan.bytes + plan.picture);
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let sent = Instant::now();
                    let (answer, answered) = oneshot::channel();
                    let _ = queue.send((vec![b'x'; size], answer)).await;
                    let _ = answered.await;
                    times.push(sent.elapsed());
                }
                times
            })
        })
        .collect();
    drop(queue);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await?);
    }
    let result = summary(times, begin.elapsed(), cpu() - used, String::new());
    let _ = writer.join();
    Ok(result)
}

async fn spool(dir: &Path, plan: &Plan) -> Result<Outcome, Failure> {
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
    let stop = Arc::new(AtomicBool::new(false));
    let mut drains = Vec::new();
    for lane in 0..plan.lanes {
        drains.push(tokio::spawn(drain(
            Arc::clone(&spool),
            format!("lane-{lane}"),
            Arc::clone(&stop),
        )));
    }
    let next = Arc::new(AtomicU64::new(1));
    let (begin, used) = (Instant::now(), cpu());
    let end = begin + Duration::from_secs(plan.seconds);
    let tasks: Vec<_> = (0..plan.producers as u64)
        .map(|device| {
            let (spool, next, plan) = (Arc::clone(&spool), Arc::clone(&next), plan.clone());
            tokio::spawn(async move { produce(&spool, &next, &plan, device, end).await })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let (took, used) = (begin.elapsed(), cpu() - used);
    stop.store(true, Ordering::SeqCst);
    let mut delivered = 0;
    for drain in drains {
        delivered += drain.await??;
    }
    let note = if plan.lanes > 0 {
        format!("  {:.0}/s out", delivered as f64 / took.as_secs_f64())
    } else {
        String::new()
    };
    spool.close().await;
    Ok(summary(times, took, used, note))
}

async fn produce(
    spool: &DiskSpool,
    next: &AtomicU64,
    plan: &Plan,
    device: u64,
    end: Instant,
) -> Result<Vec<Duration>, AppendError> {
    let mut times = Vec::new();
    while Instant::now() < end {
        let sent = Instant::now();
        let n = next.fetch_add(1, Ordering::Relaxed);
        let id = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut batch = Batch::default();
        let mut event = NewEvent {
            id: EventId::from_bytes(id.to_be_bytes()),
            device: DeviceKey(device),
            received_at: SystemClock.now(),
            images: Vec::new(),
            trace_context: None,
            body: Private::new(vec![b'x'; plan.bytes].into()),
        };
        if plan.picture > 0 {
            let sha256 = Sha256::of(&n.to_le_bytes());
            event.images.push(sha256);
            batch.pictures.push(Picture {
                sha256,
                media_type: None,
                bytes: Private::new(vec![b'p'; plan.picture].into()),
            });
        }
        batch.events.push(event);
        spool.append(batch).await?;
        times.push(sent.elapsed());
    }
    Ok(times)
}

/// A lane that keeps up: everything is delivered as soon as it is read.
async fn drain(spool: Arc<DiskSpool>, name: String, stop: Arc<AtomicBool>) -> Result<u64, Failure> {
    let max = ReadMax {
        entries: 256,
        bytes: 1 << 20,
    };
    let (claim, state) = spool.claim(&name, Start::Oldest).await?;
    let (mut through, mut delivered) = (state.routed_through, 0);
    while !stop.load(Ordering::SeqCst) {
        let moved = spool.watch_tail(through);
        let moved = tokio::time::timeout(Duration::from_millis(100), moved).await;
        if moved.is_err() {
            continue;
        }
        let stretch = spool.read(through, u64::MAX, max).await?;
        through = stretch.through_seq;
        delivered += stretch.entries.len() as u64;
        let change = LaneChange {
            routed_through: through,
            ..LaneChange::default()
        };
        spool.commit(&claim, change).await?;
    }
    Ok(delivered)
}

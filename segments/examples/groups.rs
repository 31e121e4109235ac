//! Groups of events into the log, beside the bare file: `groups SECONDS BYTES DIR`. Rounds alternate; read the ratio.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for measuring ends by a panic"
)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faceway_segments::{Disk as _, Event, RealDisk, Settings, open};

const GROUP: usize = 64;
const ROUNDS: usize = 4;

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds: f64 = args.next().unwrap().parse().unwrap();
    let bytes: usize = args.next().unwrap().parse().unwrap();
    let dir = args.next().unwrap();
    let (time, body) = (Duration::from_secs_f64(seconds), vec![b'x'; bytes]);
    let mut totals = [(0, 0.0, 0); 2];
    for round in 0..ROUNDS {
        for which in [round % 2, 1 - round % 2] {
            let dir = Path::new(&dir).join(format!("{round}-{which}"));
            std::fs::create_dir_all(&dir).unwrap();
            let (began, before) = (Instant::now(), (cpu(), written()));
            let events = match which {
                0 => bare(&dir, &body, time),
                _ => log(&dir, &body, time),
            };
            let took = began.elapsed().as_secs_f64();
            let (cpu, written) = (cpu() - before.0, written() - before.1);
            std::fs::remove_dir_all(&dir).unwrap();
            println!(
                "{}: {:.0}/s, {:.2} us CPU, {:.2} bytes written for each kept",
                ["bare", "log "][which],
                events as f64 / took,
                cpu * 1e6 / events as f64,
                written as f64 / (events * bytes) as f64,
            );
            totals[which].0 += events;
            totals[which].1 += cpu;
            totals[which].2 += written;
        }
    }
    let [bare, log] = totals;
    println!("ratio {:.2}", log.0 as f64 / bare.0 as f64);
}

fn bare(dir: &Path, body: &[u8], time: Duration) -> usize {
    let file = File::create_new(dir.join("bare")).unwrap();
    let (began, mut at, mut events) = (Instant::now(), 0, 0);
    while began.elapsed() < time {
        let group: Vec<u8> = (0..GROUP).flat_map(|_| body.iter().copied()).collect();
        file.write_all_at(&group, at).unwrap();
        file.sync_data().unwrap();
        at += group.len() as u64;
        events += GROUP;
    }
    events
}

fn log(dir: &Path, body: &[u8], time: Duration) -> usize {
    let disk = RealDisk::new(dir);
    let mut log = open(Arc::new(disk.clone()), Settings::default()).unwrap();
    let (began, mut events) = (Instant::now(), 0_usize);
    while began.elapsed() < time {
        for _ in 0..GROUP {
            events += 1;
            log.writer
                .push(&Event {
                    id: (events as u128).to_le_bytes(),
                    device: events as u64 % 64,
                    at: 0,
                    images: &[],
                    trace: b"",
                    body,
                })
                .unwrap();
        }
        if log.writer.commit().unwrap().is_sealed {
            for seal in log.writer.seals() {
                seal.write(&disk).unwrap();
            }
            // History of half a gigabyte.
            let tail = log.reader.tail();
            let keep = (512 << 20) / body.len() as u64;
            for name in log.writer.trim(tail.saturating_sub(keep)).unwrap() {
                disk.remove(&name).unwrap();
            }
        }
        log.writer.prepare().unwrap();
    }
    events
}

/// Seconds of this process, of the user and of the kernel.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit(')').next().unwrap().split_ascii_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

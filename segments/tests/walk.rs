//! Random lives of a log on a disk that fails, beside a naive list of what was committed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use common::{FaultDisk, Random};
use faceway_segments::{Disk, Event, Found, Opened, Reader, Seal, Settings, open};

const SETTINGS: Settings = Settings {
    segment_bytes: 16 << 10,
    spares: 1,
};

/// What the log must hold.
#[derive(Default)]
struct Model {
    /// Committed and not trimmed: number, id, length of the body.
    kept: BTreeMap<u64, (u64, usize)>,
    /// Everything that was committed, also what has left.
    ever: BTreeMap<u64, u64>,
    /// The group that failed last, which a restart may find as long as nothing was committed behind it.
    doubtful: BTreeMap<u64, (u64, usize)>,
    /// Ids below this may be forgotten.
    forgotten: u64,
    next_id: u64,
}

struct Life {
    seed: u64,
    disk: FaultDisk,
    random: Random,
    log: Opened,
    model: Model,
    seals: Vec<Seal>,
}

fn event<'a>(id: u64, body: &'a [u8]) -> Event<'a> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.to_le_bytes());
    Event {
        id: bytes,
        device: id % 5,
        at: (id * 10).cast_signed(),
        images: &[7; 64],
        trace: b"00-trace",
        body,
    }
}

fn body(id: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random(id);
    let mut body: Vec<u8> = (0..bytes.div_ceil(8))
        .flat_map(|_| random.next().to_le_bytes())
        .collect();
    body.truncate(bytes);
    body
}

impl Life {
    fn new(seed: u64) -> Self {
        let disk = FaultDisk::new(seed);
        let log = open(Arc::new(disk.clone()), SETTINGS).unwrap();
        Self {
            seed,
            disk,
            random: Random(seed ^ 0x5eed),
            log,
            model: Model::default(),
            seals: Vec::new(),
        }
    }

    fn step(&mut self) {
        let what = self.random.below(100);
        if std::env::var_os("TRACE").is_some() {
            println!(
                "{what} next {} {:?}",
                self.log.writer.next_seq(),
                self.log.reader.segments()
            );
        }
        match what {
            0..60 => self.append(),
            60..66 => _ = self.log.writer.prepare(),
            66..74 => self.seal(),
            74..80 => self.trim(),
            80..83 => self.log.writer.abandon(),
            83..86 => {
                let next = self.log.writer.next_seq() + self.random.below(3);
                self.log.writer.skip_to(next);
            }
            86..90 => self
                .disk
                .fail(self.random.below(12), 1 + self.random.below(4)),
            90..92 => self.disk.leave(self.random.below(20_000)),
            92..95 => self.disk.heal(),
            95..97 => {
                _ = self.log.writer.close();
                self.reopen();
            }
            97..98 => self.reopen(),
            _ => {
                self.disk.cut_power();
                self.reopen();
            }
        }
        self.check();
    }

    fn append(&mut self) {
        let mut group = BTreeMap::new();
        for _ in 0..1 + self.random.below(6) {
            let bytes = match self.random.below(40) {
                0 => 20_000,
                1..10 => 0,
                _ => self.random.below(1500) as usize,
            };
            self.model.next_id += 1;
            let id = self.model.next_id;
            let seq = (self.log.writer.push(&event(id, &body(id, bytes)))).unwrap();
            group.insert(seq, (id, bytes));
        }
        match self.log.writer.commit() {
            Ok(done) => {
                assert_eq!(done.tail, *group.last_key_value().unwrap().0);
                let ids = group.iter().map(|(seq, (id, _))| (*seq, *id));
                for (seq, id) in ids {
                    assert_eq!(self.model.ever.insert(seq, id), None, "number {seq} again");
                }
                self.model.kept.extend(group);
                self.model.doubtful.clear();
            }
            Err(_) => self.model.doubtful.extend(group),
        }
    }

    fn seal(&mut self) {
        self.seals.extend(self.log.writer.seals());
        self.seals.retain(|seal| seal.write(&self.disk).is_err());
    }

    fn trim(&mut self) {
        self.seal();
        let tail = self.log.reader.tail();
        let below = self.random.below(tail + 2);
        if let Ok(names) = self.log.writer.trim(below) {
            names.iter().for_each(|name| _ = self.disk.remove(name));
        }
        let first = self.log.reader.first();
        let gone: Vec<u64> = self
            .model
            .kept
            .range(..first)
            .map(|(seq, _)| *seq)
            .collect();
        assert!(
            gone.iter().all(|seq| *seq < below),
            "more is gone than was let go of"
        );
        for seq in gone {
            self.model.kept.remove(&seq);
        }
        if self.random.one_in(3) {
            self.model.forgotten = self.model.forgotten.max(self.random.below(first));
            let names = self.log.writer.forget_ids(self.model.forgotten);
            names.iter().for_each(|name| _ = self.disk.remove(name));
        }
    }

    fn reopen(&mut self) {
        self.disk.heal();
        self.seals.clear();
        let log = open(Arc::new(self.disk.clone()), SETTINGS).unwrap();
        self.log = log;
        let recovered = &self.log.recovered;
        assert!(
            recovered.damaged.is_empty(),
            "seed {}: {recovered:?}",
            self.seed
        );
        assert!(
            recovered.missing.is_empty(),
            "seed {}: {recovered:?}",
            self.seed
        );
        // What came back after it was let go of is there once more; that does no harm.
        let (first, tail) = (self.log.reader.first(), self.log.reader.tail());
        let back: Vec<(u64, (u64, usize))> = self.read().into_iter().collect();
        for (seq, (id, bytes)) in back {
            if let Some(known) = self.model.ever.get(&seq) {
                assert_eq!(*known, id);
            } else {
                let doubtful = self.model.doubtful.get(&seq);
                assert_eq!(
                    doubtful,
                    Some(&(id, bytes)),
                    "seed {}: from nowhere",
                    self.seed
                );
                self.model.ever.insert(seq, id);
            }
            self.model.kept.insert(seq, (id, bytes));
        }
        self.model.doubtful.clear();
        let next = self.log.writer.next_seq();
        assert_eq!(next, tail + 1);
        assert!(self.model.ever.keys().all(|seq| *seq < next));
        self.check_ids(first);
    }

    fn check_ids(&mut self, first: u64) {
        let mut known = BTreeSet::new();
        let each = self.log.reader.each_id(0, |seq, ids| {
            for (seq, id) in (seq..).zip(ids.chunks_exact(16)) {
                known.insert((seq, u64::from_le_bytes(id[..8].try_into().unwrap())));
            }
        });
        each.unwrap();
        for (seq, id) in self.model.ever.range(self.model.forgotten.min(first)..) {
            assert!(
                known.contains(&(*seq, *id)),
                "seed {}: the id of {seq} is forgotten (forgotten below {}, first {first})",
                self.seed,
                self.model.forgotten,
            );
        }
    }

    fn read(&self) -> BTreeMap<u64, (u64, usize)> {
        self.take(|reader, take| reader.read(0, u64::MAX, take))
    }

    fn take(
        &self,
        read: impl FnOnce(&Reader, &mut dyn FnMut(Found<'_>) -> bool) -> io::Result<()>,
    ) -> BTreeMap<u64, (u64, usize)> {
        let mut found = BTreeMap::new();
        let read = read(&self.log.reader, &mut |one| {
            let (seq, event) = match one {
                Found::Event(seq, event) => (seq, event),
                Found::Damaged(seq) => {
                    // One of a torn group of which others are there.
                    assert_eq!(self.model.ever.get(&seq), None, "seed {}", self.seed);
                    return true;
                }
            };
            let id = u64::from_le_bytes(event.id[..8].try_into().unwrap());
            assert_eq!(event.body, body(id, event.body.len()));
            assert_eq!(
                (event.images, event.trace),
                (&[7; 64][..], &b"00-trace"[..])
            );
            assert_eq!((event.device, event.at), (id % 5, (id * 10).cast_signed()));
            assert_eq!(found.insert(seq, (id, event.body.len())), None);
            true
        });
        read.unwrap();
        found
    }

    /// A part of the log, and some of it.
    fn check_parts(&mut self) {
        let tail = self.log.reader.tail();
        let first = self.random.below(tail + 3);
        let last = first + self.random.below(60);
        let part = self.take(|reader, take| reader.read(first, last, take));
        let kept = self.model.kept.range(first..=last);
        assert!(
            part.iter().eq(kept),
            "seed {}: {first} to {last}",
            self.seed
        );
        let one_in = 1 + self.random.below(9);
        let seqs: Vec<u64> = (first..=(tail + 2).min(first + 200))
            .filter(|_| self.random.one_in(one_in))
            .collect();
        let some = self.take(|reader, take| reader.pick(&seqs, take));
        let kept = (seqs.iter()).filter_map(|seq| self.model.kept.get_key_value(seq));
        assert!(some.iter().eq(kept), "seed {}: {seqs:?}", self.seed);
    }

    fn check(&mut self) {
        let disk = self.disk.clone();
        disk.quietly(|| self.check_reading());
    }

    fn check_reading(&mut self) {
        assert_eq!(self.read(), self.model.kept, "seed {}", self.seed);
        self.check_parts();
        for _ in 0..2 {
            let seq = self.random.below(self.log.reader.tail() + 3);
            let id = self.log.reader.get(seq, first_byte).unwrap().flatten();
            let kept = self.model.kept.get(&seq);
            assert_eq!(id, kept.map(|(id, _)| *id as u8), "seed {}", self.seed);
        }
        let since = self.random.below(self.model.next_id * 10 + 1).cast_signed();
        let span = self.log.reader.span(since, since + 200).unwrap();
        let is_in = |id: &u64| (since..since + 200).contains(&(id * 10).cast_signed());
        let kept = self.model.kept.iter();
        let in_it: Vec<u64> = (kept.filter(|(_, (id, _))| is_in(id)))
            .map(|(seq, _)| *seq)
            .collect();
        // What was torn counts too.
        assert!(span.events >= in_it.len() as u64, "seed {}", self.seed);
        let has = |seq: &u64| (span.first_seq..=span.last_seq).contains(seq);
        assert!(in_it.iter().all(has), "seed {}", self.seed);
        let seq = self.random.below(self.log.reader.tail() + 1);
        let known = self.log.reader.id(seq).unwrap();
        let known = known.map(|id| u64::from_le_bytes(id[..8].try_into().unwrap()));
        let ever = self.model.ever.get(&seq).copied();
        assert!(
            known == ever || seq < self.model.forgotten,
            "seed {}: {known:?} {ever:?}",
            self.seed
        );
    }
}

#[test]
fn what_was_committed_is_found_whatever_happens() {
    let seeds = std::env::var("SEEDS").map_or(100, |seeds| seeds.parse().unwrap());
    let from = std::env::var("FROM").map_or(0, |from| from.parse().unwrap());
    for seed in from..from + seeds {
        let mut life = Life::new(seed);
        for _ in 0..150 {
            life.step();
        }
    }
    println!("{seeds} lives");
}

fn first_byte(found: Found<'_>) -> Option<u8> {
    match found {
        Found::Event(_, event) => Some(event.id[0]),
        Found::Damaged(_) => None,
    }
}

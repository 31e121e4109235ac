//! Flipped bits, missing files, and a disk that fails at every single operation.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::{FaultDisk, Random};
use faceway_segments::{Disk, Event, Found, Opened, Settings, Trouble, open};

const SETTINGS: Settings = Settings {
    segment_bytes: 4 << 10,
    spares: 1,
};

fn start(disk: &FaultDisk) -> Opened {
    open(Arc::new(disk.clone()), SETTINGS).unwrap()
}

/// Appends `events` events in groups of three, with files beside full segments.
fn fill(disk: &FaultDisk, log: &mut Opened, events: u64) {
    for group in 0..events / 3 {
        for n in 0..3 {
            push(log, group * 3 + n + 1).unwrap();
        }
        log.writer.commit().unwrap();
        for seal in log.writer.seals() {
            seal.write(disk).unwrap();
        }
    }
}

fn push(log: &mut Opened, n: u64) -> Result<u64, Trouble> {
    log.writer.push(&Event {
        id: [n as u8; 16],
        device: n,
        at: n.cast_signed() * 1000,
        images: &[],
        trace: b"",
        body: &vec![n as u8; 100 + (n % 7) as usize * 30],
    })
}

/// Sound events, and damaged ones. Panics where bytes are not what was written.
fn read(log: &Opened) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut sound, mut damaged) = (BTreeSet::new(), BTreeSet::new());
    let taken = log.reader.read(0, u64::MAX, |found| {
        match found {
            Found::Event(seq, event) => {
                assert!(event.body.iter().all(|byte| u64::from(*byte) == seq));
                assert_eq!((event.id, event.device), ([seq as u8; 16], seq));
                assert!(sound.insert(seq));
            }
            Found::Damaged(seq) => assert!(damaged.insert(seq)),
        }
        true
    });
    taken.unwrap();
    (sound, damaged)
}

/// Flips one bit at each byte of each file in turn, and opens.
fn every_byte(disk: &FaultDisk, events: u64) {
    let mut lost = BTreeMap::new();
    for name in disk.names().unwrap() {
        for at in 0..disk.bytes_of(&name).len() {
            let damaged = disk.copy();
            damaged.flip(&name, at, (at % 8) as u32);
            let log = start(&damaged);
            let (sound, gone) = read(&log);
            let missing: Vec<u64> = (1..=events).filter(|seq| !sound.contains(seq)).collect();
            assert!(missing.len() <= 1, "{name} at {at}: {missing:?}");
            // What is lost is told, at open or by the reader.
            let told: BTreeSet<u64> = log.recovered.damaged.iter().flatten().copied().collect();
            for seq in &missing {
                let is_told =
                    told.contains(seq) || gone.contains(seq) || log.recovered.torn_bytes > 0;
                assert!(is_told, "{name} at {at}: {:?}", log.recovered);
                *lost.entry(name.clone()).or_insert(0) += 1;
            }
            assert!(log.writer.next_seq() > events, "{name} at {at}");
        }
    }
    println!("flips that cost a record, by file: {lost:?}");
}

#[test]
fn a_flipped_bit_costs_the_record_that_it_hits_after_an_orderly_end() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 48);
    log.writer.close().unwrap();
    every_byte(&disk, 48);
}

#[test]
fn a_flipped_bit_costs_the_record_that_it_hits_after_a_kill() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 48);
    every_byte(&disk, 48);
}

#[test]
fn damage_under_a_running_log_costs_one_record_as_well() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 48);
    let mut random = Random(5);
    for name in disk.names().unwrap() {
        for _ in 0..200 {
            let at = random.below(disk.bytes_of(&name).len() as u64) as usize;
            disk.flip(&name, at, 3);
            let (sound, gone) = read(&log);
            assert!(
                sound.len() >= 47 && sound.len() + gone.len() == 48,
                "{name} at {at}"
            );
            disk.flip(&name, at, 3);
        }
    }
}

/// Of some records not even the head is left. That their numbers are missing tells it.
#[test]
fn a_record_without_a_head_is_told_by_who_reads() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 48);
    log.writer.close().unwrap();
    let segments = log.reader.segments();
    assert!(segments.len() > 3);
    let mut most = 0;
    for segment in &segments {
        let name = format!("{:016}.seg", segment.number);
        for at in (128..disk.bytes_of(&name).len() - 300).step_by(8) {
            let damaged = disk.copy();
            for at in at..at + 300 {
                damaged.flip(&name, at, (at % 7) as u32);
            }
            let log = start(&damaged);
            let (sound, gone) = read(&log);
            let all: BTreeSet<u64> = sound.union(&gone).copied().collect();
            // The last segment may have lost the mark that it was closed in order: then its end may have been torn.
            let last = *all.last().unwrap();
            assert_eq!(all, (1..=last).collect(), "{name} at {at}");
            let is_last = Some(segment) == segments.last();
            assert!(last == 48 || is_last, "{name} at {at}: {last}");
            most = most.max(gone.len());
            for seq in gone {
                let found = log.reader.get(seq, |found| found == Found::Damaged(seq));
                assert_eq!(found.unwrap(), Some(true), "{name} at {at}: {seq}");
            }
        }
    }
    assert!(most > 1, "{most}");
}

/// What a start goes by in place of a segment is there whatever the file system does with names that are not synced.
#[test]
fn files_beside_a_segment_have_durable_names() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 48);
    for seed in 0..20 {
        let names = disk.photo(seed).names().unwrap();
        for segment in &log.reader.segments()[..3] {
            for ending in ["idx", "ids"] {
                let name = format!("{:016}.{ending}", segment.number);
                assert!(names.contains(&name), "{name}: {names:?}");
            }
        }
    }
}

#[test]
fn a_missing_segment_is_told_and_the_others_are_read() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 48);
    let segments = log.reader.segments();
    assert!(segments.len() > 3);
    for lost in &segments[1..segments.len() - 1] {
        let damaged = disk.copy();
        damaged.remove(&format!("{:016}.seg", lost.number)).unwrap();
        let log = start(&damaged);
        assert_eq!(log.recovered.missing, [lost.number]);
        let (sound, _) = read(&log);
        assert_eq!(sound.len() as u64, 48 - lost.events);
    }
}

#[test]
fn both_headers_gone_cost_nothing() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 48);
    for segment in log.reader.segments() {
        let damaged = disk.copy();
        let name = format!("{:016}.seg", segment.number);
        for at in [3, 70] {
            damaged.flip(&name, at, 0);
        }
        let log = start(&damaged);
        assert_eq!(log.recovered.without_header, [segment.number]);
        assert_eq!(read(&log).0.len(), 48);
    }
}

#[test]
fn a_record_that_holds_a_copy_of_the_log_is_one_record() {
    let disk = FaultDisk::new(1);
    let mut log = start(&disk);
    fill(&disk, &mut log, 9);
    let copy = disk.bytes_of("0000000000000001.seg");
    let body = &copy[..3000];
    log.writer
        .push(&Event {
            id: [10; 16],
            device: 10,
            at: 0,
            images: &[],
            trace: b"",
            body,
        })
        .unwrap();
    log.writer.commit().unwrap();
    // The copy is of a segment with another id, so also damage in front of it shows none of its records.
    let segment = *log.reader.segments().last().unwrap();
    assert_eq!(segment.number, 2);
    disk.flip("0000000000000002.seg", 128 + 40, 1);
    let log = start(&disk);
    let mut seqs = Vec::new();
    (log.reader.read(0, 99, |found| {
        if let Found::Event(seq, _) = found {
            seqs.push(seq);
        }
        true
    }))
    .unwrap();
    assert_eq!(seqs, (1..10).collect::<Vec<_>>());
}

/// Runs the same work with the disk failing at each operation in turn, once or for a while.
#[test]
fn a_failure_at_any_operation_loses_nothing_that_was_committed() {
    let ops = {
        let disk = FaultDisk::new(3);
        work(&disk);
        disk.ops()
    };
    assert!(ops > 60, "{ops}");
    for after in 0..ops {
        for times in [1, 3, 1000] {
            let disk = FaultDisk::new(3);
            disk.fail(after, times);
            let committed = work(&disk);
            disk.heal();
            if after % 2 == 0 {
                disk.cut_power();
            }
            let log = start(&disk);
            let sound = read_any(&log);
            let lost: Vec<_> = committed.difference(&sound).collect();
            assert!(
                lost.is_empty(),
                "{times} failures from operation {after} on: {lost:?}"
            );
        }
    }
}

/// Events by their device, which tells them from one another also where a number was given up.
fn read_any(log: &Opened) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    let read = log.reader.read(0, u64::MAX, |found| {
        if let Found::Event(_, event) = found {
            assert!(ids.insert(event.device), "{} is there twice", event.device);
        }
        true
    });
    read.unwrap();
    ids
}

/// Gives what was committed, sending again what failed until it is in.
fn work(disk: &FaultDisk) -> BTreeSet<u64> {
    let mut committed = BTreeSet::new();
    let Ok(mut log) = open(Arc::new(disk.clone()), SETTINGS) else {
        return committed;
    };
    for group in 0..16 {
        for _ in 0..3 {
            let events: Vec<u64> = (1..=3).map(|n| group * 3 + n).collect();
            for n in &events {
                push(&mut log, *n).unwrap();
            }
            if log.writer.commit().is_ok() {
                committed.extend(events);
                break;
            }
        }
        _ = log.writer.prepare();
        for seal in log.writer.seals() {
            _ = seal.write(disk);
        }
    }
    _ = log.writer.close();
    committed
}

#[test]
fn a_full_disk_refuses_whole_groups_and_goes_on() {
    let disk = FaultDisk::new(3);
    let mut log = start(&disk);
    fill(&disk, &mut log, 12);
    disk.leave(1000);
    let mut refused = 0;
    for n in 13..40 {
        push(&mut log, n).unwrap();
        match log.writer.commit() {
            Ok(_) => assert_eq!(refused, 0, "space came from nowhere"),
            Err(Trouble::Full) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 5);
    disk.heal();
    let next = log.writer.next_seq();
    push(&mut log, next).unwrap();
    log.writer.commit().unwrap();
    assert!(read_any(&log).len() > 12);
}

#[test]
fn an_emptied_segment_is_used_again_and_its_old_records_stay_out() {
    let disk = FaultDisk::new(3);
    let mut log = start(&disk);
    fill(&disk, &mut log, 96);
    let before = disk.used();
    for name in log.writer.trim(90).unwrap() {
        disk.remove(&name).unwrap();
    }
    assert!(disk.used() < before / 2, "space is given back");
    let names = disk.names().unwrap();
    assert_eq!(
        names.iter().filter(|name| name.ends_with("spare")).count(),
        1
    );
    let first = log.reader.first();
    for n in 97..=120 {
        push(&mut log, n).unwrap();
        log.writer.commit().unwrap();
    }
    let (sound, gone) = read(&log);
    assert_eq!(sound, (first..=120).collect());
    assert!(gone.is_empty());
    drop(log);
    let log = start(&disk);
    assert_eq!(read(&log).0, (first..=120).collect());
    assert!(log.recovered.damaged.is_empty());
}

/// Whatever stands in a file: it is opened, and what is read is what was written, or some of it.
#[test]
fn any_bytes_in_place_of_a_file_open() {
    let whole = FaultDisk::new(1);
    let mut log = start(&whole);
    fill(&whole, &mut log, 48);
    drop(log);
    let mut random = Random(11);
    let names = whole.names().unwrap();
    for _ in 0..400 {
        let disk = whole.copy();
        let name = &names[random.below(names.len() as u64) as usize];
        let mut bytes = disk.bytes_of(name);
        match random.below(4) {
            0 => bytes
                .iter_mut()
                .for_each(|byte| *byte = random.next() as u8),
            1 => bytes.truncate(random.below(bytes.len() as u64 + 1) as usize),
            2 => bytes.rotate_left(8),
            _ => {
                let from = random.below(bytes.len() as u64) as usize;
                let to = (from + random.below(600) as usize).min(bytes.len());
                bytes[from..to]
                    .iter_mut()
                    .for_each(|byte| *byte = random.next() as u8);
            }
        }
        disk.remove(name).unwrap();
        let file = disk.create(name, bytes.len() as u64).unwrap();
        file.write_at(&bytes, 0).unwrap();
        let log = start(&disk);
        let (sound, _) = read(&log);
        assert!(sound.iter().all(|seq| (1..=48).contains(seq)));
        if !name.ends_with("seg") {
            assert_eq!(sound.len(), 48, "{name}");
        }
    }
}

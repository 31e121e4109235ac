//! What the engine above asks for beside appending and reading.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by a panic")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::FaultDisk;
use faceway_segments::{Event, Found, Opened, RealDisk, Settings, Writer, look, open};

const SETTINGS: Settings = Settings {
    segment_bytes: 64 << 10,
    spares: 0,
};

fn open_in(dir: &Path) -> Opened {
    open(Arc::new(RealDisk::new(dir)), SETTINGS).unwrap()
}

fn id(n: u64) -> [u8; 16] {
    u128::from(n).to_be_bytes()
}

fn push(writer: &mut Writer, n: u64) -> u64 {
    let event = Event {
        id: id(n),
        device: 1,
        at: 5,
        images: b"",
        trace: b"",
        body: b"a person at a door",
    };
    writer.push(&event).unwrap()
}

fn append(writer: &mut Writer, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        assert_eq!(push(writer, n), n);
    }
    writer.commit().unwrap();
}

fn seal(writer: &mut Writer, dir: &Path) {
    for seal in writer.seals() {
        seal.write(&RealDisk::new(dir)).unwrap();
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn a_withdrawn_group_leaves_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open_in(dir.path());
    append(&mut opened.writer, 1..=3);
    push(&mut opened.writer, 99);
    opened.writer.withdraw();
    append(&mut opened.writer, 4..=6);
    assert_eq!(opened.reader.segments().len(), 1);
    assert_eq!(opened.reader.id(4).unwrap(), Some(id(4)));
    let left = opened.writer.left();
    assert!(left > 0 && left < SETTINGS.segment_bytes);
}

#[test]
fn a_segment_that_is_closed_early_gives_its_space_back_and_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open_in(dir.path());
    let writer = &mut opened.writer;
    assert!(!writer.rotate(), "there is nothing in it");
    append(writer, 1..=300);
    assert_eq!(writer.oldest(), None);
    assert_eq!(writer.active().unwrap().last_seq, 300);
    push(writer, 7);
    assert!(!writer.rotate(), "a group is begun");
    writer.withdraw();
    let before = writer.bytes();
    assert!(writer.rotate());
    assert_eq!(writer.oldest(), None, "its ids are not written yet");
    seal(writer, dir.path());
    assert_eq!(writer.oldest().unwrap().last_seq, 300);
    append(writer, 301..=302);
    assert!(writer.bytes() < before * 2);
    for name in writer.trim(301).unwrap() {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert_eq!(opened.reader.first(), 301);
    // Ids outlive their events, and are found both ways.
    for n in [1, 256, 257, 300] {
        assert_eq!(opened.reader.find(id(n)).unwrap(), Some(n));
        let (first, ids) = opened.reader.ids_from(n).unwrap().unwrap();
        assert_eq!((first, &ids[..16]), (n, &id(n)[..]));
    }
    assert_eq!(opened.reader.find(id(9999)).unwrap(), None);
    assert_eq!(opened.reader.ids_from(301).unwrap(), None);
    let (first, ids) = opened.reader.ids_from(0).unwrap().unwrap();
    assert_eq!((first, ids.len()), (1, 256 * 16));
}

#[test]
fn a_probe_says_nothing_and_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open_in(dir.path());
    opened.writer.probe().unwrap();
    append(&mut opened.writer, 1..=3);
    opened.writer.probe().unwrap();
    append(&mut opened.writer, 4..=5);
    drop(opened);
    let opened = open_in(dir.path());
    assert!(opened.recovered.damaged.is_empty());
    assert_eq!(opened.reader.tail(), 5);
    assert_eq!(opened.reader.id(5).unwrap(), Some(id(5)));
}

#[test]
fn looking_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open_in(dir.path());
    append(&mut opened.writer, 1..=2000);
    append(&mut opened.writer, 2001..=2010);
    // As a kill would leave it: nothing is closed, and no file stands beside a segment.
    let before = files(dir.path());
    let looked = look(Arc::new(RealDisk::new(dir.path()))).unwrap();
    let mut events = 0;
    let read = looked.reader.read(0, u64::MAX, |_| {
        events += 1;
        true
    });
    read.unwrap();
    assert_eq!(events, 2010);
    let mut ids = 0;
    let each = looked.reader.each_id(0, |_, some| ids += some.len() / 16);
    each.unwrap();
    assert_eq!(ids, 2010);
    assert!(files(dir.path()) == before);
}

/// What a reading takes from the disk is what is wanted, and the rest of the blocks of 64 KiB in which that begins and ends:
/// whatever is beyond is read once more when its turn comes.
#[test]
fn little_more_is_read_than_what_is_wanted() {
    const BODY: usize = 1200;
    const FRAME: u64 = 1272;
    const BLOCK: u64 = (64 << 10) + FRAME;
    let disk = FaultDisk::new(1);
    let mut log = open(Arc::new(disk.clone()), Settings::default()).unwrap();
    for n in 1..=10_000 {
        let event = Event {
            id: id(n),
            device: 1,
            at: 5,
            images: b"",
            trace: b"",
            body: &[b'e'; BODY],
        };
        log.writer.push(&event).unwrap();
    }
    log.writer.commit().unwrap();
    let check = |seqs: &[u64], bytes_max: u64| {
        let before = disk.read_bytes();
        let mut found = 0;
        let picked = log.reader.pick(seqs, |one| {
            found += usize::from(matches!(one, Found::Event(..)));
            true
        });
        picked.unwrap();
        assert_eq!(found, seqs.len());
        let read = disk.read_bytes() - before;
        let (count, first) = (seqs.len(), seqs[0]);
        assert!(read <= bytes_max, "{count} from {first} on: {read}");
    };
    for first in (1..9000).step_by(531) {
        let run: Vec<u64> = (first..first + 700).collect();
        check(&run, 700 * FRAME + 2 * BLOCK);
        let of_several_devices: Vec<u64> = (first..first + 700).step_by(13).collect();
        check(&of_several_devices, 700 * FRAME + 2 * BLOCK);
        let far_from_each_other: Vec<u64> = (first..first + 1000).step_by(300).collect();
        check(&far_from_each_other, 4 * BLOCK);
        check(&[first], BLOCK);
        let before = disk.read_bytes();
        log.reader.read(first, first + 255, |_| true).unwrap();
        assert!(disk.read_bytes() - before <= 256 * FRAME + 2 * BLOCK);
    }
}

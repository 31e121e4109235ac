//! Pictures: damaged ones are gone, needed ones stay, all others leave in time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{FaultDisk, HandClock, HandLane, batch, pass_groups, settings, waits};
use faceway_core::{
    Batch, BuriedChoice, Clock as _, Entry, History as _, LaneStore as _, Log as _, NewEvent,
    Picture, Private, Sha256, Timestamp,
};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use faceway_testkit::spool::{event, number, time};

/// Bytes that only picture `n` has.
fn bytes(n: u64, length: usize) -> Bytes {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(length.max(8), 7);
    bytes.into()
}

fn sha(n: u64, length: usize) -> Sha256 {
    Sha256::of(&bytes(n, length))
}

fn pictured(event: NewEvent, pictures: &[(u64, usize)]) -> Batch {
    let picture = |&(n, length)| Picture {
        sha256: sha(n, length),
        media_type: None,
        bytes: Private::new(bytes(n, length)),
    };
    let pictures: Vec<_> = pictures.iter().map(picture).collect();
    Batch {
        events: vec![NewEvent {
            images: pictures.iter().map(|picture| picture.sha256).collect(),
            ..event
        }],
        pictures,
        ..Batch::default()
    }
}

async fn open(settings: DiskSettings, clock: &Arc<HandClock>) -> DiskSpool {
    DiskSpool::open(settings, Arc::clone(clock) as _)
        .await
        .unwrap()
}

/// Pictures 1 to 3 of 1,000 bytes each, of one event each, closed. Gives the pack.
async fn three(dir: &Path) -> PathBuf {
    let spool = open(settings(dir), &HandClock::new()).await;
    HandLane::claim(&spool, "erp").await;
    for n in 1..=3 {
        let batch = pictured(event(n, n), &[(n, 1000)]);
        spool.append(batch).await.unwrap();
    }
    spool.close().await;
    dir.join("images/1.pack")
}

/// Picture 2 is gone and is told once, at once and after a restart; the others are there.
async fn assert_second_is_gone(dir: &Path, told: u64) {
    for restart in 0..2 {
        let spool = open(settings(dir), &HandClock::new()).await;
        for _ in 0..2 {
            for n in [1, 3] {
                assert!(spool.picture(sha(n, 1000)).await.unwrap().is_some());
            }
            assert!(spool.picture(sha(2, 1000)).await.unwrap().is_none());
            // Whatever follows from it is in the database.
            pass_groups(&spool, 1).await;
        }
        let expected = if restart == 0 { told } else { 0 };
        assert_eq!(spool.damage().pictures, expected);
        assert_eq!(spool.damage().rows, 0);
        spool.close().await;
    }
    // Sent again it is kept again.
    let spool = open(settings(dir), &HandClock::new()).await;
    let batch = pictured(event(9, 9), &[(2, 1000)]);
    spool.append(batch).await.unwrap();
    assert!(spool.picture(sha(2, 1000)).await.unwrap().is_some());
    spool.close().await;
}

#[tokio::test]
async fn a_picture_with_a_flipped_bit_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let pack = three(dir.path()).await;
    let mut content = std::fs::read(&pack).unwrap();
    content[1500] ^= 1;
    std::fs::write(&pack, content).unwrap();
    assert_second_is_gone(dir.path(), 1).await;
}

/// What the database says of a picture is compared with the file before it is believed, a terabyte above all.
#[tokio::test]
async fn a_picture_whose_place_makes_no_sense_is_gone() {
    for change in [
        "length = 1 << 40",
        "length = -1",
        "length = 999",
        "length = 0",
        "start = 1 << 62, length = 1 << 62",
        "start = -1000",
        "start = 2500",
        "start = 0",
        "pack = 77",
        "pack = -1",
        // Without a checksum, as an earlier program wrote them.
        "crc = NULL, length = 1 << 40",
        "crc = NULL, length = -1",
        "crc = NULL, start = 1 << 62, length = 1 << 62",
        "crc = NULL, start = 2500",
    ] {
        let dir = tempfile::tempdir().unwrap();
        three(dir.path()).await;
        let conn = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
        let sql = format!("UPDATE image SET {change} WHERE sha256 = ?");
        conn.execute(&sql, [&sha(2, 1000).0[..]]).unwrap();
        drop(conn);
        let spool = open(settings(dir.path()), &HandClock::new()).await;
        assert!(
            spool.picture(sha(2, 1000)).await.unwrap().is_none(),
            "{change}"
        );
        for n in [1, 3] {
            let picture = spool.picture(sha(n, 1000)).await.unwrap();
            assert!(picture.is_some(), "{change}: picture {n}");
        }
        assert!(spool.damage().pictures > 0, "{change}");
        spool.close().await;
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_a_picture_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path()).await;
    let conn = rusqlite::Connection::open(dir.path().join("spool.db")).unwrap();
    let sql = "UPDATE image SET length = 'many' WHERE sha256 = ?";
    conn.execute(sql, [&sha(2, 1000).0[..]]).unwrap();
    drop(conn);
    let spool = open(settings(dir.path()), &HandClock::new()).await;
    assert!(spool.picture(sha(2, 1000)).await.unwrap().is_none());
    assert!(spool.picture(sha(1, 1000)).await.unwrap().is_some());
    assert_eq!(spool.damage().pictures, 1);
    spool.close().await;
}

#[tokio::test]
async fn pictures_behind_the_end_of_a_pack_that_was_cut_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let pack = three(dir.path()).await;
    let file = std::fs::File::options().write(true).open(&pack).unwrap();
    file.set_len(2500).unwrap();
    let spool = open(settings(dir.path()), &HandClock::new()).await;
    for (n, is_there) in [(1, true), (2, true), (3, false)] {
        let picture = spool.picture(sha(n, 1000)).await.unwrap();
        assert_eq!(picture.is_some(), is_there, "picture {n}");
    }
    assert_eq!(spool.damage().pictures, 1);
    spool.close().await;
    drop(spool);
    std::fs::remove_file(&pack).unwrap();
    let spool = open(settings(dir.path()), &HandClock::new()).await;
    for n in 1..=3 {
        assert!(spool.picture(sha(n, 1000)).await.unwrap().is_none());
    }
    assert_eq!(spool.damage().pictures, 2, "the third was told before");
    spool.close().await;
}

/// The disk does not answer: that says nothing of the picture.
#[tokio::test]
async fn a_picture_that_cannot_be_read_now_is_not_gone() {
    let dir = tempfile::tempdir().unwrap();
    let pack = three(dir.path()).await;
    let spool = open(settings(dir.path()), &HandClock::new()).await;
    let aside = dir.path().join("aside");
    std::fs::rename(&pack, &aside).unwrap();
    // A directory opens like a file, and reading it fails with an error of its own.
    std::fs::create_dir(&pack).unwrap();
    for n in 1..=3 {
        assert!(spool.picture(sha(n, 1000)).await.is_err());
    }
    assert_eq!(spool.damage().pictures, 0);
    std::fs::remove_dir(&pack).unwrap();
    std::fs::rename(&aside, &pack).unwrap();
    for n in 1..=3 {
        assert!(spool.picture(sha(n, 1000)).await.unwrap().is_some());
    }
    spool.close().await;
}

/// A face is stored once, and an earlier event that waits keeps it when a later one with the same face is through.
#[tokio::test]
async fn a_picture_that_comes_again_stays_for_the_first_that_waits() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let kept = Duration::from_secs(240);
    let settings = DiskSettings {
        images: kept,
        ..settings(dir.path())
    };
    let spool = open(settings.clone(), &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    spool
        .append(pictured(event(1, 1), &[(1, 1000)]))
        .await
        .unwrap();
    let parked = lane.take(&spool, 9).await.remove(0);
    lane.park(parked.seq, time(1), Duration::from_secs(900_000));
    lane.commit(&spool).await.unwrap();
    for n in 2..60 {
        clock.forward(kept / 20);
        spool
            .append(pictured(event(n, n), &[(1, 1000)]))
            .await
            .unwrap();
        assert_eq!(lane.deliver(&spool).await, [n]);
        pass_groups(&spool, 1).await;
    }
    for n in 60..120 {
        clock.forward(kept / 20);
        spool.append(batch(vec![event(n, n)])).await.unwrap();
        assert_eq!(lane.deliver(&spool).await, [n]);
        assert!(spool.picture(sha(1, 1000)).await.unwrap().is_some(), "{n}");
    }
    spool.close().await;
    drop(spool);
    let spool = open(settings, &clock).await;
    assert!(spool.picture(sha(1, 1000)).await.unwrap().is_some());
    spool.close().await;
}

/// A device that hears an error may never send again: what it sent does not stay.
#[tokio::test]
async fn a_picture_of_a_group_that_failed_is_erased() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let clock = HandClock::new();
    let spool = DiskSpool::open_on(settings(dir.path()), clock, Arc::clone(&disk) as _);
    let spool = spool.await.unwrap();
    spool
        .append(pictured(event(1, 1), &[(1, 9000)]))
        .await
        .unwrap();
    disk.before.store(1, std::sync::atomic::Ordering::SeqCst);
    let failed = spool.append(pictured(event(2, 2), &[(2, 9000)])).await;
    assert!(failed.is_err());
    spool
        .append(pictured(event(3, 3), &[(3, 9000)]))
        .await
        .unwrap();
    pass_groups(&spool, 1).await;
    for (n, is_there) in [(1, true), (2, false), (3, true)] {
        let picture = spool.picture(sha(n, 9000)).await.unwrap();
        assert_eq!(picture.is_some(), is_there, "picture {n}");
    }
    let content = std::fs::read(dir.path().join("images/1.pack")).unwrap();
    assert!(!content.windows(9000).any(|part| *part == bytes(2, 9000)));
    spool.close().await;
}

/// Three events with a picture each, delivered at the start of the clock.
async fn delivered(dir: &Path, kept: Duration, clock: &Arc<HandClock>) -> (DiskSpool, HandLane) {
    let settings = DiskSettings {
        images: kept,
        ..settings(dir)
    };
    let spool = open(settings, clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    for n in 1..=3 {
        let batch = pictured(event(n, n), &[(n, 1000)]);
        spool.append(batch).await.unwrap();
    }
    assert_eq!(lane.deliver(&spool).await, [1, 2, 3]);
    pass_groups(&spool, 2).await;
    (spool, lane)
}

async fn are_there(spool: &DiskSpool, clock: &HandClock) -> Vec<bool> {
    for _ in 0..4 {
        clock.forward(Duration::from_secs(1));
        pass_groups(spool, 2).await;
    }
    let mut are_there = Vec::new();
    for n in 1..=3 {
        are_there.push(spool.picture(sha(n, 1000)).await.unwrap().is_some());
    }
    are_there
}

/// As after a replay of which the end is committed together with the beginning.
#[tokio::test]
async fn an_event_that_waits_once_more_keeps_its_picture() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Duration::from_secs(240));
    let clock = HandClock::new();
    let (spool, lane) = delivered(dir.path(), kept, &clock).await;
    let again = waits(lane.routed_through, &[(2, 2)]);
    spool.commit(&lane.claim, again).await.unwrap();
    clock.forward(kept * 2);
    assert_eq!(are_there(&spool, &clock).await, [false, true, false]);
    let mut lane = HandLane::claim(&spool, "erp").await;
    assert_eq!(lane.deliver(&spool).await, [2]);
    clock.forward(kept / 2);
    assert_eq!(are_there(&spool, &clock).await, [false, true, false]);
    clock.forward(kept);
    assert_eq!(are_there(&spool, &clock).await, [false; 3]);
    spool.close().await;
}

/// Else each replay would keep the pictures of all events behind it for longer than the operator has said.
#[tokio::test]
async fn a_replay_keeps_the_pictures_of_its_own_events_only() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Duration::from_secs(240));
    let clock = HandClock::new();
    let (spool, mut lane) = delivered(dir.path(), kept, &clock).await;
    clock.forward(kept * 9 / 10);
    assert_eq!(lane.replay(&spool, time(1), time(2)).await, 1);
    lane.commit(&spool).await.unwrap();
    pass_groups(&spool, 2).await;
    assert_eq!(lane.deliver(&spool).await, [1]);
    clock.forward(kept / 5);
    assert_eq!(are_there(&spool, &clock).await, [true, false, false]);
    clock.forward(kept);
    assert_eq!(are_there(&spool, &clock).await, [false; 3]);
    spool.close().await;
}

/// An event that lives again has what is left of its pictures as long as it waits.
#[tokio::test]
async fn a_revived_event_keeps_its_picture_as_long_as_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let settings = DiskSettings {
        images: KEPT,
        ..settings(dir.path())
    };
    let spool = open(settings.clone(), &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    spool
        .append(pictured(event(1, 1), &[(1, 1000)]))
        .await
        .unwrap();
    let buried = lane.take(&spool, 9).await.remove(0);
    lane.bury(buried.seq);
    spool.append(batch(vec![event(2, 2)])).await.unwrap();
    assert_eq!(lane.deliver(&spool).await, [2]);
    pass_groups(&spool, 1).await;
    clock.forward(KEPT / 2);
    lane.revive(buried.seq, buried.device);
    lane.commit(&spool).await.unwrap();
    assert_eq!(lane.buried, 0);
    for _ in 0..6 {
        clock.forward(KEPT / 2);
        pass_groups(&spool, 1).await;
        assert!(spool.picture(sha(1, 1000)).await.unwrap().is_some());
    }
    spool.close().await;
    drop(spool);
    let spool = open(settings, &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    assert_eq!(lane.deliver(&spool).await, [1]);
    for _ in 0..6 {
        pass_groups(&spool, 1).await;
        clock.forward(KEPT / 4);
    }
    pass_groups(&spool, 1).await;
    assert!(spool.picture(sha(1, 1000)).await.unwrap().is_none());
    spool.close().await;
}

/// Removed bytes are not on the disk any more, although others of their pack stay.
#[tokio::test]
async fn what_leaves_is_erased_while_the_rest_of_its_pack_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandClock::new();
    let settings = DiskSettings {
        images: Duration::from_secs(240),
        ..settings(dir.path())
    };
    let spool = open(settings, &clock).await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    for n in 1..=9 {
        spool
            .append(pictured(event(n, n), &[(n, 50_000)]))
            .await
            .unwrap();
    }
    for (at, entry) in lane.take(&spool, 9).await.iter().enumerate() {
        match at {
            4 => lane.park(entry.seq, time(1), Duration::from_secs(900_000)),
            _ => lane.acknowledge(entry.seq),
        }
    }
    lane.commit(&spool).await.unwrap();
    for _ in 0..50 {
        clock.forward(Duration::from_secs(6));
        pass_groups(&spool, 1).await;
    }
    let content = std::fs::read(dir.path().join("images/1.pack")).unwrap();
    let fifth = &content[200_000..250_000];
    assert_eq!(Sha256::of(fifth), sha(5, 50_000));
    assert!(content[..200_000].iter().all(|byte| *byte == 0));
    assert!(content[250_000..].iter().all(|byte| *byte == 0));
    let used = std::fs::metadata(dir.path().join("images/1.pack")).unwrap();
    let used = std::os::unix::fs::MetadataExt::blocks(&used) * 512;
    assert!(used < 100_000, "{used} bytes");
    spool.close().await;
}

/// What a model knows of an event.
#[derive(Clone, Debug, Default)]
struct Known {
    pictures: Vec<u64>,
    /// The lanes in which it waits.
    waits: BTreeSet<usize>,
    /// When it ceased to wait.
    through: Option<i64>,
    /// Its pictures that were there when it began to wait, the last time.
    had: BTreeSet<u64>,
}

struct Walk {
    spool: DiskSpool,
    clock: Arc<HandClock>,
    settings: DiskSettings,
    lanes: [HandLane; 2],
    /// Which event has which number in the log.
    numbers: BTreeMap<u64, u64>,
    /// When a parked event may leave, by its lane and number in the log.
    due: BTreeMap<(usize, u64), Timestamp>,
    events: BTreeMap<u64, Known>,
    dice: u64,
    next: u64,
    /// When the engine last went back for a replay: what is behind it counts as waiting.
    replayed: i64,
}

const LENGTH: usize = 700;
const KEPT: Duration = Duration::from_secs(240);
const STEP: Duration = Duration::from_secs(4);
const NAMES: [&str; 2] = ["erp", "bus"];

/// Deliveries of which one in twenty fails, faces that come again, burials, revivals, replays and restarts. After each step:
/// an event that waits has its body and its pictures, and a picture that none waits for is removed in time.
#[tokio::test]
async fn pictures_stay_with_those_that_wait_and_leave_in_time() {
    for seed in 1..=3 {
        let dir = tempfile::tempdir().unwrap();
        let mut walk = Walk::new(dir.path(), seed).await;
        for step in 0..260 {
            walk.step().await;
            walk.check(&format!("seed {seed}, step {step}")).await;
        }
        walk.spool.close().await;
    }
}

async fn claim(spool: &DiskSpool) -> [HandLane; 2] {
    [
        HandLane::claim(spool, NAMES[0]).await,
        HandLane::claim(spool, NAMES[1]).await,
    ]
}

impl Walk {
    async fn new(dir: &Path, seed: u64) -> Self {
        let (clock, settings) = (HandClock::new(), settings(dir));
        let settings = DiskSettings {
            images: KEPT,
            ..settings
        };
        let spool = open(settings.clone(), &clock).await;
        let lanes = claim(&spool).await;
        Self {
            spool,
            clock,
            settings,
            lanes,
            numbers: BTreeMap::new(),
            due: BTreeMap::new(),
            events: BTreeMap::new(),
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            next: 1,
            replayed: 0,
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    async fn step(&mut self) {
        self.clock.forward(STEP);
        self.append().await;
        for lane in 0..2 {
            self.deliver(lane).await;
        }
        match self.roll(30) {
            0 => self.replay().await,
            1 => self.revive().await,
            2 => self.reopen().await,
            _ => {}
        }
        // The writer has looked after what is due.
        pass_groups(&self.spool, 2).await;
    }

    async fn append(&mut self) {
        for _ in 0..self.roll(4) {
            let (n, device) = (self.next, self.roll(9));
            self.next += 1;
            // Some are new, and some have come before.
            let pictures: Vec<u64> = match self.roll(4) {
                0 => vec![],
                1 => vec![self.roll(12)],
                2 => vec![n + 1000],
                _ => vec![n + 1000, self.roll(12)],
            };
            let given: Vec<_> = pictures.iter().map(|n| (*n, LENGTH)).collect();
            let event = NewEvent {
                received_at: self.clock.now(),
                ..event(n, device)
            };
            let receipts = self.spool.append(pictured(event, &given)).await.unwrap();
            self.numbers.insert(receipts[0].seq().unwrap(), n);
            let known = Known {
                had: pictures.iter().copied().collect(),
                pictures,
                waits: [0, 1].into(),
                through: None,
            };
            self.events.insert(n, known);
        }
    }

    async fn deliver(&mut self, lane: usize) {
        let now = self.clock.now();
        for entry in self.take(lane).await {
            assert!(!entry.body.reveal().is_empty());
            // An earlier event of its device may have been parked in this loop.
            if !self.lanes[lane].free().contains(&entry.seq) {
                continue;
            }
            let is_through = match self.roll(20) {
                0 => {
                    let pause = Duration::from_secs(10 + self.roll(400));
                    self.due.insert((lane, entry.seq), now.plus(pause));
                    self.lanes[lane].park(entry.seq, now, pause);
                    false
                }
                1 => {
                    self.lanes[lane].bury(entry.seq);
                    true
                }
                _ => {
                    self.lanes[lane].acknowledge(entry.seq);
                    true
                }
            };
            if is_through {
                let known = self.events.get_mut(&number(entry.id)).unwrap();
                known.waits.remove(&lane);
                known.through = Some(now.as_millis());
            }
        }
        self.lanes[lane].commit(&self.spool).await.unwrap();
    }

    /// Events that the lane would deliver now. Each that waits is there.
    async fn take(&mut self, lane: usize) -> Vec<Entry> {
        let now = self.clock.now();
        let is_due = |((of, _), due): &(&(usize, u64), &Timestamp)| *of == lane && **due <= now;
        let due: Vec<u64> = (self.due.iter().filter(is_due))
            .map(|((_, seq), _)| *seq)
            .collect();
        for seq in due {
            self.due.remove(&(lane, seq));
            self.lanes[lane].release(seq);
        }
        let (spool, lane) = (&self.spool, &mut self.lanes[lane]);
        lane.route(spool).await;
        let mut free = lane.free();
        free.truncate(8);
        let entries = spool.fetch(free.clone()).await.unwrap();
        let entries: Vec<Entry> = entries.into_iter().flatten().collect();
        assert_eq!(entries.len(), free.len(), "an event that waits has left");
        entries
    }

    async fn there(&self, picture: u64) -> bool {
        let sha256 = sha(picture, LENGTH);
        self.spool.picture(sha256).await.unwrap().is_some()
    }

    /// The event waits again, with what is left of its pictures.
    async fn wait_again(&mut self, n: u64, lane: usize) {
        let mut known = self.events[&n].clone();
        if known.waits.is_empty() {
            known.had.clear();
            for picture in &known.pictures {
                if self.there(*picture).await {
                    known.had.insert(*picture);
                }
            }
        }
        known.waits.insert(lane);
        self.events.insert(n, known);
    }

    async fn replay(&mut self) {
        let now = self.clock.now();
        let since = now.plus_millis(-i64::try_from(self.roll(600_000)).unwrap());
        let lane = &mut self.lanes[0];
        let count = lane.replay(&self.spool, since, now).await;
        lane.commit(&self.spool).await.unwrap();
        let mut waits = 0;
        let seqs = self.numbers.keys().copied().collect();
        let entries = self.spool.fetch(seqs).await.unwrap();
        let numbers: Vec<u64> = self.numbers.values().copied().collect();
        for (entry, n) in entries.into_iter().zip(numbers) {
            if (since..now).contains(&entry.unwrap().received_at) {
                self.wait_again(n, 0).await;
                waits += 1;
            }
        }
        assert_eq!(count, waits);
        self.replayed = now.as_millis();
    }

    async fn revive(&mut self) {
        let places = self.spool.buried_places(BuriedChoice::default()).await;
        for place in places.unwrap() {
            let lane = usize::from(place.lane == "bus");
            self.wait_again(self.numbers[&place.seq], lane).await;
            self.lanes[lane].revive(place.seq, place.device);
        }
        for lane in &mut self.lanes {
            lane.commit(&self.spool).await.unwrap();
        }
    }

    async fn reopen(&mut self) {
        self.spool.close().await;
        self.spool = open(self.settings.clone(), &self.clock).await;
        self.lanes = claim(&self.spool).await;
    }

    async fn check(&self, at: &str) {
        let now = self.clock.now().as_millis();
        let mut pictures: BTreeMap<u64, (bool, i64)> = BTreeMap::new();
        for (n, known) in &self.events {
            let waits = !known.waits.is_empty();
            for picture in known.pictures.iter().copied() {
                let is_due = pictures.entry(picture).or_insert((false, 0));
                is_due.0 |= waits;
                is_due.1 = is_due.1.max(known.through.unwrap_or(0));
            }
            for picture in known.had.iter().copied().filter(|_| waits) {
                assert!(
                    self.there(picture).await,
                    "{at}: event {n} waits without its picture {picture}"
                );
            }
        }
        let late = i64::try_from((KEPT + KEPT / 10).as_millis()).unwrap();
        for (picture, (is_needed, through)) in pictures {
            let age = now - through.max(self.replayed);
            if !is_needed && age > late && self.there(picture).await {
                panic!("{at}: picture {picture} is there {age} ms after its time began");
            }
        }
    }
}

//! `check` proves a spool, and `salvage` saves what can be read of a broken one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use common::{
    HandClock, HandLane, Held, batch, copy, events_as_rows, flip_event, former_directory, junk,
    keep_rules, kept_rules, open, pass_groups, settings,
};
use faceway_core::{History as _, Log as _, Page, Picture, Private, Sha256, Start};
use faceway_spool_disk::{DiskSettings, DiskSpool, InspectError, Part, check, salvage};
use faceway_testkit::spool::{body, event, number, time};

const EVENTS: u64 = 2000;

fn picture(n: u64) -> Picture {
    let bytes = bytes::Bytes::from(vec![n as u8; 5000]);
    Picture {
        sha256: Sha256::of(&bytes),
        media_type: None,
        bytes: Private::new(bytes),
    }
}

/// Event 1 is parked, 2 buried, 3 to 10 delivered, the others wait: some have yet to be routed. Event 11 has a picture.
async fn filled(dir: &Path) {
    let spool = open(dir).await.unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    let mut first = batch((1..=20).map(|n| event(n, n)).collect());
    first.events[10].images = vec![picture(11).sha256];
    first.pictures = vec![picture(11)];
    spool.append(first).await.unwrap();
    for entry in lane.take(&spool, 10).await {
        match number(entry.id) {
            1 => lane.park(entry.seq, time(0), Duration::from_secs(9)),
            2 => lane.bury(entry.seq),
            _ => lane.acknowledge(entry.seq),
        }
    }
    for n in 0..(EVENTS - 20) / 20 {
        let events = (21 + n * 20..41 + n * 20).map(|n| event(n, n)).collect();
        spool.append(batch(events)).await.unwrap();
        if n == 75 {
            lane.route(&spool).await;
            lane.commit(&spool).await.unwrap();
        }
    }
    spool.append(junk("gate", "{")).await.unwrap();
    keep_rules(&spool, "of today").await;
    spool.close().await;
}

/// Events that a salvaged spool has for the lane, and whether the lane finds everything sound.
async fn waiting(dir: &Path) -> (BTreeSet<u64>, bool) {
    let spool = open(dir).await.unwrap();
    assert_eq!(spool.damage(), Default::default());
    let mut lane = HandLane::claim_from(&spool, "erp", Start::Now).await;
    lane.route(&spool).await;
    let seqs = lane.waiting.into_keys().collect();
    let entries = spool.fetch(seqs).await.unwrap();
    let numbers = entries.iter().flatten().map(|entry| number(entry.id));
    let numbers = numbers.collect();
    let is_sound = spool.damage() == Default::default();
    spool.close().await;
    (numbers, is_sound)
}

fn of(parts: &[Part], name: &str) -> Part {
    let part = parts.iter().find(|part| part.name == name);
    part.unwrap_or_else(|| panic!("no {name}: {parts:?}"))
        .clone()
}

fn not_whole(parts: &[Part]) -> Vec<&'static str> {
    let parts = parts.iter().filter(|part| !part.is_whole());
    parts.map(|part| part.name).collect()
}

fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if !path.to_string_lossy().ends_with("-shm") {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}

#[tokio::test]
async fn a_whole_spool_is_proved_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    filled(&whole).await;
    let spool = open(&whole).await.unwrap();
    spool.append(batch(vec![event(9000, 1)])).await.unwrap();
    assert!(matches!(check(&whole), Err(InspectError::InUse(_))));
    copy(&whole, &cut);
    spool.close().await;
    drop(spool);
    for dir in [whole, cut] {
        let before = files(&dir);
        let parts = check(&dir).unwrap();
        assert_eq!(not_whole(&parts), [""; 0], "{parts:?}");
        assert_eq!(of(&parts, "events").good, EVENTS + 1);
        assert_eq!(of(&parts, "known ids").good, EVENTS + 1);
        assert_eq!(of(&parts, "what waits in lanes").good, 1531);
        for one in [
            "lanes",
            "owners of lanes",
            "what failed and waits",
            "buried events",
            "pictures",
            "notes",
            "sequence",
        ] {
            assert_eq!(of(&parts, one).good, 1, "{one}");
        }
        assert!(files(&dir) == before, "checking has changed the spool");
    }
    let nothing = check(&dir.path().join("nowhere"));
    assert!(
        matches!(nothing, Err(InspectError::Nothing(_))),
        "{nothing:?}"
    );
}

#[tokio::test]
async fn whatever_is_damaged_or_missing_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    filled(&whole).await;
    let sql = |statement: &'static str| {
        move |dir: &Path| {
            let conn = rusqlite::Connection::open(dir.join("spool.db")).unwrap();
            assert!(conn.execute(statement, []).unwrap() > 0, "{statement}");
        }
    };
    type Break = Box<dyn Fn(&Path)>;
    let cases: Vec<(&str, Break)> = vec![
        (
            "events",
            Box::new(|dir| flip_event(dir, body(30).as_bytes())),
        ),
        (
            "what waits in lanes",
            Box::new(|dir| std::fs::remove_dir_all(dir.join("log")).unwrap()),
        ),
        (
            "what waits in lanes",
            Box::new(sql("UPDATE waiting SET crc = crc + 1 WHERE range = 1")),
        ),
        (
            "what waits in lanes",
            Box::new(sql("UPDATE waiting SET range = 9 WHERE range = 1")),
        ),
        (
            "owners of lanes",
            Box::new(sql("UPDATE lane_state SET routed_through = 1999")),
        ),
        (
            "owners of lanes",
            Box::new(sql("UPDATE lane_state SET lane = 77")),
        ),
        ("owners of lanes", Box::new(sql("DELETE FROM lane_state"))),
        ("owners of lanes", Box::new(sql("DELETE FROM lane"))),
        (
            "what failed and waits",
            Box::new(sql("UPDATE held_event SET failures = 7")),
        ),
        (
            "what failed and waits",
            Box::new(sql("UPDATE held_event SET code = 7")),
        ),
        ("lanes", Box::new(sql("UPDATE lane SET name = 'erq'"))),
        (
            "buried events",
            Box::new(sql("UPDATE buried SET code = '500'")),
        ),
        ("buried bodies", Box::new(sql("UPDATE buried SET at = 7"))),
        ("totals", Box::new(sql("UPDATE meta SET trimmed = 7"))),
        (
            "quarantine",
            Box::new(sql("UPDATE quarantine SET inbound = 'x'")),
        ),
        (
            "unreadable bodies",
            Box::new(sql("UPDATE quarantine SET headers = 'x'")),
        ),
        ("notes", Box::new(sql("UPDATE note SET name = 'x'"))),
        (
            "pictures",
            Box::new(|dir| std::fs::write(dir.join("images/1.pack"), [1; 5000]).unwrap()),
        ),
        (
            "packs of pictures",
            Box::new(|dir| std::fs::remove_file(dir.join("images/1.pack")).unwrap()),
        ),
        (
            "sequence",
            Box::new(|dir| std::fs::write(dir.join("sequence"), [1; 12]).unwrap()),
        ),
        (
            "database",
            Box::new(|dir| std::fs::remove_file(dir.join("spool.db")).unwrap()),
        ),
        (
            "database",
            Box::new(|dir| {
                let path = dir.join("spool.db");
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }),
        ),
    ];
    for (part, damage) in cases {
        let case = dir.path().join("case");
        let _ = std::fs::remove_dir_all(&case);
        copy(&whole, &case);
        damage(&case);
        let parts = check(&case).unwrap();
        assert!(not_whole(&parts).contains(&part), "{part}: {parts:?}");
    }
}

#[tokio::test]
async fn everything_of_a_whole_spool_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, to) = (dir.path().join("whole"), dir.path().join("to"));
    filled(&whole).await;
    let before = files(&whole);
    let parts = salvage(&whole, &to).unwrap();
    assert_eq!(not_whole(&parts), [""; 0], "{parts:?}");
    assert!(files(&whole) == before, "the old spool has changed");
    assert_eq!(not_whole(&check(&to).unwrap()), [""; 0]);
    let mut expected: BTreeSet<u64> = (11..=EVENTS).collect();
    expected.insert(1);
    assert_eq!(waiting(&to).await, (expected, true));
    let spool = open(&to).await.unwrap();
    let lane = HandLane::claim(&spool, "erp").await;
    assert_eq!((lane.buried, lane.held[&1].failures), (1, 1));
    assert_eq!(spool.buried(None, Page::first(9)).await.unwrap().len(), 1);
    assert_eq!(spool.quarantine(Page::first(9)).await.unwrap().len(), 1);
    assert_eq!(kept_rules(&spool).await, Some("of today".into()));
    assert!(spool.picture(picture(11).sha256).await.unwrap().is_some());
    let again = spool.append(batch(vec![event(5, 5)])).await.unwrap();
    assert_eq!(again, [faceway_core::Receipt::Duplicate], "ids are known");
    spool.close().await;
    drop(spool);
    assert!(matches!(
        salvage(&whole, &to),
        Err(InspectError::NotEmpty(_))
    ));
}

/// Where the gateway does not start any more, most of the spool is still there: also where all events are rows.
#[tokio::test]
async fn what_can_be_read_of_a_broken_spool_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    filled(&whole).await;
    events_as_rows(&whole);
    let bytes = std::fs::read(whole.join("spool.db")).unwrap();
    let pages = bytes.len() / 4096;
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for percent in [97, 90, 60] {
        let kept = bytes.len() * percent / 100;
        cases.push((format!("cut at {percent} %"), bytes[..kept].to_vec()));
    }
    for page in (20..pages).step_by(pages / 6) {
        let mut damaged = bytes.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xEE);
        cases.push((format!("page {page} of {pages}"), damaged));
    }
    for at in [0, 16, 18, 21, 28, 31, 56] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xFF;
        cases.push((format!("byte {at} of the header"), damaged));
    }
    for (case, damaged) in cases {
        let (from, to) = (dir.path().join("case"), dir.path().join("to"));
        for dir in [&from, &to] {
            let _ = std::fs::remove_dir_all(dir);
        }
        copy(&whole, &from);
        std::fs::write(from.join("spool.db"), &damaged).unwrap();
        let parts = salvage(&from, &to).unwrap_or_else(|error| panic!("{case}: {error}"));
        let saved = of(&parts, "events").good;
        let (waiting, is_sound) = waiting(&to).await;
        let is_told = !not_whole(&parts).is_empty();
        assert!(is_sound || is_told, "{case}: {parts:?}");
        // A page holds some twenty events; what a cut takes away is not there.
        let least = match damaged.len() * 100 / bytes.len() {
            100 => EVENTS - 60,
            percent => EVENTS * (percent as u64 - 15) / 100,
        };
        println!("{case}: {saved} of {EVENTS} saved, {} wait", waiting.len());
        assert!(saved >= least, "{case}: {saved} {parts:?}");
        assert!(
            waiting.len() as u64 + 20 >= saved,
            "{case}: {} wait",
            waiting.len()
        );
    }
}

/// Events stand in segments, so each page of the database is one of lanes, ids, notes or pictures. What is saved is sound:
/// what was lost is told when it is saved, and not once more when it is opened.
#[tokio::test]
async fn what_is_saved_of_each_broken_page_opens_sound() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    filled(&whole).await;
    let bytes = std::fs::read(whole.join("spool.db")).unwrap();
    let mut told = Vec::new();
    for page in 1..bytes.len() / 4096 {
        let (from, to) = (dir.path().join("case"), dir.path().join("to"));
        for dir in [&from, &to] {
            let _ = std::fs::remove_dir_all(dir);
        }
        copy(&whole, &from);
        let mut damaged = bytes.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xEE);
        std::fs::write(from.join("spool.db"), &damaged).unwrap();
        let parts = salvage(&from, &to).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert_eq!(of(&parts, "events").good, EVENTS, "{page}: {parts:?}");
        let spool = open(&to).await.unwrap();
        let damage = spool.damage();
        spool.close().await;
        drop(spool);
        if damage != Default::default() {
            told.push((page, damage, not_whole(&parts)));
        }
    }
    assert!(told.is_empty(), "{told:#?}");
}

/// With all events in the log: its damage costs what is damaged.
#[tokio::test]
async fn the_log_is_read_behind_its_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, cut) = (dir.path().join("whole"), dir.path().join("cut"));
    let spool = open(&whole).await.unwrap();
    HandLane::claim(&spool, "erp").await;
    for n in 1..=200 {
        spool.append(batch(vec![event(n, n)])).await.unwrap();
        let note = bytes::Bytes::from(n.to_le_bytes().repeat(100));
        keep_rules(&spool, note).await;
    }
    copy(&whole, &cut);
    spool.close().await;
    let wal = std::fs::read(cut.join("spool.db-wal")).unwrap();
    let frame = |number: usize| 32 + number * (24 + 4096);
    let flips: [&[usize]; 4] = [
        &[3, 20, frame(0) + 1000, frame(0) + 2000],
        &[frame(300) + 100, frame(300) + 2100],
        &[
            frame(100) + 5,
            frame(100) + 2100,
            frame(400) + 17,
            frame(400) + 700,
        ],
        &[5],
    ];
    for flips in flips {
        let (from, to) = (dir.path().join("case"), dir.path().join("to"));
        for dir in [&from, &to] {
            let _ = std::fs::remove_dir_all(dir);
        }
        copy(&cut, &from);
        let mut damaged = wal.clone();
        for at in flips {
            damaged[*at] ^= 0x42;
        }
        std::fs::write(from.join("spool.db-wal"), damaged).unwrap();
        let parts = salvage(&from, &to).unwrap();
        let saved = of(&parts, "events").good;
        assert!(saved >= 195, "{flips:?}: {saved} {parts:?}");
        assert!(waiting(&to).await.0.len() >= 195, "{flips:?}");
    }
}

/// Before the takeover, and after it, when what its lanes had in hand has been delivered and has left the log.
#[tokio::test]
async fn a_directory_of_format_1_is_proved() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let events = (1..=9).map(|n| event(n, n)).collect();
    former_directory(&whole, events, |rows| {
        rows.lane(1, "erp", (6, 5), &[3]);
        rows.held(1, Held::parked(2, time(9)));
    })
    .await;
    assert_eq!(not_whole(&check(&whole).unwrap()), [""; 0]);
    for (sql, part) in [
        ("UPDATE lane SET position = 700000", "positions of lanes"),
        ("UPDATE held SET failures = 700000", "events that wait"),
        ("DELETE FROM event WHERE seq = 2", "events"),
        ("DELETE FROM event WHERE seq = 3", "events"),
    ] {
        let broken = dir.path().join("broken");
        let _ = std::fs::remove_dir_all(&broken);
        copy(&whole, &broken);
        let conn = rusqlite::Connection::open(broken.join("spool.db")).unwrap();
        assert_eq!(conn.execute(sql, []).unwrap(), 1, "{sql}");
        drop(conn);
        let parts = check(&broken).unwrap();
        assert!(not_whole(&parts).contains(&part), "{sql}: {parts:?}");
    }
    let clock = HandClock::new();
    clock.forward(Duration::from_secs(100_000));
    let forgetful = DiskSettings {
        history: Duration::ZERO,
        ..settings(&whole)
    };
    let spool = DiskSpool::open(forgetful, clock.clone()).await.unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    lane.release(2);
    let delivered: BTreeSet<u64> = lane.deliver(&spool).await.into_iter().collect();
    assert_eq!(delivered, [2, 3, 6, 7, 8, 9].into());
    for _ in 0..4 {
        clock.forward(Duration::from_secs(2));
        pass_groups(&spool, 4).await;
    }
    spool.close().await;
    drop(spool);
    let parts = check(&whole).unwrap();
    assert_eq!(of(&parts, "events").good, 0);
    assert_eq!(not_whole(&parts), [""; 0], "{parts:?}");
}

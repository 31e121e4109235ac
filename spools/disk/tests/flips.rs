//! One flipped bit anywhere in any file: the gateway starts, no event but the hit one is missing, and what is missing is told.
//!
//! `FLIPS=200 cargo test --release -p faceway-spool-disk --test flips` tries more places of each file.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{HandClock, HandLane, batch, copy, junk, keep_rules, pass_groups, settings};
use faceway_core::{Batch, LaneStore as _, Log as _, Picture, Private, Sha256, Start};
use faceway_spool_disk::{Damage, DiskSettings, DiskSpool, OpenError};
use faceway_testkit::spool::{body, event, number, time};

/// The head of a database, of which each eighth byte is tried.
const HEAD: usize = 100;
const HEAD_STEP: usize = 4;
const EVENTS: u64 = 120;
/// Events with a picture of their own.
const PICTURED: u64 = 12;

fn small(dir: &Path) -> DiskSettings {
    DiskSettings {
        // Segments of 1 MiB.
        bytes_max: 16 << 20,
        quarantine_bytes_max: 2 << 20,
        ..settings(dir)
    }
}

async fn open(dir: &Path) -> Result<DiskSpool, OpenError> {
    DiskSpool::open(small(dir), HandClock::new()).await
}

fn picture(n: u64) -> Vec<u8> {
    n.to_le_bytes().repeat(600)
}

/// Two lanes: for `bus` everything was delivered, for `erp` everything waits but a buried event, one is parked.
async fn filled(dir: &Path, cut: &Path) {
    let spool = open(dir).await.unwrap();
    keep_rules(&spool, "of today").await;
    let (mut erp, mut bus) = (
        HandLane::claim(&spool, "erp").await,
        HandLane::claim(&spool, "bus").await,
    );
    for n in 1..=EVENTS {
        let mut new = event(n, n % 7);
        let mut pictures = Vec::new();
        if n <= PICTURED {
            new.images = vec![Sha256::of(&picture(n))];
            pictures.push(Picture {
                sha256: Sha256::of(&picture(n)),
                media_type: None,
                bytes: Private::new(picture(n).into()),
            });
        }
        let batch = Batch {
            events: vec![new],
            pictures,
            ..Batch::default()
        };
        spool.append(batch).await.unwrap();
    }
    spool.append(junk("lobby", vec![b'x'; 3000])).await.unwrap();
    for entry in erp.take(&spool, 2).await {
        match number(entry.id) {
            1 => erp.park(entry.seq, time(0), Duration::from_secs(500)),
            _ => erp.bury(entry.seq),
        }
    }
    erp.commit(&spool).await.unwrap();
    bus.deliver(&spool).await;
    pass_groups(&spool, 3).await;
    copy(dir, cut);
    spool.close().await;
}

/// What came of one flip.
#[derive(Debug, Default)]
struct Outcome {
    refused: Option<String>,
    missing: BTreeSet<u64>,
    pictures_missing: u64,
    damage: Damage,
}

/// Opens the directory, takes everything that waits for `erp`, and looks at all pictures. Nothing damaged may come.
async fn look(dir: &Path) -> Outcome {
    let spool = match open(dir).await {
        Ok(spool) => spool,
        Err(error) => {
            return Outcome {
                refused: Some(error.to_string()),
                ..Outcome::default()
            };
        }
    };
    let mut lane = HandLane::claim_from(&spool, "erp", Start::Now).await;
    for seq in lane.held.keys().copied().collect::<Vec<_>>() {
        lane.release(seq);
    }
    let mut outcome = Outcome {
        missing: (1..=EVENTS).filter(|n| *n != 2).collect(),
        ..Outcome::default()
    };
    for entry in lane.take(&spool, usize::MAX).await {
        let n = number(entry.id);
        assert_eq!(
            entry.body.reveal()[..],
            *body(n).as_bytes(),
            "event {n} is damaged"
        );
        assert!(
            (entry.device.0, entry.received_at) == (n % 7, time(n)),
            "of event {n}"
        );
        outcome.missing.remove(&n);
    }
    for n in 1..=PICTURED {
        match spool.picture(Sha256::of(&picture(n))).await.unwrap() {
            Some(kept) => assert_eq!(kept.reveal()[..], picture(n)[..], "picture {n} is damaged"),
            None => outcome.pictures_missing += 1,
        }
    }
    // Everything goes on.
    spool.append(batch(vec![event(9_000, 1)])).await.unwrap();
    let after = lane.take(&spool, usize::MAX).await;
    assert!(after.iter().any(|entry| number(entry.id) == 9_000));
    spool.list().await.unwrap();
    outcome.damage = spool.damage();
    spool.close().await;
    outcome
}

/// Numbers that look random and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }
}

fn files(dir: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            files(dir, &path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

async fn flip_everywhere(from: &Path, kind: &str) {
    let flips = std::env::var("FLIPS")
        .ok()
        .and_then(|flips| flips.parse().ok());
    let flips = flips.unwrap_or(10);
    let mut found = Vec::new();
    files(from, Path::new(""), &mut found);
    for file in found {
        let bytes = std::fs::read(from.join(&file)).unwrap();
        // Space that is reserved is not read.
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        let mut chance = Chance(used as u64);
        let mut refused = 0;
        let mut places: Vec<(usize, u64)> = Vec::new();
        if used > 0 {
            let place = |_| (chance.below(used as u64) as usize, chance.below(8));
            places.extend((0..flips).map(place));
        }
        if file.ends_with("spool.db") && used > HEAD {
            places.extend((0..HEAD).step_by(HEAD_STEP).map(|at| (at, 1)));
        }
        let tried = places.len();
        for (at, bit) in places {
            let place = format!("{kind}, {} byte {at} bit {bit}", file.display());
            let dir = tempfile::tempdir().unwrap();
            copy(from, dir.path());
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            std::fs::write(dir.path().join(&file), &bytes).unwrap();
            let outcome = look(dir.path()).await;
            let name = file.to_string_lossy();
            if let Some(why) = &outcome.refused {
                // A header of the database that cannot be trusted; `faceway spool salvage` saves what is behind it.
                assert!(name.starts_with("spool.db"), "{place}: {why}");
                assert!(why.contains("salvage"), "{place}: {why}");
                println!("{place}: {why}");
                refused += 1;
                continue;
            }
            let is_event = name.ends_with(".seg");
            assert!(
                outcome.missing.len() <= usize::from(is_event),
                "{place}: {outcome:?}"
            );
            let is_picture = name.ends_with(".pack");
            assert!(
                is_picture || outcome.pictures_missing <= 1,
                "{place}: {outcome:?}"
            );
            assert!(outcome.pictures_missing <= 2, "{place}: {outcome:?}");
            let is_told = outcome.damage != Damage::default();
            let is_lost = !outcome.missing.is_empty() || outcome.pictures_missing > 0;
            assert!(!is_lost || is_told, "{place}: {outcome:?}");
        }
        println!(
            "{kind}: {} of {used} bytes, {refused} of {tried} refused",
            file.display()
        );
    }
}

#[tokio::test]
async fn a_flipped_bit_costs_what_it_hits_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let (ended, cut) = (dir.path().join("ended"), dir.path().join("cut"));
    filled(&ended, &cut).await;
    for (dir, kind) in [(&ended, "an orderly end"), (&cut, "a kill")] {
        let untouched = tempfile::tempdir().unwrap();
        copy(dir, untouched.path());
        let whole = look(untouched.path()).await;
        assert!(
            whole.missing.is_empty() && whole.pictures_missing == 0,
            "{kind}: {whole:?}"
        );
        assert_eq!(whole.damage, Damage::default(), "{kind}");
        flip_everywhere(dir, kind).await;
    }
}

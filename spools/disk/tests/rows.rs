//! One bit of a row that says what becomes of an event: never a silent loss.
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

use common::{HandClock, batch, copy, open, settings};
use faceway_core::{Page, Passed, Repair as _, Settled, Settlement, Spool as _, Start};
use faceway_spool_disk::{DiskSpool, OpenError};
use faceway_testkit::spool::{alone, bury, event, id, number, time};

/// Events 1 (parked, with 2 of the same device behind it), 4 and 5 (in hand, not settled), 6 and 7 (not handed out). Event
/// 3 is buried, 8 was delivered and is handed out once more by a replay. A lane was dropped.
async fn filled(dir: &Path) -> PathBuf {
    let spool = open(dir).await.unwrap();
    let other = spool.open_lane("old", Start::Oldest).await.unwrap();
    let lane = spool.open_lane("erp", Start::Oldest).await.unwrap();
    let events = [(8, 8), (1, 1), (3, 3), (2, 1), (4, 4), (5, 5)];
    let events = events.map(|(n, device)| event(n, device)).into();
    spool.append(batch(events)).await.unwrap();
    let settle = |seq, outcome| Settlement {
        seq,
        outcome,
        attempt: None,
    };
    for lease in spool.lease(lane, 6, time(0)).await.unwrap() {
        let outcome = match number(lease.id) {
            8 => Settled::Done,
            1 => alone(time(500)),
            2 => Settled::Release,
            3 => bury("422"),
            _ => continue,
        };
        spool.settle(lane, vec![settle(lease.seq, outcome)]);
    }
    let leases = spool.lease(other, 1, time(0)).await.unwrap();
    spool.settle(other, vec![settle(leases[0].seq, alone(time(9)))]);
    spool.sync().await.unwrap();
    assert!(spool.drop_lane("old".into()).await.unwrap());
    let passed = Passed {
        route: "front".into(),
        key: [7; 16],
        id: id(8),
        received_at: time(1),
        until: time(100),
    };
    spool.remember(lane, vec![passed]);
    spool
        .append(batch(vec![event(6, 6), event(7, 7)]))
        .await
        .unwrap();
    let replayed = spool.replay("erp".into(), time(8), time(9)).await.unwrap();
    assert_eq!(replayed, Some(1));
    spool.close().await;
    dir.join("spool.db")
}

/// Everything that is delivered from now on, over hours.
async fn delivered(spool: &DiskSpool, clock: &HandClock) -> BTreeSet<u64> {
    let lane = spool.open_lane("erp", Start::Now).await.unwrap();
    let mut all = BTreeSet::new();
    for _ in 0..4 {
        loop {
            let now = faceway_core::Clock::now(clock);
            let leases = spool.lease(lane, 100, now).await.unwrap();
            if leases.is_empty() {
                break;
            }
            for lease in leases {
                all.insert(number(lease.id));
                let done = Settlement {
                    seq: lease.seq,
                    outcome: Settled::Done,
                    attempt: None,
                };
                spool.settle(lane, vec![done]);
            }
        }
        clock.forward(Duration::from_secs(3600));
    }
    all
}

/// What must come again, whatever one bit says.
fn owed() -> BTreeSet<u64> {
    [1, 2, 4, 5, 6, 7].into()
}

async fn open_with_clock(dir: &Path) -> Result<(DiskSpool, std::sync::Arc<HandClock>), OpenError> {
    let clock = HandClock::new();
    let spool = DiskSpool::open(settings(dir), std::sync::Arc::clone(&clock) as _).await?;
    Ok((spool, clock))
}

#[tokio::test]
async fn one_bit_of_a_number_is_put_right_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    filled(&whole).await;
    let columns = [
        ("held", "seq lane device at failures routed due why row_crc"),
        (
            "range",
            "lane number next end since until remaining row_crc",
        ),
        ("lane", "id position read crc row_crc"),
        ("once", "lane until at row_crc"),
        ("buried", "lane seq buried failures row_crc"),
        ("meta", "next total trimmed groups row_crc"),
        ("gone", "id row_crc"),
    ];
    for (table, columns) in columns {
        for column in columns.split(' ') {
            for bit in [0, 17, 41] {
                let case = format!("{table}.{column} bit {bit}");
                if column == "row_crc" && bit > 31 {
                    continue;
                }
                let to = dir.path().join("case");
                let _ = std::fs::remove_dir_all(&to);
                copy(&whole, &to);
                let conn = rusqlite::Connection::open(to.join("spool.db")).unwrap();
                let flip = format!(
                    "UPDATE {table} SET {column} = ({column} | {0}) - ({column} & {0}) WHERE {column} IS NOT NULL{1}",
                    1_i64 << bit,
                    if table == "held" { " AND seq = 2" } else { "" }
                );
                assert!(conn.execute(&flip, []).unwrap() > 0, "{case}");
                drop(conn);
                let (spool, clock) = open_with_clock(&to).await.unwrap();
                let damage = spool.damage();
                assert!(damage.mended > 0 && damage.rows == 0, "{case}: {damage:?}");
                let buried = spool
                    .buried(Some("erp".into()), Page::first(9))
                    .await
                    .unwrap();
                assert_eq!(buried.len(), 1, "{case}");
                let delivered = delivered(&spool, &clock).await;
                let mut expected = owed();
                expected.insert(8);
                assert_eq!(delivered, expected, "{case}");
                spool.close().await;
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_put_right_is_delivered_twice_rather_than_never() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    filled(&whole).await;
    let changes = [
        "UPDATE held SET seq = seq + 77, lane = 3, device = 12",
        "UPDATE held SET due = 'soon'",
        "UPDATE lane SET name = 'another'",
        "UPDATE lane SET id = 7000, name = 'xxx'",
        "UPDATE lane SET position = 900, read = 90000",
        "UPDATE meta SET next = 3, total = 1, trimmed = 9999999",
        "UPDATE once SET until = 9999999999999, lane = 1, at = 3",
    ];
    for change in changes {
        let to = dir.path().join("case");
        let _ = std::fs::remove_dir_all(&to);
        copy(&whole, &to);
        let conn = rusqlite::Connection::open(to.join("spool.db")).unwrap();
        assert!(conn.execute(change, []).unwrap() > 0, "{change}");
        drop(conn);
        let (spool, clock) = open_with_clock(&to).await.unwrap();
        assert!(spool.damage().rows > 0, "{change}: {:?}", spool.damage());
        let delivered = delivered(&spool, &clock).await;
        assert!(delivered.is_superset(&owed()), "{change}: {delivered:?}");
        spool.close().await;
        drop(spool);
        // It is told once, but for a buried event of a lane that is not there.
        let (spool, _) = open_with_clock(&to).await.unwrap();
        let left = u64::from(change.contains("id = 7000"));
        assert_eq!(spool.damage().rows, left, "{change}");
        spool.close().await;
    }
}

/// Bits of the pages themselves: numbers, types of columns, lengths, places of rows.
#[tokio::test]
async fn no_bit_of_a_row_on_disk_loses_an_event_silently() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let database = filled(&whole).await;
    let bytes = std::fs::read(&database).unwrap();
    let conn = rusqlite::Connection::open(&database).unwrap();
    let mut cases = Vec::new();
    for table in ["held", "lane", "range", "once", "buried", "meta"] {
        let page = "SELECT rootpage FROM sqlite_master WHERE name = ?";
        let page: i64 = conn.query_row(page, [table], |row| row.get(0)).unwrap();
        let start = (page as usize - 1) * 4096;
        // What is used of the page: its header with the places of rows, and the rows at its end.
        let used = (0..4096).filter(|at| bytes[start + at] != 0);
        cases.extend(used.map(|at| (table, start + at)));
    }
    drop(conn);
    let (mut refused, mut told, mut silent) = (0, 0, Vec::new());
    for (case, (table, at)) in cases.iter().enumerate().step_by(7) {
        let to = dir.path().join("case");
        let _ = std::fs::remove_dir_all(&to);
        copy(&whole, &to);
        let mut damaged = bytes.clone();
        damaged[*at] ^= 1 << (case % 8);
        std::fs::write(to.join("spool.db"), damaged).unwrap();
        let (spool, clock) = match open_with_clock(&to).await {
            Ok(opened) => opened,
            Err(error) => {
                assert!(matches!(error, OpenError::Database { .. }), "{error}");
                refused += 1;
                continue;
            }
        };
        let delivered = delivered(&spool, &clock).await;
        let damage = spool.damage();
        if damage != Default::default() {
            told += 1;
        } else if !delivered.is_superset(&owed()) {
            silent.push(format!("{table} byte {at} bit {}: {delivered:?}", case % 8));
        }
        spool.close().await;
    }
    println!("{refused} refused, {told} told, of {}", cases.len() / 7);
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert!(told > 8, "{told}");
}

/// A number in the log that is wrong must not lead past the events behind it.
#[tokio::test]
async fn a_flipped_number_of_an_event_costs_that_event() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let spool = open(&whole).await.unwrap();
    spool.open_lane("erp", Start::Oldest).await.unwrap();
    let events = (1..=100).map(|n| event(n, n)).collect();
    spool.append(batch(events)).await.unwrap();
    spool.close().await;
    drop(spool);
    let bytes = std::fs::read(whole.join("spool.db")).unwrap();
    let body = faceway_testkit::spool::body(57);
    let body = body.as_bytes();
    let at = (bytes.windows(body.len()))
        .position(|window| window == body)
        .unwrap();
    // A row begins with its length, its number, and the types of its columns: no value for `seq`, 16 bytes of id.
    let number = (at - 80..at)
        .find(|at| bytes[*at] == 57 && bytes[*at + 2] == 0 && bytes[*at + 4] == 16 * 2 + 12);
    let number = number.expect("the number of the row");
    for bit in 0..7 {
        let to = dir.path().join("case");
        let _ = std::fs::remove_dir_all(&to);
        copy(&whole, &to);
        let mut damaged = bytes.clone();
        damaged[number] ^= 1 << bit;
        std::fs::write(to.join("spool.db"), damaged).unwrap();
        let (spool, clock) = open_with_clock(&to).await.unwrap();
        let delivered = delivered(&spool, &clock).await;
        let lost: Vec<u64> = (1..=100).filter(|n| !delivered.contains(n)).collect();
        assert_eq!(lost, [57], "bit {bit}");
        assert!(spool.damage().rows > 0, "bit {bit}");
        spool.close().await;
    }
}

/// A directory that the first release made has no checksums in these rows: it opens, nothing is lost, and from then on each row
/// has one. The first release goes on with the directory afterwards.
#[tokio::test]
async fn a_directory_of_the_first_release_gets_its_checksums() {
    let dir = tempfile::tempdir().unwrap();
    let database = filled(dir.path()).await;
    let tables = [
        "meta",
        "lane",
        "held",
        "range",
        "once",
        "gone",
        "buried",
        "quarantine",
    ];
    let conn = rusqlite::Connection::open(&database).unwrap();
    for table in tables {
        conn.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN row_crc"))
            .unwrap();
    }
    drop(conn);
    std::fs::remove_file(dir.path().join("start-reserve")).unwrap();
    let (spool, clock) = open_with_clock(dir.path()).await.unwrap();
    assert_eq!(spool.damage(), Default::default());
    spool.close().await;
    drop(spool);
    let conn = rusqlite::Connection::open(&database).unwrap();
    for table in tables {
        let without = format!("SELECT count(*) FROM {table} WHERE row_crc IS NULL");
        let without: i64 = conn.query_row(&without, [], |row| row.get(0)).unwrap();
        assert_eq!(without, 0, "{table}");
    }
    // The first release writes its own columns only.
    let earlier = "UPDATE lane SET position = position; UPDATE held SET row_crc = NULL; DELETE FROM range; \
                   UPDATE meta SET groups = groups + 1";
    conn.execute_batch(earlier).unwrap();
    drop(conn);
    let (spool, _) = open_with_clock(dir.path()).await.unwrap();
    let mut expected = owed();
    expected.insert(8);
    let delivered = delivered(&spool, &clock).await;
    assert!(delivered.is_superset(&owed()) && expected.is_superset(&delivered));
    spool.close().await;
}

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

use common::{
    HandClock, HandLane, batch, capacity, copy, events_as_rows, open, pass_groups, settings,
};
use faceway_core::{History as _, LaneStore as _, Log as _, OnceMark, Page, ReadMax, Start};
use faceway_spool_disk::{DiskSettings, DiskSpool, OpenError};
use faceway_testkit::spool::{event, id, number, time};

/// Events 1 (parked, with 2 of the same device behind it) and 4 wait, 5 is undecided, 6 and 7 are not routed. Event 3 is buried,
/// 8 was delivered and is handed out once more by a replay. A lane was deleted.
async fn filled(dir: &Path) -> PathBuf {
    let spool = open(dir).await.unwrap();
    let mut other = HandLane::claim(&spool, "old").await;
    let mut lane = HandLane::claim(&spool, "erp").await;
    let events = [(8, 8), (1, 1), (3, 3), (2, 1), (4, 4), (5, 5)];
    let events = events.map(|(n, device)| event(n, device)).into();
    spool.append(batch(events)).await.unwrap();
    for entry in lane.take(&spool, 6).await {
        match number(entry.id) {
            8 => lane.acknowledge(entry.seq),
            1 => lane.park(entry.seq, time(0), Duration::from_secs(500)),
            3 => lane.bury(entry.seq),
            5 => lane.doubt(entry.seq),
            _ => {}
        }
    }
    lane.let_pass(OnceMark {
        route: "front".into(),
        key: [7; 16],
        id: id(8),
        received_at: time(1),
        until: time(100),
    });
    assert_eq!(lane.replay(&spool, time(8), time(9)).await, 1);
    lane.commit(&spool).await.unwrap();
    let entry = other.take(&spool, 1).await.remove(0);
    other.park(entry.seq, time(0), Duration::from_secs(9));
    other.commit(&spool).await.unwrap();
    assert!(spool.delete("old").await.unwrap());
    pass_groups(&spool, 20).await;
    spool
        .append(batch(vec![event(6, 6), event(7, 7)]))
        .await
        .unwrap();
    spool.close().await;
    dir.join("spool.db")
}

/// Everything that is delivered from now on, also what is parked.
async fn delivered(spool: &DiskSpool) -> BTreeSet<u64> {
    let mut lane = HandLane::claim_from(spool, "erp", Start::Now).await;
    for seq in lane.held.keys().copied().collect::<Vec<_>>() {
        lane.release(seq);
    }
    lane.deliver(spool).await.into_iter().collect()
}

/// What must come again, whatever one bit says.
fn owed() -> BTreeSet<u64> {
    [1, 2, 4, 5, 6, 7].into()
}

/// History leaves as soon as no lane needs it.
async fn open_forgetful(dir: &Path) -> DiskSpool {
    let clock = HandClock::new();
    clock.forward(Duration::from_secs(100_000));
    let settings = DiskSettings {
        history: Duration::ZERO,
        ..settings(dir)
    };
    DiskSpool::open(settings, clock).await.unwrap()
}

#[tokio::test]
async fn one_bit_of_a_number_is_put_right_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    filled(&whole).await;
    let columns = [
        ("lane_state", "lane epoch routed_through buried crc"),
        ("waiting", "lane range undecided key_crc"),
        ("lane", "id row_crc"),
        ("once", "lane until at row_crc"),
        ("buried", "lane seq buried failures row_crc"),
        ("meta", "next total trimmed groups row_crc"),
        ("gone", "id row_crc"),
    ];
    for (table, columns) in columns {
        for column in columns.split(' ') {
            for bit in [0, 17, 41] {
                let case = format!("{table}.{column} bit {bit}");
                // Beyond the checksum's bits, or the row would be another one that is there.
                if column.ends_with("crc") && bit > 31 || (column, bit) == ("undecided", 0) {
                    continue;
                }
                let to = dir.path().join("case");
                let _ = std::fs::remove_dir_all(&to);
                copy(&whole, &to);
                let conn = rusqlite::Connection::open(to.join("spool.db")).unwrap();
                let flip = format!(
                    "UPDATE {table} SET {column} = ({column} | {0}) - ({column} & {0}) WHERE {column} IS NOT NULL{1}",
                    1_i64 << bit,
                    // Of two rows that differ by this bit both cannot be changed.
                    if table == "waiting" {
                        " AND undecided = 0"
                    } else {
                        ""
                    }
                );
                assert!(conn.execute(&flip, []).unwrap() > 0, "{case}");
                drop(conn);
                let spool = open(&to).await.unwrap();
                let damage = spool.damage();
                assert!(damage.mended > 0 && damage.rows == 0, "{case}: {damage:?}");
                let buried = spool
                    .buried(Some("erp".into()), Page::first(9))
                    .await
                    .unwrap();
                assert_eq!(buried.len(), 1, "{case}");
                let delivered = delivered(&spool).await;
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
        "UPDATE waiting SET lane = 3, range = range + 77 WHERE undecided = 0",
        "UPDATE waiting SET events = x'0102' WHERE undecided = 0",
        "UPDATE waiting SET events = 'soon' WHERE undecided = 1",
        "UPDATE held_event SET seq = seq + 77, failures = 12",
        "UPDATE lane_state SET routed_through = 900, epoch = 90000",
        "UPDATE lane_state SET lane = 7000, buried = 77",
        "DELETE FROM lane_state",
        "DELETE FROM lane",
        "UPDATE lane SET name = 'another'",
        "UPDATE lane SET id = 7000, name = 'xxx'",
        // As when the length of a name is damaged, and the columns behind it move.
        "UPDATE lane SET name = 'erp and more', row_crc = NULL",
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
        // Also while history leaves before the lane is claimed.
        let spool = open_forgetful(&to).await;
        pass_groups(&spool, 20).await;
        let delivered = delivered(&spool).await;
        assert!(delivered.is_superset(&owed()), "{change}: {delivered:?}");
        assert!(spool.damage().rows > 0, "{change}: {:?}", spool.damage());
        spool.close().await;
        drop(spool);
        // It is told once, but for a buried event of a lane that is not there.
        let spool = open_forgetful(&to).await;
        let left = u64::from(change.contains("id = 7000") || change.contains("FROM lane"));
        HandLane::claim_from(&spool, "erp", Start::Now).await;
        assert!(
            spool.damage().rows <= left,
            "{change}: {:?}",
            spool.damage()
        );
        // Nothing that no operator sees keeps the log.
        for name in spool.list().await.unwrap() {
            if name != "erp" {
                assert!(spool.delete(&name).await.unwrap(), "{change}");
            }
        }
        pass_groups(&spool, 20).await;
        let max = ReadMax {
            entries: 99,
            bytes: 1 << 20,
        };
        let left = spool.read(0, u64::MAX, max).await.unwrap();
        assert!(
            left.entries.is_empty(),
            "{change}: {} are left",
            left.entries.len()
        );
        spool.close().await;
    }
}

/// A page that says that it has one row less.
#[tokio::test]
async fn a_row_that_only_the_index_knows_costs_its_range() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let database = filled(&whole).await;
    let (bytes, page) = (packed(&database), page_of(&database, "waiting"));
    let rows = usize::from(bytes[page + 4]);
    assert_eq!(rows, 2, "what waits, and what is undecided");
    for row in 0..rows {
        let to = dir.path().join("case");
        let _ = std::fs::remove_dir_all(&to);
        copy(&whole, &to);
        let mut damaged = bytes.clone();
        damaged[page + 4] -= 1;
        // The places of rows, two bytes each, behind the header of the page.
        let places = page + 8..page + 8 + 2 * rows;
        damaged.copy_within(page + 8 + 2 * (row + 1)..places.end, page + 8 + 2 * row);
        std::fs::write(to.join("spool.db"), damaged).unwrap();
        let spool = open_forgetful(&to).await;
        pass_groups(&spool, 20).await;
        let delivered = delivered(&spool).await;
        assert!(delivered.is_superset(&owed()), "row {row}: {delivered:?}");
        assert!(spool.damage().rows > 0, "row {row}");
        spool.close().await;
    }
}

/// The database without what earlier rows have left on its pages.
fn packed(database: &Path) -> Vec<u8> {
    let conn = rusqlite::Connection::open(database).unwrap();
    conn.execute_batch("VACUUM").unwrap();
    conn.close().unwrap();
    std::fs::read(database).unwrap()
}

/// Where the page of a table or an index begins.
fn page_of(database: &Path, name: &str) -> usize {
    let conn = rusqlite::Connection::open(database).unwrap();
    let page = "SELECT rootpage FROM sqlite_master WHERE name = ?";
    let page: i64 = conn.query_row(page, [name], |row| row.get(0)).unwrap();
    (page as usize - 1) * 4096
}

/// Bits of the pages themselves: numbers, types of columns, lengths, places of rows.
#[tokio::test]
async fn no_bit_of_a_row_on_disk_loses_an_event_silently() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let database = filled(&whole).await;
    let bytes = packed(&database);
    let mut cases = Vec::new();
    for table in [
        "lane_state",
        "waiting",
        "sqlite_autoindex_waiting_1",
        "held_event",
        "lane",
        "sqlite_autoindex_lane_1",
        "once",
        "buried",
        "meta",
    ] {
        let start = page_of(&database, table);
        // What is used of the page: its header with the places of rows, and the rows at its end.
        let used = (0..4096).filter(|at| bytes[start + at] != 0);
        cases.extend(used.map(|at| (table, start + at)));
    }
    let (mut refused, mut told, mut silent) = (0, 0, Vec::new());
    for (case, (table, at)) in cases.iter().enumerate().step_by(3) {
        let to = dir.path().join("case");
        let _ = std::fs::remove_dir_all(&to);
        copy(&whole, &to);
        let mut damaged = bytes.clone();
        damaged[*at] ^= 1 << (case % 8);
        std::fs::write(to.join("spool.db"), damaged).unwrap();
        let spool = match open(&to).await {
            Ok(spool) => spool,
            Err(error) => {
                // The newest format that this program knows has no checksum.
                let is_told = matches!(error, OpenError::Database { .. } | OpenError::Newer { .. });
                assert!(is_told, "{error}");
                refused += 1;
                continue;
            }
        };
        if spool.claim("erp", Start::Now).await.is_err() {
            // The page is broken for the writer.
            assert!(capacity(&spool).accepting.is_err(), "{table} byte {at}");
            told += 1;
            continue;
        }
        let delivered = delivered(&spool).await;
        let damage = spool.damage();
        if damage != Default::default() {
            told += 1;
        } else if !delivered.is_superset(&owed()) {
            silent.push(format!("{table} byte {at} bit {}: {delivered:?}", case % 8));
        }
        spool.close().await;
    }
    println!(
        "{refused} refused, {told} told, of {}",
        cases.len().div_ceil(3)
    );
    assert!(silent.is_empty(), "{}", silent.join("\n"));
    assert!(told > 8, "{told}");
}

/// A number in the log that is wrong must not lead past the events behind it.
#[tokio::test]
async fn a_flipped_number_of_an_event_costs_that_event() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let spool = open(&whole).await.unwrap();
    HandLane::claim(&spool, "erp").await;
    let events = (1..=100).map(|n| event(n, n)).collect();
    spool.append(batch(events)).await.unwrap();
    spool.close().await;
    drop(spool);
    events_as_rows(&whole);
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
        let spool = open(&to).await.unwrap();
        let delivered = delivered(&spool).await;
        let lost: Vec<u64> = (1..=100).filter(|n| !delivered.contains(n)).collect();
        assert_eq!(lost, [57], "bit {bit}");
        assert!(spool.damage().rows > 0, "bit {bit}");
        spool.close().await;
    }
}

/// A directory of an early release has no checksums in these rows: it opens, nothing is lost, and from then on each row has one.
#[tokio::test]
async fn rows_without_a_checksum_get_one() {
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
    // As an early release wrote it, and knew it.
    conn.execute_batch("UPDATE meta SET version = 1").unwrap();
    drop(conn);
    std::fs::remove_file(dir.path().join("start-reserve")).unwrap();
    let spool = open(dir.path()).await.unwrap();
    assert_eq!(spool.damage(), Default::default());
    spool.close().await;
    drop(spool);
    let conn = rusqlite::Connection::open(&database).unwrap();
    for table in tables {
        let without = format!("SELECT count(*) FROM {table} WHERE row_crc IS NULL");
        let without: i64 = conn.query_row(&without, [], |row| row.get(0)).unwrap();
        assert_eq!(without, 0, "{table}");
    }
    drop(conn);
    let spool = open(dir.path()).await.unwrap();
    let mut expected = owed();
    expected.insert(8);
    assert_eq!(delivered(&spool).await, expected);
    assert_eq!(spool.damage(), Default::default());
    spool.close().await;
}

//! Directories of format 1, as the last release that kept lanes in this way left them: its rows and their checksums.
//!
//! Such a directory is made by today's engine, which keeps totals and pictures in the same rows. Events and ids are moved into
//! their rows, and the rows of lanes are written here.

use std::path::Path;
use std::sync::Arc;

use faceway_core::{EventId, NewEvent, OnceMark, Timestamp};
use faceway_segments::{Event, Found, RealDisk, Settings};
use faceway_testkit::spool::time;
use rusqlite::Connection;

use super::{append, open};

/// Makes the directory with these events, and writes lanes into it.
pub(crate) async fn former_directory(
    dir: &Path,
    events: Vec<NewEvent>,
    write: impl FnOnce(&FormerRows),
) {
    let spool = open(dir).await.unwrap();
    for events in events.chunks(500) {
        append(&spool, events.to_vec()).await.unwrap();
    }
    faceway_core::Log::close(&spool).await;
    events_as_rows(dir);
    let rows = FormerRows(Connection::open(dir.join("spool.db")).unwrap());
    rows.0.execute_batch("BEGIN").unwrap();
    write(&rows);
    rows.0.execute_batch("COMMIT").unwrap();
}

/// Moves all events and ids into the tables in which programs of that format had them.
pub(crate) fn events_as_rows(dir: &Path) {
    let conn = Connection::open(dir.join("spool.db")).unwrap();
    let disk = Arc::new(RealDisk::new(dir.join("log")));
    let opened = faceway_segments::open(disk, Settings::default()).unwrap();
    conn.execute_batch("BEGIN").unwrap();
    let sql = "INSERT OR IGNORE INTO event (seq, at, id, device, images, crc, body, trace) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let insert = |seq: u64, event: Event<'_>| {
        let head = [
            &seq.to_le_bytes()[..],
            &event.at.to_le_bytes(),
            &event.device.to_le_bytes(),
            &event.id,
        ];
        let images = (!event.images.is_empty()).then_some(event.images);
        let crc = crc32c::crc32c(&[&head.concat()[..], event.images, event.body].concat());
        let trace = std::str::from_utf8(event.trace).unwrap();
        let trace = (!trace.is_empty()).then_some(trace);
        let (seq, device) = (seq.cast_signed(), event.device.cast_signed());
        let row = (
            seq,
            event.at,
            &event.id[..],
            device,
            images,
            crc,
            event.body,
            trace,
        );
        conn.execute(sql, row).unwrap();
    };
    let read = opened.reader.read(0, u64::MAX, |found| {
        let Found::Event(seq, event) = found else {
            panic!("an event is damaged");
        };
        insert(seq, event);
        true
    });
    read.unwrap();
    let each = opened.reader.each_id(0, |first, ids| {
        let crc = crc(&[&first.to_le_bytes(), ids]);
        let insert = "INSERT OR REPLACE INTO seen (seq, ids, crc) VALUES (?, ?, ?)";
        conn.execute(insert, (first.cast_signed(), ids, crc))
            .unwrap();
    });
    each.unwrap();
    conn.execute("UPDATE meta SET version = iif(EXISTS (SELECT 1 FROM lane_state), 2, 1), former_lanes = NULL", [])
        .unwrap();
    conn.execute_batch("COMMIT").unwrap();
    std::fs::remove_dir_all(dir.join("log")).unwrap();
}

/// The rows of a database of format 1.
pub(crate) struct FormerRows(Connection);

/// An event that a lane held: it failed, waits behind one that failed, or was revived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) seq: u64,
    pub(crate) device: u64,
    pub(crate) at: i64,
    pub(crate) failures: i64,
    /// Whether the rules had let it pass.
    pub(crate) is_routed: bool,
    /// When it is due, and why it waits: 1 alone, 2 as a probe.
    pub(crate) parked: Option<(i64, i64)>,
}

impl Held {
    /// An event of the device with its number that failed alone once, when it came in, and is due at that moment.
    pub(crate) fn parked(seq: u64, due: Timestamp) -> Self {
        Self {
            seq,
            device: seq,
            at: time(seq).as_millis(),
            failures: 1,
            is_routed: true,
            parked: Some((due.as_millis(), 1)),
        }
    }
}

fn crc(fields: &[&[u8]]) -> i64 {
    let crc = fields.iter().fold(0, |crc, field| {
        let crc = crc32c::crc32c_append(crc, &(field.len() as u64).to_le_bytes());
        crc32c::crc32c_append(crc, field)
    });
    i64::from(crc)
}

fn row_crc(table: &str, numbers: &[i64], texts: &[&[u8]]) -> i64 {
    let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    crc(&[table.as_bytes(), &[numbers, texts.concat()].concat()])
}

/// Ascending numbers, each as the difference to the one before.
fn pack(numbers: &[u64]) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::new(), 0);
    for number in numbers {
        faceway_core::waiting::put_varint(&mut bytes, number - last);
        last = *number;
    }
    bytes
}

impl FormerRows {
    /// A lane that reads on at `position`, has read `read` events, and had these in hand.
    pub(crate) fn lane(&self, id: i64, name: &str, (position, read): (u64, u64), hand: &[u64]) {
        let (hand, place) = (pack(hand), [position, read].map(u64::to_le_bytes));
        let place_crc = crc(&[&place[0], &place[1], &hand]);
        let row_crc = row_crc("lane", &[id], &[name.as_bytes()]);
        let sql = "INSERT INTO lane (id, name, position, read, outstanding, crc, row_crc) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let (position, read) = (position.cast_signed(), read.cast_signed());
        let row = (id, name, position, read, hand, place_crc, row_crc);
        self.0.execute(sql, row).unwrap();
    }

    pub(crate) fn held(&self, lane: i64, held: Held) {
        let (due, why) = held.parked.unzip();
        let why = why.unwrap_or_default();
        let (seq, device, routed) = (held.seq, held.device, i64::from(held.is_routed));
        let (seq, device) = (seq.cast_signed(), device.cast_signed());
        let due_or_none = due.unwrap_or(i64::MIN);
        let numbers = [
            seq,
            lane,
            device,
            held.at,
            held.failures,
            routed,
            due_or_none,
            why,
        ];
        let sql = "INSERT INTO held (seq, lane, device, at, failures, routed, due, why, row_crc) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let crc = row_crc("held", &numbers, &[]);
        let (at, failures) = (held.at, held.failures);
        let row = (seq, lane, device, at, failures, routed, due, why, crc);
        self.0.prepare_cached(sql).unwrap().execute(row).unwrap();
    }

    /// A replay: its number, the events from the first to before the second, the times between which they came in, and how
    /// many are left.
    pub(crate) fn range(&self, lane: i64, numbers: [i64; 6]) {
        let [number, next, end, since, until, remaining] = numbers;
        let row = [lane, number, next, end, since, until, remaining];
        let sql = "INSERT INTO range (lane, number, next, end, since, until, remaining, row_crc) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let crc = row_crc("range", &row, &[]);
        let row = (lane, number, next, end, since, until, remaining, crc);
        self.0.execute(sql, row).unwrap();
    }

    /// A buried event, with its copy.
    pub(crate) fn buried(&self, lane: i64, seq: u64, at: i64, code: &str) {
        let seq = seq.cast_signed();
        let crc = row_crc("buried", &[lane, seq, at, 0], &[code.as_bytes()]);
        let sql = "INSERT INTO buried (lane, seq, buried, code, failures, row_crc, at, id, device, images, crc, body, trace) \
                   SELECT ?, seq, ?, ?, 0, ?, at, id, device, images, crc, body, trace FROM event WHERE seq = ?";
        let row = (lane, at, code, crc, seq);
        assert_eq!(self.0.execute(sql, row).unwrap(), 1);
    }

    pub(crate) fn once(&self, lane: i64, passed: &OnceMark) {
        let (until, at) = (passed.until.as_millis(), passed.received_at.as_millis());
        let (route, key, id) = (&passed.route, &passed.key[..], bytes(&passed.id));
        let crc = row_crc("once", &[lane, until, at], &[route.as_bytes(), key, id]);
        let sql = "INSERT INTO once (lane, until, route, key, id, at, row_crc) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let row = (lane, until, route, key, id, at, crc);
        self.0.execute(sql, row).unwrap();
    }

    /// The numbers in a column of a table, in the order of its rows.
    pub(crate) fn numbers(&self, table: &str, column: &str) -> Vec<i64> {
        let sql = format!("SELECT {column} FROM {table}");
        let mut select = self.0.prepare(&sql).unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Anything else.
    pub(crate) fn execute(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap();
    }
}

fn bytes(id: &EventId) -> &[u8] {
    &id.as_bytes()[..]
}

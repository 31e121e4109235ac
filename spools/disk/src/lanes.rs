//! The lanes that are open, and their rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension as _};

use crate::covered::{BURIED, HELD, LANE, RANGE};
use crate::history::remove_straggler;
use crate::lane::change::{
    AttemptRow, BuryRow, HeldRow, Range, Snapshot, parked_number, parked_of, result_number,
};
use crate::lane::{LaneState, Stored};
use crate::once;
use crate::packs::hold::release;
use crate::row::fields_crc;
use crate::store::{Meta, Trouble, get, unless_corrupt};
use crate::verify::number_of;

/// Lanes that are gone and yet known by name.
const GONE_MAX: i64 = 1000;

/// One lane.
#[derive(Debug)]
pub(crate) struct LaneCell {
    pub(crate) id: u32,
    pub(crate) name: String,
    state: Mutex<LaneState>,
    /// One lease at a time: what is read belongs to one place in the log.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl LaneCell {
    pub(crate) fn new(id: u32, name: String, state: LaneState) -> Arc<Self> {
        Arc::new(Self {
            id,
            name,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Held for moments only, never while waiting for anything.
    pub(crate) fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All lanes, by their number.
#[derive(Debug, Default)]
pub(crate) struct Lanes(RwLock<BTreeMap<u32, Arc<LaneCell>>>);

impl Lanes {
    pub(crate) fn get(&self, id: u32) -> Option<Arc<LaneCell>> {
        self.read().get(&id).cloned()
    }

    pub(crate) fn named(&self, name: &str) -> Option<Arc<LaneCell>> {
        self.read().values().find(|lane| lane.name == name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<LaneCell>> {
        self.read().values().cloned().collect()
    }

    pub(crate) fn insert(&self, lane: Arc<LaneCell>) {
        let mut lanes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(lane.id, lane);
    }

    pub(crate) fn remove(&self, id: u32) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<LaneCell>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads all lanes. A lane's row that is damaged begins again with the oldest event: twice rather than never.
pub(crate) fn load(conn: &Connection, total: u64) -> Result<Vec<Arc<LaneCell>>, Trouble> {
    let mut select = conn.prepare(
        "SELECT id, name, position, read, outstanding, crc FROM lane \
         WHERE id NOT IN (SELECT lane FROM lane_state) AND (SELECT version FROM meta) < 2",
    )?;
    let rows = select.query_map([], |row| {
        let stored = Stored {
            position: get(row, 2)?,
            read: get(row, 3)?,
            outstanding: row.get(4)?,
            ..Stored::default()
        };
        Ok((row.get(0)?, row.get::<_, String>(1)?, stored, row.get(5)?))
    })?;
    let rows: Vec<(u32, String, Stored, i64)> = rows.collect::<Result<_, _>>()?;
    let mut held = load_held(conn)?;
    let mut lanes = Vec::new();
    for (id, name, mut stored, crc) in rows {
        if lane_crc(stored.position, stored.read, &stored.outstanding) != crc {
            tracing::error!(
                lane = name,
                "a lane's position is damaged; it begins with the oldest event"
            );
            conn.execute("DELETE FROM held WHERE lane = ?", [id])?;
            stored.position = 0;
            stored.outstanding.clear();
            stored.read = total.saturating_sub(count_events(conn)?);
        }
        stored.held = held.remove(&id).unwrap_or_default();
        stored.held.retain(|(seq, _)| *seq < stored.position);
        stored.ranges = load_ranges(conn, id)?;
        let buried = "SELECT count(*) FROM buried WHERE lane = ?";
        stored.buried = conn.query_row(buried, [id], |row| get(row, 0))?;
        let mut device = conn.prepare("SELECT device, at FROM event WHERE seq = ?")?;
        let state = LaneState::load(stored, |seq| {
            let row = |row: &rusqlite::Row<'_>| Ok((get(row, 0)?, row.get(1)?));
            device
                .query_row([seq.cast_signed()], row)
                .optional()
                .ok()
                .flatten()
        });
        lanes.push(LaneCell::new(id, name, state));
    }
    Ok(lanes)
}

fn count_events(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT count(*) FROM event", [], |row| get(row, 0))
}

/// All rows of `held`, by their lanes.
pub(crate) fn load_held(conn: &Connection) -> rusqlite::Result<BTreeMap<u32, Vec<(u64, HeldRow)>>> {
    let sql = "SELECT seq, lane, device, at, failures, routed, due, why FROM held ORDER BY seq";
    let mut select = conn.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut held: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let entry = HeldRow {
            device: get(row, 2)?,
            at: row.get(3)?,
            failures: row.get(4)?,
            routed: row.get(5)?,
            parked: parked_of(row.get(6)?, row.get(7)?),
        };
        held.entry(row.get(1)?)
            .or_default()
            .push((get(row, 0)?, entry));
    }
    Ok(held)
}

/// A lane's rows of `range`.
pub(crate) fn load_ranges(conn: &Connection, lane: u32) -> rusqlite::Result<Vec<Range>> {
    let sql = "SELECT number, next, end, since, until, remaining FROM range WHERE lane = ? ORDER BY number";
    let mut select = conn.prepare(sql)?;
    let rows = select.query_map([lane], |row| {
        Ok(Range {
            number: row.get(0)?,
            next: get(row, 1)?,
            end: get(row, 2)?,
            since: row.get(3)?,
            until: row.get(4)?,
            remaining: get(row, 5)?,
            ..Range::default()
        })
    })?;
    rows.collect()
}

/// Makes a lane's row. Gives its number.
pub(crate) fn insert(
    conn: &Connection,
    name: &str,
    position: u64,
    read: u64,
) -> Result<u32, Trouble> {
    let sql = "INSERT INTO lane (name, position, read, outstanding, crc) VALUES (?, ?, ?, x'', ?)";
    let crc = lane_crc(position, read, &[]);
    conn.execute(sql, (name, position.cast_signed(), read.cast_signed(), crc))?;
    let id = conn.last_insert_rowid();
    let row_crc = LANE.crc([id], &[name.as_bytes()]);
    conn.execute("UPDATE lane SET row_crc = ? WHERE id = ?", (row_crc, id))?;
    u32::try_from(id).map_err(|_| Trouble::Io("too many lanes".into()))
}

/// Removes all of a lane, but for its attempts, which leave with the history.
pub(crate) fn delete(conn: &Connection, id: u32) -> Result<(), Trouble> {
    conn.execute(
        "INSERT OR REPLACE INTO gone (id, name, row_crc) SELECT id, name, row_crc FROM lane WHERE id = ?",
        [id],
    )?;
    let oldest = "DELETE FROM gone WHERE id NOT IN (SELECT id FROM gone ORDER BY id DESC LIMIT ?)";
    conn.execute(oldest, [GONE_MAX])?;
    conn.execute("DELETE FROM lane WHERE id = ?", [id])?;
    for table in ["held", "range", "buried", "once"] {
        conn.execute(&format!("DELETE FROM {table} WHERE lane = ?"), [id])?;
    }
    Ok(())
}

/// What writing a snapshot led to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Events that were buried but were so already, or are not there: the lane has counted them too much.
    pub(crate) not_buried: u64,
}

/// Writes what changed in a lane. Writing it twice does no harm. `age`: see [`crate::ages`].
pub(crate) fn write(
    conn: &Connection,
    id: u32,
    snapshot: &Snapshot,
    meta: &Meta,
    age: i64,
) -> Result<Written, Trouble> {
    let crc = lane_crc(snapshot.position, snapshot.read, &snapshot.outstanding);
    let sql = "UPDATE lane SET position = ?, read = ?, outstanding = ?, crc = ? WHERE id = ?";
    conn.prepare_cached(sql)?.execute((
        snapshot.position.cast_signed(),
        snapshot.read.cast_signed(),
        &snapshot.outstanding,
        crc,
        id,
    ))?;
    let mut written = Written::default();
    for bury in &snapshot.pending.buries {
        written.not_buried += write_bury(conn, id, bury)?;
    }
    write_attempts(conn, id, snapshot.pending.attempts.iter())?;
    once::write(conn, id, snapshot.pending.passed.iter())?;
    for (seq, row) in &snapshot.pending.rows {
        write_held(conn, id, *seq, row.as_ref())?;
        if row.is_none() && *seq < meta.swept {
            unless_corrupt(conn, || release(conn, *seq, meta.swept, age))?;
        }
        if row.is_none() && *seq < meta.trimmed {
            remove_straggler(conn, *seq)?;
        }
    }
    write_ranges(conn, id, &snapshot.ranges)?;
    Ok(written)
}

/// Keeps a copy of a buried event. Gives 1 when it was buried before, or is not there.
pub(crate) fn write_bury(conn: &Connection, lane: u32, bury: &BuryRow) -> Result<u64, Trouble> {
    let seq = bury.seq.cast_signed();
    let delete = "DELETE FROM buried WHERE lane = ? AND seq = ?";
    let before = conn.prepare_cached(delete)?.execute((lane, seq))?;
    let sql = "INSERT INTO buried (lane, seq, buried, code, failures, row_crc, at, id, device, images, crc, body, trace) \
               SELECT ?, seq, ?, ?, ?, ?, at, id, device, images, crc, body, trace FROM event WHERE seq = ?";
    let code = bury.code.as_str();
    let covered = [lane.into(), seq, bury.at, bury.failures.into()];
    let row_crc = BURIED.crc(covered, &[code.as_bytes()]);
    let now =
        conn.prepare_cached(sql)?
            .execute((lane, bury.at, code, bury.failures, row_crc, seq))?;
    Ok((before + 1 - now) as u64)
}

fn write_attempts<'a>(
    conn: &Connection,
    lane: u32,
    attempts: impl Iterator<Item = &'a AttemptRow>,
) -> Result<(), Trouble> {
    let sql = "INSERT OR REPLACE INTO attempt (seq, lane, number, at, took, result, code) \
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let mut insert = conn.prepare_cached(sql)?;
    for row in attempts {
        insert.execute((
            row.seq.cast_signed(),
            lane,
            row.number,
            row.attempt.at.as_millis(),
            i64::try_from(row.attempt.took.as_millis()).unwrap_or(i64::MAX),
            result_number(row.attempt.result),
            row.attempt.code.as_str(),
        ))?;
    }
    Ok(())
}

/// Writes or removes a row of `held`.
pub(crate) fn write_held(
    conn: &Connection,
    lane: u32,
    seq: u64,
    row: Option<&HeldRow>,
) -> Result<(), Trouble> {
    let Some(row) = row else {
        let sql = "DELETE FROM held WHERE seq = ? AND lane = ?";
        conn.prepare_cached(sql)?
            .execute((seq.cast_signed(), lane))?;
        return Ok(());
    };
    let (due, why) = parked_number(row.parked);
    let covered = [
        seq.cast_signed(),
        lane.into(),
        row.device.cast_signed(),
        row.at,
        row.failures.into(),
        row.routed.into(),
        number_of(due),
        why,
    ];
    let sql = "INSERT OR REPLACE INTO held (seq, lane, device, at, failures, routed, due, why, row_crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    conn.prepare_cached(sql)?.execute((
        seq.cast_signed(),
        lane,
        row.device.cast_signed(),
        row.at,
        row.failures,
        row.routed,
        due,
        why,
        HELD.crc(covered, &[]),
    ))?;
    Ok(())
}

fn write_ranges(conn: &Connection, lane: u32, ranges: &[Range]) -> Result<(), Trouble> {
    conn.prepare_cached("DELETE FROM range WHERE lane = ?")?
        .execute([lane])?;
    ranges
        .iter()
        .try_for_each(|range| write_range(conn, lane, range))
}

/// Writes a row of `range`.
pub(crate) fn write_range(conn: &Connection, lane: u32, range: &Range) -> Result<(), Trouble> {
    let covered = [
        lane.into(),
        range.number,
        range.next.cast_signed(),
        range.end.cast_signed(),
        range.since,
        range.until,
        range.remaining.cast_signed(),
    ];
    let sql = "INSERT OR REPLACE INTO range (lane, number, next, end, since, until, remaining, row_crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    conn.prepare_cached(sql)?.execute((
        lane,
        range.number,
        range.next.cast_signed(),
        range.end.cast_signed(),
        range.since,
        range.until,
        range.remaining.cast_signed(),
        RANGE.crc(covered, &[]),
    ))?;
    Ok(())
}

/// The checksum of a lane's position.
pub(crate) fn lane_crc(position: u64, read: u64, outstanding: &[u8]) -> i64 {
    let (position, read) = (position.to_le_bytes(), read.to_le_bytes());
    i64::from(fields_crc(&[&position, &read, outstanding]))
}

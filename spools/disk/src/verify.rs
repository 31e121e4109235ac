//! What is looked at when the spool is opened: each row that says what becomes of an event, against its checksum.
//!
//! A row in which one byte is wrong is put right. Of one that cannot be put right the safe way is taken: delivered twice
//! rather than never. Each finding is a line in the log, by numbers only, and counted.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _};

use crate::checksum::{Verdict, nullable, numbers, repair, stored};
use crate::covered::{BURIED, GONE, HELD, LANE, Looked, META, ONCE, RANGE, Table};
use crate::events::table;
use crate::lane_store::{has_former_lanes, position_crc};
use crate::rules;
use crate::store::Trouble;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Rows that cannot be trusted.
    pub(crate) damaged: u64,
    /// Rows that were put right.
    pub(crate) mended: u64,
    /// Rows that got their checksum now.
    unchecked: u64,
    /// A lane may be missing under its name: one that is opened as new begins with the oldest event.
    pub(crate) lane_lost: bool,
}

/// Looks at all of them and writes what had to be put right.
pub(crate) fn verify(conn: &Connection) -> Result<Findings, Trouble> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let mut findings = Findings::default();
    let ended = verify_all(conn, &mut findings).and_then(|()| conn.execute_batch("COMMIT"));
    let Err(error) = ended else {
        findings.report();
        return Ok(findings);
    };
    let _ = conn.execute_batch("ROLLBACK");
    match Trouble::from(error) {
        // Checksums for rows that have none can wait until there is room.
        Trouble::Full if findings.damaged == 0 && findings.mended == 0 => Ok(Findings::default()),
        trouble => Err(trouble),
    }
}

fn verify_all(conn: &Connection, findings: &mut Findings) -> rusqlite::Result<()> {
    verify_lanes(conn, findings)?;
    let lanes: HashSet<i64> = (conn.prepare("SELECT id FROM lane")?)
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    verify_held(conn, &lanes, findings)?;
    verify_ranges(conn, &lanes, findings)?;
    verify_once(conn, findings)?;
    verify_gone(conn, findings)?;
    verify_buried(conn, &lanes, findings)?;
    verify_meta(conn, findings)?;
    findings.damaged += rules::count_damaged(conn)?;
    Ok(())
}

impl Findings {
    /// Counts a row. `true` when it is not as it was written.
    fn count<const N: usize>(&mut self, table: &Table<N>, looked: &Looked<N>) -> bool {
        match looked.verdict {
            Verdict::Sound => return false,
            Verdict::Unchecked => self.unchecked += 1,
            Verdict::Mended(_) => {
                self.mended += 1;
                tracing::warn!(
                    table = table.name,
                    row = looked.key,
                    "a damaged row was put right: one byte was wrong"
                );
            }
            Verdict::Damaged => self.damaged += 1,
        }
        true
    }

    fn report(self) {
        if self.damaged + self.mended > 0 {
            tracing::error!(
                damaged = self.damaged,
                mended = self.mended,
                "the spool was damaged while it was closed: the lines above name the rows. Copy the directory, look at \
                 the disk's health, and run `faceway spool check` when the gateway is stopped"
            );
        }
    }
}

/// A lane whose number or name cannot be trusted may be asked for under another name: then it would be new, and its
/// backlog would be no lane's.
fn verify_lanes(conn: &Connection, findings: &mut Findings) -> rusqlite::Result<()> {
    let lanes = LANE.look_at_all(conn)?;
    // After the takeover a position says nothing any more.
    let has_positions = has_former_lanes(conn)?;
    let mut changed = false;
    for lane in &lanes {
        changed |= findings.count(&LANE, lane);
        changed |= has_positions && verify_position(conn, lane.key, findings)?;
        // Once lanes are taken over each has a checksum: of one that has none the columns have moved, and its name is not known.
        let has_lost_it = lane.verdict == Verdict::Unchecked && !has_positions;
        findings.damaged += u64::from(has_lost_it);
        if lane.verdict == Verdict::Damaged || has_lost_it {
            findings.lane_lost = true;
            tracing::error!(
                lane = lane.key,
                "the name or number of a lane is damaged; lanes that are new now begin with the oldest event"
            );
        }
    }
    if !changed {
        return Ok(());
    }
    // All of them again: a row with a wrong key lies in the wrong place of its tree.
    let mut select = conn.prepare("SELECT position, read, outstanding, crc FROM lane")?;
    let rest = select.query_map([], |row| {
        Ok((
            row.get::<_, i64>(0).unwrap_or(0),
            row.get::<_, i64>(1).unwrap_or(0),
            row.get::<_, Vec<u8>>(2).unwrap_or_default(),
            row.get::<_, i64>(3).unwrap_or(-1),
        ))
    })?;
    let rest: Vec<_> = rest.collect::<Result<_, _>>()?;
    conn.execute("DELETE FROM lane", [])?;
    let sql = "INSERT OR REPLACE INTO lane (id, name, position, read, outstanding, crc, row_crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    for (lane, (position, read, outstanding, crc)) in lanes.iter().zip(rest) {
        let [id] = lane.trusted().unwrap_or(&lane.row).numbers;
        let name = String::from_utf8_lossy(lane.text(0));
        let row_crc = LANE.crc([id], &[name.as_bytes()]);
        conn.execute(sql, (id, &*name, position, read, outstanding, crc, row_crc))?;
    }
    Ok(())
}

/// A position in which more than a byte is wrong stays as it is: its lane begins with the oldest event when it is loaded.
fn verify_position(conn: &Connection, id: i64, findings: &mut Findings) -> rusqlite::Result<bool> {
    // The lane store keeps its own position: this one would be told as damaged at every start, and decides nothing.
    let sql = "SELECT position, read, outstanding, crc FROM lane \
               WHERE id = ? AND id NOT IN (SELECT lane FROM lane_state)";
    let row = |row: &rusqlite::Row<'_>| {
        let [position, read] = numbers(row, [0, 1]).unwrap_or_default();
        let outstanding = row.get::<_, Vec<u8>>(2).unwrap_or_default();
        let head = [position.to_le_bytes(), read.to_le_bytes()].concat();
        Ok(([head, outstanding].concat(), stored(row, 3).unwrap_or(-1)))
    };
    let found = conn.query_row(sql, [id], row).optional()?;
    // A row with a wrong number is found when all have been written again.
    let Some((mut bytes, crc)) = found else {
        return Ok(false);
    };
    let crc_of = |bytes: &[u8]| {
        let (position, rest) = bytes.split_at(8);
        let (read, outstanding) = rest.split_at(8);
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        position_crc(number(position), number(read), outstanding)
    };
    if crc_of(&bytes) == crc {
        return Ok(false);
    }
    if !repair(&mut bytes, crc, crc_of) {
        findings.damaged += 1;
        return Ok(false);
    }
    findings.mended += 1;
    tracing::warn!(
        lane = id,
        "a lane's position was put right: one byte was wrong"
    );
    let (position, rest) = bytes.split_at(8);
    let (read, outstanding) = rest.split_at(8);
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let sql = "UPDATE lane SET position = ?, read = ?, outstanding = ?, crc = ? WHERE id = ?";
    let row = (
        number(position),
        number(read),
        outstanding,
        crc_of(&bytes),
        id,
    );
    conn.execute(sql, row)?;
    Ok(true)
}

/// An event of which no lane knows any more that it failed would never be delivered. Where a row cannot be put right it may
/// have been of any lane and event, so all lanes begin again.
fn verify_held(
    conn: &Connection,
    lanes: &HashSet<i64>,
    findings: &mut Findings,
) -> rusqlite::Result<()> {
    let mut rows = Vec::new();
    let (mut changed, mut lost) = (false, 0_u64);
    let mut select = conn.prepare(&HELD.select())?;
    let mut held = select.query([])?;
    while let Some(row) = held.next()? {
        let looked = HELD.look(row);
        changed |= findings.count(&HELD, &looked);
        match looked.trusted() {
            Some(row) if lanes.contains(&row.numbers[1]) => rows.push(row.numbers),
            _ => {
                changed = true;
                lost += 1;
            }
        }
    }
    drop(held);
    if !changed {
        return Ok(());
    }
    conn.execute("DELETE FROM held", [])?;
    if lost > 0 {
        findings.damaged = findings.damaged.max(1);
        tracing::error!(
            rows = lost,
            "rows of events that wait are damaged, so it is not known which events they were; every lane begins with the \
             oldest event: events are delivered again, under the same id"
        );
        // A position with a wrong checksum begins with the oldest event.
        conn.execute("UPDATE lane SET crc = -1", [])?;
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO held (seq, lane, device, at, failures, routed, due, why, row_crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut insert = conn.prepare(sql)?;
    for row in rows {
        let [seq, lane, device, at, failures, routed, due, why] = row;
        let crc = HELD.crc(row, &[]);
        let due = nullable(due);
        insert.execute((seq, lane, device, at, failures, routed, due, why, crc))?;
    }
    Ok(())
}

fn verify_ranges(
    conn: &Connection,
    lanes: &HashSet<i64>,
    findings: &mut Findings,
) -> rusqlite::Result<()> {
    let ranges = RANGE.look_at_all(conn)?;
    let mut changed = false;
    for range in &ranges {
        changed |= findings.count(&RANGE, range);
    }
    if !changed {
        return Ok(());
    }
    conn.execute("DELETE FROM range", [])?;
    let sql = "INSERT OR REPLACE INTO range (lane, number, next, end, since, until, remaining, row_crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    for range in &ranges {
        match range.trusted() {
            Some(row) if lanes.contains(&row.numbers[0]) => {
                let [lane, number, next, end, since, until, remaining] = row.numbers;
                let crc = RANGE.crc(row.numbers, &[]);
                conn.execute(sql, (lane, number, next, end, since, until, remaining, crc))?;
            }
            _ => tracing::error!(
                replay = range.key,
                "a replay is damaged and ends here: ask for it again (`faceway replay`)"
            ),
        }
    }
    Ok(())
}

/// What cannot be trusted silences nothing: an event may pass twice rather than never.
fn verify_once(conn: &Connection, findings: &mut Findings) -> rusqlite::Result<()> {
    let mut changed = false;
    for one in ONCE.look_for_damage(conn)? {
        changed |= findings.count(&ONCE, &one);
    }
    if !changed {
        return Ok(());
    }
    let all = ONCE.look_at_all(conn)?;
    conn.execute("DELETE FROM once", [])?;
    let sql = "INSERT OR REPLACE INTO once (lane, until, route, key, id, at, row_crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    for one in &all {
        let Some(row) = one.trusted() else {
            tracing::error!(
                lane = one.key,
                "what a route's `once` has let pass is damaged and forgotten: an event may pass once more"
            );
            continue;
        };
        let [lane, until, at] = row.numbers;
        let (route, key, id) = (one.text(0), one.text(1), one.text(2));
        let crc = ONCE.crc(row.numbers, &[route, key, id]);
        let route = String::from_utf8_lossy(route);
        conn.execute(sql, (lane, until, &*route, key, id, at, crc))?;
    }
    Ok(())
}

/// Names of lanes that were dropped are shown beside old attempts, and decide nothing.
fn verify_gone(conn: &Connection, findings: &mut Findings) -> rusqlite::Result<()> {
    for gone in GONE.look_for_damage(conn)? {
        findings.count(&GONE, &gone);
        conn.execute("DELETE FROM gone WHERE id = ?", [gone.key])?;
        if let Some(row) = gone.trusted() {
            let name = String::from_utf8_lossy(gone.text(0));
            let crc = GONE.crc(row.numbers, &[name.as_bytes()]);
            let sql = "INSERT OR REPLACE INTO gone (id, name, row_crc) VALUES (?, ?, ?)";
            conn.execute(sql, (row.numbers[0], &*name, crc))?;
        }
    }
    Ok(())
}

/// A buried event never moves to another lane by guessing: another destination must not get it.
fn verify_buried(
    conn: &Connection,
    lanes: &HashSet<i64>,
    findings: &mut Findings,
) -> rusqlite::Result<()> {
    for buried in BURIED.look_for_damage(conn)? {
        findings.count(&BURIED, &buried);
        let row = buried
            .trusted()
            .filter(|row| lanes.contains(&row.numbers[0]));
        let Some(row) = row else {
            tracing::error!(
                number = buried.key,
                "a buried event is damaged: it is not known of which lane it was, and it is not shown"
            );
            continue;
        };
        let [lane, seq, at, failures] = row.numbers;
        let code = String::from_utf8_lossy(buried.text(0));
        let crc = BURIED.crc(row.numbers, &[code.as_bytes()]);
        let sql = "UPDATE OR REPLACE buried SET lane = ?, seq = ?, buried = ?, failures = ?, code = ?, row_crc = ? \
                   WHERE number = ?";
        conn.execute(sql, (lane, seq, at, failures, &*code, crc, buried.key))?;
    }
    Ok(())
}

/// Without trustworthy totals nothing counts as trimmed, and what is there is counted anew. The next sequence number comes
/// from all that know one.
fn verify_meta(conn: &Connection, findings: &mut Findings) -> rusqlite::Result<()> {
    for meta in META.look_for_damage(conn)? {
        findings.count(&META, &meta);
        let [next, total, trimmed, groups] = match meta.trusted() {
            Some(row) => row.numbers,
            None => {
                tracing::error!(
                    "the row of totals does not match its checksum (it is damaged, or an earlier program wrote it); \
                     events are counted anew"
                );
                let groups = meta.row.numbers[3].max(1);
                [1, table::count(conn)?, 0, groups]
            }
        };
        let crc = META.crc([next, total, trimmed, groups], &[]);
        let sql = "UPDATE meta SET next = ?, total = ?, trimmed = ?, groups = ?, row_crc = ?";
        conn.execute(sql, (next, total, trimmed, groups, crc))?;
    }
    Ok(())
}

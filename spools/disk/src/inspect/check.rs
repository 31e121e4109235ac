//! Proving a spool: every row's checksum, every picture's digest, and what belongs together. Nothing is changed.

use std::collections::BTreeSet;
use std::path::Path;

use faceway_core::Sha256;
use rusqlite::Connection;

use super::{InspectError, Part, segments, sql, take};
use crate::checksum::Verdict;
use crate::covered::{BURIED, GONE, HELD, LANE, META, ONCE, QUARANTINE, RANGE, Table};
use crate::lane_store::{position_crc, unpack_ascending};
use crate::mark::Mark;
use crate::packs::place::Place;
use crate::quarantine::unreadable_crc;
use crate::row::{event_crc, fields_crc};
use crate::store::{Paths, get, open_reader};
use crate::wal;

/// Looks at everything in a spool's directory while no gateway has it.
///
/// # Errors
/// When there is no spool, a gateway has it, or a file of it cannot be opened at all.
pub fn check(dir: &Path) -> Result<Vec<Part>, InspectError> {
    let paths = Paths::new(dir);
    let _lock = take(&paths)?;
    let made = [&paths.wal, &paths.shm].map(|path| (path, path.exists()));
    let parts = look(&paths);
    // What SQLite makes to read goes with the reading; no other process is here as long as the lock is held.
    for (path, _) in made.iter().filter(|(_, was_there)| !was_there) {
        let _ = std::fs::remove_file(path);
    }
    parts
}

fn look(paths: &Paths) -> Result<Vec<Part>, InspectError> {
    let mut parts = vec![log(paths)?];
    let mut database = Part::new("database");
    if let Some(remains) = paths.remains() {
        database.missing = 1;
        database.remark(format!("spool.db is missing or empty beside {remains}"));
        parts.push(database);
        return Ok(parts);
    }
    let conn = match open_reader(&paths.database) {
        Ok(conn) => conn,
        Err(error) => return Err(sql(&error)),
    };
    match pages(&conn, &mut database).and_then(|()| columns_of(&conn)) {
        Ok(true) => {}
        Ok(false) => {
            database
                .remark("an earlier version wrote it: start the gateway once, then check again");
            parts.push(database);
            return Ok(parts);
        }
        Err(error) => {
            database.damaged += 1;
            database.remark(error.to_string());
            parts.push(database);
            return Ok(parts);
        }
    }
    parts.push(database);
    parts.push(sequence(&conn, paths)?);
    let (mut events, mut ids) = (bodies(&conn, "events", EVENTS), ids(&conn));
    let mut seqs = BTreeSet::new();
    if let Some(opened) = segments::open(paths)? {
        seqs = segments::prove(&opened, &mut events, &mut ids);
        parts.push(segments::files(&opened));
    }
    former_waiting(&conn, &seqs, &mut events);
    parts.extend([
        events,
        ids,
        rows(&conn, "lanes", &LANE),
        positions(&conn),
        rows(&conn, "events that wait", &HELD),
        super::waiting::owners(&conn),
        super::waiting::waiting(&conn, &seqs),
        super::waiting::held(&conn),
        rows(&conn, "replays", &RANGE),
        rows(&conn, "what `once` let pass", &ONCE),
        rows(&conn, "buried events", &BURIED),
        rows(&conn, "dropped lanes", &GONE),
        rows(&conn, "totals", &META),
        rows(&conn, "quarantine", &QUARANTINE),
        bodies(&conn, "buried bodies", BURIED_BODIES),
        unreadable(&conn),
        notes(&conn),
    ]);
    parts.extend(pictures(&conn, paths));
    Ok(parts)
}

/// Ends a part when the database cannot be read on.
pub(super) fn ended(part: &mut Part, result: rusqlite::Result<()>) {
    if let Err(error) = result {
        part.damaged += 1;
        part.remark(format!("the rest cannot be read: {error}"));
    }
}

fn log(paths: &Paths) -> Result<Part, InspectError> {
    let mut part = Part::new("write-ahead log");
    let log = wal::only_look(&paths.wal).map_err(super::io(&paths.wal))?;
    part.good = log.commits.len() as u64;
    if log.headless {
        part.damaged += 1;
        part.remark("its header is damaged: the gateway does not start");
    }
    if log.mended > 0 {
        part.damaged += log.mended;
        part.remark("one byte is wrong in each; the next start of the gateway puts them right");
    }
    if log.broken {
        part.damaged += 1;
        part.remark(
            "commits behind the damage are lost, or its end was cut off by a power failure",
        );
    }
    Ok(part)
}

fn pages(conn: &Connection, part: &mut Part) -> rusqlite::Result<()> {
    part.good = conn.query_row("PRAGMA page_count", [], |row| get(row, 0))?;
    let mut check = conn.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let told: String = row.get(0)?;
        if told != "ok" {
            part.damaged += 1;
            // It names pages, tables and indexes.
            part.remark(told.lines().next().unwrap_or_default());
        }
    }
    Ok(())
}

fn columns_of(conn: &Connection) -> rusqlite::Result<bool> {
    conn.column_exists(None, "meta", "former_lanes")
}

fn sequence(conn: &Connection, paths: &Paths) -> Result<Part, InspectError> {
    let mut part = Part::new("sequence");
    let next = conn.query_row("SELECT next FROM meta", [], |row| get(row, 0));
    let next = next.unwrap_or(u64::MAX);
    if !paths.mark.exists() {
        part.missing = 1;
        return Ok(part);
    }
    let (_, known) = Mark::open(&paths.mark).map_err(super::io(&paths.mark))?;
    match known {
        Some(known) if next <= known || next == u64::MAX => part.good = 1,
        Some(_) => {
            part.damaged = 1;
            part.remark("it lies behind numbers that were given out");
        }
        // Before the first group it is empty.
        None if next <= 1 => part.good = 1,
        None => part.damaged = 1,
    }
    Ok(part)
}

const EVENTS: &str = "SELECT seq, at, id, device, images, crc, body, seq FROM event ORDER BY seq";
const BURIED_BODIES: &str =
    "SELECT seq, at, id, device, images, crc, body, number FROM buried ORDER BY number";

/// What lanes of format 1 hold must be there.
fn former_waiting(conn: &Connection, in_segments: &BTreeSet<u64>, part: &mut Part) {
    let held =
        "SELECT seq FROM held WHERE NOT EXISTS (SELECT 1 FROM event WHERE event.seq = held.seq)";
    let mut missing = || -> rusqlite::Result<()> {
        let mut select = conn.prepare(held)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if !in_segments.contains(&get(row, 0)?) {
                part.missing(row.get(0)?);
            }
        }
        let mut select = conn.prepare(&format!("SELECT outstanding FROM lane {FORMER}"))?;
        let mut exists = conn.prepare("SELECT EXISTS (SELECT 1 FROM event WHERE seq = ?)")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            for seq in unpack_ascending(row.get_ref(0)?.as_blob().unwrap_or_default()) {
                let is_there = in_segments.contains(&seq)
                    || exists.query_row([seq.cast_signed()], |row| row.get::<_, bool>(0))?;
                if !is_there {
                    part.missing(seq.cast_signed());
                }
            }
        }
        Ok(())
    };
    let result = missing();
    ended(part, result);
}

/// Whether a row of [`EVENTS`] or [`BURIED_BODIES`] is as it was written.
pub(super) fn is_sound_event(row: &rusqlite::Row<'_>) -> bool {
    let read = || -> rusqlite::Result<bool> {
        let id: [u8; 16] = row.get(2)?;
        let images = row.get_ref(4)?.as_blob_or_null()?.unwrap_or_default();
        let body = row.get_ref(6)?.as_blob()?;
        let crc = event_crc(get(row, 0)?, row.get(1)?, &id, get(row, 3)?, images, body);
        Ok(i64::from(crc) == row.get::<_, i64>(5)?)
    };
    read().unwrap_or(false)
}

/// Looks at every row of a selection.
fn rows_of(
    conn: &Connection,
    name: &'static str,
    select: &str,
    mut look: impl FnMut(&mut Part, &rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> Part {
    let mut part = Part::new(name);
    let mut look_at_all = || -> rusqlite::Result<()> {
        let mut select = conn.prepare(select)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            look(&mut part, row)?;
        }
        Ok(())
    };
    let result = look_at_all();
    ended(&mut part, result);
    part
}

fn bodies(conn: &Connection, name: &'static str, select: &str) -> Part {
    rows_of(conn, name, select, |part, row| {
        match is_sound_event(row) {
            true => part.good += 1,
            false => part.damaged(row.get(7).unwrap_or_default()),
        }
        Ok(())
    })
}

fn ids(conn: &Connection) -> Part {
    let select = "SELECT seq, ids, crc FROM seen";
    rows_of(conn, "known ids", select, |part, row| {
        let ids = row.get_ref(1)?.as_bytes().unwrap_or_default();
        let first = get(row, 0)?;
        let crc = i64::from(fields_crc(&[&first.to_le_bytes(), ids]));
        match row.get::<_, i64>(2) == Ok(crc) {
            true => part.good += ids.len() as u64 / 16,
            false => part.damaged(first.cast_signed()),
        }
        Ok(())
    })
}

fn rows<const N: usize>(conn: &Connection, name: &'static str, table: &Table<N>) -> Part {
    rows_of(conn, name, &table.select(), |part, row| {
        let looked = table.look(row);
        match looked.verdict {
            Verdict::Sound | Verdict::Unchecked => part.good += 1,
            Verdict::Mended(_) => {
                part.damaged(looked.key);
                part.remark("one byte is wrong; the next start of the gateway puts it right");
            }
            Verdict::Damaged => part.damaged(looked.key),
        }
        Ok(())
    })
}

/// After the takeover the columns of format 1 say nothing any more.
const FORMER: &str = "WHERE (SELECT version FROM meta) < 2";

fn positions(conn: &Connection) -> Part {
    let select = format!("SELECT id, position, read, outstanding, crc FROM lane {FORMER}");
    rows_of(conn, "positions of lanes", &select, |part, row| {
        let outstanding = row.get_ref(3)?.as_bytes().unwrap_or_default();
        let crc = position_crc(
            get(row, 1).unwrap_or_default(),
            get(row, 2).unwrap_or_default(),
            outstanding,
        );
        match row.get::<_, i64>(4) == Ok(crc) {
            true => part.good += 1,
            false => part.damaged(row.get(0)?),
        }
        Ok(())
    })
}

fn unreadable(conn: &Connection) -> Part {
    let select = "SELECT number, at, headers, crc, body FROM quarantine";
    rows_of(conn, "unreadable bodies", select, |part, row| {
        let headers = row.get_ref(2)?.as_bytes().unwrap_or_default();
        let body = row.get_ref(4)?.as_bytes().unwrap_or_default();
        let headers = std::str::from_utf8(headers).unwrap_or_default();
        let crc = unreadable_crc(row.get(1).unwrap_or_default(), headers, body);
        match row.get::<_, i64>(3) == Ok(crc) {
            true => part.good += 1,
            false => part.damaged(row.get(0)?),
        }
        Ok(())
    })
}

fn notes(conn: &Connection) -> Part {
    let mut part = Part::new("notes");
    let all = conn.query_row("SELECT count(*) FROM note", [], |row| get(row, 0));
    let damaged = crate::rules::count_damaged(conn);
    match (all, damaged) {
        (Ok(all), Ok(damaged)) => {
            part.good = all.saturating_sub(damaged);
            part.damaged = damaged;
        }
        (Err(error), _) | (_, Err(error)) => ended(&mut part, Err(error)),
    }
    part
}

fn pictures(conn: &Connection, paths: &Paths) -> [Part; 2] {
    let (mut packs, mut images) = (Part::new("packs of pictures"), Part::new("pictures"));
    let mut absent = BTreeSet::new();
    let mut look_at_packs = || -> rusqlite::Result<()> {
        let mut select = conn.prepare("SELECT number FROM pack ORDER BY number")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let number = get(row, 0)?;
            if crate::packs::place::pack_path(&paths.images, number).exists() {
                packs.good += 1;
            } else {
                packs.missing(number.cast_signed());
                absent.insert(number);
            }
        }
        Ok(())
    };
    let result = look_at_packs();
    ended(&mut packs, result);
    let mut look_at_images = || -> rusqlite::Result<()> {
        let sql = "SELECT sha256, pack, start, length FROM image ORDER BY pack, start";
        let mut select = conn.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let pack = get(row, 1)?;
            if absent.contains(&pack) {
                images.missing += 1;
            } else if is_sound_picture(row, paths) {
                images.good += 1;
            } else {
                // Its pack: a digest would tell of the picture.
                images.damaged(pack.cast_signed());
            }
        }
        Ok(())
    };
    let result = look_at_images();
    ended(&mut images, result);
    if !images.numbers.is_empty() {
        images.remark("the numbers are those of their packs");
    }
    [packs, images]
}

/// Whether a picture is what its name says: `sha256, pack, start, length`.
pub(super) fn is_sound_picture(row: &rusqlite::Row<'_>, paths: &Paths) -> bool {
    let read = || -> rusqlite::Result<bool> {
        let sha256 = Sha256(row.get(0)?);
        let place = Place::of(row, 1)?;
        let picture = crate::packs::place::read(&paths.images, place, sha256);
        Ok(picture.is_ok_and(|picture| picture.is_some()))
    };
    read().unwrap_or(false)
}

//! Saving what can be read of a broken spool into a new one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::copied::TABLES;
use super::merged::merge;
use super::{InspectError, Part, io, segments, sql, take};
use crate::disk::RealDisk;
use crate::lane_store;
use crate::mark::Mark;
use crate::settings::DiskSettings;
use crate::store::{IS_TAKEN_OVER, Paths, Trouble, fold, get, open_writer, prepare_schema};
use crate::verify::verify;

/// Reads whatever can be read of the spool in `dir` into a new one in `to`, with lanes' positions, parked and buried events,
/// quarantine and pictures. The old directory stays as it is. Says what was saved and what was lost.
///
/// # Errors
/// When there is no spool, a gateway has it, `to` is not empty, or a new spool cannot be written there.
pub fn salvage(dir: &Path, to: &Path) -> Result<Vec<Part>, InspectError> {
    let from = Paths::new(dir);
    let _lock = take(&from)?;
    if std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(InspectError::NotEmpty(to.display().to_string()));
    }
    let new = Paths::new(to);
    new.make(&RealDisk).map_err(io(to))?;
    let merged = to.join("old.db");
    let mut parts = Vec::from(merge(&from, &merged)?);
    let old = open_old(&merged).map_err(|error| sql(&error))?;
    let settings = settings(to);
    let conn =
        open_writer(&new, settings.limits(), &Default::default()).map_err(|error| sql(&error))?;
    prepare_schema(&conn, &settings).map_err(|error| InspectError::Io(error.to_string()))?;
    copy_all(&old, &conn, &from, &mut parts).map_err(|error| sql(&error))?;
    if let Some(opened) = segments::open(&from)? {
        segments::save(&opened, &conn, &mut parts).map_err(|error| sql(&error))?;
        parts.push(segments::files(&opened));
    }
    copy_packs(&conn, &from, &new, &mut parts)?;
    parts.push(totals(&old, &conn, &from, &new)?);
    let was_taken_over = format!("SELECT {IS_TAKEN_OVER} FROM meta");
    let was_taken_over = old.query_row(&was_taken_over, [], |row| row.get(0));
    put_right(&conn, was_taken_over.unwrap_or_default(), &mut parts)?;
    let done = fold(&conn).and_then(|()| conn.close().map_err(|(_, error)| error.into()));
    done.map_err(|trouble| InspectError::Io(format!("the new database: {trouble:?}")))?;
    drop(old);
    std::fs::remove_file(&merged).map_err(io(&merged))?;
    Ok(parts)
}

fn open_old(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let old = Connection::open_with_flags(path, flags)?;
    // An older schema reads as one whose rows have no checksums.
    let _ = crate::store::add_columns(&old);
    let _ = old.execute_batch(include_str!("../lane_store/tables.sql"));
    Ok(old)
}

fn settings(dir: &Path) -> DiskSettings {
    let long = std::time::Duration::from_secs(1 << 32);
    DiskSettings {
        dir: dir.to_owned(),
        bytes_max: u64::MAX >> 8,
        free_min: 0,
        history: long,
        images: long,
        quarantine: long,
        quarantine_bytes_max: 0,
    }
}

fn copy_all(
    old: &Connection,
    new: &Connection,
    from: &Paths,
    parts: &mut Vec<Part>,
) -> rusqlite::Result<()> {
    for copied in &TABLES {
        new.execute_batch("BEGIN")?;
        parts.push(copied.copy(old, new, from)?);
        new.execute_batch("COMMIT")?;
    }
    Ok(())
}

/// Packs whose file is there, and the rows of those that are not go.
fn copy_packs(
    conn: &Connection,
    from: &Paths,
    new: &Paths,
    parts: &mut [Part],
) -> Result<(), InspectError> {
    let mut select = conn
        .prepare("SELECT number FROM pack")
        .map_err(|error| sql(&error))?;
    let numbers = select.query_map([], |row| get(row, 0));
    let numbers: Vec<u64> = numbers
        .and_then(Iterator::collect)
        .map_err(|error| sql(&error))?;
    for number in numbers {
        let source = crate::packs::place::pack_path(&from.images, number);
        let copied = std::fs::copy(&source, crate::packs::place::pack_path(&new.images, number));
        if copied.is_ok() {
            continue;
        }
        for table in [
            "DELETE FROM pack WHERE number = ?",
            "DELETE FROM image WHERE pack = ?",
        ] {
            conn.execute(table, [number.cast_signed()])
                .map_err(|error| sql(&error))?;
        }
        if let Some(part) = parts
            .iter_mut()
            .find(|part| part.name == "packs of pictures")
        {
            part.good = part.good.saturating_sub(1);
            part.missing(number.cast_signed());
        }
    }
    // Else they would be taken for files that no group names.
    conn.execute(
        "DELETE FROM image WHERE pack NOT IN (SELECT number FROM pack)",
        [],
    )
    .map_err(|error| sql(&error))?;
    Ok(())
}

/// The one row of totals, and numbers that go on above everything that was ever given out.
fn totals(
    old: &Connection,
    new: &Connection,
    from: &Paths,
    to: &Paths,
) -> Result<Part, InspectError> {
    let mut part = Part::new("totals");
    let known = old.query_row(
        "SELECT next, total, trimmed, groups, row_crc FROM meta",
        [],
        |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, i64>(3)?,
                row.get::<_, Option<i64>>(4)?,
            ))
        },
    );
    match known {
        Ok(row) => {
            part.good = 1;
            let sql = "UPDATE meta SET next = ?, total = ?, trimmed = ?, groups = ?, row_crc = ?";
            new.execute(sql, row).map_err(|error| super::sql(&error))?;
        }
        Err(_) => {
            part.damaged = 1;
            // It matches nothing, so everything is counted anew.
            new.execute("UPDATE meta SET row_crc = -1", [])
                .map_err(|error| super::sql(&error))?;
        }
    }
    let highest = "SELECT max(coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(seq) FROM held), 0), \
                   coalesce((SELECT max(position) FROM lane), 0), coalesce((SELECT max(next) FROM meta), 0))";
    let highest = new
        .query_row(highest, [], |row| get(row, 0))
        .map_err(|error| super::sql(&error))?;
    let reserved = match Mark::open(&from.mark) {
        Ok((_, Some(reserved))) => reserved,
        _ => 0,
    };
    let (mut mark, _) = Mark::open(&to.mark).map_err(io(&to.mark))?;
    // Damage of a number must not use up all of them.
    let next = reserved.max(highest.min(i64::MAX.cast_unsigned() >> 1) + 1);
    mark.settle(next).map_err(io(&to.mark))?;
    Ok(part)
}

/// The same rows are put right that a start puts right; where rows of lanes are lost, all lanes begin with the oldest event.
fn put_right(
    conn: &Connection,
    was_taken_over: bool,
    parts: &mut Vec<Part>,
) -> Result<(), InspectError> {
    let failed = |error: rusqlite::Error| sql(&error);
    let lost = |name: &str| {
        let mut parts = parts.iter();
        parts.any(|part| part.name == name && (part.damaged > 0 || part.missing > 0))
    };
    // Where the row of totals is damaged, the rows that only lanes of today have tell.
    let has_states = "SELECT EXISTS (SELECT 1 FROM lane_state)";
    let has_states = conn.query_row(has_states, [], |row| row.get(0));
    let is_taken_over = has_states.map_err(failed)? || was_taken_over;
    let begins_anew = lost("events that wait")
        || lost("lanes")
        || lost("owners of lanes")
        || lost("what waits in lanes");
    if begins_anew {
        lane_store::begin_all_anew(conn, is_taken_over).map_err(of_new)?;
    }
    if lost("lanes") {
        lane_store::note_lost_lane(conn).map_err(of_new)?;
    }
    if is_taken_over {
        // Else lanes that were taken over would be taken for those of before.
        conn.execute_batch("UPDATE meta SET version = 2")
            .map_err(failed)?;
    }
    let mut part = Part::new("rows put right");
    let findings = match verify(conn) {
        Ok(findings) => findings,
        Err(Trouble::Full) => return Err(InspectError::Io("the disk is full".into())),
        Err(trouble) => return Err(of_new(trouble)),
    };
    part.good = findings.mended;
    part.damaged = findings.damaged + damaged_rows_of_lanes(conn)?;
    if begins_anew || part.damaged > 0 {
        part.remark("lanes that are damaged begin with the oldest event: events are delivered again, under the same id");
    }
    parts.push(part);
    Ok(())
}

fn of_new(trouble: Trouble) -> InspectError {
    InspectError::Io(format!("the new database: {trouble:?}"))
}

/// Rows that were saved as they are and that the next owner of their lane cannot trust.
fn damaged_rows_of_lanes(conn: &Connection) -> Result<u64, InspectError> {
    let failed = |error: rusqlite::Error| sql(&error);
    let verified = lane_store::verify(conn).map_err(of_new)?;
    let owners = lane_store::owners_of_all(conn).map_err(failed)?;
    let (_, ranges) = lane_store::waiting_of_all(conn).map_err(failed)?;
    let held = lane_store::held_rows_of_all(conn).map_err(failed)?;
    let damaged = ranges.len()
        + owners.iter().filter(|(_, is_sound)| !is_sound).count()
        + held.iter().filter(|(_, is_sound)| !is_sound).count();
    Ok(verified.damaged + damaged as u64)
}

//! Saving what can be read of a broken spool into a new one.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use super::check::{is_sound_event, is_sound_picture};
use super::merged::merge;
use super::{InspectError, Part, io, sql, take};
use crate::disk::RealDisk;
use crate::mark::Mark;
use crate::settings::DiskSettings;
use crate::store::{Paths, Trouble, fold, get, open_writer, prepare_schema};
use crate::verify::verify;

/// Rows that are looked for one by one behind a page that cannot be read.
const STEP: i64 = 4096;

/// A table, its columns, and what its rows are read in the order of.
struct Copied {
    part: &'static str,
    table: &'static str,
    key: &'static str,
    columns: &'static str,
    /// Whether a row can be trusted, where it has a checksum that nothing else looks at.
    is_sound: Option<fn(&rusqlite::Row<'_>, &Paths) -> bool>,
}

const fn plain(
    part: &'static str,
    table: &'static str,
    key: &'static str,
    columns: &'static str,
) -> Copied {
    Copied {
        part,
        table,
        key,
        columns,
        is_sound: None,
    }
}

fn event_is_sound(row: &rusqlite::Row<'_>, _: &Paths) -> bool {
    is_sound_event(row)
}

/// Lanes first: rows of a lane are kept only with it.
const TABLES: [Copied; 13] = [
    plain(
        "lanes",
        "lane",
        "id",
        "id, name, position, read, outstanding, crc, row_crc",
    ),
    plain(
        "events that wait",
        "held",
        "seq",
        "seq, lane, device, at, failures, routed, due, why, row_crc",
    ),
    plain(
        "replays",
        "range",
        "lane",
        "lane, number, next, end, since, until, remaining, row_crc",
    ),
    plain(
        "what `once` let pass",
        "once",
        "lane",
        "lane, until, route, key, id, at, row_crc",
    ),
    plain("dropped lanes", "gone", "id", "id, name, row_crc"),
    plain("notes", "note", "name", "name, crc, body"),
    plain("known ids", "seen", "seq", "seq, ids, crc"),
    plain(
        "attempts",
        "attempt",
        "seq",
        "seq, lane, number, at, took, result, code",
    ),
    plain(
        "quarantine",
        "quarantine",
        "number",
        "number, at, inbound, reason, bytes, headers, crc, body, row_crc",
    ),
    Copied {
        part: "buried events",
        table: "buried",
        key: "number",
        columns: "seq, at, id, device, images, crc, body, number, lane, buried, code, failures, trace, row_crc",
        is_sound: Some(event_is_sound),
    },
    Copied {
        part: "events",
        table: "event",
        key: "seq",
        columns: "seq, at, id, device, images, crc, body, trace",
        is_sound: Some(event_is_sound),
    },
    plain(
        "packs of pictures",
        "pack",
        "number",
        "number, bytes, started, first, last, free",
    ),
    Copied {
        part: "pictures",
        table: "image",
        key: "pack",
        columns: "sha256, pack, start, length",
        is_sound: Some(is_sound_picture),
    },
];

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
    copy_packs(&conn, &from, &new, &mut parts)?;
    parts.push(totals(&old, &conn, &from, &new)?);
    put_right(&conn, &mut parts)?;
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

impl Copied {
    fn copy(&self, old: &Connection, new: &Connection, from: &Paths) -> rusqlite::Result<Part> {
        let mut part = Part::new(self.part);
        let mut seen_damaged = std::collections::BTreeSet::new();
        let mut take = |row: &rusqlite::Row<'_>, part: &mut Part| -> rusqlite::Result<i64> {
            let key = row.get::<_, i64>("the_key").unwrap_or_default();
            if self.is_sound.is_some_and(|is_sound| !is_sound(row, from)) {
                if seen_damaged.insert(key) {
                    part.damaged(key);
                }
                return Ok(key);
            }
            if self.insert(new, row)? > 0 {
                part.good += 1;
            }
            Ok(key)
        };
        // From both ends: a page that cannot be read stops each.
        for order in ["ASC", "DESC"] {
            let sql = format!(
                "SELECT {}, {} AS the_key FROM {} ORDER BY {} {order}",
                self.columns, self.key, self.table, self.key
            );
            let Err(error) = read(old, &sql, |row| take(row, &mut part)) else {
                return Ok(part);
            };
            if !is_of_old(&error) {
                return Err(error);
            }
            part.remark(format!("some pages cannot be read: {error}"));
        }
        self.copy_one_by_one(old, &mut part, &mut take);
        part.damaged = part.damaged.max(1);
        Ok(part)
    }

    /// What lies between pages that cannot be read, number by number.
    fn copy_one_by_one(
        &self,
        old: &Connection,
        part: &mut Part,
        take: &mut impl FnMut(&rusqlite::Row<'_>, &mut Part) -> rusqlite::Result<i64>,
    ) {
        if !matches!(
            self.table,
            "event" | "seen" | "held" | "quarantine" | "buried"
        ) {
            return;
        }
        let bound = |side: &str| {
            let sql = format!("SELECT {side}({}) FROM {}", self.key, self.table);
            old.query_row(&sql, [], |row| row.get::<_, i64>(0)).ok()
        };
        let (Some(first), Some(last)) = (bound("min"), bound("max")) else {
            return;
        };
        let sql = |one: bool| {
            format!(
                "SELECT {}, {} AS the_key FROM {} WHERE {} {} ORDER BY {}",
                self.columns,
                self.key,
                self.table,
                self.key,
                if one {
                    "= ?1 AND ?2 > 0"
                } else {
                    ">= ?1 AND the_key < ?2"
                },
                self.key
            )
        };
        let (Ok(mut many), Ok(mut one)) = (old.prepare(&sql(false)), old.prepare(&sql(true)))
        else {
            return;
        };
        let mut from = first;
        while from <= last {
            let to = from.saturating_add(STEP);
            if read_with(&mut many, (from, to), |row| take(row, part)).is_err() {
                for number in from..to.min(last.saturating_add(1)) {
                    let _ = read_with(&mut one, (number, 1), |row| take(row, part));
                }
            }
            from = to;
        }
    }

    fn insert(&self, new: &Connection, row: &rusqlite::Row<'_>) -> rusqlite::Result<usize> {
        let count = self.columns.split(',').count();
        let values: Vec<Value> = (0..count)
            .map(|column| row.get(column))
            .collect::<Result<_, _>>()?;
        let places = vec!["?"; count].join(", ");
        let sql = format!(
            "INSERT OR IGNORE INTO {} ({}) VALUES ({places})",
            self.table, self.columns
        );
        let mut insert = new.prepare_cached(&sql)?;
        match insert.execute(rusqlite::params_from_iter(values)) {
            // A row with a value that no program wrote there.
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::ConstraintViolation =>
            {
                Ok(0)
            }
            inserted => inserted,
        }
    }
}

fn read(
    conn: &Connection,
    sql: &str,
    take: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<i64>,
) -> rusqlite::Result<()> {
    let mut select = conn.prepare(sql)?;
    read_with(&mut select, [], take)
}

fn read_with(
    select: &mut rusqlite::Statement<'_>,
    params: impl rusqlite::Params,
    mut take: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<i64>,
) -> rusqlite::Result<()> {
    let mut rows = select.query(params)?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

/// Whether the old database is to blame, and not the disk that the new one is written to.
fn is_of_old(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
    match error.sqlite_error_code() {
        // A table that the old schema has lost.
        Some(DatabaseCorrupt | NotADatabase | Unknown) => true,
        Some(_) => false,
        None => true,
    }
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
        let source = crate::packs::pack_path(&from.images, number);
        let copied = std::fs::copy(&source, crate::packs::pack_path(&new.images, number));
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
fn put_right(conn: &Connection, parts: &mut Vec<Part>) -> Result<(), InspectError> {
    let lost = |name: &str| {
        let mut parts = parts.iter();
        parts.any(|part| part.name == name && (part.damaged > 0 || part.missing > 0))
    };
    if lost("events that wait") || lost("lanes") {
        let restart = "DELETE FROM held; UPDATE lane SET crc = -1;";
        conn.execute_batch(restart).map_err(|error| sql(&error))?;
    }
    let mut part = Part::new("rows put right");
    let findings = match verify(conn) {
        Ok(findings) => findings,
        Err(Trouble::Full) => return Err(InspectError::Io("the disk is full".into())),
        Err(trouble) => return Err(InspectError::Io(format!("the new database: {trouble:?}"))),
    };
    part.good = findings.mended;
    part.damaged = findings.damaged;
    if findings.damaged > 0 {
        part.remark("lanes that are damaged begin with the oldest event: events are delivered again, under the same id");
    }
    parts.push(part);
    Ok(())
}

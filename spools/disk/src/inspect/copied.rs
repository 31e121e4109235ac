//! One table after the other, row by row, around what cannot be read.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Part;
use super::check::{is_sound_event, is_sound_picture};
use crate::store::Paths;

/// Rows that are looked for one by one behind a page that cannot be read.
const STEP: i64 = 4096;

/// A table, its columns, and what its rows are read in the order of.
pub(super) struct Copied {
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
pub(super) const TABLES: [Copied; 16] = [
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
        "owners of lanes",
        "lane_state",
        "lane",
        "lane, epoch, routed_through, buried, replays, crc",
    ),
    plain(
        "what waits in lanes",
        "waiting",
        "range",
        "lane, range, undecided, events, key_crc, crc",
    ),
    plain(
        "what failed and waits",
        "held_event",
        "seq",
        "lane, seq, failures, hold, pause, set_at, code, crc",
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

impl Copied {
    pub(super) fn copy(
        &self,
        old: &Connection,
        new: &Connection,
        from: &Paths,
    ) -> rusqlite::Result<Part> {
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
            "event" | "seen" | "held" | "held_event" | "waiting" | "quarantine" | "buried"
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

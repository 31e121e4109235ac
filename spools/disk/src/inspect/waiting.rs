//! Lanes, proved: their owners, what waits in them, and what is known of it.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::Part;
use super::check::ended;
use crate::lane_store::{held_rows_of_all, owners_of_all, waiting_of_all};

/// A directory of an earlier program has no such tables.
fn has_lanes(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'lane_state')";
    conn.query_row(sql, [], |row| row.get(0))
}

fn part_of(
    conn: &Connection,
    name: &'static str,
    look: impl FnOnce(&mut Part) -> rusqlite::Result<()>,
) -> Part {
    let mut part = Part::new(name);
    let result = has_lanes(conn).and_then(|has_lanes| match has_lanes {
        true => look(&mut part),
        false => Ok(()),
    });
    ended(&mut part, result);
    part
}

impl Part {
    fn take(&mut self, number: i64, is_sound: bool) {
        match is_sound {
            true => self.good += 1,
            false => self.damaged(number),
        }
    }
}

/// The lanes' own rows, by their numbers.
pub(super) fn owners(conn: &Connection) -> Part {
    part_of(conn, "owners of lanes", |part| {
        for (lane, is_sound) in owners_of_all(conn)? {
            part.take(lane.into(), is_sound);
        }
        Ok(())
    })
}

/// What waits in lanes: its rows, and whether its events are there.
pub(super) fn waiting(conn: &Connection, in_segments: &BTreeSet<u64>) -> Part {
    part_of(conn, "what waits in lanes", |part| {
        // What it has to put right it cannot write here.
        part.damaged += u64::from(crate::lane_store::verify(conn).is_err());
        let (seqs, ranges) = waiting_of_all(conn)?;
        if !ranges.is_empty() {
            part.remark("the numbers are those of ranges of 1024 events");
        }
        for range in ranges {
            part.damaged(range.cast_signed());
        }
        let mut exists = conn.prepare("SELECT EXISTS (SELECT 1 FROM event WHERE seq = ?)")?;
        for seq in seqs {
            let is_there = in_segments.contains(&seq)
                || exists.query_row([seq.cast_signed()], |row| row.get::<_, bool>(0))?;
            if is_there {
                part.good += 1;
            } else {
                part.missing(seq.cast_signed());
            }
        }
        Ok(())
    })
}

/// What is known of waiting events beyond that they wait.
pub(super) fn held(conn: &Connection) -> Part {
    part_of(conn, "what failed and waits", |part| {
        for (seq, is_sound) in held_rows_of_all(conn)? {
            part.take(seq.cast_signed(), is_sound);
        }
        Ok(())
    })
}

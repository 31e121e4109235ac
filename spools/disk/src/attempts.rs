//! Attempts: what a lane tried with an event, and what came of it.

use std::time::Duration;

use faceway_core::{Attempt, AttemptResult, Code};
use rusqlite::{Connection, OptionalExtension as _};

use crate::row::moment;
use crate::store::Trouble;

/// Writes an attempt. Attempts of one moment are told apart by a place, from `first` on; the same attempt gets the same one when
/// it is written twice. Gives its place.
pub(crate) fn write(
    conn: &Connection,
    (lane, seq): (u32, u64),
    attempt: &Attempt,
    first: i64,
) -> Result<i64, Trouble> {
    let insert = "INSERT OR IGNORE INTO attempt (seq, lane, number, at, took, result, code) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let same = "SELECT took = ? AND result = ? AND code = ? FROM attempt WHERE seq = ? AND lane = ? AND number = ?";
    let at = attempt.at.as_millis();
    let took = i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX);
    let (result, code) = (result_number(attempt.result), attempt.code.as_str());
    let key = seq.cast_signed();
    for place in first..4096 {
        let number = (at << 12) | place;
        let row = (key, lane, number, at, took, result, code);
        if conn.prepare_cached(insert)?.execute(row)? > 0 {
            return Ok(place);
        }
        let row = (took, result, code, key, lane, number);
        let is_same = (conn.prepare_cached(same)?)
            .query_row(row, |row| row.get::<_, bool>(0))
            .optional()?;
        if is_same == Some(true) {
            return Ok(place);
        }
    }
    Ok(first)
}

/// All that are kept, oldest first.
pub(crate) fn of_event(conn: &Connection, lane: u32, seq: u64) -> rusqlite::Result<Vec<Attempt>> {
    let sql =
        "SELECT at, took, result, code FROM attempt WHERE seq = ? AND lane = ? ORDER BY number";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map((seq.cast_signed(), lane), |row| {
        Ok(Attempt {
            at: moment(row.get(0)?),
            took: Duration::from_millis(row.get::<_, i64>(1)?.unsigned_abs()),
            result: match row.get(2)? {
                0_i64 => AttemptResult::Delivered,
                1 => AttemptResult::Retry,
                _ => AttemptResult::Buried,
            },
            code: Code::stored(row.get(3)?),
        })
    })?;
    rows.collect()
}

fn result_number(result: AttemptResult) -> i64 {
    match result {
        AttemptResult::Delivered => 0,
        AttemptResult::Retry => 1,
        AttemptResult::Buried => 2,
    }
}

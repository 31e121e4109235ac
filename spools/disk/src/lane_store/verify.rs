//! What is looked at before lanes are used: whether every lane is found under its number, and every row of a backlog under its
//! lane and range.
//!
//! A row whose bytes are damaged costs its range (`state.rs`). One whose key is damaged, or that a lookup does not find, would
//! be missed without a word, and its events never delivered. Where one byte of a lane's row or of such a key is wrong, it is put
//! right (`checksum.rs`).

use std::collections::BTreeSet;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::waiting_rows::{self, KeyedRow};
use crate::checksum::{numbers, repair, stored};
use crate::row::fields_crc;
use crate::store::Trouble;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Rows that cannot be trusted.
    pub(crate) damaged: u64,
    /// Rows that were put right.
    pub(crate) mended: u64,
}

/// Looks at all of them and writes what had to be put right.
pub(crate) fn verify(conn: &Connection) -> Result<Verified, Trouble> {
    let mut verified = Verified::default();
    for table in ["lane", "lane_state", "held_event"] {
        if !is_whole(conn, table)? {
            within(conn, || write_again(conn, table))?;
        }
    }
    verify_owners(conn, &mut verified)?;
    verify_waiting(conn, &mut verified)?;
    Ok(verified)
}

/// Whether a table's tree and its indexes agree.
fn is_whole(conn: &Connection, table: &str) -> rusqlite::Result<bool> {
    let check = format!("PRAGMA integrity_check('{table}')");
    let found: String = conn.query_row(&check, [], |row| row.get(0))?;
    if found != "ok" {
        tracing::error!(
            table,
            "a table of lanes or one of its indexes is damaged; it is written again"
        );
    }
    Ok(found == "ok")
}

fn within(conn: &Connection, work: impl FnOnce() -> rusqlite::Result<()>) -> Result<(), Trouble> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = work().and_then(|()| conn.execute_batch("COMMIT"));
    if done.is_err() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    Ok(done?)
}

/// Writes the rows of a table, as they are read one after another, into a new tree. Of two rows with one key nothing is believed.
fn write_again(conn: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut columns = conn.prepare("SELECT name, type FROM pragma_table_info(?)")?;
    let columns = columns.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let columns: Vec<(String, String)> = columns.collect::<Result<_, _>>()?;
    let mut select = conn.prepare(&format!("SELECT * FROM {table} NOT INDEXED"))?;
    let rows = select.query_map([], |row| (0..columns.len()).map(|at| row.get(at)).collect());
    let rows: Vec<Vec<Value>> = rows?.collect::<Result<_, _>>()?;
    conn.execute(&format!("DELETE FROM {table}"), [])?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| &**name).collect();
    // A name whose bytes are of another type would not be found.
    let place = |(_, kind): &(String, String)| format!("CAST(? AS {kind})");
    let places: Vec<String> = columns.iter().map(place).collect();
    let sql = format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT DO UPDATE SET crc = -1",
        names.join(", "),
        places.join(", ")
    );
    let mut insert = conn.prepare(&sql)?;
    for row in rows {
        match insert.execute(params_from_iter(row)) {
            // A value that no program wrote there.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
            inserted => _ = inserted?,
        }
    }
    Ok(())
}

/// A lane's row: four numbers, its jobs, and its checksum.
type Owner = ([i64; 4], Vec<u8>, i64);

/// Else a lane would begin with the oldest event for one bit.
fn verify_owners(conn: &Connection, verified: &mut Verified) -> Result<(), Trouble> {
    let sql = "SELECT lane, epoch, routed_through, buried, replays, crc FROM lane_state";
    let mut select = conn.prepare(sql)?;
    let rows = select.query_map([], |row| {
        let numbers = numbers(row, [0, 1, 2, 3]);
        let replays = row.get_ref(4)?.as_blob().unwrap_or_default().to_vec();
        Ok(numbers.map(|numbers| (numbers, replays, stored(row, 5).unwrap_or(-1))))
    })?;
    // Of one that has no numbers the name is left: its next owner begins with the oldest event.
    let rows: Vec<Option<Owner>> = rows.collect::<Result<_, _>>()?;
    let mut mended = 0;
    let put_right = |row: Owner| {
        let (mended_row, changed) = mend(row);
        mended += u64::from(changed);
        mended_row
    };
    let rows: Vec<Owner> = rows.into_iter().flatten().map(put_right).collect();
    if mended == 0 {
        return Ok(());
    }
    verified.mended += mended;
    tracing::warn!(
        rows = mended,
        "rows of lanes were put right: one byte was wrong in each"
    );
    let sql = "INSERT INTO lane_state (lane, epoch, routed_through, buried, replays, crc) VALUES (?, ?, ?, ?, ?, ?) \
               ON CONFLICT DO UPDATE SET crc = -1";
    within(conn, || {
        conn.execute("DELETE FROM lane_state", [])?;
        for (numbers, replays, crc) in &rows {
            let [lane, epoch, routed_through, buried] = numbers;
            conn.execute(sql, (lane, epoch, routed_through, buried, replays, crc))?;
        }
        Ok(())
    })
}

fn mend((numbers, replays, crc): Owner) -> (Owner, bool) {
    let mut bytes = numbers.map(i64::to_le_bytes).as_flattened().to_vec();
    bytes.extend_from_slice(&replays);
    let crc_of = |bytes: &[u8]| {
        let (numbers, replays) = bytes.split_at(32);
        i64::from(fields_crc(&[numbers, replays]))
    };
    if crc_of(&bytes) == crc || !repair(&mut bytes, crc, crc_of) {
        return ((numbers, replays, crc), false);
    }
    let (words, _) = bytes.as_chunks::<8>();
    let numbers = std::array::from_fn(|at| i64::from_le_bytes(words[at]));
    let crc = crc_of(&bytes);
    ((numbers, bytes.split_off(32), crc), true)
}

fn verify_waiting(conn: &Connection, verified: &mut Verified) -> Result<(), Trouble> {
    let is_whole = is_whole(conn, "waiting")?;
    if is_whole && waiting_rows::are_keys_sound(conn)? {
        return Ok(());
    }
    let (rows, unknown) = waiting_rows::all_by_key(conn)?;
    let mended = rows.iter().filter(|row| row.is_mended).count();
    // What the index has and the table has not is lost: all events of its range may wait.
    let known: BTreeSet<[i64; 3]> = rows.iter().map(|row| row.key).collect();
    let indexed = match is_whole {
        true => Vec::new(),
        false => waiting_rows::keys_of_index(conn).unwrap_or_default(),
    };
    let lost: BTreeSet<[i64; 3]> = (indexed.into_iter())
        .filter(|key| !known.contains(key))
        .collect();
    tracing::error!(
        unknown,
        mended,
        lost = lost.len(),
        "rows of the lanes' backlogs are damaged; where their lane is not known, every lane begins with the oldest event"
    );
    verified.mended += mended as u64;
    verified.damaged += (unknown + lost.len()) as u64;
    within(conn, || {
        conn.execute("DELETE FROM waiting", [])?;
        let lost = lost.into_iter().map(KeyedRow::lost);
        for row in rows.into_iter().chain(lost) {
            row.write(conn)?;
        }
        if unknown > 0 {
            // No checksum is negative.
            conn.execute("UPDATE lane_state SET crc = -1", [])?;
        }
        Ok(())
    })
}

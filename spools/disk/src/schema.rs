//! The head of the database and its own description of its tables. One flipped bit there keeps SQLite from opening a database whose
//! rows are sound, so what differs by one bit from what this program writes is put right.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::settings::PAGE;
use crate::store::{add_columns, make_tables};

/// What the schema says of one table or index: type, name, table, statement.
type Row = [Vec<u8>; 4];

/// What the head of every database of ours says: its parts, each with its place (<https://www.sqlite.org/fileformat2.html>, 1.3).
const HEAD: [(u64, &[u8]); 3] = [
    // A database without tables has zeros in the last two.
    // Pages of 4 KiB; written and read with a write-ahead log.
    (0, b"SQLite format 3\0\x10\0\x02\x02\0\x40\x20\x20"),
    // The form of the description.
    (44, b"\0\0\0\x04"),
    // UTF-8.
    (56, b"\0\0\0\x01"),
];

/// Puts the head of the file right. Gives how many of its parts were wrong; none where there is no whole head. Sizes are looked at
/// only where no write-ahead log says something newer.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn mend_head(database: &Path, has_log: bool) -> std::io::Result<u64> {
    let file = File::options().read(true).write(true).open(database)?;
    if file.metadata()?.len() < HEAD_BYTES {
        return Ok(0);
    }
    let mut mended = 0;
    let (first, described) = HEAD.split_at(1);
    // Where a log has the newest pages, the file may be of before the first table.
    let described = if has_log { &[] } else { described };
    for (at, known) in first.iter().chain(described) {
        mended += put_right(&file, *at, known)?;
    }
    if !has_log {
        mended += mend_sizes(&file)?;
    }
    if mended > 0 {
        file.sync_all()?;
    }
    Ok(mended)
}

const HEAD_BYTES: u64 = 100;
/// How many pages the file has; the first page of the list of empty ones; how many they are.
const PAGES: u64 = 28;
const FIRST_EMPTY: u64 = 32;
const EMPTY: u64 = 36;

fn mend_sizes(file: &File) -> std::io::Result<u64> {
    let pages = file.metadata()?.len() / PAGE;
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    let mut mended = put_right(file, PAGES, &pages.to_be_bytes())?;
    let (first, count) = (number(file, FIRST_EMPTY)?, number(file, EMPTY)?);
    let of = |first| empty_pages(file, first, pages);
    if of(first)? == Some(count) {
        return Ok(mended);
    }
    // Either the number is wrong, or where the list begins.
    for bit in 0..u32::BITS {
        if of(first ^ (1 << bit))? == Some(count) {
            return Ok(mended + put_right(file, FIRST_EMPTY, &(first ^ (1 << bit)).to_be_bytes())?);
        }
    }
    if let Some(counted) = of(first)? {
        mended += put_right(file, EMPTY, &counted.to_be_bytes())?;
    }
    Ok(mended)
}

/// How many empty pages a list has that begins with this page; `None` when it is no list.
fn empty_pages(file: &File, first: u32, pages: u32) -> std::io::Result<Option<u32>> {
    let (mut at, mut count) = (first, 0_u32);
    while at != 0 {
        if at > pages || count > pages {
            return Ok(None);
        }
        let begin = u64::from(at - 1) * PAGE;
        count = count
            .saturating_add(1)
            .saturating_add(number(file, begin + 4)?);
        at = number(file, begin)?;
    }
    Ok(Some(count).filter(|count| *count <= pages))
}

fn number(file: &File, at: u64) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Writes what is known where one bit differs from it. Gives 1 then, else 0.
fn put_right(file: &File, at: u64, known: &[u8]) -> std::io::Result<u64> {
    let mut found = vec![0; known.len()];
    file.read_exact_at(&mut found, at)?;
    let is_off = bits_off(known, &found) == 1;
    if is_off {
        file.write_all_at(known, at)?;
    }
    Ok(is_off.into())
}

/// Puts the description of the tables right. Gives how many rows of it were wrong.
///
/// # Errors
/// When it cannot be read even as rows, or not be written.
pub(crate) fn mend_rows(database: &Path) -> rusqlite::Result<u64> {
    let known = known()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(database, flags)?;
    // With this SQLite reads a description that it cannot follow, as rows.
    conn.pragma_update(None, "writable_schema", "ON")?;
    let mut mended = 0;
    for (number, found) in rows(&conn)? {
        let differs = |known: &&Row| is_one_bit_off(known, &found);
        let Some(row) = known.iter().find(differs) else {
            continue;
        };
        let [kind, name, table, sql] = row.each_ref().map(|text| String::from_utf8_lossy(text));
        let update =
            "UPDATE sqlite_schema SET type = ?, name = ?, tbl_name = ?, sql = ? WHERE rowid = ?";
        conn.execute(update, (kind, name, table, sql, number))?;
        mended += 1;
    }
    Ok(mended)
}

/// The description of a new database.
fn known() -> rusqlite::Result<Vec<Row>> {
    let conn = Connection::open_in_memory()?;
    make_tables(&conn)?;
    add_columns(&conn)?;
    Ok(rows(&conn)?.into_iter().map(|(_, row)| row).collect())
}

fn rows(conn: &Connection) -> rusqlite::Result<Vec<(i64, Row)>> {
    let mut select = conn.prepare("SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema")?;
    let rows = select.query_map([], |row| {
        let text = |column: usize| -> rusqlite::Result<Vec<u8>> {
            // As bytes: a flipped bit may leave no UTF-8.
            Ok(row.get_ref(column)?.as_bytes().unwrap_or_default().to_vec())
        };
        Ok((row.get(0)?, [text(1)?, text(2)?, text(3)?, text(4)?]))
    })?;
    rows.collect()
}

fn is_one_bit_off(known: &Row, found: &Row) -> bool {
    let is_as_long = known
        .iter()
        .zip(found)
        .all(|(known, found)| known.len() == found.len());
    let texts = known.iter().zip(found);
    is_as_long
        && texts
            .map(|(known, found)| bits_off(known, found))
            .sum::<u32>()
            == 1
}

fn bits_off(known: &[u8], found: &[u8]) -> u32 {
    let bytes = known.iter().zip(found);
    bytes
        .map(|(known, found)| (known ^ found).count_ones())
        .sum()
}

//! What could not be read, raw, and its own limit: unreadable bodies never take room that events would have.
//!
//! The share of `bytes_max` is set aside whether it is used or not, so filling it changes nothing for events: no history
//! gives way, no append is refused. One inbound may use half of it, so that junk of one leaves room for another's.

use std::collections::HashMap;

use faceway_core::{NewUnreadable, Page, Private, Quarantined, QuarantinedBody};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::budget::Wanted;
use crate::checksum::stored;
use crate::covered::QUARANTINE;
use crate::group::Group;
use crate::inbox::Done;
use crate::page::{bounds, of_a_page};
use crate::row::{fields_crc, moment};
use crate::store::{Trouble, get};

/// Bodies that leave by age in one group at most; they may be large.
const BODIES_AT_ONCE: i64 = 64;

/// What a row takes up, as [`Wanted::add_row`] has it.
const WEIGHT: &str = "sum((bytes + octet_length(headers)) * 9 / 8 + 161)";

/// How much lies in quarantine, by inbound.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    bytes_max: u64,
    inbounds: HashMap<String, u64>,
    /// What the group that is being written adds and takes away.
    pending: Vec<(String, i64)>,
}

impl Quarantine {
    pub(crate) fn load(conn: &Connection, bytes_max: u64) -> rusqlite::Result<Self> {
        let sql = format!("SELECT inbound, {WEIGHT} FROM quarantine GROUP BY inbound");
        let mut select = conn.prepare(&sql)?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, get(row, 1)?)))?;
        Ok(Self {
            bytes_max,
            inbounds: rows.collect::<Result<_, _>>()?,
            pending: Vec::new(),
        })
    }

    /// Bytes that all of it takes up.
    pub(crate) fn bytes(&self) -> u64 {
        self.inbounds.values().sum()
    }

    /// Whether there is room for these bodies: in the whole, and in each inbound's half.
    pub(crate) fn fits(&self, entries: &[NewUnreadable]) -> bool {
        let mut total = self.bytes();
        let mut more: HashMap<&str, u64> = HashMap::new();
        for entry in entries {
            let bytes = weight(entry);
            total += bytes;
            *more.entry(&entry.inbound).or_default() += bytes;
        }
        let of = |inbound: &str| self.inbounds.get(inbound).copied().unwrap_or(0);
        total <= self.bytes_max
            && more
                .iter()
                .all(|(inbound, bytes)| of(inbound) + bytes <= self.bytes_max / 2)
    }

    /// Keeps them.
    pub(crate) fn keep(
        &mut self,
        conn: &Connection,
        entries: &[NewUnreadable],
    ) -> Result<(), Trouble> {
        for entry in entries {
            insert(conn, entry)?;
            self.change(entry.inbound.clone(), weight(entry).cast_signed());
        }
        Ok(())
    }

    /// Removes bodies for which `is_old` holds, by their number and stamp. Gives how many.
    pub(crate) fn trim(
        &mut self,
        conn: &Connection,
        is_old: impl Fn(u64, i64) -> bool,
    ) -> Result<u64, Trouble> {
        let mut select =
            conn.prepare_cached("SELECT number, at FROM quarantine ORDER BY number LIMIT ?")?;
        let mut rows = select.query([BODIES_AT_ONCE])?;
        let mut upto = None;
        while let Some(row) = rows.next()? {
            let number: u64 = get(row, 0)?;
            if !is_old(number, row.get(1)?) {
                break;
            }
            upto = Some(number.cast_signed());
        }
        drop(rows);
        match upto {
            Some(upto) => self.remove(conn, "number <= ?", upto),
            None => Ok(0),
        }
    }

    /// Removes what the operator has chosen; all when `None`.
    pub(crate) fn drop_some(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        numbers: Option<&[u64]>,
    ) -> Result<Done, Trouble> {
        let mut gone = 0;
        match numbers {
            None => gone += self.remove(conn, "number <= ?", i64::MAX)?,
            Some(numbers) => {
                for number in numbers {
                    gone += self.remove(conn, "number = ?", number.cast_signed())?;
                }
            }
        }
        group.dirty |= gone > 0;
        group.quarantined -= gone.cast_signed();
        Ok(Done::Count(gone))
    }

    fn remove(&mut self, conn: &Connection, which: &str, number: i64) -> Result<u64, Trouble> {
        let sql =
            format!("SELECT inbound, {WEIGHT} FROM quarantine WHERE {which} GROUP BY inbound");
        let mut select = conn.prepare_cached(&sql)?;
        let rows = select.query_map([number], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        for row in rows {
            let (inbound, bytes) = row?;
            self.change(inbound, -bytes);
        }
        let sql = format!("DELETE FROM quarantine WHERE {which}");
        Ok(conn.prepare_cached(&sql)?.execute([number])? as u64)
    }

    fn change(&mut self, inbound: String, bytes: i64) {
        self.apply(&inbound, bytes);
        self.pending.push((inbound, bytes));
    }

    fn apply(&mut self, inbound: &str, bytes: i64) {
        let known = self.inbounds.entry(inbound.to_owned()).or_default();
        *known = known.saturating_add_signed(bytes);
        if *known == 0 {
            self.inbounds.remove(inbound);
        }
    }

    /// The group is durable.
    pub(crate) fn commit(&mut self) {
        self.pending.clear();
    }

    /// The group is not there.
    pub(crate) fn rollback(&mut self) {
        for (inbound, bytes) in std::mem::take(&mut self.pending) {
            self.apply(&inbound, -bytes);
        }
    }
}

/// Lengths only: the fence stays shut.
fn weight(entry: &NewUnreadable) -> u64 {
    let bytes = entry.body.reveal().len() + entry.headers.reveal().len();
    (bytes as u64) * 9 / 8 + 161
}

/// The room that these need.
pub(crate) fn wanted(entries: &[NewUnreadable]) -> Wanted {
    Wanted {
        rows: entries.iter().map(weight).sum(),
        pictures: 0,
    }
}

/// A page of them, newest first. The bodies stay on the disk: a list does not show them.
pub(crate) fn list(conn: &Connection, page: Page) -> rusqlite::Result<Vec<Quarantined>> {
    let sql = "SELECT number, inbound, at, reason, bytes, headers FROM quarantine \
               WHERE number < ? ORDER BY number DESC LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map(bounds(page), entry_of)?;
    // Its size only.
    let bytes = |entry: &Quarantined| {
        entry.inbound.len() + entry.reason.len() + entry.headers.reveal().len()
    };
    of_a_page(rows, bytes)
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        number: get(row, 0)?,
        inbound: row.get(1)?,
        received_at: moment(row.get(2)?),
        reason: row.get(3)?,
        bytes: get(row, 4)?,
        headers: Private::new(row.get(5)?),
    })
}

/// One of them with its body; `Some(None)` when it is damaged.
pub(crate) fn one(
    conn: &Connection,
    number: u64,
) -> rusqlite::Result<Option<Option<QuarantinedBody>>> {
    let sql = "SELECT number, inbound, at, reason, bytes, headers, crc, body, row_crc FROM quarantine WHERE number = ?";
    let entry = |row: &Row<'_>| {
        let entry = entry_of(row)?;
        let body: Vec<u8> = row.get(7)?;
        let crc = unreadable_crc(row.get(2)?, entry.headers.reveal(), &body);
        let texts = [entry.inbound.as_bytes(), entry.reason.as_bytes()];
        let row_crc = QUARANTINE.crc([row.get(2)?, row.get(4)?], &texts);
        let sound =
            crc == row.get::<_, i64>(6)? && stored(row, 8).is_none_or(|known| known == row_crc);
        Ok(sound.then(|| QuarantinedBody {
            entry,
            body: Private::new(body.into()),
        }))
    };
    (conn.prepare_cached(sql)?)
        .query_row([number.cast_signed()], entry)
        .optional()
}

fn insert(conn: &Connection, entry: &NewUnreadable) -> Result<(), Trouble> {
    let sql = "INSERT INTO quarantine (at, inbound, reason, bytes, headers, crc, body, row_crc) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    // Raw as it came, for its owner's eyes only (the files are 0600).
    let (headers, body) = (entry.headers.reveal(), entry.body.reveal());
    let at = entry.received_at.as_millis();
    let bytes = body.len() as i64;
    let texts = [entry.inbound.as_bytes(), entry.reason.as_bytes()];
    conn.prepare_cached(sql)?.execute((
        at,
        &entry.inbound,
        &*entry.reason,
        bytes,
        headers,
        unreadable_crc(at, headers, body),
        &body[..],
        QUARANTINE.crc([at, bytes], &texts),
    ))?;
    Ok(())
}

/// What an entry in quarantine is checked against.
pub(crate) fn unreadable_crc(at: i64, headers: &str, body: &[u8]) -> i64 {
    i64::from(fields_crc(&[&at.to_le_bytes(), headers.as_bytes(), body]))
}

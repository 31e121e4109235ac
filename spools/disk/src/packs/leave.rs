//! When pictures leave.

use faceway_core::Sha256;
use rusqlite::{Connection, OptionalExtension as _};

use super::Packs;
use super::place::Place;
use crate::store::is_damage;

/// Pictures that leave by age in one group at most.
const PICTURES_AT_ONCE: usize = 512;
/// Pictures that give way in one step when room is short; few, so that not more leave than have to.
const PICTURES_A_STEP: usize = 8;

/// A picture that is free, as its row says.
struct Free {
    sha256: Sha256,
    /// `None`: its row is damaged, so nothing may be erased by it.
    place: Option<Place>,
    pack: u64,
}

impl Packs {
    /// Lets pictures go that have been free for long enough, and packs that have none left. Gives whether rows changed, and
    /// whether there is more to do. `swept`: how far [`Packs::sweep`] has come; nothing at or above it is through.
    pub(crate) fn look(
        &mut self,
        conn: &Connection,
        age: i64,
        swept: u64,
    ) -> rusqlite::Result<(bool, bool)> {
        if let Some(current) = &self.current
            && let Some(pack) = self.packs.get(&current.number)
            && (age.saturating_sub(pack.started) >= self.age_max
                || (pack.pictures == 0 && pack.bytes > 0))
        {
            self.current = None;
        }
        let before = age.saturating_sub(self.keep);
        let met = self.let_go(conn, before, swept, PICTURES_AT_ONCE)?;
        let emptied = self.remove_empty(conn)?;
        Ok((met > 0 || emptied, met >= PICTURES_AT_ONCE))
    }

    /// Space is short: pictures that no event waits for go, the longest free first, whatever their age. `false` when there are
    /// none.
    pub(crate) fn give_way(&mut self, conn: &Connection, swept: u64) -> rusqlite::Result<bool> {
        let met = self.let_go(conn, i64::MAX, swept, PICTURES_A_STEP)?;
        let emptied = self.remove_empty(conn)?;
        Ok(met > 0 || emptied)
    }

    /// Bytes that will be free after the commit.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// The writer was told that this picture is damaged.
    pub(crate) fn forget(
        &mut self,
        conn: &Connection,
        sha256: Sha256,
        place: Place,
    ) -> rusqlite::Result<bool> {
        let sql = "DELETE FROM image WHERE sha256 = ? AND pack = ? AND start = ? AND length = ? RETURNING crc";
        let row = (
            &sha256.0[..],
            place.pack.cast_signed(),
            place.start.cast_signed(),
            place.length.cast_signed(),
        );
        let removed: Option<Option<i64>> = (conn.prepare_cached(sql)?)
            .query_row(row, |row| row.get(0))
            .optional()?;
        let Some(crc) = removed else {
            return Ok(false);
        };
        // By a place that is not what was written, other pictures would be erased.
        let is_right = crc == Some(place.crc(sha256));
        self.removed(conn, place.pack, is_right.then_some(place))?;
        Ok(true)
    }

    /// Removes pictures that have been free since `before`, at most `max`. Gives how many rows were looked at.
    fn let_go(
        &mut self,
        conn: &Connection,
        before: i64,
        swept: u64,
        max: usize,
    ) -> rusqlite::Result<usize> {
        let rows = free_since(conn, before, swept, max)?;
        let met = rows.len();
        let delete = "DELETE FROM image WHERE sha256 = ?";
        for picture in rows {
            conn.prepare_cached(delete)?
                .execute([&picture.sha256.0[..]])?;
            self.removed(conn, picture.pack, picture.place)?;
        }
        Ok(met)
    }

    fn removed(
        &mut self,
        conn: &Connection,
        pack: u64,
        place: Option<Place>,
    ) -> rusqlite::Result<()> {
        self.count(pack, -1);
        let Some(place) = place else {
            return Ok(());
        };
        let sql = "INSERT OR REPLACE INTO picture_gone (pack, start, length) VALUES (?, ?, ?)";
        conn.prepare_cached(sql)?.execute((
            place.pack.cast_signed(),
            place.start.cast_signed(),
            place.length.cast_signed(),
        ))?;
        self.given = self.given.saturating_add(place.length);
        self.erase.push(place);
        Ok(())
    }

    /// Packs without pictures go. Their files go after the commit.
    fn remove_empty(&mut self, conn: &Connection) -> rusqlite::Result<bool> {
        let current = self.current.as_ref().map(|current| current.number);
        let empty: Vec<u64> = (self.packs.iter())
            .filter(|(number, pack)| pack.pictures == 0 && Some(**number) != current)
            .map(|(number, _)| *number)
            .filter(|number| !self.leaving.contains(number))
            .collect();
        for &number in &empty {
            for sql in [
                "DELETE FROM pack WHERE number = ?",
                "DELETE FROM image WHERE pack = ?",
                "DELETE FROM picture_gone WHERE pack = ?",
            ] {
                conn.prepare_cached(sql)?.execute([number.cast_signed()])?;
            }
            self.erase.retain(|place| place.pack != number);
            self.dirty.remove(&number);
            self.leaving.push(number);
        }
        Ok(!empty.is_empty())
    }
}

/// Those whose last event is not below `swept` wait again: it is replayed, or a lane was added.
fn free_since(
    conn: &Connection,
    before: i64,
    swept: u64,
    max: usize,
) -> rusqlite::Result<Vec<Free>> {
    let sql = "SELECT sha256, pack, start, length, crc FROM image \
               WHERE free IS NOT NULL AND free <= ? AND last < ? ORDER BY free, last LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((before, swept.cast_signed(), max as i64))?;
    let mut pictures = Vec::new();
    while let Some(row) = rows.next()? {
        match free_of(row) {
            Ok(picture) => pictures.push(picture),
            // It has no name by which it could be removed.
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pictures)
}

fn free_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Free> {
    let sha256 = Sha256(row.get(0)?);
    let place = Place::of(row, 1)?;
    let is_right = row.get::<_, Option<i64>>(4)? == Some(place.crc(sha256));
    Ok(Free {
        sha256,
        place: is_right.then_some(place),
        pack: place.pack,
    })
}

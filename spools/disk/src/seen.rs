//! Which ids are known: a small table in memory over a narrow one on disk that outlives the events.
//!
//! In memory an id is 32 bits of fingerprint and 32 bits of sequence number, 18 MB at the bound. The fingerprint is one of
//! the record ([`EventId::record`]), so all ids of a record are found together. One that is found is compared with the id
//! on disk, so an event is never taken for another one. Of each record the newest [`OF_RECORD_MAX`] ids are known: a
//! camera that goes on and off for a year would make the table slow for everybody.

use faceway_core::{EventId, Newest, RecordId};
use hashbrown::HashTable;
use rusqlite::{Connection, OptionalExtension as _};

use crate::row::fields_crc;
use crate::store::get;

/// Ids of one record that are known at most.
const OF_RECORD_MAX: usize = 16;
/// Rows of ids that leave in one group at most.
const EVICT_ROWS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    print: u32,
    /// The low half of the sequence number; all in the table lie within 2^32 of the newest.
    seq: u32,
}

/// What is known of an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Under which number.
    pub(crate) seq: Option<u64>,
    /// Whether its record is known under another id.
    pub(crate) has_another: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Seen {
    table: HashTable<Slot>,
    max: usize,
    newest: u64,
    /// Ids of the group that is being written, from this number on.
    fresh_from: u64,
    fresh: Vec<u8>,
    /// The row that was looked at last: what a device sends again often lies together.
    looked_at: Option<(u64, Vec<u8>)>,
}

impl Seen {
    /// Reads the table. Rows that are damaged are left out: their events would be kept twice rather than lost.
    pub(crate) fn load(conn: &Connection, max: usize) -> rusqlite::Result<Self> {
        let mut seen = Self {
            table: HashTable::new(),
            max,
            newest: 0,
            fresh_from: 0,
            fresh: Vec::new(),
            looked_at: None,
        };
        let mut rows = conn.prepare("SELECT seq, ids, crc FROM seen ORDER BY seq")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (first, ids) = (get(row, 0)?, row.get_ref(1)?.as_blob()?);
            if ids_crc(first, ids) != row.get::<_, i64>(2)? {
                tracing::warn!(seq = first, "a row of known ids is damaged and forgotten");
                continue;
            }
            for (seq, id) in (first..).zip(ids.chunks_exact(16)) {
                seen.put(seq, id);
            }
        }
        Ok(seen)
    }

    /// The highest number that is known.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// How many ids are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The number under which an id is known.
    pub(crate) fn find(&mut self, conn: &Connection, id: EventId) -> rusqlite::Result<Option<u64>> {
        Ok(self.look(conn, id)?.seq)
    }

    /// What is known of an id and of its record.
    pub(crate) fn look(&mut self, conn: &Connection, id: EventId) -> rusqlite::Result<Known> {
        let mut known = Known::default();
        for seq in self.candidates(id.record()) {
            match self.at(conn, seq)? {
                Some(other) if other == id => {
                    known.seq = Some(seq);
                    break;
                }
                Some(other) => known.has_another |= other.record() == id.record(),
                None => {}
            }
        }
        Ok(known)
    }

    /// The newest known event of a record.
    pub(crate) fn newest_of(
        &mut self,
        conn: &Connection,
        record: RecordId,
    ) -> rusqlite::Result<Option<Newest>> {
        for seq in self.candidates(record) {
            if let Some(id) = self.at(conn, seq)?
                && id.record() == record
            {
                return Ok(Some(Newest { seq, id }));
            }
        }
        Ok(None)
    }

    /// Where ids of a record may be, the newest first.
    fn candidates(&self, record: RecordId) -> Vec<u64> {
        let print = fingerprint(record);
        let newest = self.newest;
        let same = |slot: &&Slot| slot.print == print;
        let mut seqs: Vec<u64> = (self.table.iter_hash(spread(print)).filter(same))
            .map(|slot| newest - u64::from((newest as u32).wrapping_sub(slot.seq)))
            .collect();
        seqs.sort_unstable_by(|one, other| other.cmp(one));
        seqs
    }

    /// Notes an id of the group that is being written. Its numbers must follow each other.
    pub(crate) fn add(&mut self, seq: u64, id: EventId) {
        if self.fresh.is_empty() {
            self.fresh_from = seq;
        }
        self.fresh.extend_from_slice(id.as_bytes());
        self.put(seq, id.as_bytes());
    }

    /// Writes the group's ids, and lets the oldest go when there are too many.
    pub(crate) fn flush(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let crc = ids_crc(self.fresh_from, &self.fresh);
        conn.prepare_cached("INSERT INTO seen (seq, ids, crc) VALUES (?, ?, ?)")?
            .execute((self.fresh_from.cast_signed(), &self.fresh, crc))?;
        if self.table.len() > self.max {
            self.evict(conn)?;
        }
        Ok(())
    }

    /// The group is durable.
    pub(crate) fn commit(&mut self) {
        self.fresh.clear();
    }

    /// The group is not there.
    pub(crate) fn rollback(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        for (seq, id) in (self.fresh_from..).zip(fresh.chunks_exact(16)) {
            self.remove(seq, id);
        }
    }

    fn evict(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut oldest = conn.prepare_cached("SELECT seq, ids FROM seen ORDER BY seq LIMIT 1")?;
        let mut delete = conn.prepare_cached("DELETE FROM seen WHERE seq = ?")?;
        for _ in 0..EVICT_ROWS_MAX {
            if self.table.len() <= self.max {
                break;
            }
            let row = |row: &rusqlite::Row<'_>| Ok((get(row, 0)?, row.get::<_, Vec<u8>>(1)?));
            let Some((first, ids)) = oldest.query_row([], row).optional()? else {
                break;
            };
            for (seq, id) in (first..).zip(ids.chunks_exact(16)) {
                self.remove(seq, id);
            }
            delete.execute([first.cast_signed()])?;
        }
        Ok(())
    }

    fn put(&mut self, seq: u64, id: &[u8]) {
        let slot = slot(seq, id);
        self.newest = self.newest.max(seq);
        self.limit(slot.print);
        (self.table).insert_unique(spread(slot.print), slot, |slot| spread(slot.print));
    }

    /// Lets the oldest of a record go from memory, so that there is room for one more.
    fn limit(&mut self, print: u32) {
        let newest = self.newest as u32;
        let age = |slot: &Slot| newest.wrapping_sub(slot.seq);
        let of_record = self.table.iter_hash(spread(print));
        let of_record = of_record.filter(|slot| slot.print == print).copied();
        let (mut count, mut oldest) = (0, None::<Slot>);
        for slot in of_record {
            count += 1;
            if oldest.is_none_or(|known| age(&known) < age(&slot)) {
                oldest = Some(slot);
            }
        }
        if count >= OF_RECORD_MAX
            && let Some(oldest) = oldest
            && let Ok(entry) = (self.table).find_entry(spread(print), |slot| *slot == oldest)
        {
            entry.remove();
        }
    }

    fn remove(&mut self, seq: u64, id: &[u8]) {
        let slot = slot(seq, id);
        if let Ok(entry) = self
            .table
            .find_entry(spread(slot.print), |other| *other == slot)
        {
            entry.remove();
        }
    }

    /// The id that is kept under a number; `None` where its row is gone or damaged.
    fn at(&mut self, conn: &Connection, seq: u64) -> rusqlite::Result<Option<EventId>> {
        if let Some(id) = id_at(self.fresh_from, &self.fresh, seq) {
            return Ok(Some(id));
        }
        if let Some((first, ids)) = &self.looked_at
            && let Some(id) = id_at(*first, ids, seq)
        {
            return Ok(Some(id));
        }
        let sql = "SELECT seq, ids, crc FROM seen WHERE seq <= ? ORDER BY seq DESC LIMIT 1";
        let row = (conn.prepare_cached(sql)?)
            .query_row([seq.cast_signed()], |row| {
                Ok((
                    get(row, 0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            })
            .optional()?;
        let sound = row.filter(|(first, ids, crc)| ids_crc(*first, ids) == *crc);
        let Some((first, ids, _)) = sound else {
            return Ok(None);
        };
        let id = id_at(first, &ids, seq);
        self.looked_at = Some((first, ids));
        Ok(id)
    }
}

/// The id at `seq` of the `ids` from `first` on; `None` when `seq` is not among them.
fn id_at(first: u64, ids: &[u8], seq: u64) -> Option<EventId> {
    let at = usize::try_from(seq.checked_sub(first)?)
        .ok()?
        .checked_mul(16)?;
    let id = ids.get(at..at + 16)?.try_into().ok()?;
    Some(EventId::from_bytes(id))
}

fn ids_crc(first: u64, ids: &[u8]) -> i64 {
    i64::from(fields_crc(&[&first.to_le_bytes(), ids]))
}

fn slot(seq: u64, id: &[u8]) -> Slot {
    Slot {
        print: print_of(id),
        seq: seq as u32,
    }
}

/// Records are digests already; multiplying makes ids that were made by hand good enough as well.
fn fingerprint(record: RecordId) -> u32 {
    (u64::from_be_bytes(record.0) ^ 0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xff51_afd7_ed55_8ccd)
        .rotate_left(32) as u32
}

/// The same of an id as it is stored.
fn print_of(id: &[u8]) -> u32 {
    let half = id.first_chunk().copied().unwrap_or_default();
    fingerprint(RecordId(half))
}

fn spread(print: u32) -> u64 {
    u64::from(print).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::Seen;
    use faceway_core::EventId;
    use rusqlite::Connection;

    fn conn() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE seen (seq INTEGER PRIMARY KEY, ids BLOB, crc INTEGER)")
            .unwrap();
        conn
    }

    fn id(number: u128) -> EventId {
        EventId::from_bytes((number << 64 | 7).to_be_bytes())
    }

    /// Another id of the same record.
    fn another(number: u128, content: u128) -> EventId {
        EventId::from_bytes((number << 64 | content << 8).to_be_bytes())
    }

    fn add(seen: &mut Seen, conn: &Connection, seqs: std::ops::Range<u64>) {
        for seq in seqs {
            seen.add(seq, id(u128::from(seq)));
        }
        seen.flush(conn).unwrap();
        seen.commit();
    }

    #[test]
    fn finds_what_was_added_and_nothing_else() {
        let conn = conn();
        let mut seen = Seen::load(&conn, 1000).unwrap();
        add(&mut seen, &conn, 10..20);
        add(&mut seen, &conn, 30..40);
        let mut again = Seen::load(&conn, 1000).unwrap();
        for seen in [&mut seen, &mut again] {
            for seq in 0..50 {
                let known = (10..20).contains(&seq) || (30..40).contains(&seq);
                let found = seen.find(&conn, id(u128::from(seq))).unwrap();
                assert_eq!(found, known.then_some(seq));
            }
        }
    }

    #[test]
    fn a_group_that_failed_is_forgotten() {
        let conn = conn();
        let mut seen = Seen::load(&conn, 1000).unwrap();
        seen.add(1, id(1));
        assert_eq!(seen.find(&conn, id(1)).unwrap(), Some(1));
        seen.rollback();
        assert_eq!(seen.find(&conn, id(1)).unwrap(), None);
    }

    #[test]
    fn the_oldest_leave_and_the_newest_stay() {
        let conn = conn();
        let mut seen = Seen::load(&conn, 100).unwrap();
        for group in 0..50 {
            add(&mut seen, &conn, group * 10..group * 10 + 10);
        }
        assert_eq!(seen.len(), 100);
        assert_eq!(seen.find(&conn, id(399)).unwrap(), None);
        assert_eq!(seen.find(&conn, id(400)).unwrap(), Some(400));
        assert_eq!(Seen::load(&conn, 100).unwrap().len(), 100);
    }

    #[test]
    fn numbers_far_apart_are_told_apart() {
        let conn = conn();
        let mut seen = Seen::load(&conn, 100).unwrap();
        let far = (1 << 33) - 5;
        add(&mut seen, &conn, far..far + 10);
        assert_eq!(
            seen.find(&conn, id(u128::from(far) + 9)).unwrap(),
            Some(far + 9)
        );
    }

    #[test]
    fn other_contents_of_a_record_are_told_and_the_newest_is_found() {
        let conn = conn();
        let mut seen = Seen::load(&conn, 1000).unwrap();
        for content in 1..=40_u64 {
            let id = another(5, u128::from(content));
            let known = seen.look(&conn, id).unwrap();
            assert_eq!((known.seq, known.has_another), (None, content > 1));
            seen.add(content, id);
            seen.flush(&conn).unwrap();
            seen.commit();
        }
        let mut again = Seen::load(&conn, 1000).unwrap();
        for seen in [&mut seen, &mut again] {
            let newest = seen.newest_of(&conn, id(5).record()).unwrap().unwrap();
            assert_eq!((newest.seq, newest.id), (40, another(5, 40)));
            assert_eq!(seen.find(&conn, another(5, 30)).unwrap(), Some(30));
            assert_eq!(seen.newest_of(&conn, id(6).record()).unwrap(), None);
            assert_eq!(seen.len(), super::OF_RECORD_MAX);
        }
    }
}

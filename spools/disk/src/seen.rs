//! Which ids are known: a small table in memory over the files of ids beside the segments, which outlive the events. What an
//! earlier program knew stands in the table `seen`.
//!
//! In memory an id is 32 bits of fingerprint and 32 bits of sequence number, 18 MB at the bound. The fingerprint is one of
//! the record ([`EventId::record`]), so all ids of a record are found together. One that is found is compared with the id
//! on disk, so an event is never taken for another one. Of each record the newest [`OF_RECORD_MAX`] ids are known: a
//! camera that goes on and off for a year would make the table slow for all devices.

use faceway_core::{EventId, Newest, RecordId};
use hashbrown::HashTable;
use rusqlite::{Connection, OptionalExtension as _};

use crate::events::Events;
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
    events: Events,
    max: usize,
    newest: u64,
    /// Whether the database may have ids: those of a directory that an earlier program has written.
    has_rows: bool,
    /// Below this all ids beside segments have left the table.
    evicted: u64,
    /// Ids of the group that is being written, from this number on.
    fresh_from: u64,
    fresh: Vec<u8>,
    /// The row that was looked at last: what a device sends again often lies together.
    looked_at: Option<(u64, Vec<u8>)>,
}

impl Seen {
    /// Reads the table, and the newest ids beside the segments, which are open. Rows that are damaged are left out: their
    /// events would be kept twice rather than lost.
    pub(crate) fn load(conn: &Connection, events: Events, max: usize) -> rusqlite::Result<Self> {
        let mut seen = Self {
            table: HashTable::new(),
            events,
            max,
            newest: 0,
            has_rows: false,
            evicted: 0,
            fresh_from: 0,
            fresh: Vec::new(),
            looked_at: None,
        };
        let mut rows = conn.prepare("SELECT seq, ids, crc FROM seen ORDER BY seq")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (first, ids) = (get(row, 0)?, row.get_ref(1)?.as_blob()?);
            seen.has_rows = true;
            if ids_crc(first, ids) != row.get::<_, i64>(2)? {
                tracing::warn!(seq = first, "a row of known ids is damaged and forgotten");
                continue;
            }
            seen.take(first, ids);
        }
        // A large history has more: taken in, they would only leave again.
        let events = seen.events.clone();
        // Else the table would be made anew each time that it is full: a tenth of a start with a large history.
        let tail = events.segments().map_or(0, faceway_segments::Reader::tail);
        let ids = max.min(usize::try_from(tail).unwrap_or(max));
        let ids = ids.saturating_sub(seen.table.len());
        seen.table.reserve(ids, |slot| spread(slot.print));
        seen.evicted = events.newest_ids(max, |first, ids| seen.take(first, ids))?;
        Ok(seen)
    }

    /// Takes in known ids: the number of the first, and 16 bytes for each.
    fn take(&mut self, first: u64, ids: &[u8]) {
        for (seq, id) in (first..).zip(ids.chunks_exact(16)) {
            self.put(seq, id);
        }
    }

    /// Ids of events below this are known no longer.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
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

    /// Whether rows of the database have to leave for so many more ids.
    pub(crate) fn rows_leave_for(&self, ids: usize) -> bool {
        self.has_rows && self.table.len() + ids > self.max
    }

    /// Lets the oldest ids go when there are too many. `true` when rows have left.
    pub(crate) fn limit_all(&mut self, conn: &Connection) -> rusqlite::Result<bool> {
        if self.table.len() > self.max {
            return self.evict(conn);
        }
        Ok(false)
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

    fn evict(&mut self, conn: &Connection) -> rusqlite::Result<bool> {
        let mut oldest = conn.prepare_cached("SELECT seq, ids FROM seen ORDER BY seq LIMIT 1")?;
        let mut delete = conn.prepare_cached("DELETE FROM seen WHERE seq = ?")?;
        let mut has_changed = false;
        for _ in 0..EVICT_ROWS_MAX {
            if self.table.len() <= self.max {
                break;
            }
            let row = |row: &rusqlite::Row<'_>| Ok((get(row, 0)?, row.get::<_, Vec<u8>>(1)?));
            let of_table = match self.has_rows {
                true => oldest.query_row([], row).optional()?,
                false => None,
            };
            self.has_rows = of_table.is_some();
            let run = match &of_table {
                Some(row) => Some(row.clone()),
                None => self.events.ids_from(self.evicted)?,
            };
            let Some((first, ids)) = run else {
                break;
            };
            for (seq, id) in (first..).zip(ids.chunks_exact(16)) {
                self.remove(seq, id);
            }
            if of_table.is_some() {
                delete.execute([first.cast_signed()])?;
                has_changed = true;
            } else {
                self.evicted = first + (ids.len() / 16) as u64;
            }
        }
        Ok(has_changed)
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
        if let Some(id) = self.events.id(seq)? {
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

/// The checksum of a row of `seen`.
pub(crate) fn ids_crc(first: u64, ids: &[u8]) -> i64 {
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
    use std::ops::Range;
    use std::sync::Arc;

    use faceway_core::EventId;
    use faceway_segments::{Event, RealDisk, Settings, Writer, open};
    use rusqlite::Connection;

    use super::{Seen, ids_crc};
    use crate::events::Events;

    /// Segments of a few events, and a database without known ids.
    struct Log {
        dir: tempfile::TempDir,
        conn: Connection,
        writer: Writer,
        seen: Seen,
    }

    impl Log {
        fn new(max: usize) -> Self {
            Self::open(tempfile::tempdir().unwrap(), max)
        }

        fn open(dir: tempfile::TempDir, max: usize) -> Self {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(
                "CREATE TABLE seen (seq INTEGER PRIMARY KEY, ids BLOB, crc INTEGER)",
            )
            .unwrap();
            let settings = Settings {
                segment_bytes: 2048,
                spares: 0,
            };
            let opened = open(Arc::new(RealDisk::new(dir.path())), settings).unwrap();
            let events = Events::default();
            events.begin(opened.reader);
            let seen = Seen::load(&conn, events, max).unwrap();
            Self {
                dir,
                conn,
                writer: opened.writer,
                seen,
            }
        }

        /// The same after a start.
        fn again(mut self) -> Self {
            self.writer.close().unwrap();
            let max = self.seen.max;
            drop(self.writer);
            Self::open(self.dir, max)
        }

        fn push(&mut self, id: EventId) -> u64 {
            let event = Event {
                id: *id.as_bytes(),
                device: 1,
                at: 1,
                images: b"",
                trace: b"",
                body: b"",
            };
            let seq = self.writer.push(&event).unwrap();
            self.seen.add(seq, id);
            seq
        }

        fn commit(&mut self) {
            self.writer.commit().unwrap();
            self.seal();
            self.seen.limit_all(&self.conn).unwrap();
            self.seen.commit();
        }

        fn seal(&mut self) {
            for seal in self.writer.seals() {
                seal.write(&RealDisk::new(self.dir.path())).unwrap();
            }
        }

        fn add(&mut self, seqs: Range<u64>) {
            self.writer.skip_to(seqs.start);
            for seq in seqs {
                assert_eq!(self.push(id(u128::from(seq))), seq);
            }
            self.commit();
        }

        fn find(&mut self, id: EventId) -> Option<u64> {
            self.seen.find(&self.conn, id).unwrap()
        }
    }

    fn id(number: u128) -> EventId {
        EventId::from_bytes((number << 64 | 7).to_be_bytes())
    }

    /// Another id of the same record.
    fn another(number: u128, content: u128) -> EventId {
        EventId::from_bytes((number << 64 | content << 8).to_be_bytes())
    }

    #[test]
    fn finds_what_was_added_and_nothing_else() {
        let mut log = Log::new(1000);
        log.add(10..20);
        log.add(30..40);
        for _ in 0..2 {
            for seq in 0..50 {
                let known = (10..20).contains(&seq) || (30..40).contains(&seq);
                assert_eq!(log.find(id(u128::from(seq))), known.then_some(seq));
            }
            log = log.again();
        }
    }

    #[test]
    fn a_group_that_failed_is_forgotten() {
        let mut log = Log::new(1000);
        let seq = log.push(id(1));
        assert_eq!(log.find(id(1)), Some(seq));
        log.seen.rollback();
        assert_eq!(log.find(id(1)), None);
    }

    #[test]
    fn the_oldest_leave_and_the_newest_stay() {
        let mut log = Log::new(100);
        for group in 1..51 {
            log.add(group * 10..group * 10 + 10);
        }
        for _ in 0..2 {
            assert_eq!(log.seen.len(), 100);
            assert_eq!(log.find(id(409)), None);
            assert_eq!(log.find(id(410)), Some(410));
            log = log.again();
            log.seal();
            // As many leave in one group as there are runs of a few.
            while log.seen.len() > 100 {
                let before = log.seen.len();
                log.seen.limit_all(&log.conn).unwrap();
                assert!(log.seen.len() < before);
            }
        }
    }

    #[test]
    fn what_an_earlier_program_knew_leaves_first() {
        let mut log = Log::new(15);
        let ids: Vec<u8> = (1..11).flat_map(|n| *id(n).as_bytes()).collect();
        let row = (1, &ids, ids_crc(1, &ids));
        let insert = "INSERT INTO seen VALUES (?, ?, ?)";
        log.conn.execute(insert, row).unwrap();
        log.seen.take(1, &ids);
        log.seen.has_rows = true;
        assert_eq!(log.find(id(5)), Some(5));
        log.add(11..21);
        assert_eq!((log.find(id(5)), log.find(id(15))), (None, Some(15)));
        let rows = "SELECT count(*) FROM seen";
        let rows: i64 = log.conn.query_row(rows, [], |row| row.get(0)).unwrap();
        assert_eq!((rows, log.seen.len()), (0, 10));
    }

    #[test]
    fn numbers_far_apart_are_told_apart() {
        let mut log = Log::new(100);
        let far = (1 << 33) - 5;
        log.add(far..far + 10);
        assert_eq!(log.find(id(u128::from(far) + 9)), Some(far + 9));
    }

    #[test]
    fn other_contents_of_a_record_are_told_and_the_newest_is_found() {
        let mut log = Log::new(1000);
        for content in 1..=40_u64 {
            let id = another(5, u128::from(content));
            let known = log.seen.look(&log.conn, id).unwrap();
            assert_eq!((known.seq, known.has_another), (None, content > 1));
            assert_eq!(log.push(id), content);
            log.commit();
        }
        for _ in 0..2 {
            let newest = log.seen.newest_of(&log.conn, id(5).record()).unwrap();
            let newest = newest.unwrap();
            assert_eq!((newest.seq, newest.id), (40, another(5, 40)));
            assert_eq!(log.find(another(5, 30)), Some(30));
            let none = log.seen.newest_of(&log.conn, id(6).record()).unwrap();
            assert_eq!(none, None);
            assert_eq!(log.seen.len(), super::OF_RECORD_MAX);
            log = log.again();
        }
    }
}

//! What the packs are when the spool is opened, and what an earlier program did not write down.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faceway_core::Sha256;
use rusqlite::Connection;

use super::hold::hold_pictures_of;
use super::place::{Place, pack_path};
use super::{Pack, Packs};
use crate::helper::Helper;
use crate::lane_store::needed::waiting_below;
use crate::store::{Trouble, get, is_corrupt, unless_corrupt};
use crate::throttle::Throttle;

/// Pictures of a pack whose number is not known: it is not removed by mistake.
const MANY: u64 = 1 << 40;

impl Packs {
    /// Reads what there is, and removes files that no row names: their group was never acknowledged. Writes nothing to the
    /// database: on a full disk it must open.
    pub(crate) fn load(
        conn: &Connection,
        dir: PathBuf,
        pack_bytes_max: u64,
        keep: Duration,
    ) -> Result<Self, Trouble> {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let mut packs = read_packs(conn)?;
        let mut next_number = packs.last_key_value().map_or(1, |(number, _)| number + 1);
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(number) = stem.and_then(|stem| stem.parse::<u64>().ok()) {
                next_number = next_number.max(number + 1);
                if !packs.contains_key(&number) {
                    std::fs::remove_file(path)?;
                }
            }
        }
        let ends = match count_pictures(conn, &mut packs) {
            Err(error) if is_corrupt(&error) => {
                tracing::error!(
                    "the table of pictures has a broken page: packs stay although they may be empty"
                );
                packs.values_mut().for_each(|pack| pack.pictures = MANY);
                BTreeMap::new()
            }
            ends => ends?,
        };
        for (number, pack) in &mut packs {
            measure(&dir, *number, pack, ends.get(number).copied().unwrap_or(0))?;
        }
        let mut gone = conn.prepare("SELECT pack, start, length FROM picture_gone")?;
        let gone = gone.query_map([], |row| Place::of(row, 0))?;
        let erase: Vec<Place> = gone.collect::<Result<_, _>>()?;
        Ok(Self {
            dir,
            pack_bytes_max,
            age_max: (keep / 24).max(1000),
            keep,
            packs,
            current: None,
            next_number,
            // What waits from before may name some.
            last_named: u64::MAX,
            again: 0,
            rewinds: Vec::new(),
            dirty: Default::default(),
            changes: Vec::new(),
            written: Vec::new(),
            leaving: Vec::new(),
            given: 0,
            erase,
            erased: Vec::new(),
            log: Throttle::default(),
            helper: Helper::start()?,
        })
    }

    /// The sweep has come to the end of what was there when the spool was opened.
    pub(crate) fn all_named_before(&mut self, next: u64) {
        self.last_named = self.last_named.min(next);
    }
}

/// Writes what an earlier program did not.
pub(crate) fn refresh(conn: &Connection, swept: u64, age: i64) -> Result<(), Trouble> {
    if unless_corrupt(conn, || write_what_is_missing(conn, swept, age))?.is_none() {
        tracing::error!(
            "what pictures are for cannot be written down, as the database has a broken page: some may leave before their \
             events"
        );
    }
    Ok(())
}

fn write_what_is_missing(conn: &Connection, swept: u64, age: i64) -> rusqlite::Result<()> {
    conn.execute_batch(
        "DELETE FROM picture_hold;
             UPDATE image SET last = (SELECT pack.last FROM pack WHERE pack.number = image.pack),
                              free = (SELECT pack.free FROM pack WHERE pack.number = image.pack)
             WHERE last IS NULL;
             DELETE FROM image WHERE last IS NULL;",
    )?;
    add_checksums(conn)?;
    for seq in waiting_below(conn, swept)? {
        hold_pictures_of(conn, seq)?;
    }
    // What nothing holds and no sweep comes to any more would stay for ever.
    let free = "UPDATE image SET free = ? WHERE free IS NULL AND last < ? \
                    AND NOT EXISTS (SELECT 1 FROM picture_hold WHERE picture_hold.sha256 = image.sha256)";
    conn.execute(free, (age, swept.cast_signed()))?;
    Ok(())
}

fn read_packs(conn: &Connection) -> rusqlite::Result<BTreeMap<u64, Pack>> {
    let mut rows = conn.prepare("SELECT number, bytes, started, first, last FROM pack")?;
    let rows = rows.query_map([], |row| {
        let pack = Pack {
            bytes: get(row, 1)?,
            started: row.get(2)?,
            first: get(row, 3)?,
            last: get(row, 4)?,
            ..Pack::default()
        };
        Ok((get(row, 0)?, pack))
    })?;
    rows.collect()
}

/// Counts the pictures of each pack. Gives where the last one ends.
fn count_pictures(
    conn: &Connection,
    packs: &mut BTreeMap<u64, Pack>,
) -> rusqlite::Result<BTreeMap<u64, u64>> {
    let sql = "SELECT pack, count(*), max(start + length) FROM image GROUP BY pack";
    let mut select = conn.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut ends = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let number = get(row, 0)?;
        if let Some(pack) = packs.get_mut(&number) {
            pack.pictures = get(row, 1)?;
        }
        // Of numbers that make no sense nothing follows.
        ends.insert(
            number,
            row.get::<_, i64>(2).map_or(u64::MAX, i64::cast_unsigned),
        );
    }
    Ok(ends)
}

/// Compares a pack with its file. What lies behind the last picture belongs to no event: its group was never acknowledged.
fn measure(dir: &Path, number: u64, pack: &mut Pack, end: u64) -> std::io::Result<()> {
    let file = match std::fs::File::options()
        .write(true)
        .open(pack_path(dir, number))
    {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            pack.bytes = 0;
            if pack.pictures > 0 {
                tracing::error!(
                    pack = number,
                    pictures = pack.pictures,
                    "a pack of pictures is missing"
                );
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if end > 0 && end < length && pack.bytes < length {
        file.set_len(end.max(pack.bytes))?;
    }
    let file = file.metadata()?;
    // Both come from the database, and it may be damaged: the file has the last word.
    pack.bytes = pack.bytes.min(file.len());
    pack.used = file.len().min(file.blocks() * 512);
    Ok(())
}

fn add_checksums(conn: &Connection) -> rusqlite::Result<()> {
    let mut select =
        conn.prepare("SELECT sha256, pack, start, length FROM image WHERE crc IS NULL")?;
    let rows = select.query_map([], |row| Ok((Sha256(row.get(0)?), Place::of(row, 1)?)))?;
    // First all of them: a row that is changed while it is walked over may come twice.
    let rows: Vec<(Sha256, Place)> = rows.collect::<Result<_, _>>()?;
    let mut update = conn.prepare("UPDATE image SET crc = ? WHERE sha256 = ?")?;
    for (sha256, place) in rows {
        update.execute((place.crc(sha256), &sha256.0[..]))?;
    }
    Ok(())
}

//! Pictures, in append-only files.
//!
//! A picture is written from the bytes that were decoded, by a helper thread, while the writer fills the database; the
//! pack is synced before the commit that names the picture. So a crash leaves a picture without its event at worst,
//! never an event without its picture.
//!
//! **How long a picture stays.** It has one place, however often it comes again, and `last`, the highest event that names
//! it. `swept` in `meta` follows the lanes: below it every event is through or waits. An event that the sweep finds waiting
//! gets a row of `picture_hold` for each of its pictures; of all others the pictures are free from then on. A picture leaves
//! when it has been free for `images`: never before `last` is swept, and never while a row of `picture_hold` names it.
//! Buried events hold no pictures: they may lie for ever. One that is revived holds those that are left.
//!
//! **How a picture leaves.** Its row goes, and after the commit its bytes become a hole in the pack; until that is done a
//! row of `picture_gone` remembers them. A pack without pictures is removed as a file.

pub(crate) mod erase;
pub(crate) mod hold;
mod leave;
pub(crate) mod load;
pub(crate) mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{Picture, Sha256};
use rusqlite::{Connection, OptionalExtension as _};

use crate::helper::Helper;
use crate::store::{Trouble, get, private_file};
use crate::throttle::Throttle;
use hold::Rewind;
use place::Place;

#[derive(Clone, Copy, Debug, Default)]
struct Pack {
    /// Where the next picture begins.
    bytes: u64,
    /// What it occupies on the disk.
    used: u64,
    /// Pictures that are left in it.
    pictures: u64,
    started: i64,
    /// The events that name its pictures. Only an earlier program reads these.
    first: u64,
    last: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    file: Arc<File>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Packs {
    dir: PathBuf,
    pack_bytes_max: u64,
    /// A pack takes pictures for so long.
    age_max: i64,
    /// Milliseconds that pictures stay when no event waits that names them.
    keep: i64,
    packs: BTreeMap<u64, Pack>,
    current: Option<Current>,
    next_number: u64,
    /// The highest event that named a picture, as far as is known: the sweep need not look at later ones.
    last_named: u64,
    /// The sweep was there before it went back, and for whom it went back since.
    again: u64,
    rewinds: Vec<Rewind>,
    dirty: BTreeSet<u64>,
    /// What this group did to the packs' numbers of pictures.
    changes: Vec<(u64, i64)>,
    /// Where this group has written pictures.
    written: Vec<Place>,
    /// Packs whose rows this group has removed.
    leaving: Vec<u64>,
    /// Bytes of pictures that this group has removed.
    given: u64,
    /// Places of removed pictures, to be erased after the commit.
    erase: Vec<Place>,
    /// Places that are erased; their rows of `picture_gone` go with the next group.
    erased: Vec<Place>,
    log: Throttle,
    helper: Helper,
}

impl Packs {
    /// Bytes of all packs.
    pub(crate) fn bytes(&self) -> u64 {
        self.packs.values().map(|pack| pack.used).sum()
    }

    /// Keeps a picture that the event `seq` names. `age`: see [`crate::ages`].
    pub(crate) fn keep(
        &mut self,
        conn: &Connection,
        picture: &Picture,
        seq: u64,
        age: i64,
    ) -> Result<(), Trouble> {
        if self.name(conn, picture.sha256, seq)? {
            return Ok(());
        }
        // The fence is open for the disk only.
        let bytes: Bytes = picture.bytes.reveal().clone();
        let length = bytes.len() as u64;
        let (pack, file) = self.room(length, seq, age)?;
        let start = self.packs.get(&pack).map_or(0, |pack| pack.bytes);
        self.helper.write(file, start, bytes);
        let place = Place {
            pack,
            start,
            length,
        };
        let sql = "INSERT OR REPLACE INTO image (sha256, pack, start, length, last, free, crc) \
                   VALUES (?, ?, ?, ?, ?, NULL, ?)";
        conn.prepare_cached(sql)?.execute((
            &picture.sha256.0[..],
            pack.cast_signed(),
            start.cast_signed(),
            length.cast_signed(),
            seq.cast_signed(),
            place.crc(picture.sha256),
        ))?;
        if let Some(pack) = self.packs.get_mut(&pack) {
            pack.bytes += length;
            pack.used += length;
        }
        self.count(pack, 1);
        self.written.push(place);
        self.touch(pack, seq);
        Ok(())
    }

    /// The event `seq` names a picture. `false` when it is not here.
    pub(crate) fn name(
        &mut self,
        conn: &Connection,
        sha256: Sha256,
        seq: u64,
    ) -> Result<bool, Trouble> {
        self.last_named = self.last_named.max(seq);
        let sql = "UPDATE image SET last = max(coalesce(last, 0), ?), free = NULL WHERE sha256 = ? RETURNING pack";
        let pack = (conn.prepare_cached(sql)?)
            .query_row((seq.cast_signed(), &sha256.0[..]), |row| get(row, 0))
            .optional()?;
        let Some(pack) = pack.filter(|pack| self.packs.contains_key(pack)) else {
            return Ok(false);
        };
        self.touch(pack, seq);
        Ok(true)
    }

    fn touch(&mut self, number: u64, seq: u64) {
        if let Some(pack) = self.packs.get_mut(&number) {
            pack.first = pack.first.min(seq);
            pack.last = pack.last.max(seq);
            self.dirty.insert(number);
        }
    }

    fn count(&mut self, number: u64, change: i64) {
        if let Some(pack) = self.packs.get_mut(&number) {
            pack.pictures = pack.pictures.saturating_add_signed(change);
            self.changes.push((number, change));
        }
    }

    fn room(&mut self, length: u64, seq: u64, age: i64) -> Result<(u64, Arc<File>), Trouble> {
        if let Some(current) = &self.current
            && let Some(pack) = self.packs.get(&current.number)
            && pack.bytes.saturating_add(length) <= self.pack_bytes_max
            && age.saturating_sub(pack.started) < self.age_max
        {
            return Ok((current.number, Arc::clone(&current.file)));
        }
        let number = self.next_number;
        self.next_number += 1;
        let path = place::pack_path(&self.dir, number);
        let file = Arc::new(private_file().create_new(true).open(path)?);
        File::open(&self.dir)?.sync_all()?;
        let pack = Pack {
            started: age,
            first: seq,
            last: seq,
            ..Pack::default()
        };
        self.packs.insert(number, pack);
        self.current = Some(Current {
            number,
            file: Arc::clone(&file),
        });
        Ok((number, file))
    }

    /// All pictures of the group were given; the helper may sync while the writer goes on.
    pub(crate) fn begin_sync(&mut self) {
        self.helper.begin_sync();
    }

    /// Waits until they are durable, before the commit.
    pub(crate) fn end_sync(&mut self) -> Result<(), Trouble> {
        let result = self.helper.end_sync();
        if result.is_err() {
            // After a failed sync nothing is known of what the file holds: the next picture begins another one.
            self.current = None;
        }
        Ok(result?)
    }

    /// Writes the rows of packs that changed. `true` when something was written that nothing else of the group needs.
    pub(crate) fn flush(&self, conn: &Connection) -> Result<bool, Trouble> {
        let sql = "INSERT OR REPLACE INTO pack (number, bytes, started, first, last, free) \
                   VALUES (?, ?, ?, ?, ?, NULL)";
        for number in &self.dirty {
            if let Some(pack) = self.packs.get(number) {
                conn.prepare_cached(sql)?.execute((
                    number.cast_signed(),
                    pack.bytes.cast_signed(),
                    pack.started,
                    pack.first.cast_signed(),
                    pack.last.cast_signed(),
                ))?;
            }
        }
        let sql = "DELETE FROM picture_gone WHERE pack = ? AND start = ?";
        for place in &self.erased {
            let key = (place.pack.cast_signed(), place.start.cast_signed());
            conn.prepare_cached(sql)?.execute(key)?;
        }
        Ok(!self.erased.is_empty())
    }

    /// The group is durable: what it has removed goes from the disk as well.
    pub(crate) fn commit(&mut self) {
        self.dirty.clear();
        self.changes.clear();
        self.erased.clear();
        self.written.clear();
        self.given = 0;
        for number in std::mem::take(&mut self.leaving) {
            self.packs.remove(&number);
            let removed = std::fs::remove_file(place::pack_path(&self.dir, number));
            if let Err(error) = removed
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(pack = number, %error, "a pack of pictures cannot be removed");
            }
        }
        self.erase_removed();
    }

    /// The group is not there.
    pub(crate) fn rollback(&mut self) {
        // First, so that nothing is written any more where holes are made below.
        if self.helper.end_sync().is_err() {
            self.current = None;
        }
        for (number, change) in std::mem::take(&mut self.changes) {
            if let Some(pack) = self.packs.get_mut(&number) {
                pack.pictures = pack.pictures.saturating_add_signed(-change);
            }
        }
        self.leaving.clear();
        // No row names what it has written, so nothing else would erase it.
        self.erase = std::mem::take(&mut self.written);
        self.given = 0;
    }
}

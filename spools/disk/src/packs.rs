//! Pictures, in append-only files that are removed as a whole.
//!
//! A picture is written from the bytes that were decoded, by a helper thread, while the writer fills the database; the
//! pack is synced before the commit that names the picture. So a crash leaves a picture without its event at worst,
//! never an event without its picture.
//!
//! A pack is removed when no lane needs an event that names one of its pictures (unread, in hand, parked, behind) and
//! that has been so for `images`. Buried events do not keep pictures: they may lie for ever.

mod leave;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{Picture, Private, Sha256, SpoolError};
use rusqlite::{Connection, OptionalExtension as _};

use crate::helper::Helper;
use crate::store::{Trouble, get, private_file};

#[derive(Clone, Copy, Debug)]
struct Pack {
    bytes: u64,
    started: i64,
    /// The events that name its pictures.
    first: u64,
    last: u64,
    /// Since when no lane needs them.
    free: Option<i64>,
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
    /// A pack takes pictures for so long, and a picture that comes again is found in packs that young.
    age_max: i64,
    /// Milliseconds that pictures stay after nobody needs them.
    keep: i64,
    packs: BTreeMap<u64, Pack>,
    current: Option<Current>,
    next_number: u64,
    dirty: BTreeSet<u64>,
    dying: BTreeSet<u64>,
    gone: Vec<u64>,
    asked_last: u64,
    helper: Helper,
}

impl Packs {
    /// Reads what there is, and removes files that no row names: their group was never acknowledged.
    pub(crate) fn load(
        conn: &Connection,
        dir: PathBuf,
        pack_bytes_max: u64,
        keep: std::time::Duration,
    ) -> Result<Self, Trouble> {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let mut rows =
            conn.prepare("SELECT number, bytes, started, first, last, free FROM pack")?;
        let rows = rows.query_map([], |row| {
            let pack = Pack {
                bytes: get(row, 1)?,
                started: row.get(2)?,
                first: get(row, 3)?,
                last: get(row, 4)?,
                free: row.get(5)?,
            };
            Ok((get(row, 0)?, pack))
        })?;
        let packs: BTreeMap<u64, Pack> = rows.collect::<Result<_, _>>()?;
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
        Ok(Self {
            dir,
            pack_bytes_max,
            age_max: (keep / 24).max(1000),
            keep,
            packs,
            current: None,
            next_number,
            dirty: BTreeSet::new(),
            dying: BTreeSet::new(),
            gone: Vec::new(),
            asked_last: 0,
            helper: Helper::start()?,
        })
    }

    /// Bytes of all packs.
    pub(crate) fn bytes(&self) -> u64 {
        self.packs.values().map(|pack| pack.bytes).sum()
    }

    /// Keeps a picture that the event `seq` names.
    pub(crate) fn keep(
        &mut self,
        conn: &Connection,
        picture: &Picture,
        seq: u64,
        now: i64,
    ) -> Result<(), Trouble> {
        if let Some(number) = self.pack_of(conn, picture.sha256)?
            && let Some(pack) = self.packs.get(&number)
            && now.saturating_sub(pack.started) < self.age_max
            && !self.dying.contains(&number)
        {
            self.touch(number, seq);
            return Ok(());
        }
        // The fence is open for the disk only.
        let bytes: Bytes = picture.bytes.reveal().clone();
        let length = bytes.len() as u64;
        let (number, file) = self.place(length, seq, now)?;
        let start = self.packs.get(&number).map_or(0, |pack| pack.bytes);
        self.helper.write(file, start, bytes);
        let sql = "INSERT OR REPLACE INTO image (sha256, pack, start, length) VALUES (?, ?, ?, ?)";
        conn.prepare_cached(sql)?.execute((
            &picture.sha256.0[..],
            number.cast_signed(),
            start.cast_signed(),
            length.cast_signed(),
        ))?;
        if let Some(pack) = self.packs.get_mut(&number) {
            pack.bytes += length;
        }
        self.touch(number, seq);
        Ok(())
    }

    /// The event `seq` names a picture that was kept before.
    pub(crate) fn name(
        &mut self,
        conn: &Connection,
        sha256: Sha256,
        seq: u64,
    ) -> Result<(), Trouble> {
        if let Some(number) = self.pack_of(conn, sha256)? {
            self.touch(number, seq);
        }
        Ok(())
    }

    fn pack_of(&self, conn: &Connection, sha256: Sha256) -> Result<Option<u64>, Trouble> {
        let mut select = conn.prepare_cached("SELECT pack FROM image WHERE sha256 = ?")?;
        let number = select.query_row([&sha256.0[..]], |row| get(row, 0));
        Ok(number.optional()?)
    }

    fn touch(&mut self, number: u64, seq: u64) {
        if let Some(pack) = self.packs.get_mut(&number) {
            pack.first = pack.first.min(seq);
            pack.last = pack.last.max(seq);
            pack.free = None;
            self.dirty.insert(number);
        }
    }

    fn place(&mut self, length: u64, seq: u64, now: i64) -> Result<(u64, Arc<File>), Trouble> {
        if let Some(current) = &self.current
            && let Some(pack) = self.packs.get(&current.number)
            && pack.bytes + length <= self.pack_bytes_max
            && now.saturating_sub(pack.started) < self.age_max
        {
            return Ok((current.number, Arc::clone(&current.file)));
        }
        let number = self.next_number;
        self.next_number += 1;
        let path = pack_path(&self.dir, number);
        let file = Arc::new(private_file().create_new(true).open(path)?);
        File::open(&self.dir)?.sync_all()?;
        let pack = Pack {
            bytes: 0,
            started: now,
            first: seq,
            last: seq,
            free: None,
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
            // After a failed sync nobody knows what the file holds: the next picture begins another one.
            self.current = None;
        }
        Ok(result?)
    }

    /// Writes the rows of packs that changed.
    pub(crate) fn flush(&self, conn: &Connection) -> Result<(), Trouble> {
        let sql = "INSERT OR REPLACE INTO pack (number, bytes, started, first, last, free) \
                   VALUES (?, ?, ?, ?, ?, ?)";
        for number in &self.dirty {
            if let Some(pack) = self.packs.get(number) {
                conn.prepare_cached(sql)?.execute((
                    number.cast_signed(),
                    pack.bytes.cast_signed(),
                    pack.started,
                    pack.first.cast_signed(),
                    pack.last.cast_signed(),
                    pack.free,
                ))?;
            }
        }
        Ok(())
    }

    /// The group is durable: packs whose rows are gone go as well. `true` when some did.
    pub(crate) fn commit(&mut self) -> bool {
        self.dirty.clear();
        let any = !self.gone.is_empty();
        for number in std::mem::take(&mut self.gone) {
            self.packs.remove(&number);
            self.dying.remove(&number);
            if let Err(error) = std::fs::remove_file(pack_path(&self.dir, number)) {
                tracing::warn!(pack = number, %error, "a pack of pictures cannot be removed");
            }
        }
        any
    }

    /// The group is not there.
    pub(crate) fn rollback(&mut self) {
        self.gone.clear();
        if self.helper.end_sync().is_err() {
            self.current = None;
        }
    }
}

/// The file of a pack.
pub(crate) fn pack_path(dir: &std::path::Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.pack"))
}

/// Reads a picture. Its name is its checksum.
pub(crate) fn read(
    dir: &std::path::Path,
    pack: u64,
    start: u64,
    length: u64,
    sha256: Sha256,
) -> Result<Option<Private<Bytes>>, SpoolError> {
    let told = |error: std::io::Error| SpoolError(format!("a picture cannot be read: {error}"));
    let file = match File::open(pack_path(dir, pack)) {
        Ok(file) => file,
        // It was removed after its row was read.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(told(error)),
    };
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start).map_err(told)?;
    if Sha256::of(&bytes) != sha256 {
        return Err(SpoolError("a picture is damaged".into()));
    }
    Ok(Some(Private::new(bytes.into())))
}

//! Where a picture lies, and what lies there.
//!
//! A row may be damaged, and so may a pack: nothing that they say is believed before it is compared with the file.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use faceway_core::{Private, Sha256, SpoolError};
use rusqlite::{Connection, OptionalExtension as _};

use crate::inbox::{Ask, Op};
use crate::row::fields_crc;
use crate::shared::Shared;
use crate::store::{get, is_damage};

/// Where a picture lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) pack: u64,
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl Place {
    /// What its row is checked against: a place that is wrong must not be erased.
    pub(crate) fn crc(self, sha256: Sha256) -> i64 {
        let numbers = [self.pack, self.start, self.length].map(u64::to_le_bytes);
        let [pack, start, length] = &numbers;
        i64::from(fields_crc(&[&sha256.0, pack, start, length]))
    }

    /// From the columns `pack, start, length` of a row, the first of which is number `first`.
    pub(crate) fn of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            pack: get(row, first)?,
            start: get(row, first + 1)?,
            length: get(row, first + 2)?,
        })
    }
}

/// The file of a pack.
pub(crate) fn pack_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number}.pack"))
}

/// What the database knows of a picture.
enum Known {
    At(Place),
    /// There is no such picture.
    Nothing,
    /// Its row cannot be read, or is not what was written.
    Damaged,
}

/// Reads a picture. Its name is its checksum. `None` when what lies there is not that picture; an error when the disk does
/// not say what lies there.
pub(crate) fn read(dir: &Path, place: Place, sha256: Sha256) -> std::io::Result<Option<Bytes>> {
    let file = match File::open(pack_path(dir, place.pack)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let end = place.start.checked_add(place.length);
    let size = file.metadata()?.len();
    // Before anything is allocated: a damaged length may be anything.
    if end.is_none_or(|end| end > size) {
        return Ok(None);
    }
    let length = usize::try_from(place.length).map_err(Error::other)?;
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, place.start) {
        Ok(()) => {}
        // It has become shorter just now.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok((Sha256::of(&bytes) == sha256).then(|| bytes.into()))
}

fn known(conn: &Connection, sha256: Sha256) -> rusqlite::Result<Known> {
    let sql = "SELECT pack, start, length, crc FROM image WHERE sha256 = ?";
    let row = (conn.prepare_cached(sql)?)
        .query_row([&sha256.0[..]], |row| {
            let place = Place::of(row, 0)?;
            // Rows of an earlier program have none until the first group is written.
            let crc: Option<i64> = row.get(3)?;
            Ok((place, crc.is_none_or(|crc| crc == place.crc(sha256))))
        })
        .optional();
    match row {
        Ok(Some((place, true))) => Ok(Known::At(place)),
        Ok(Some((_, false))) => Ok(Known::Damaged),
        Ok(None) => Ok(Known::Nothing),
        Err(error) if is_damage(&error) => Ok(Known::Damaged),
        Err(error) => Err(error),
    }
}

impl Shared {
    /// See [`faceway_core::Log::picture`].
    pub(crate) async fn picture(
        self: &Arc<Self>,
        sha256: Sha256,
    ) -> Result<Option<Private<Bytes>>, SpoolError> {
        self.blocking(move |shared| shared.read_picture(sha256))
            .await
    }

    fn read_picture(&self, sha256: Sha256) -> Result<Option<Private<Bytes>>, SpoolError> {
        let mut before = None;
        loop {
            let place = match self.readers.with(|conn| known(conn, sha256))? {
                Known::At(place) => Some(place),
                Known::Damaged => None,
                Known::Nothing => return Ok(None),
            };
            if let Some(place) = place {
                let bytes = read(&self.paths.images, place, sha256);
                let told = |error: Error| SpoolError(format!("a picture cannot be read: {error}"));
                if let Some(bytes) = bytes.map_err(told)? {
                    return Ok(Some(Private::new(bytes)));
                }
            }
            // Looked for twice: its row goes before its bytes do, so one that has just left is not damaged.
            if before == Some(place) {
                self.forget_damaged(sha256, place);
                return Ok(None);
            }
            before = Some(place);
        }
    }

    /// A damaged picture counts as gone, for ever: the bytes of a picture do not mend themselves. When it comes once more,
    /// it is kept anew.
    fn forget_damaged(&self, sha256: Sha256, place: Option<Place>) {
        self.gauge.pictures_damaged.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = self.gauge.throttle.note("picture") {
            tracing::error!(
                pack = place.map(|place| place.pack),
                times,
                "a picture is damaged: its events are delivered without it, and its links answer 410"
            );
        }
        if let Some(place) = place {
            let (answer, _) = tokio::sync::oneshot::channel();
            let ask = Ask::ForgetPicture(sha256, place);
            // A writer that has ended changes nothing: the picture is found damaged once more.
            let _ = self.inbox.push(Op { ask, answer });
        }
    }
}

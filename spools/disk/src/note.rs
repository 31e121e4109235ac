//! Notes: what belongs to the log and is no event.

use bytes::Bytes;
use faceway_core::SpoolError;
use rusqlite::{Connection, OptionalExtension as _};

use crate::DiskSpool;
use crate::group::Group;
use crate::inbox::{Ask, Done, unexpected};
use crate::row::fields_crc;
use crate::store::Trouble;

impl DiskSpool {
    /// See [`faceway_core::Log::keep_note`].
    pub(crate) async fn write_note(&self, name: String, body: Bytes) -> Result<(), SpoolError> {
        match self.shared.ask(Ask::Note { name, body }).await {
            Ok(Done::Nothing) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// See [`faceway_core::Log::note`].
    pub(crate) async fn read_note(&self, name: String) -> Result<Option<Bytes>, SpoolError> {
        // After a failure only the writer knows what became of it.
        self.shared.sync().await?;
        let of = name.clone();
        let found = self
            .shared
            .blocking(move |shared| shared.readers.with(|conn| read(conn, &of)))
            .await?;
        match found {
            Some((crc, body)) if crc == note_crc(&name, &body) => Ok(Some(body.into())),
            Some(_) => {
                tracing::error!(name, "a note is damaged, and as if it were not there");
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

/// Writes a note in place of the one before.
pub(crate) fn write(
    conn: &Connection,
    group: &mut Group,
    name: &str,
    body: &[u8],
) -> Result<Done, Trouble> {
    let sql = "INSERT OR REPLACE INTO note (name, crc, body) VALUES (?, ?, ?)";
    conn.prepare_cached(sql)?
        .execute((name, note_crc(name, body), body))?;
    group.dirty = true;
    Ok(Done::Nothing)
}

fn read(conn: &Connection, name: &str) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
    conn.prepare_cached("SELECT crc, body FROM note WHERE name = ?")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Notes that are damaged, each told by its name.
pub(crate) fn count_damaged(conn: &Connection) -> rusqlite::Result<u64> {
    let mut select = conn.prepare("SELECT name, crc, body FROM note")?;
    let mut rows = select.query([])?;
    let mut damaged = 0;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_bytes().unwrap_or_default();
        let body = row.get_ref(2)?.as_bytes().unwrap_or_default();
        let crc = i64::from(fields_crc(&[name, body]));
        if row.get_ref(1)?.as_i64().ok() != Some(crc) {
            damaged += 1;
            let name = String::from_utf8_lossy(name);
            tracing::error!(%name, "a note is damaged, and as if it were not there");
        }
    }
    Ok(damaged)
}

fn note_crc(name: &str, body: &[u8]) -> i64 {
    i64::from(fields_crc(&[name.as_bytes(), body]))
}

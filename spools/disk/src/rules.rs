//! Versions of the rules: where each counts from is decided between the events, by the one that numbers them.

use bytes::Bytes;
use faceway_core::{Mark, RulesEntry, RulesError, SpoolError};
use rusqlite::{Connection, OptionalExtension as _};

use crate::DiskSpool;
use crate::group::Group;
use crate::inbox::{Ask, Done, unexpected};
use crate::row::fields_crc;
use crate::store::Trouble;

/// The row's name in the table `note`.
const NAME: &str = "rules";
/// The first byte of a row that says where its version stands. A row of an earlier program is the text alone, which begins
/// with another byte.
const WITH_MARK: u8 = 1;

impl DiskSpool {
    /// See [`faceway_core::Log::append_rules`].
    pub(crate) async fn write_rules(&self, text: Bytes, expected: u64) -> Result<Mark, RulesError> {
        match self.shared.ask(Ask::Rules { text, expected }).await {
            Ok(Done::Mark(Ok(mark))) => Ok(mark),
            Ok(Done::Mark(Err(newest))) => Err(RulesError::Conflict(newest)),
            other => Err(unexpected(other).into()),
        }
    }

    /// See [`faceway_core::Log::rules`].
    pub(crate) async fn read_rules(&self) -> Result<Option<RulesEntry>, SpoolError> {
        // After a failure only the writer knows what became of it.
        self.shared.sync().await?;
        let read = |shared: &crate::shared::Shared| shared.readers.with(newest);
        match self.shared.blocking(read).await? {
            Some(Err(Damaged)) => {
                tracing::error!(
                    "the rules that were kept are damaged, and as if they were not there"
                );
                Ok(None)
            }
            sound => Ok(sound.and_then(Result::ok)),
        }
    }
}

/// The row is not what was written.
struct Damaged;

/// Writes a version in place of the one before, if that is the expected one. It counts for what is appended after it.
pub(crate) fn write(
    conn: &Connection,
    group: &mut Group,
    (text, expected): (&[u8], u64),
    next_seq: u64,
) -> Result<Done, Trouble> {
    let known = newest(conn)?.and_then(Result::ok);
    let known = known.map_or(0, |known| known.mark.version);
    if known != expected {
        return Ok(Done::Mark(Err(known)));
    }
    let mark = Mark {
        version: known + 1,
        after_seq: next_seq.saturating_sub(1),
    };
    let body = encode(mark, text);
    let sql = "INSERT OR REPLACE INTO note (name, crc, body) VALUES (?, ?, ?)";
    conn.prepare_cached(sql)?
        .execute((NAME, crc(NAME.as_bytes(), &body), body))?;
    group.dirty = true;
    Ok(Done::Mark(Ok(mark)))
}

fn newest(conn: &Connection) -> rusqlite::Result<Option<Result<RulesEntry, Damaged>>> {
    let found: Option<(i64, Vec<u8>)> = conn
        .prepare_cached("SELECT crc, body FROM note WHERE name = ?")?
        .query_row([NAME], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.map(|(sum, body)| {
        if sum == crc(NAME.as_bytes(), &body) {
            decode(body.into())
        } else {
            Err(Damaged)
        }
    }))
}

fn encode(mark: Mark, text: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(17 + text.len());
    body.push(WITH_MARK);
    body.extend_from_slice(&mark.version.to_le_bytes());
    body.extend_from_slice(&mark.after_seq.to_le_bytes());
    body.extend_from_slice(text);
    body
}

/// A text of an earlier program says itself from where its versions count.
fn decode(body: Bytes) -> Result<RulesEntry, Damaged> {
    if body.first() != Some(&WITH_MARK) {
        let mark = Mark::default();
        return Ok(RulesEntry { mark, text: body });
    }
    let number = |at: usize| body.get(at..at + 8)?.first_chunk().copied();
    let (Some(version), Some(after_seq)) = (number(1), number(9)) else {
        return Err(Damaged);
    };
    let mark = Mark {
        version: u64::from_le_bytes(version),
        after_seq: u64::from_le_bytes(after_seq),
    };
    Ok(RulesEntry {
        mark,
        text: body.slice(17..),
    })
}

/// Rows of the table `note` that are damaged, each told by its name.
pub(crate) fn count_damaged(conn: &Connection) -> rusqlite::Result<u64> {
    let mut select = conn.prepare("SELECT name, crc, body FROM note")?;
    let mut rows = select.query([])?;
    let mut damaged = 0;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_bytes().unwrap_or_default();
        let body = row.get_ref(2)?.as_bytes().unwrap_or_default();
        if row.get_ref(1)?.as_i64().ok() != Some(crc(name, body)) {
            damaged += 1;
            let name = String::from_utf8_lossy(name);
            tracing::error!(%name, "a note is damaged, and as if it were not there");
        }
    }
    Ok(damaged)
}

fn crc(name: &[u8], body: &[u8]) -> i64 {
    i64::from(fields_crc(&[name, body]))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use faceway_core::Mark;

    use super::{decode, encode};

    #[test]
    fn a_version_is_read_as_it_was_written() {
        let mark = Mark {
            version: 7,
            after_seq: 1 << 40,
        };
        for text in ["", "{}", "\u{1}"] {
            let entry = decode(encode(mark, text.as_bytes()).into()).ok().unwrap();
            assert_eq!((entry.mark, &entry.text[..]), (mark, text.as_bytes()));
        }
        assert!(decode(Bytes::from_static(b"\x01short")).is_err());
    }

    /// Its text says from where each of its versions counts.
    #[test]
    fn rules_of_an_earlier_program_have_no_mark() {
        let entry = decode(Bytes::from_static(b"{\"texts\": []}")).ok().unwrap();
        assert_eq!(
            (entry.mark, &entry.text[..]),
            (Mark::default(), &b"{\"texts\": []}"[..])
        );
    }
}

//! Which pictures events hold that wait.

use faceway_core::Sha256;
use rusqlite::Connection;

use super::Packs;
use crate::events::Events;
use crate::lane_store::needed::Needed;
use crate::store::{Trouble, unless_corrupt};

/// Events that the sweep looks at in one group at most.
const EVENTS_AT_ONCE: usize = 2048;

/// How far the sweep has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Below this every event is through or waits.
    pub(crate) upto: u64,
    /// Whether rows changed.
    pub(crate) changed: bool,
}

/// The digests of an event's pictures.
pub(crate) fn digests(images: &[u8]) -> impl Iterator<Item = Sha256> {
    images.as_chunks().0.iter().map(|digest| Sha256(*digest))
}

/// Events that wait once more although the sweep had passed them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewind {
    pub(crate) from: u64,
    pub(crate) end: u64,
    pub(crate) since: i64,
    pub(crate) until: i64,
}

/// What a sweep goes by.
#[derive(Clone, Copy)]
struct Pass<'a> {
    conn: &'a Connection,
    events: &'a Events,
    age: i64,
    /// The sweep has been here before, up to there, and since then only these wait once more.
    again: u64,
    rewinds: &'a [Rewind],
}

impl Packs {
    /// These events wait once more. Without this, all of those do to which the sweep goes back.
    pub(crate) fn rewind(&mut self, rewinds: Vec<Rewind>) {
        self.rewinds.extend(rewinds);
    }

    /// Follows the lanes up to `need`, the lowest event that a lane has not come to. It goes back with a replay: what was
    /// free waits once more.
    pub(crate) fn sweep(
        &mut self,
        (conn, events): (&Connection, &Events),
        swept: u64,
        need: u64,
        age: i64,
    ) -> Result<Swept, Trouble> {
        let still = |upto| Swept {
            upto,
            changed: false,
        };
        if need < swept {
            self.go_back(swept, need);
        }
        if need <= swept {
            return Ok(still(need));
        }
        if swept > self.last_named {
            // No event from here on names a picture, so none is looked at.
            return Ok(still(need));
        }
        let pass = Pass {
            conn,
            events,
            age,
            again: self.again,
            rewinds: &self.rewinds,
        };
        // What waits is read for a stretch at a time: after a long outage it is much.
        let need = need.min(swept.saturating_add(2 * EVENTS_AT_ONCE as u64));
        match unless_corrupt(conn, || pass.stretch(swept, need))? {
            Some(result) => Ok(result),
            None => Ok(pass.by_number(swept, need)?),
        }
    }

    /// Whether the sweep from `swept` to `need` meets no event that names a picture, and nothing else is to be written.
    pub(crate) fn has_nothing_to_write(&self, swept: u64, need: u64) -> bool {
        let is_still = need <= swept || swept > self.last_named;
        is_still && self.dirty.is_empty() && self.erased.is_empty()
    }

    /// The sweep goes back to `need`.
    pub(crate) fn go_back(&mut self, swept: u64, need: u64) {
        self.again = self.again.max(swept);
        let is_known = self.rewinds.iter().any(|rewind| rewind.from <= need);
        if !is_known {
            self.rewinds.push(Rewind {
                from: 0,
                end: self.again,
                since: i64::MIN,
                until: i64::MAX,
            });
        }
    }

    /// The sweep's place is durable.
    pub(crate) fn swept(&mut self, swept: u64) {
        if swept >= self.again {
            self.rewinds.clear();
        }
    }
}

impl Pass<'_> {
    fn stretch(self, swept: u64, need: u64) -> rusqlite::Result<Swept> {
        let needed = Needed::of(self.conn, (swept, need))?;
        let mut result = Swept {
            upto: swept,
            changed: false,
        };
        let take = |seq: u64, at: i64, images: Option<&[u8]>| {
            result.upto = seq + 1;
            if let Some(images) = images {
                result.changed = true;
                self.event(seq, at, images, needed.has(seq))?;
            }
            Ok(())
        };
        let count = (self.events).images(self.conn, (swept, need), EVENTS_AT_ONCE, take)?;
        if count < EVENTS_AT_ONCE {
            result.upto = need;
        }
        Ok(result)
    }

    /// SQLite cannot walk over a broken page; number by number it can. Pictures of events that cannot be read are freed when
    /// the spool is opened next.
    fn by_number(self, swept: u64, need: u64) -> rusqlite::Result<Swept> {
        let upto = need.min(swept + EVENTS_AT_ONCE as u64);
        for seq in swept..upto {
            unless_corrupt(self.conn, || self.stretch(seq, seq + 1))?;
        }
        Ok(Swept {
            upto,
            changed: true,
        })
    }

    fn event(self, seq: u64, at: i64, images: &[u8], is_held: bool) -> rusqlite::Result<()> {
        let conn = self.conn;
        if is_held {
            return hold(conn, seq, images);
        }
        // It may have been held before the sweep went back.
        conn.prepare_cached("DELETE FROM picture_hold WHERE seq = ?")?
            .execute([seq.cast_signed()])?;
        let waited = seq >= self.again || self.rewinds.iter().any(|rewind| rewind.has(seq, at));
        digests(images).try_for_each(|sha256| free(conn, sha256, seq, self.age, waited))
    }
}

impl Rewind {
    fn has(&self, seq: u64, at: i64) -> bool {
        (self.from..self.end).contains(&seq) && (self.since..self.until).contains(&at)
    }
}

/// An event below the sweep waits, and keeps its pictures. Also those that are not here: one that comes with a later event
/// stays as long as this one waits.
pub(crate) fn hold(conn: &Connection, seq: u64, images: &[u8]) -> rusqlite::Result<()> {
    let insert = "INSERT OR IGNORE INTO picture_hold (seq, sha256) VALUES (?, ?)";
    let clear = "UPDATE image SET free = NULL WHERE sha256 = ?";
    for sha256 in digests(images) {
        let sha256 = &sha256.0[..];
        conn.prepare_cached(insert)?
            .execute((seq.cast_signed(), sha256))?;
        conn.prepare_cached(clear)?.execute([sha256])?;
    }
    Ok(())
}

/// A picture is free when no later event than `seq` names it and none that is held: from now on if that one `waited` until
/// now, else since it was free before.
fn free(
    conn: &Connection,
    sha256: Sha256,
    seq: u64,
    age: i64,
    waited: bool,
) -> rusqlite::Result<()> {
    let sql = "UPDATE image SET free = CASE WHEN ? THEN ? ELSE coalesce(free, ?) END WHERE sha256 = ? AND last <= ? \
               AND NOT EXISTS (SELECT 1 FROM picture_hold WHERE picture_hold.sha256 = image.sha256)";
    let row = (waited, age, age, &sha256.0[..], seq.cast_signed());
    conn.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// The same of the event with this number, if it is in the log.
pub(crate) fn hold_pictures_of(
    conn: &Connection,
    events: &Events,
    seq: u64,
) -> rusqlite::Result<()> {
    match events.images_of(conn, seq)? {
        Some(images) => hold(conn, seq, &images),
        None => Ok(()),
    }
}

/// No lane waits for this event any more: its pictures are free from now on.
pub(crate) fn release(conn: &Connection, seq: u64, swept: u64, age: i64) -> rusqlite::Result<()> {
    let delete = "DELETE FROM picture_hold WHERE seq = ? RETURNING sha256";
    let mut delete = conn.prepare_cached(delete)?;
    let digests = delete.query_map([seq.cast_signed()], |row| row.get(0).map(Sha256))?;
    let digests: Vec<Sha256> = digests.collect::<Result<_, _>>()?;
    let last = swept.saturating_sub(1);
    (digests.into_iter()).try_for_each(|sha256| free(conn, sha256, last, age, true))
}

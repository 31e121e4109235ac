//! The contract of lanes ([`LaneStore`]): lanes as rows that change in the writer's groups.
//!
//! Nothing of a lane is kept in memory here: what a failed group has not written needs no undoing. A request goes to the
//! writer; `commit` shares its transaction with appends, and waits up to 20 ms for company when there are none.
//!
//! **Invariant:** an event is in the log as long as a lane has not routed it, or has it in `waiting`.

mod commit;
mod former;
mod held_rows;
mod lane_row;
mod names;
pub(crate) mod needed;
mod proof;
mod state;
mod take_over;
mod verify;
mod waiting_rows;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use faceway_core::{
    BoxFuture, Claim, CommitError, LaneChange, LaneState, LaneStore, SpoolError, Start,
};
use rusqlite::{Connection, OptionalExtension as _};

use crate::DiskSpool;
use crate::buried;
use crate::group::Group;
use crate::inbox::{Ask, Done, unexpected};
use crate::meta::Meta;
use crate::shared::Shared;
use crate::store::{Trouble, get};
use crate::writer::Writer;

pub(crate) use former::{former_position, has_former_lanes, position_crc, unpack_ascending};
use lane_row::{Found, LaneRow};
pub(crate) use lane_row::{begin_all_anew, note_lost_lane};
use needed::let_go_of_range;
pub(crate) use proof::{held_rows_of_all, owners_of_all, waiting_of_all};
pub(crate) use verify::verify;
use waiting_rows::Kind;

/// What is asked of the writer.
#[derive(Debug)]
pub(crate) enum Request {
    /// Take the lanes of a directory of format 1 over; nothing else.
    TakeOver,
    Claim {
        name: String,
        start: Start,
    },
    Commit {
        claim: Claim,
        change: Box<LaneChange>,
    },
    Delete {
        name: String,
    },
}

/// The answers.
#[derive(Debug)]
pub(crate) enum Reply {
    TakenOver,
    Claimed(Claim, Box<LaneState>),
    /// So many events are buried now.
    Committed(u64),
    Fenced,
    Deleted(bool),
}

impl LaneStore for DiskSpool {
    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, SpoolError>> {
        Box::pin(self.read_lanes(|conn| {
            // Also one that has lost its row: the operator must see what holds the log.
            let mut select = conn.prepare_cached("SELECT name FROM lane ORDER BY name")?;
            select.query_map([], |row| row.get(0))?.collect()
        }))
    }

    fn claim(
        &self,
        name: &str,
        start: Start,
    ) -> BoxFuture<'_, Result<(Claim, LaneState), SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move {
            match self.request(Request::Claim { name, start }).await {
                Ok(Done::Reply(Reply::Claimed(claim, state))) => Ok((claim, *state)),
                other => Err(unexpected(other)),
            }
        })
    }

    fn commit(&self, claim: &Claim, change: LaneChange) -> BoxFuture<'_, Result<u64, CommitError>> {
        let claim = claim.clone();
        let change = Box::new(change);
        Box::pin(async move {
            match self.request(Request::Commit { claim, change }).await {
                Ok(Done::Reply(Reply::Committed(buried))) => Ok(buried),
                Ok(Done::Reply(Reply::Fenced)) => Err(CommitError::Fenced),
                _ => Err(CommitError::Unavailable),
            }
        })
    }

    fn look(&self, name: &str) -> BoxFuture<'_, Result<Option<LaneState>, SpoolError>> {
        let name = name.to_owned();
        let events = self.shared.events.clone();
        Box::pin(self.read_lanes(move |conn| {
            let lane = match found(conn, &name)? {
                None => return Ok(None),
                Some(Found::Damaged(id)) => LaneRow {
                    id,
                    buried: buried::count(conn, id)?,
                    ..LaneRow::default()
                },
                Some(Found::Sound(lane)) => lane,
            };
            Ok(Some(state::load(conn, &events, &lane)?.state))
        }))
    }

    fn delete(&self, name: &str) -> BoxFuture<'_, Result<bool, SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move {
            match self.request(Request::Delete { name }).await {
                Ok(Done::Reply(Reply::Deleted(was_there))) => Ok(was_there),
                other => Err(unexpected(other)),
            }
        })
    }
}

impl DiskSpool {
    async fn request(&self, request: Request) -> Result<Done, faceway_core::AppendError> {
        self.shared.ask(Ask::Lane(request)).await
    }

    /// Reads what is durable. The writer is asked first: after a failed sync only it finds out what that is. While it fails,
    /// what the database says now is answered: a gateway has to start and to show its lanes on a failing disk too.
    async fn read_lanes<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let asked = match self.request(Request::TakeOver).await {
            Ok(Done::Reply(Reply::TakenOver)) => None,
            other => Some(unexpected(other)),
        };
        let read = move |shared: &Shared| {
            if let Some(error) = asked
                && !shared.readers.with(former::is_taken_over)?
            {
                // There are only lanes of format 1.
                return Err(error);
            }
            shared.readers.with(read)
        };
        self.shared.blocking(read).await
    }
}

impl Writer {
    /// Does what is asked about a lane.
    pub(crate) fn serve_lane(
        &mut self,
        conn: &Connection,
        group: &mut Group,
        request: &Request,
    ) -> Result<Done, Trouble> {
        if let Request::Commit { claim, change } = request {
            let committed = commit::commit(
                conn,
                &self.shared.events,
                group,
                (claim, change),
                self.age(),
            )?;
            if !committed.rewinds.is_empty() {
                self.packs.rewind(committed.rewinds);
                self.go_back(conn, group)?;
            }
            return Ok(Done::Reply(committed.reply));
        }
        self.take_over(conn, group)?;
        let reply = match request {
            Request::Claim { name, start } => self.claim_lane(conn, group, name, *start)?,
            Request::Delete { name } => {
                if matches!(found(conn, name)?, Some(Found::Damaged(_))) {
                    // One of these rows may be what was this lane's.
                    self.forget_lost_lanes(conn, group)?;
                }
                Reply::Deleted(delete_lane(conn, group, name)?)
            }
            Request::TakeOver | Request::Commit { .. } => Reply::TakenOver,
        };
        Ok(Done::Reply(reply))
    }

    fn claim_lane(
        &self,
        conn: &Connection,
        group: &mut Group,
        name: &str,
        start: Start,
    ) -> Result<Reply, Trouble> {
        group.dirty = true;
        let mut lane = match found(conn, name)? {
            Some(Found::Sound(lane)) => lane,
            Some(Found::Damaged(id)) => {
                self.forget_lost_lanes(conn, group)?;
                self.begin_anew(conn, id, name)?
            }
            // A lane that is lost may be this one.
            None if self.forget_lost_lanes(conn, group)? || self.shared.lane_lost() => {
                tracing::error!(
                    lane = name,
                    "a lane is lost, and this one is new: it begins with the oldest event"
                );
                make_lane(conn, name, 0)?
            }
            None => {
                let first = match start {
                    Start::Now => group.meta.next,
                    // Below the trim mark lies only what other lanes hold.
                    Start::Oldest => group.meta.trimmed,
                };
                make_lane(conn, name, first)?
            }
        };
        lane.epoch = next_epoch(conn, lane.epoch)?;
        lane.buried = buried::count(conn, lane.id)?;
        lane.write(conn)?;
        let loaded = state::load(conn, &self.shared.events, &lane)?;
        self.put_right(conn, group.meta.trimmed, (&lane, name), &loaded)?;
        let claim = Claim {
            lane: Arc::from(name),
            epoch: lane.epoch,
        };
        Ok(Reply::Claimed(claim, Box::new(loaded.state)))
    }

    /// A damaged lane begins with the oldest event: twice rather than never.
    fn begin_anew(&self, conn: &Connection, id: u32, name: &str) -> Result<LaneRow, Trouble> {
        self.count_damage(1);
        tracing::error!(
            lane = name,
            "the state of a lane is damaged; the lane begins with the oldest event"
        );
        for table in ["waiting", "held_event"] {
            conn.execute(&format!("DELETE FROM {table} WHERE lane = ?"), [id])?;
        }
        Ok(LaneRow {
            id,
            ..LaneRow::default()
        })
    }

    /// Rows of lanes that have lost their names, which cannot be claimed or seen: they would hold the log for ever. The lane that is
    /// claimed now holds all of it. `true` when there were any.
    fn forget_lost_lanes(&self, conn: &Connection, group: &mut Group) -> Result<bool, Trouble> {
        let sql = "DELETE FROM lane_state WHERE lane NOT IN (SELECT id FROM lane)";
        let lost = conn.prepare_cached(sql)?.execute([])?;
        if lost > 0 {
            self.count_damage(lost);
            group.more = true;
            let held = "DELETE FROM held_event WHERE lane NOT IN (SELECT id FROM lane)";
            conn.execute(held, [])?;
        }
        Ok(lost > 0)
    }

    /// Damaged rows give way to what the owner is told in their place. Otherwise the next start would tell it once more.
    fn put_right(
        &self,
        conn: &Connection,
        trimmed: u64,
        (lane, name): (&LaneRow, &str),
        loaded: &state::Loaded,
    ) -> Result<(), Trouble> {
        if !loaded.ranges.is_empty() {
            self.count_damage(loaded.ranges.len());
            tracing::error!(
                lane = name,
                ranges = loaded.ranges.len(),
                "ranges of a lane's backlog are damaged; the rules are asked again about all their events"
            );
            let rows = waiting_rows::undecided_by_range(&loaded.state.undecided);
            for range in &loaded.ranges {
                // Of a range one row may be sound.
                let sound = waiting_rows::one(conn, lane.id, *range, Kind::Waiting)?;
                if sound.is_some_and(|row| row.events.is_none()) {
                    waiting_rows::write(conn, lane.id, *range, Kind::Waiting, None)?;
                }
                let bytes = rows.get(range).map(|bytes| &bytes[..]);
                waiting_rows::write(conn, lane.id, *range, Kind::Undecided, bytes)?;
                // As long as the row was damaged, trimming has spared all of its range.
                let_go_of_range(conn, *range, trimmed)?;
            }
        }
        for seq in &loaded.held {
            self.count_damage(1);
            tracing::error!(
                lane = name,
                seq,
                "what was known of a waiting event is damaged; its attempts count from the beginning"
            );
            held_rows::write(conn, lane.id, *seq, None)?;
        }
        Ok(())
    }

    fn count_damage(&self, rows: usize) {
        let damaged = &self.shared.readers.damaged;
        damaged.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// The lane of this name. One of which only the name is left is damaged.
fn found(conn: &Connection, name: &str) -> rusqlite::Result<Option<Found>> {
    if let Some(found) = lane_row::named(conn, name)? {
        return Ok(Some(found));
    }
    let id = (conn.prepare_cached("SELECT id FROM lane WHERE name = ?")?)
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(id.map(Found::Damaged))
}

fn make_lane(conn: &Connection, name: &str, first: u64) -> Result<LaneRow, Trouble> {
    Ok(LaneRow {
        id: names::insert(conn, name)?,
        routed_through: first.saturating_sub(1),
        ..LaneRow::default()
    })
}

/// Also after a loss an epoch is higher than the one before.
fn next_epoch(conn: &Connection, before: u64) -> Result<u64, Trouble> {
    conn.prepare_cached("INSERT INTO claim DEFAULT VALUES")?
        .execute([])?;
    let mut epoch = conn.last_insert_rowid();
    if epoch.cast_unsigned() <= before {
        epoch = before.cast_signed() + 1;
        conn.execute("INSERT INTO claim (epoch) VALUES (?)", [epoch])?;
    }
    conn.prepare_cached("DELETE FROM claim")?.execute([])?;
    Ok(epoch.cast_unsigned())
}

/// Forgets a lane. What it held below the trim mark leaves the log a little at a time ([`sweep`]).
fn delete_lane(conn: &Connection, group: &mut Group, name: &str) -> Result<bool, Trouble> {
    let Some(found) = found(conn, name)? else {
        return Ok(false);
    };
    group.dirty = true;
    group.more = true;
    names::delete(conn, found.id())?;
    Ok(true)
}

/// Ranges of deleted lanes that are swept in one group at most.
const RANGES_AT_ONCE: usize = 8;

/// What deleted lanes held leaves the log, unless another lane needs it. Gives how many ranges that were, and whether there
/// may be more.
pub(crate) fn sweep(conn: &Connection, meta: &Meta, age: i64) -> Result<(usize, bool), Trouble> {
    let sql =
        "SELECT rowid, range FROM waiting WHERE lane NOT IN (SELECT lane FROM lane_state) LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([RANGES_AT_ONCE as i64], |row| {
        Ok((row.get(0)?, get(row, 1)?))
    })?;
    let rows: Vec<(i64, u64)> = rows.collect::<Result<_, _>>()?;
    for (rowid, range) in &rows {
        let_go_of_range(conn, *range, meta.trimmed)?;
        conn.prepare_cached("DELETE FROM waiting WHERE rowid = ?")?
            .execute([*rowid])?;
        needed::release_pictures_of_range(conn, *range, meta.swept, age)?;
    }
    Ok((rows.len(), rows.len() == RANGES_AT_ONCE))
}

/// The first number behind all that lanes have routed.
pub(crate) fn behind_routed(conn: &Connection) -> rusqlite::Result<u64> {
    let lanes = lane_row::all(conn)?;
    let routed = lanes.iter().map(|lane| match lane {
        Found::Sound(lane) => lane.routed_through.saturating_add(1),
        Found::Damaged(_) => 0,
    });
    Ok(routed.max().unwrap_or_default())
}

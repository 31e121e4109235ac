//! Looking and repairing.

use faceway_core::{
    AppendError, BoxFuture, Buried, BuriedChoice, Code, EventId, Lane, Private, Quarantined,
    QuarantinedBody, Repair, SpoolError, Story, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::DiskSpool;
use crate::inbox::{Ask, BuriedWork, Done};
use crate::lane::change::Range;
use crate::read::{count, first_at, first_within};
use crate::row::{event_crc, moment};
use crate::serve::unreadable_crc;
use crate::shared::Shared;
use crate::store::get;
use crate::story::story;

/// Requests that overtook each other, and clocks that were set: so much may time go back in the log.
const DISORDER_MS: i64 = 60_000;

impl Repair for DiskSpool {
    fn lanes(&self) -> BoxFuture<'_, Result<Vec<String>, SpoolError>> {
        Box::pin(async {
            let lanes = self.shared.lanes.all();
            Ok(lanes.iter().map(|lane| lane.name.clone()).collect())
        })
    }

    fn drop_lane(&self, name: String) -> BoxFuture<'_, Result<bool, SpoolError>> {
        Box::pin(async {
            match self.shared.ask(Ask::DropLane(name)).await {
                Ok(Done::Flag(flag)) => Ok(flag),
                other => Err(unexpected(other)),
            }
        })
    }

    fn buried(
        &self,
        lane: Option<String>,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Buried>, SpoolError>> {
        Box::pin(async move {
            self.shared.sync().await?;
            let read = move |shared: &Shared| {
                shared
                    .readers
                    .with(|conn| list_buried(conn, lane.as_deref(), max))
            };
            self.shared.blocking(read).await
        })
    }

    fn revive(&self, which: BuriedChoice) -> BoxFuture<'_, Result<u64, SpoolError>> {
        Box::pin(self.work_on_buried(which, true))
    }

    fn drop_buried(&self, which: BuriedChoice) -> BoxFuture<'_, Result<u64, SpoolError>> {
        Box::pin(self.work_on_buried(which, false))
    }

    fn replay(
        &self,
        lane: String,
        since: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'_, Result<Option<u64>, SpoolError>> {
        Box::pin(self.hand_out_again(lane, since.as_millis(), until.as_millis()))
    }

    fn story(&self, id: EventId) -> BoxFuture<'_, Result<Option<Story>, SpoolError>> {
        Box::pin(async move {
            // This also writes what the lanes have settled, so that the database knows all of it.
            let found = match self.shared.ask(Ask::Find(id)).await {
                Ok(Done::Found(found)) => found,
                other => return Err(unexpected(other)),
            };
            let read =
                move |shared: &Shared| shared.readers.with(|conn| story(shared, conn, id, found));
            self.shared.blocking(read).await
        })
    }

    fn quarantine(&self, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, SpoolError>> {
        Box::pin(async move {
            let read =
                move |shared: &Shared| shared.readers.with(|conn| list_quarantine(conn, max));
            self.shared.blocking(read).await
        })
    }

    fn quarantined(
        &self,
        number: u64,
    ) -> BoxFuture<'_, Result<Option<QuarantinedBody>, SpoolError>> {
        Box::pin(async move {
            let read = move |shared: &Shared| shared.readers.with(|conn| quarantined(conn, number));
            match self.shared.blocking(read).await? {
                Some(None) => Err(SpoolError(format!(
                    "entry {number} in quarantine is damaged"
                ))),
                entry => Ok(entry.flatten()),
            }
        })
    }

    fn drop_quarantined(
        &self,
        numbers: Option<Vec<u64>>,
    ) -> BoxFuture<'_, Result<u64, SpoolError>> {
        Box::pin(async {
            match self.shared.ask(Ask::DropQuarantined(numbers)).await {
                Ok(Done::Count(count)) => Ok(count),
                other => Err(unexpected(other)),
            }
        })
    }
}

impl DiskSpool {
    /// See [`faceway_core::Spool::take_back`].
    pub(crate) async fn take_burials_back(
        &self,
        lane: Lane,
        events: Vec<EventId>,
    ) -> Result<(), SpoolError> {
        // Without a lane there is nothing of it that could be buried.
        let Some(cell) = self.shared.lanes.get(lane.0) else {
            return Ok(());
        };
        let choice = BuriedChoice {
            lane: Some(cell.name.clone()),
            ids: Some(events),
        };
        self.work_on_buried(choice, true).await.map(drop)
    }

    async fn work_on_buried(&self, choice: BuriedChoice, revive: bool) -> Result<u64, SpoolError> {
        let work = BuriedWork {
            choice,
            revive,
            upto: None,
            done: 0,
        };
        match self.shared.ask(Ask::Buried(work)).await {
            Ok(Done::Count(count)) => Ok(count),
            other => Err(unexpected(other)),
        }
    }

    async fn hand_out_again(
        &self,
        lane: String,
        since: i64,
        until: i64,
    ) -> Result<Option<u64>, SpoolError> {
        let Some(cell) = self.shared.lanes.named(&lane) else {
            return Ok(None);
        };
        // What was settled or is held should be known to the database before the range is read.
        self.shared.sync().await?;
        // Events that the lane has not come to will be handed out anyway; they count, but are not doubled.
        let position = cell.lock().position();
        let end = self.shared.published().last + 1;
        let read = move |shared: &Shared| {
            shared.readers.with(|conn| {
                let span = (since, until);
                let from = first_at(conn, since.saturating_sub(DISORDER_MS), end)?;
                let to = first_at(conn, until.saturating_add(DISORDER_MS), end)?.max(from);
                let from = first_within(conn, (from, to), span)?.unwrap_or(to);
                let middle = position.clamp(from, to);
                let again = count(conn, (from, middle), span)?;
                Ok((from, middle, again, count(conn, (middle, to), span)?))
            })
        };
        let (from, end, remaining, ahead) = self.shared.blocking(read).await?;
        let range = Range {
            next: from,
            end: if remaining > 0 { end } else { from },
            since,
            until,
            remaining,
            ..Range::default()
        };
        let lane = Lane(cell.id);
        match self.shared.ask(Ask::Replay { lane, range }).await {
            Ok(Done::Flag(true)) => Ok(Some(remaining + ahead)),
            Ok(Done::Flag(false)) => Ok(None),
            other => Err(unexpected(other)),
        }
    }
}

/// The answer to something else means that the writer failed.
pub(crate) fn unexpected(answer: Result<Done, AppendError>) -> SpoolError {
    match answer {
        Ok(_) => SpoolError("the writer answered something else".into()),
        Err(error) => SpoolError(error.to_string()),
    }
}

fn list_buried(conn: &Connection, lane: Option<&str>, max: usize) -> rusqlite::Result<Vec<Buried>> {
    let sql = "SELECT b.id, lane.name, b.at, b.buried, b.code, b.failures, b.body, b.seq, b.device, b.images, b.crc \
               FROM buried b JOIN lane ON lane.id = b.lane \
               WHERE ?1 IS NULL OR lane.name = ?1 ORDER BY b.number DESC LIMIT ?2";
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((lane, max))?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        match buried(row)? {
            Some(entry) => list.push(entry),
            None => tracing::error!(seq = get(row, 7)?, "a buried event is damaged"),
        }
    }
    Ok(list)
}

/// `None` when it is damaged.
pub(crate) fn buried(row: &Row<'_>) -> rusqlite::Result<Option<Buried>> {
    let id: [u8; 16] = row.get(0)?;
    let at = row.get(2)?;
    let body: Vec<u8> = row.get(6)?;
    let images: Option<Vec<u8>> = row.get(9)?;
    let images = images.as_deref().unwrap_or_default();
    let crc = event_crc(get(row, 7)?, at, &id, get(row, 8)?, images, &body);
    if i64::from(crc) != row.get::<_, i64>(10)? {
        return Ok(None);
    }
    Ok(Some(Buried {
        id: EventId::from_bytes(id),
        lane: row.get(1)?,
        received_at: moment(at),
        buried_at: moment(row.get(3)?),
        code: Code::stored(row.get(4)?),
        failures: row.get(5)?,
        body: Private::new(body.into()),
    }))
}

fn list_quarantine(conn: &Connection, max: usize) -> rusqlite::Result<Vec<Quarantined>> {
    let sql = "SELECT number, inbound, at, reason, bytes, headers FROM quarantine ORDER BY number DESC LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = select.query_map([max], quarantine_entry)?;
    rows.collect()
}

fn quarantine_entry(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    Ok(Quarantined {
        number: get(row, 0)?,
        inbound: row.get(1)?,
        received_at: moment(row.get(2)?),
        reason: row.get(3)?,
        bytes: get(row, 4)?,
        headers: Private::new(row.get(5)?),
    })
}

/// `Some(None)` when it is damaged.
fn quarantined(
    conn: &Connection,
    number: u64,
) -> rusqlite::Result<Option<Option<QuarantinedBody>>> {
    let sql = "SELECT number, inbound, at, reason, bytes, headers, crc, body FROM quarantine WHERE number = ?";
    let entry = |row: &Row<'_>| {
        let entry = quarantine_entry(row)?;
        let body: Vec<u8> = row.get(7)?;
        let crc = unreadable_crc(row.get(2)?, entry.headers.reveal(), &body);
        let sound = crc == row.get::<_, i64>(6)?;
        Ok(sound.then(|| QuarantinedBody {
            entry,
            body: Private::new(body.into()),
        }))
    };
    (conn.prepare_cached(sql)?)
        .query_row([number.cast_signed()], entry)
        .optional()
}

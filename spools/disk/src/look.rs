//! The history: what a person asks about kept events.

use faceway_core::{
    BoxFuture, Buried, BuriedBody, BuriedChoice, BuriedPlace, EventId, History, LaneTrace, Page,
    Quarantined, QuarantinedBody, SpoolError, Trace,
};
use rusqlite::{Connection, OptionalExtension as _};

use crate::events::table;
use crate::inbox::{Ask, Done, unexpected};
use crate::row::moment;
use crate::shared::Shared;
use crate::store::get;
use crate::{DiskSpool, attempts, buried, quarantine};

impl DiskSpool {
    async fn look<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        self.shared
            .blocking(move |shared| shared.readers.with(read))
            .await
    }
}

/// One gateway has a directory to itself, so every duty is its.
impl faceway_core::Duties for DiskSpool {}

impl History for DiskSpool {
    fn buried(
        &self,
        lane: Option<String>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<Buried>, SpoolError>> {
        Box::pin(async move {
            self.shared.sync().await?;
            self.look(move |conn| buried::list(conn, lane.as_deref(), page))
                .await
        })
    }

    fn buried_event(
        &self,
        id: EventId,
        lane: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<BuriedBody>, SpoolError>> {
        Box::pin(async move {
            self.shared.sync().await?;
            self.look(move |conn| buried::of_event(conn, id, lane.as_deref()))
                .await
        })
    }

    fn buried_places(
        &self,
        which: BuriedChoice,
    ) -> BoxFuture<'_, Result<Vec<BuriedPlace>, SpoolError>> {
        Box::pin(self.look(move |conn| buried::places(conn, &which)))
    }

    fn trace(&self, id: EventId) -> BoxFuture<'_, Result<Option<Trace>, SpoolError>> {
        Box::pin(async move {
            let found = match self.shared.ask(Ask::Find(id)).await {
                Ok(Done::Found(found)) => found,
                other => return Err(unexpected(other)),
            };
            let read =
                move |shared: &Shared| shared.readers.with(|conn| trace(shared, conn, id, found));
            self.shared.blocking(read).await
        })
    }

    fn quarantine(&self, page: Page) -> BoxFuture<'_, Result<Vec<Quarantined>, SpoolError>> {
        Box::pin(self.look(move |conn| quarantine::list(conn, page)))
    }

    fn quarantined(
        &self,
        number: u64,
    ) -> BoxFuture<'_, Result<Option<QuarantinedBody>, SpoolError>> {
        Box::pin(async move {
            match self.look(move |conn| quarantine::one(conn, number)).await? {
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

fn trace(
    shared: &Shared,
    conn: &Connection,
    id: EventId,
    found: Option<u64>,
) -> rusqlite::Result<Option<Trace>> {
    let found = match found {
        Some(seq) => Some(seq),
        None => find_old(shared, conn, id)?,
    };
    let Some(seq) = found else {
        return Ok(None);
    };
    let event = shared.readers.event(conn, seq)?.filter(|row| row.id == id);
    let (received_at, body) = match event {
        Some(row) => (moment(row.at), row.body),
        None => match buried::copy(conn, seq, id)? {
            Some(entry) => (entry.entry.received_at, entry.body),
            None => return Ok(None),
        },
    };
    Ok(Some(Trace {
        seq,
        received_at,
        body,
        lanes: lane_traces(conn, seq)?,
    }))
}

/// Lanes that tried the event or buried it, those that are gone last.
fn lane_traces(conn: &Connection, seq: u64) -> rusqlite::Result<Vec<LaneTrace>> {
    let sql = "WITH touched AS (SELECT lane FROM attempt WHERE seq = ?1 UNION SELECT lane FROM buried WHERE seq = ?1) \
               SELECT l.id, l.name, EXISTS (SELECT 1 FROM buried b WHERE b.seq = ?1 AND b.lane = l.id), l.is_gone \
               FROM (SELECT id, name, 0 AS is_gone FROM lane UNION ALL SELECT id, name, 1 FROM gone) l \
               WHERE l.id IN touched ORDER BY l.is_gone, l.id";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([seq.cast_signed()], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let touched: Vec<(u32, String, bool, bool)> = rows.collect::<rusqlite::Result<_>>()?;
    let trace = |(id, lane, is_buried, is_deleted): (u32, String, bool, bool)| {
        Ok(LaneTrace {
            lane,
            is_deleted,
            is_buried,
            attempts: attempts::of_event(conn, id, seq)?,
        })
    };
    touched.into_iter().map(trace).collect()
}

/// An event that is older than the ids that are remembered, looked for in pieces: a person asks, and rarely.
fn find_old(shared: &Shared, conn: &Connection, id: EventId) -> rusqlite::Result<Option<u64>> {
    const PIECE: u64 = 16_384;
    let buried = "SELECT seq FROM buried WHERE id = ? LIMIT 1";
    let buried = conn
        .prepare_cached(buried)?
        .query_row([&id.as_bytes()[..]], |row| get(row, 0))
        .optional()?;
    if buried.is_some() {
        return Ok(buried);
    }
    if let Some(found) = shared.events.find(id)? {
        return Ok(Some(found));
    }
    let first = table::first(conn)?.unwrap_or(0);
    let end = table::last_below(conn, i64::MAX.cast_unsigned())? + 1;
    for from in (first..end).step_by(PIECE as usize) {
        let found = table::find(conn, id, (from, end.min(from + PIECE)))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

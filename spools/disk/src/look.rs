//! The history: what a person asks about kept events.

use faceway_core::{
    BoxFuture, Buried, BuriedBody, BuriedChoice, BuriedPlace, DeviceKey, EventId, History,
    LaneTrace, Page, Quarantined, QuarantinedBody, Repair, SpoolError, Trace,
};
use rusqlite::Connection;

use crate::DiskSpool;
use crate::inbox::{Ask, Done};
use crate::row::moment;
use crate::shared::Shared;
use crate::store::get;
use crate::story::{attempts, buried_copy, find_old};

impl History for DiskSpool {
    fn buried(
        &self,
        lane: Option<String>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<Buried>, SpoolError>> {
        Repair::buried(self, lane, page)
    }

    fn buried_event(
        &self,
        id: EventId,
        lane: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<BuriedBody>, SpoolError>> {
        Repair::buried_event(self, id, lane)
    }

    fn buried_places(
        &self,
        which: BuriedChoice,
    ) -> BoxFuture<'_, Result<Vec<BuriedPlace>, SpoolError>> {
        Box::pin(async move {
            let read =
                move |shared: &Shared| shared.readers.with(|conn| buried_places(conn, &which));
            self.shared.blocking(read).await
        })
    }

    fn trace(&self, id: EventId) -> BoxFuture<'_, Result<Option<Trace>, SpoolError>> {
        Box::pin(async move {
            let found = match self.shared.ask(Ask::Find(id)).await {
                Ok(Done::Found(found)) => found,
                _ => return Err(SpoolError("the writer does not answer".into())),
            };
            let read =
                move |shared: &Shared| shared.readers.with(|conn| trace(shared, conn, id, found));
            self.shared.blocking(read).await
        })
    }

    fn quarantine(&self, page: Page) -> BoxFuture<'_, Result<Vec<Quarantined>, SpoolError>> {
        Repair::quarantine(self, page)
    }

    fn quarantined(
        &self,
        number: u64,
    ) -> BoxFuture<'_, Result<Option<QuarantinedBody>, SpoolError>> {
        Repair::quarantined(self, number)
    }

    fn drop_quarantined(
        &self,
        numbers: Option<Vec<u64>>,
    ) -> BoxFuture<'_, Result<u64, SpoolError>> {
        Repair::drop_quarantined(self, numbers)
    }
}

fn buried_places(conn: &Connection, which: &BuriedChoice) -> rusqlite::Result<Vec<BuriedPlace>> {
    let sql = "SELECT lane.name, b.seq, b.device, b.id FROM buried b JOIN lane ON lane.id = b.lane \
               ORDER BY lane.name, b.seq";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([], |row| {
        let place = BuriedPlace {
            lane: row.get(0)?,
            seq: get(row, 1)?,
            device: DeviceKey(get(row, 2)?),
        };
        Ok((place, row.get::<_, Vec<u8>>(3)?))
    })?;
    let is_chosen = |place: &BuriedPlace, id: &[u8]| {
        let ids = which.ids.as_ref();
        which.lane.as_ref().is_none_or(|lane| *lane == place.lane)
            && ids.is_none_or(|ids| ids.iter().any(|chosen| chosen.as_bytes()[..] == *id))
    };
    let mut places = Vec::new();
    for row in rows {
        let (place, id) = row?;
        if is_chosen(&place, &id) {
            places.push(place);
        }
    }
    Ok(places)
}

fn trace(
    shared: &Shared,
    conn: &Connection,
    id: EventId,
    found: Option<u64>,
) -> rusqlite::Result<Option<Trace>> {
    let found = match found {
        Some(seq) => Some(seq),
        None => find_old(conn, id)?,
    };
    let Some(seq) = found else {
        return Ok(None);
    };
    let event = shared.readers.event(conn, seq)?.filter(|row| row.id == id);
    let (received_at, body) = match event {
        Some(row) => (moment(row.at), row.body),
        None => match buried_copy(conn, seq, id)? {
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
            attempts: attempts(conn, id, seq)?,
        })
    };
    touched.into_iter().map(trace).collect()
}

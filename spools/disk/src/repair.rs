//! Looking and repairing.

use faceway_core::{
    AppendError, BoxFuture, Buried, BuriedBody, BuriedChoice, Code, EventId, Lane, Page, Private,
    Quarantined, QuarantinedBody, Repair, SpoolError, Story, Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::DiskSpool;
use crate::blocks::stretches;
use crate::checksum::stored;
use crate::covered::QUARANTINE;
use crate::inbox::{Ask, BuriedWork, Done};
use crate::lane::change::Range;
use crate::quarantine::unreadable_crc;
use crate::read::{count, first_within};
use crate::row::{event_crc, moment};
use crate::shared::Shared;
use crate::store::get;
use crate::story::story;

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
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<Buried>, SpoolError>> {
        Box::pin(async move {
            self.shared.sync().await?;
            let read = move |shared: &Shared| {
                shared
                    .readers
                    .with(|conn| list_buried(conn, lane.as_deref(), page))
            };
            self.shared.blocking(read).await
        })
    }

    fn buried_event(
        &self,
        id: EventId,
        lane: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<BuriedBody>, SpoolError>> {
        Box::pin(async move {
            self.shared.sync().await?;
            let read = move |shared: &Shared| {
                shared
                    .readers
                    .with(|conn| buried_event(conn, id, lane.as_deref()))
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

    fn quarantine(&self, page: Page) -> BoxFuture<'_, Result<Vec<Quarantined>, SpoolError>> {
        Box::pin(async move {
            let read =
                move |shared: &Shared| shared.readers.with(|conn| list_quarantine(conn, page));
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
        let position = cell.lock().position();
        let end = self.shared.published().last + 1;
        let read = move |shared: &Shared| {
            shared
                .readers
                .with(|conn| find_span(conn, end, position, (since, until)))
        };
        let found = self.shared.blocking(read).await?;
        let count = found.ahead
            + found
                .ranges
                .iter()
                .map(|range| range.remaining)
                .sum::<u64>();
        let lane = Lane(cell.id);
        let ranges = found.ranges;
        match self.shared.ask(Ask::Replay { lane, ranges }).await {
            Ok(Done::Flag(true)) => Ok(Some(count)),
            Ok(Done::Flag(false)) => Ok(None),
            other => Err(unexpected(other)),
        }
    }
}

/// Where the events of a span of time are.
struct Found {
    /// Those that a lane has passed, in the order of the log.
    ranges: Vec<Range>,
    /// How many the lane has not come to: they will be handed out anyway, so they count and are not doubled.
    ahead: u64,
}

fn find_span(
    conn: &Connection,
    end: u64,
    position: u64,
    span: (i64, i64),
) -> rusqlite::Result<Found> {
    let mut found = Found {
        ranges: Vec::new(),
        ahead: 0,
    };
    for (from, end) in stretches(conn, (0, end), span)? {
        let Some(from) = first_within(conn, (from, end), span)? else {
            continue;
        };
        let middle = position.clamp(from, end);
        found.ahead += count(conn, (middle, end), span)?;
        let remaining = count(conn, (from, middle), span)?;
        if remaining > 0 {
            found.ranges.push(Range {
                next: from,
                end: middle,
                since: span.0,
                until: span.1,
                remaining,
                ..Range::default()
            });
        }
    }
    Ok(found)
}

/// The answer to something else means that the writer failed.
pub(crate) fn unexpected(answer: Result<Done, AppendError>) -> SpoolError {
    match answer {
        Ok(_) => SpoolError("the writer answered something else".into()),
        Err(error) => SpoolError(error.to_string()),
    }
}

/// Bytes of texts that one page of a list holds; a list of larger entries has more pages.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// The bodies stay on the disk: a list does not show them.
fn list_buried(conn: &Connection, lane: Option<&str>, page: Page) -> rusqlite::Result<Vec<Buried>> {
    let sql = "SELECT b.id, lane.name, b.at, b.buried, b.code, b.failures, b.number \
               FROM buried b JOIN lane ON lane.id = b.lane \
               WHERE b.number < ?1 AND (?2 IS NULL OR lane.name = ?2) ORDER BY b.number DESC LIMIT ?3";
    let (before, max) = bounds(page);
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map((before, lane, max), buried)?;
    of_a_page(rows, |entry| entry.lane.len() + entry.code.as_str().len())
}

/// One look at the index, whatever else is buried.
fn buried_event(
    conn: &Connection,
    id: EventId,
    lane: Option<&str>,
) -> rusqlite::Result<Vec<BuriedBody>> {
    let sql = "SELECT b.id, lane.name, b.at, b.buried, b.code, b.failures, b.number, b.body, b.seq, b.device, b.images, b.crc \
               FROM buried b JOIN lane ON lane.id = b.lane \
               WHERE b.id = ?1 AND (?2 IS NULL OR lane.name = ?2) ORDER BY b.number DESC";
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query((&id.as_bytes()[..], lane))?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        match buried_body(row)? {
            Some(entry) => list.push(entry),
            None => tracing::error!(seq = get(row, 8)?, "a buried event is damaged"),
        }
    }
    Ok(list)
}

fn bounds(page: Page) -> (i64, i64) {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let before = page.before.map_or(i64::MAX, number);
    (before, number(page.max as u64))
}

/// Takes entries as long as there is room for their texts, but at least one.
fn of_a_page<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    bytes: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut list, mut total) = (Vec::new(), 0);
    for row in rows {
        let entry = row?;
        total += bytes(&entry) + size_of::<T>();
        list.push(entry);
        if total >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(list)
}

fn buried(row: &Row<'_>) -> rusqlite::Result<Buried> {
    Ok(Buried {
        id: EventId::from_bytes(row.get(0)?),
        lane: row.get(1)?,
        received_at: moment(row.get(2)?),
        buried_at: moment(row.get(3)?),
        code: Code::stored(row.get(4)?),
        failures: row.get(5)?,
        number: get(row, 6)?,
    })
}

/// `None` when it is damaged.
pub(crate) fn buried_body(row: &Row<'_>) -> rusqlite::Result<Option<BuriedBody>> {
    let entry = buried(row)?;
    let body: Vec<u8> = row.get(7)?;
    let images: Option<Vec<u8>> = row.get(10)?;
    let images = images.as_deref().unwrap_or_default();
    let (at, id) = (row.get(2)?, entry.id.as_bytes());
    let crc = event_crc(get(row, 8)?, at, id, get(row, 9)?, images, &body);
    if i64::from(crc) != row.get::<_, i64>(11)? {
        return Ok(None);
    }
    Ok(Some(BuriedBody {
        entry,
        body: Private::new(body.into()),
    }))
}

fn list_quarantine(conn: &Connection, page: Page) -> rusqlite::Result<Vec<Quarantined>> {
    let sql = "SELECT number, inbound, at, reason, bytes, headers FROM quarantine \
               WHERE number < ? ORDER BY number DESC LIMIT ?";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map(bounds(page), quarantine_entry)?;
    // Its size only.
    let bytes = |entry: &Quarantined| {
        entry.inbound.len() + entry.reason.len() + entry.headers.reveal().len()
    };
    of_a_page(rows, bytes)
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
    let sql = "SELECT number, inbound, at, reason, bytes, headers, crc, body, row_crc FROM quarantine WHERE number = ?";
    let entry = |row: &Row<'_>| {
        let entry = quarantine_entry(row)?;
        let body: Vec<u8> = row.get(7)?;
        let crc = unreadable_crc(row.get(2)?, entry.headers.reveal(), &body);
        let texts = [entry.inbound.as_bytes(), entry.reason.as_bytes()];
        let row_crc = QUARANTINE.crc([row.get(2)?, row.get(4)?], &texts);
        let sound =
            crc == row.get::<_, i64>(6)? && stored(row, 8).is_none_or(|known| known == row_crc);
        Ok(sound.then(|| QuarantinedBody {
            entry,
            body: Private::new(body.into()),
        }))
    };
    (conn.prepare_cached(sql)?)
        .query_row([number.cast_signed()], entry)
        .optional()
}

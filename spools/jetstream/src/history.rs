//! The history: read from the streams when it is asked for. A local projection may come later; until then each question reads
//! what it needs, the list of buried events all their rows.

use std::collections::{BTreeMap, BTreeSet};

use faceway_core::{
    BoxFuture, Buried, BuriedBody, BuriedChoice, BuriedPlace, Code, EventId, History, LaneTrace,
    Page, Private, Quarantined, QuarantinedBody, SpoolError, Timestamp, Trace,
};

use crate::client::Failure;
use crate::lanes::{AttemptRow, BuriedRow, attempts_of};
use crate::names::{Row, name, number_of, token_of};
use crate::shared::Shared;
use crate::{JetStreamSpool, lock};

/// A buried event with its place.
struct BuriedAt {
    /// The row's number in its stream: later burials have higher ones.
    number: u64,
    lane: String,
    seq: u64,
    row: BuriedRow,
}

impl BuriedAt {
    /// What is shown; `None` where nothing is known of the event.
    fn shown(&self) -> Option<Buried> {
        let event = self.row.event.as_ref()?;
        let moment = |ms| Timestamp::from_millis(ms).unwrap_or(Timestamp::EPOCH);
        Some(Buried {
            number: self.number,
            id: event.id,
            lane: self.lane.clone(),
            received_at: moment(event.received_at),
            buried_at: moment(self.row.at),
            code: Code::stored(self.row.code.clone()),
            failures: self.row.failures,
        })
    }
}

impl Shared {
    /// Buried events of one lane or of all, newest first.
    async fn buried_rows(&self, lane: Option<&str>) -> Result<Vec<BuriedAt>, Failure> {
        let names = &self.client.names;
        let filter = match lane {
            Some(lane) => names.rows(Row::Buried, lane),
            None => names.rows_of_all(Row::Buried),
        };
        let mut rows: Vec<BuriedAt> = self
            .present(&filter)
            .await?
            .iter()
            .filter(|kept| kept.is_whole())
            .filter_map(|kept| {
                Some(BuriedAt {
                    number: kept.seq,
                    lane: token_of(&kept.subject, 1).and_then(name)?,
                    seq: number_of(&kept.subject, 0)?,
                    row: BuriedRow::decode(&kept.payload)?,
                })
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.number));
        Ok(rows)
    }

    async fn buried_event(
        &self,
        id: EventId,
        lane: Option<&str>,
    ) -> Result<Vec<BuriedBody>, Failure> {
        let mut bodies = Vec::new();
        for at in self.buried_rows(lane).await? {
            let is_it = at.row.event.as_ref().is_some_and(|event| event.id == id);
            let (true, Some(entry)) = (is_it, at.shown()) else {
                continue;
            };
            let body = match self.copy(&at.lane, at.seq).await? {
                Some(copy) => copy.body,
                None => Private::default(),
            };
            bodies.push(BuriedBody { entry, body });
        }
        Ok(bodies)
    }

    async fn buried_places(&self, which: BuriedChoice) -> Result<Vec<BuriedPlace>, Failure> {
        let ids: Option<BTreeSet<EventId>> = which.ids.map(|ids| ids.into_iter().collect());
        let rows = self.buried_rows(which.lane.as_deref()).await?;
        let places = rows.into_iter().filter_map(|at| {
            let event = at.row.event.as_ref()?;
            let is_chosen = ids.as_ref().is_none_or(|ids| ids.contains(&event.id));
            is_chosen.then(|| BuriedPlace {
                device: event.device(),
                lane: at.lane,
                seq: at.seq,
            })
        });
        let mut places: Vec<BuriedPlace> = places.collect();
        places.sort_by(|one, other| (&one.lane, one.seq).cmp(&(&other.lane, other.seq)));
        Ok(places)
    }

    async fn trace(&self, id: EventId) -> Result<Option<Trace>, Failure> {
        let seq = lock(&self.known).seq_of(id);
        let Some(seq) = seq else { return Ok(None) };
        let Some(entry) = self.fetch_one(seq).await? else {
            return Ok(None);
        };
        let mut alive: BTreeMap<String, u64> = BTreeMap::new();
        for lane in self.lane_names().await? {
            if let Some((_, record)) = self.record(&lane).await? {
                alive.insert(lane, record.born());
            }
        }
        let attempts = attempts_of(self, seq).await?;
        let buried = self.client.names.buried_anywhere(seq);
        let buried = self.present(&buried).await?;
        let buried = buried
            .iter()
            .filter_map(|kept| token_of(&kept.subject, 1).and_then(name));
        Ok(Some(Trace {
            seq,
            received_at: entry.received_at,
            body: entry.body,
            lanes: lanes(&alive, attempts, buried.collect()),
        }))
    }
}

/// What each lane did, those that are gone with their names.
fn lanes(
    alive: &BTreeMap<String, u64>,
    attempts: Vec<AttemptRow>,
    buried: BTreeSet<String>,
) -> Vec<LaneTrace> {
    let mut lanes: BTreeMap<(String, bool), LaneTrace> = BTreeMap::new();
    let trace = |lane: &str, is_deleted: bool| LaneTrace {
        lane: lane.to_owned(),
        is_deleted,
        is_buried: !is_deleted && buried.contains(lane),
        attempts: Vec::new(),
    };
    for row in attempts {
        let is_deleted = alive.get(&row.lane) != Some(&row.born);
        let lane = lanes
            .entry((row.lane.clone(), is_deleted))
            .or_insert_with(|| trace(&row.lane, is_deleted));
        lane.attempts.push(row.attempt);
    }
    for name in &buried {
        lanes
            .entry((name.clone(), false))
            .or_insert_with(|| trace(name, false));
    }
    lanes.into_values().collect()
}

impl History for JetStreamSpool {
    fn buried(
        &self,
        lane: Option<String>,
        page: Page,
    ) -> BoxFuture<'_, Result<Vec<Buried>, SpoolError>> {
        Box::pin(async move {
            let rows = self.shared.buried_rows(lane.as_deref()).await?;
            let before = page.before.unwrap_or(u64::MAX);
            let shown = rows.iter().filter(|row| row.number < before);
            Ok(shown.filter_map(BuriedAt::shown).take(page.max).collect())
        })
    }

    fn buried_event(
        &self,
        id: EventId,
        lane: Option<String>,
    ) -> BoxFuture<'_, Result<Vec<BuriedBody>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.buried_event(id, lane.as_deref()).await?) })
    }

    fn buried_places(
        &self,
        which: BuriedChoice,
    ) -> BoxFuture<'_, Result<Vec<BuriedPlace>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.buried_places(which).await?) })
    }

    fn trace(&self, id: EventId) -> BoxFuture<'_, Result<Option<Trace>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.trace(id).await?) })
    }

    fn quarantine(&self, page: Page) -> BoxFuture<'_, Result<Vec<Quarantined>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.quarantine_page(page).await?) })
    }

    fn quarantined(
        &self,
        number: u64,
    ) -> BoxFuture<'_, Result<Option<QuarantinedBody>, SpoolError>> {
        Box::pin(async move { Ok(self.shared.quarantined_body(number).await?) })
    }

    fn drop_quarantined(
        &self,
        numbers: Option<Vec<u64>>,
    ) -> BoxFuture<'_, Result<u64, SpoolError>> {
        Box::pin(async move { Ok(self.shared.drop_from_quarantine(numbers).await?) })
    }
}

//! Leases, settlements and surveys: the lanes' side of the contract.

use std::sync::Arc;

use faceway_core::{Lane, Lease, Settled, Settlement, SpoolError, Survey, Timestamp};

use crate::inbox::Ask;
use crate::lane::{Need, Stock};
use crate::lanes::LaneCell;
use crate::read::time_from;
use crate::row::{Published, moment};
use crate::shared::{Shared, lock};

/// Rows of a lane that wait for the writer; beyond that a lease waits for it. It bounds the memory of a lane that walks
/// through a long backlog of a blocked device.
const PENDING_ROWS_MAX: usize = 16_384;

impl Shared {
    /// See [`faceway_core::Spool::lease`].
    pub(crate) async fn lease(
        self: &Arc<Self>,
        lane: Lane,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Lease>, SpoolError> {
        let cell = self.lane(lane)?;
        let now = now.plus_millis(-self.ages.ahead(&*self.clock));
        let _turn = cell.turn.lock().await;
        loop {
            let log = self.published();
            // Everything is decided in this one step, after all reading: what was settled before it counts.
            let (taken, pending, unseen) = {
                let mut state = cell.lock();
                let taken = state.try_take(max, now.as_millis(), log);
                (taken, state.pending_rows(), state.take_unseen())
            };
            if unseen > 0 {
                tracing::warn!(
                    lane = cell.name,
                    events = unseen,
                    "events that this lane should have come to are not in the log: they left while it was opened, or the \
                     spool is damaged (stop, then `faceway spool check`)"
                );
            }
            let need = match taken {
                Ok(leases) => return Ok(leases),
                Err(need) => need,
            };
            if pending > PENDING_ROWS_MAX {
                self.sync().await?;
            }
            let stock = self.fetch(&cell, need).await?;
            cell.lock().stock(stock);
        }
    }

    /// Reads from memory what is there, the rest from the database.
    async fn fetch(self: &Arc<Self>, cell: &LaneCell, mut need: Need) -> Result<Stock, SpoolError> {
        let mut stock = self.fetch_recent(&mut need);
        if need == Need::default() {
            return Ok(stock);
        }
        let id = cell.id;
        let read = self
            .blocking(move |shared| {
                shared
                    .readers
                    .with(|conn| shared.readers.stock(conn, id, &need))
            })
            .await?;
        stock.seqs.extend(read.seqs);
        stock.log = stock.log.or(read.log);
        stock.range = read.range;
        Ok(stock)
    }

    fn fetch_recent(&self, need: &mut Need) -> Stock {
        let mut stock = Stock::default();
        let recent = lock(&self.recent);
        if let Some((from, last)) = need.log
            && let Some(chunk) = recent.chunk(from, last)
        {
            stock.log = Some(chunk);
            need.log = None;
        }
        need.seqs.retain(|seq| match recent.get(*seq) {
            Some(row) => {
                stock.seqs.push((*seq, Some(row.clone())));
                false
            }
            None => true,
        });
        stock
    }

    /// See [`faceway_core::Spool::settle`].
    pub(crate) fn settle(&self, lane: Lane, settlements: Vec<Settlement>) {
        let Some(cell) = self.lanes.get(lane.0) else {
            return;
        };
        let now = self.clock.now().as_millis();
        let ahead = self.ages.ahead(&*self.clock);
        let mut freed = false;
        {
            let mut state = cell.lock();
            for mut settlement in settlements {
                if let Settled::Park { until, .. } = &mut settlement.outcome {
                    *until = until.plus_millis(-ahead);
                }
                freed |= state.settle(settlement, now);
            }
        }
        self.inbox.settled();
        if freed {
            // Others that waited may be leased now; whoever waits for `changed` should look again.
            self.bump();
        }
    }

    /// See [`faceway_core::Spool::wake`].
    pub(crate) fn wake(&self, lane: Lane) {
        if let Some(cell) = self.lanes.get(lane.0)
            && cell.lock().wake()
        {
            self.inbox.settled();
            self.bump();
        }
    }

    /// See [`faceway_core::Spool::survey`].
    pub(crate) async fn survey(
        self: &Arc<Self>,
        lane: Lane,
        now: Timestamp,
    ) -> Result<Survey, SpoolError> {
        let counts = self.lane(lane)?.lock().counts(self.published());
        let mut oldest = counts.oldest;
        let mut unread = counts.unread;
        unread.retain(|seq| match lock(&self.recent).first_from(*seq) {
            Some(row) => {
                oldest = earlier(oldest, Some((row.seq, row.at)));
                false
            }
            None => true,
        });
        if !unread.is_empty() {
            let times = self
                .blocking(move |shared| {
                    let read = |conn: &_| unread.iter().map(|seq| time_from(conn, *seq)).collect();
                    shared.readers.with::<Vec<Option<(u64, i64)>>>(read)
                })
                .await?;
            oldest = times.into_iter().fold(oldest, earlier);
        }
        let ahead = self.ages.ahead(&*self.clock);
        let oldest = oldest.map(|(seq, at)| self.received(seq, at, now));
        Ok(Survey {
            backlog: counts.backlog,
            oldest: oldest.filter(|_| counts.backlog > 0),
            first: counts.first.filter(|_| counts.backlog > 0),
            parked: counts.parked,
            buried: counts.buried,
            next_due: (counts.next_due).map(|due| moment(due.saturating_add(ahead))),
        })
    }

    /// When an event came in that waits: never so late that by `now` it would have waited for less time than has gone by.
    fn received(&self, seq: u64, at: i64, now: Timestamp) -> Timestamp {
        let ages = self.ages.view(&*self.clock);
        let waited = ages.now.saturating_sub(ages.of_event(seq, at)).max(0);
        match waited {
            0 => moment(at),
            waited => moment(at).min(now.plus_millis(-waited)),
        }
    }

    /// The lane of a handle.
    pub(crate) fn lane(&self, lane: Lane) -> Result<Arc<LaneCell>, SpoolError> {
        let cell = self.lanes.get(lane.0);
        cell.ok_or_else(|| SpoolError("this lane has been dropped".into()))
    }

    /// Waits until everything that was settled is durable.
    pub(crate) async fn sync(&self) -> Result<(), SpoolError> {
        match self.ask(Ask::Sync).await {
            Ok(_) => Ok(()),
            Err(error) => Err(SpoolError(error.to_string())),
        }
    }

    /// Runs something that reads files where that holds nobody up.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let shared = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || work(&shared));
        work.await
            .unwrap_or_else(|_| Err(SpoolError("a reading thread has ended".into())))
    }
}

/// The one with the lower number: it came in first, whatever a clock said.
fn earlier(one: Option<(u64, i64)>, other: Option<(u64, i64)>) -> Option<(u64, i64)> {
    one.into_iter().chain(other).min()
}

/// A lane that starts with the oldest event wants to know how many there are, counted where that holds nobody up.
pub(crate) async fn count_all(shared: &Arc<Shared>) -> Result<(u64, u64), SpoolError> {
    let Published { last, .. } = shared.published();
    let counted = shared
        .blocking(move |shared| {
            let always = (i64::MIN, i64::MAX);
            let count = |conn: &_| crate::read::count(conn, (0, last + 1), always);
            shared.readers.with(count)
        })
        .await?;
    Ok((last + 1, counted))
}

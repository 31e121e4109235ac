//! Committing a lane's change: one atomic batch of rows and the record, which names the number of the record before it. So a
//! change is kept as a whole, and a gateway that no longer owns the lane keeps nothing.

use std::collections::{BTreeMap, BTreeSet};

use faceway_core::{Burial, Claim, CommitError, LaneChange, LaneState, waiting};
use tokio::time::Instant;

use crate::client::{Failure, Outgoing, pause};
use crate::names::Row;
use crate::shared::Shared;

use super::rows::{self, BuriedRow};
use super::{Owned, Record};

/// Rows of one batch. The servers take 1,000 messages.
const BATCH_ROWS: usize = 500;
/// Bytes of one batch.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Marks of once windows in one row, so that it stays far below the servers' limit of a message.
const MARKS: usize = 2000;

/// A lane after a change, and what has to be written for it.
struct Next {
    state: LaneState,
    buried: BTreeSet<u64>,
    once: Vec<(u64, i64)>,
    rows: Vec<Outgoing>,
    /// Subjects of rows that are gone.
    gone: Vec<String>,
}

impl Shared {
    pub(crate) async fn commit(
        &self,
        claim: &Claim,
        change: LaneChange,
    ) -> Result<u64, CommitError> {
        let owned = self.lanes.get(&claim.lane).ok_or(CommitError::Fenced)?;
        let mut owned = owned.lock().await;
        if owned.epoch != claim.epoch {
            return Err(CommitError::Fenced);
        }
        let unavailable = |failure: Failure| {
            self.warn("commit", || {
                format!("a lane's state cannot be kept: {failure}")
            });
            CommitError::Unavailable
        };
        let deadline = Instant::now() + self.settings.append_timeout;
        let burials = self.bury(&mut owned, &change.burials, deadline).await;
        let burials = burials.map_err(unavailable)?;
        let attempts = change.attempts.clone();
        let next = self.next(&owned, change, &burials);
        self.write(&mut owned, &next, deadline).await?;
        (owned.state, owned.buried) = (next.state, next.buried);
        owned.once.extend(next.once);
        self.write_attempts(&owned.name, owned.born, &attempts)
            .await;
        self.clean(&mut owned, next.gone);
        Ok(owned.state.buried)
    }

    /// Copies of what is buried: they are there before the record says so.
    async fn bury(
        &self,
        owned: &mut Owned,
        burials: &[(u64, Option<Burial>)],
        deadline: Instant,
    ) -> Result<BTreeMap<u64, BuriedRow>, Failure> {
        let mut rows = BTreeMap::new();
        for (seq, burial) in burials {
            let Some(burial) = burial else { continue };
            let mut entry = None;
            if owned.copies.contains(seq) {
                entry = self.copy(&owned.name, *seq).await?;
            }
            if entry.is_none() {
                entry = self.fetch_one(*seq).await?;
                if let Some(entry) = &entry {
                    self.put_copy(&owned.name, entry, deadline).await?;
                    owned.copies.insert(*seq);
                }
            }
            rows.insert(*seq, BuriedRow::new(burial, entry.as_ref()));
        }
        Ok(rows)
    }

    fn next(
        &self,
        owned: &Owned,
        mut change: LaneChange,
        burials: &BTreeMap<u64, BuriedRow>,
    ) -> Next {
        let lane = &owned.name;
        let names = &self.client.names;
        let (mut written, mut gone) = (Vec::new(), Vec::new());
        let mut put = |subject: String, payload: Vec<u8>| {
            if payload.is_empty() {
                gone.push(subject.clone());
            }
            written.push(Outgoing::new(subject, payload.into()));
        };
        let mut buried = owned.buried.clone();
        for (seq, row) in burials {
            put(names.row(Row::Buried, lane, *seq), row.encode());
            buried.insert(*seq);
        }
        let revived = std::mem::take(&mut change.burials).into_iter();
        let revived = revived.filter_map(|(seq, burial)| burial.is_none().then_some(seq));
        for seq in revived.chain(std::mem::take(&mut change.dropped)) {
            if buried.remove(&seq) {
                put(names.row(Row::Buried, lane, seq), Vec::new());
            }
        }
        let mut once = Vec::new();
        for passed in change.passed.chunks(MARKS) {
            // Its number is drawn, so that the row of an earlier try is not taken for this one's.
            let number = rand::random::<u64>() >> 1;
            let until = passed.iter().map(|one| one.until.as_millis()).max();
            once.extend(until.map(|until| (number, until)));
            let row = names.row(Row::Once, lane, number);
            put(row, rows::encode_once(passed));
        }
        let ranges: BTreeSet<u64> = change
            .waiting
            .iter()
            .map(|(range, _)| *range)
            .chain(change.held.iter().map(|(seq, _)| waiting::range_of(*seq)))
            .collect();
        let mut state = owned.state.clone();
        state.apply(change);
        state.buried = buried.len() as u64;
        for range in ranges {
            let row = names.row(Row::Waiting, lane, range);
            put(row, rows::encode_range(&state, range));
        }
        Next {
            state,
            buried,
            once,
            rows: written,
            gone,
        }
    }

    /// Rows and record. What is too much for one batch is written in several; only the last one moves the record on, so a
    /// crash between them repeats deliveries.
    async fn write(
        &self,
        owned: &mut Owned,
        next: &Next,
        deadline: Instant,
    ) -> Result<(), CommitError> {
        let mut rest = &next.rows[..];
        loop {
            let (slice, behind) = rest.split_at(slice_of(rest));
            rest = behind;
            let state = if rest.is_empty() {
                &next.state
            } else {
                &owned.state
            };
            let epochs = (owned.epoch, owned.born);
            let record = Record::of(state, epochs, &self.settings.gateway);
            let number = self.write_slice(owned, slice, &record, deadline).await?;
            owned.number = number;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Gives the number of the record.
    async fn write_slice(
        &self,
        owned: &Owned,
        rows: &[Outgoing],
        record: &Record,
        deadline: Instant,
    ) -> Result<u64, CommitError> {
        let subject = self.client.names.lane(&owned.name);
        let mut before = owned.number;
        loop {
            let mut messages = rows.to_vec();
            messages.push(record.message(subject.clone(), before));
            let failure = match self.client.publish_batch(&messages).await {
                // The record is the last of its batch.
                Ok(ack) => return Ok(ack.seq),
                Err(failure) => failure,
            };
            // A compare-and-set fails at times without a cause, and an answer may be lost: the leader knows.
            match self.record(&owned.name).await {
                Ok(Some((number, found))) if found.epoch() == owned.epoch => {
                    if found.call == record.call {
                        return Ok(number);
                    }
                    // An earlier try of ours came late. This change has all that it had.
                    before = number;
                }
                Ok(_) => {
                    self.lanes.remove(&owned.name);
                    return Err(CommitError::Fenced);
                }
                Err(_) => {}
            }
            let passes = failure == Failure::Moved || failure.passes();
            if !passes || Instant::now() >= deadline {
                self.warn("commit", || {
                    format!("a lane's state cannot be kept: {failure}")
                });
                return Err(CommitError::Unavailable);
            }
            pause().await;
        }
    }

    /// Removes what the record no longer needs, behind the answer: rows that are gone, copies of what is delivered.
    fn clean(&self, owned: &mut Owned, gone: Vec<String>) {
        let waits = |seq: u64| {
            let range = waiting::range_of(seq);
            let ranges = &owned.state.waiting;
            let at = ranges.binary_search_by_key(&range, |(range, _)| *range);
            let events = at.ok().and_then(|at| waiting::decode(range, &ranges[at].1));
            events.is_some_and(|events| events.iter().any(|(waiting, _)| *waiting == seq))
        };
        let is_done = |seq: &u64| !owned.buried.contains(seq) && !waits(*seq);
        let done: Vec<u64> = owned.copies.iter().copied().filter(is_done).collect();
        for seq in &done {
            owned.copies.remove(seq);
        }
        if done.is_empty() && gone.is_empty() {
            return;
        }
        // Only what stood there when the record was written: a row that comes back later has a higher number.
        let (client, before, lane) = (self.client.clone(), owned.number, owned.name.clone());
        self.tasks.spawn(async move {
            let cleaned = super::copies::clean(&client, (&lane, &done), (&gone, before)).await;
            if let Err(failure) = cleaned {
                tracing::debug!("rows of lane {lane:?} stay a while longer: {failure}");
            }
        });
    }
}

/// How many of these rows go into the next batch.
fn slice_of(rows: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Outgoing| {
        bytes += row.size();
        bytes <= BATCH_BYTES
    };
    let count = rows.iter().take(BATCH_ROWS).take_while(fits).count();
    // A row is far below the limit of a batch.
    count.max(rows.len().min(1))
}

//! Reading a lane: its record and its rows, all of them at the leader.

use std::collections::{BTreeMap, BTreeSet};

use faceway_core::{LaneState, OnceMark, waiting};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::client::{Failure, Kept};
use crate::names::{Row, StreamKind, name, number_of, token_of};
use crate::shared::Shared;

use super::Record;
use super::rows;

/// Rows that are asked for at once.
const AT_ONCE: usize = 64;
/// How often a lane is read anew that its owner changes meanwhile.
const LOOKS: usize = 5;

/// Rows of a lane.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) buried: BTreeSet<u64>,
    pub(super) once: BTreeMap<u64, i64>,
}

impl Shared {
    pub(crate) async fn lane_names(&self) -> Result<Vec<String>, Failure> {
        let all = self.client.names.all_lanes();
        let subjects = self.client.subjects(StreamKind::State, &all).await?;
        let names = subjects.iter();
        let mut names: Vec<String> = names
            .filter_map(|subject| token_of(subject, 0).and_then(name))
            .collect();
        names.sort();
        Ok(names)
    }

    /// A lane's record, and its number.
    pub(crate) async fn record(&self, lane: &str) -> Result<Option<(u64, Record)>, Failure> {
        let subject = self.client.names.lane(lane);
        let kept = self.client.last_at_leader(StreamKind::State, &subject);
        let Some(kept) = kept.await? else {
            return Ok(None);
        };
        Ok(Some((kept.seq, Record::parse(&kept)?)))
    }

    pub(crate) async fn look(&self, lane: &str) -> Result<Option<LaneState>, Failure> {
        for look in 1.. {
            let Some((before, record)) = self.record(lane).await? else {
                return Ok(None);
            };
            let (state, _) = self.read_rows(lane, &record).await?;
            let after = self.record(lane).await?;
            // Rows and record are of one commit; where the owner commits all the time, of two that follow each other.
            if look >= LOOKS || after.is_some_and(|(after, _)| after == before) {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// Everything that is kept of a lane beside its record.
    pub(super) async fn read_rows(
        &self,
        lane: &str,
        record: &Record,
    ) -> Result<(LaneState, Rows), Failure> {
        let mut state = record.state();
        let mut rows = Rows::default();
        for kept in self.lane_rows(Row::Waiting, lane).await? {
            let Some(range) = number_of(&kept.subject, 0) else {
                continue;
            };
            let decoded = rows::decode_range(range, &kept.payload).filter(|_| kept.is_whole());
            match decoded {
                Some((waiting, held)) => {
                    state.waiting.extend(waiting.map(|bytes| (range, bytes)));
                    state.held.extend(held);
                }
                None => self.ask_again(lane, range, &mut state).await?,
            }
        }
        state.waiting.sort_by_key(|(range, _)| *range);
        state.held.sort_by_key(|(seq, _)| *seq);
        for kept in self.lane_rows(Row::Once, lane).await? {
            let Some(number) = number_of(&kept.subject, 0) else {
                continue;
            };
            let passed = rows::decode_once(&kept.payload).filter(|_| kept.is_whole());
            let Some(passed) = passed else {
                tracing::error!(
                    "marks of once windows of lane {lane:?} are damaged: they silence nothing"
                );
                continue;
            };
            let until = passed.iter().map(|one| one.until.as_millis()).max();
            rows.once.extend(until.map(|until| (number, until)));
            state.passed.extend(passed);
        }
        order(&mut state.passed);
        let buried = self.client.names.rows(Row::Buried, lane);
        let buried = self.present(&buried).await?;
        rows.buried = buried
            .iter()
            .filter_map(|kept| number_of(&kept.subject, 0))
            .collect();
        state.buried = rows.buried.len() as u64;
        Ok((state, rows))
    }

    async fn lane_rows(&self, row: Row, lane: &str) -> Result<Vec<Kept>, Failure> {
        self.present(&self.client.names.rows(row, lane)).await
    }

    /// Rows whose subject fits and that are not gone, at the leader.
    pub(crate) async fn present(&self, filter: &str) -> Result<Vec<Kept>, Failure> {
        let subjects = self.client.subjects(StreamKind::State, filter).await?;
        let rows = subjects.into_iter().map(|subject| async move {
            self.client
                .last_at_leader(StreamKind::State, &subject)
                .await
        });
        let rows: Vec<Option<Kept>> = stream::iter(rows)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let present = rows.into_iter().flatten();
        Ok(present.filter(|kept| !kept.payload.is_empty()).collect())
    }

    /// A damaged row: which events of its range wait is not known, so the rules are asked about all of them again. Some may
    /// be delivered twice; none is lost.
    async fn ask_again(
        &self,
        lane: &str,
        range: u64,
        state: &mut LaneState,
    ) -> Result<(), Failure> {
        tracing::error!(
            "a row of lane {lane:?} is damaged: the rules are asked again about events of range {range}"
        );
        let first = range * waiting::RANGE;
        let last = (first + waiting::RANGE - 1).min(state.routed_through);
        let mut after = first.saturating_sub(1);
        let max = faceway_core::ReadMax {
            entries: waiting::RANGE as usize,
            bytes: usize::MAX >> 1,
        };
        while after < last {
            let stretch = self.read(after, last, max).await?;
            let seqs = stretch.entries.iter().map(|entry| entry.seq);
            state.undecided.extend(seqs);
            if stretch.through_seq <= after {
                break;
            }
            after = stretch.through_seq;
        }
        state.undecided.sort_unstable();
        state.undecided.dedup();
        Ok(())
    }
}

/// Of each key what passed last, the earliest end first.
fn order(passed: &mut Vec<OnceMark>) {
    let mut last: BTreeMap<(String, [u8; 16]), OnceMark> = BTreeMap::new();
    for one in passed.drain(..) {
        let key = (one.route.clone(), one.key);
        let is_later = last.get(&key).is_none_or(|known| known.until <= one.until);
        if is_later {
            last.insert(key, one);
        }
    }
    passed.extend(last.into_values());
    passed.sort_by_key(|one| one.until);
}

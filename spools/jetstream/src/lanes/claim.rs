//! Claiming a lane: the record with a new epoch, by compare-and-set; then what is kept is read.

use std::collections::BTreeSet;

use faceway_core::{Claim, LaneState, Start};
use tokio::time::Instant;

use crate::client::{Failure, pause};
use crate::names::{Row, StreamKind, number_of};
use crate::shared::Shared;

use super::{Owned, Record};

impl Shared {
    pub(crate) async fn claim(
        &self,
        lane: &str,
        start: Start,
    ) -> Result<(Claim, LaneState), Failure> {
        let (number, record) = self.claim_record(lane, start).await?;
        // From here on no other gateway can change the lane, so what is read now is what is kept.
        let (state, rows) = self.read_rows(lane, &record).await?;
        let copies = self.copies_of(lane).await?;
        self.lanes.put(Owned {
            name: lane.to_owned(),
            epoch: record.epoch(),
            born: record.born(),
            number,
            state: state.clone(),
            buried: rows.buried,
            copies,
            once: rows.once,
        });
        let claim = Claim {
            lane: lane.into(),
            epoch: record.epoch(),
        };
        Ok((claim, state))
    }

    async fn claim_record(&self, lane: &str, start: Start) -> Result<(u64, Record), Failure> {
        let subject = self.client.names.lane(lane);
        let deadline = Instant::now() + self.settings.append_timeout;
        loop {
            let (before, record) = match self.record(lane).await? {
                Some((before, record)) => (before, record.claimed(&self.settings.gateway)),
                None => {
                    self.remove_rows(lane).await?;
                    let state = LaneState {
                        routed_through: self.beginning(start).await?,
                        ..LaneState::default()
                    };
                    (0, Record::of(&state, (0, 0), &self.settings.gateway))
                }
            };
            let message = record.message(subject.clone(), before);
            let failure = self.client.publish_once(&message).await.err();
            // An answer that was lost, and a compare-and-set that failed without a cause, both show here.
            if let Some((number, found)) = self.record(lane).await?
                && found.call == record.call
            {
                return Ok((number, found));
            }
            match failure {
                Some(failure) if failure != Failure::Moved && !failure.passes() => {
                    return Err(failure);
                }
                _ if Instant::now() >= deadline => {
                    return Err(Failure::unavailable("the lane's record cannot be written"));
                }
                _ => pause().await,
            }
        }
    }

    /// Where a new lane begins.
    async fn beginning(&self, start: Start) -> Result<u64, Failure> {
        let state = self.client.state(StreamKind::Events).await?;
        Ok(match start {
            Start::Now => state.last_seq,
            Start::Oldest => state.first_seq.saturating_sub(1),
        })
    }

    /// What an earlier lane of this name has left.
    pub(super) async fn remove_rows(&self, lane: &str) -> Result<(), Failure> {
        let names = &self.client.names;
        for row in Row::ALL {
            let rows = names.rows(row, lane);
            if !self
                .client
                .subjects(StreamKind::State, &rows)
                .await?
                .is_empty()
            {
                self.client.purge(StreamKind::State, &rows, None).await?;
            }
        }
        for copies in [names.copies_of_lane(lane), names.pieces_of_lane(lane)] {
            if !self
                .client
                .subjects(StreamKind::Lanes, &copies)
                .await?
                .is_empty()
            {
                self.client.purge(StreamKind::Lanes, &copies, None).await?;
            }
        }
        Ok(())
    }

    async fn copies_of(&self, lane: &str) -> Result<BTreeSet<u64>, Failure> {
        let copies = self.client.names.copies_of_lane(lane);
        let subjects = self.client.subjects(StreamKind::Lanes, &copies).await?;
        Ok(subjects
            .iter()
            .filter_map(|subject| number_of(subject, 1))
            .collect())
    }
}

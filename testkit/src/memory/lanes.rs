//! Lanes: who owns one, and what is kept of it.

use std::collections::BTreeMap;

use faceway_core::{Burial, Claim, CommitError, LaneChange, LaneState, Start};

use super::{Kept, Stored};

#[derive(Default)]
pub(super) struct KeptLane {
    pub(super) epoch: u64,
    pub(super) state: LaneState,
    pub(super) buried: BTreeMap<u64, (Burial, Option<Stored>)>,
}

impl Kept {
    pub(super) fn claim(&mut self, name: &str, start: Start) -> (Claim, LaneState) {
        self.epochs += 1;
        let routed_through = match start {
            Start::Now => self.last,
            Start::Oldest => self
                .entries
                .keys()
                .next()
                .map_or(self.last, |first| first - 1),
        };
        let lane = self
            .lanes
            .entry(name.to_owned())
            .or_insert_with(|| KeptLane {
                state: LaneState {
                    routed_through,
                    ..LaneState::default()
                },
                ..KeptLane::default()
            });
        lane.epoch = self.epochs;
        let claim = Claim {
            lane: name.into(),
            epoch: lane.epoch,
        };
        (claim, lane.state.clone())
    }

    pub(super) fn commit(
        &mut self,
        claim: &Claim,
        mut change: LaneChange,
    ) -> Result<u64, CommitError> {
        self.commits += 1;
        let failing = self.failing_commits;
        self.failing_commits = failing.saturating_sub(1);
        if failing % 2 == 1 {
            return Err(CommitError::Unavailable);
        }
        let mut lane = match self.lanes.remove(&*claim.lane) {
            Some(lane) if lane.epoch == claim.epoch => lane,
            found => {
                let found = found.map(|lane| (claim.lane.to_string(), lane));
                self.lanes.extend(found);
                return Err(CommitError::Fenced);
            }
        };
        for (seq, burial) in std::mem::take(&mut change.burials) {
            match burial {
                Some(burial) => self.bury(&mut lane, seq, burial),
                None => {
                    if let Some(copy) = self.exhume(&mut lane, seq) {
                        self.put(copy);
                    }
                }
            }
        }
        for seq in std::mem::take(&mut change.dropped) {
            self.exhume(&mut lane, seq);
        }
        lane.state.apply(change);
        lane.state.buried = lane.buried.len() as u64;
        let buried = lane.state.buried;
        self.lanes.insert(claim.lane.to_string(), lane);
        self.remove_stragglers();
        if failing > 0 {
            return Err(CommitError::Unavailable);
        }
        Ok(buried)
    }

    fn bury(&mut self, lane: &mut KeptLane, seq: u64, burial: Burial) {
        // Committed a second time, or buried once more: the event may have left the log since.
        let before = self.exhume(lane, seq);
        let copy = self.entries.get(&seq).cloned().or(before);
        let bytes = copy.as_ref().map_or(0, |copy| copy.entry.body.size());
        self.bytes += bytes as u64;
        lane.buried.insert(seq, (burial, copy));
    }

    /// Takes a burial out of a lane.
    fn exhume(&mut self, lane: &mut KeptLane, seq: u64) -> Option<Stored> {
        let (_, copy) = lane.buried.remove(&seq)?;
        let bytes = copy.as_ref().map_or(0, |copy| copy.entry.body.size());
        self.bytes -= bytes as u64;
        copy
    }

    pub(super) fn delete(&mut self, name: &str) -> bool {
        let Some(mut lane) = self.lanes.remove(name) else {
            return false;
        };
        let buried: Vec<u64> = lane.buried.keys().copied().collect();
        for seq in buried {
            self.exhume(&mut lane, seq);
        }
        self.remove_stragglers();
        true
    }
}

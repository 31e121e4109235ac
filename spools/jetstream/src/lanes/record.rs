//! A lane's record: JSON, at `state.lane.<lane>`. Its epoch is the number of the message that claimed the lane, so epochs grow
//! also when a lane is deleted and made again.

use bytes::Bytes;
use faceway_core::{LaneState, Replay, Timestamp};
use serde::{Deserialize, Serialize};

use crate::client::{Failure, Kept, Outgoing};

/// The form of a record. A gateway refuses another one.
const VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    v: u32,
    /// 0 in the message that claims: its own number is meant.
    epoch: u64,
    /// The same, of the first claim of the lane.
    born: u64,
    /// Which write of which gateway this is.
    pub(super) call: u64,
    /// Who wrote it.
    pub(crate) gateway: String,
    pub(crate) routed_through: u64,
    #[serde(default)]
    undecided: Vec<u64>,
    #[serde(default)]
    replays: Vec<Job>,
    /// Buried events.
    pub(crate) buried: u64,
    /// The lowest number of the log that the lane needs.
    pub(crate) needed: u64,
}

/// A replay.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Job {
    number: u64,
    routed_through: u64,
    through_seq: u64,
    since: i64,
    until: i64,
}

impl Record {
    /// The record of this state. `epoch` and `born` are 0 in a claim.
    pub(super) fn of(state: &LaneState, (epoch, born): (u64, u64), gateway: &str) -> Self {
        let job = |replay: &Replay| Job {
            number: replay.number,
            routed_through: replay.routed_through,
            through_seq: replay.through_seq,
            since: replay.since.as_millis(),
            until: replay.until.as_millis(),
        };
        Self {
            v: VERSION,
            epoch,
            born,
            call: rand::random(),
            gateway: gateway.to_owned(),
            routed_through: state.routed_through,
            undecided: state.undecided.clone(),
            replays: state.replays.iter().map(job).collect(),
            buried: state.buried,
            needed: needed(state),
        }
    }

    /// Reads a record.
    pub(crate) fn parse(kept: &Kept) -> Result<Self, Failure> {
        let wrong = |reason: String| Failure::Refused {
            code: 0,
            text: format!("the record {} cannot be read: {reason}", kept.subject),
        };
        if !kept.is_whole() {
            return Err(wrong("it is damaged".into()));
        }
        let mut record: Self =
            serde_json::from_slice(&kept.payload).map_err(|error| wrong(error.to_string()))?;
        if record.v != VERSION {
            return Err(wrong(format!(
                "its form is {}, and this gateway knows {VERSION}",
                record.v
            )));
        }
        for number in [&mut record.epoch, &mut record.born] {
            if *number == 0 {
                *number = kept.seq;
            }
        }
        Ok(record)
    }

    /// A claim of this record.
    pub(super) fn claimed(&self, gateway: &str) -> Self {
        Self {
            epoch: 0,
            call: rand::random(),
            gateway: gateway.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) const fn born(&self) -> u64 {
        self.born
    }

    /// What stands in the record itself.
    pub(super) fn state(&self) -> LaneState {
        let moment = |ms| Timestamp::from_millis(ms).unwrap_or(Timestamp::EPOCH);
        let replay = |job: &Job| Replay {
            number: job.number,
            routed_through: job.routed_through,
            through_seq: job.through_seq,
            since: moment(job.since),
            until: moment(job.until),
        };
        LaneState {
            routed_through: self.routed_through,
            undecided: self.undecided.clone(),
            replays: self.replays.iter().map(replay).collect(),
            buried: self.buried,
            ..LaneState::default()
        }
    }

    /// The message that replaces the one with the number `before`, and no other.
    pub(super) fn message(&self, subject: String, before: u64) -> Outgoing {
        // A record is plain data.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        Outgoing::new(subject, Bytes::from(payload))
            .with("Nats-Expected-Last-Subject-Sequence", before)
    }
}

/// The lowest number of the log that a lane needs: what waits, what the rules were not asked about, what is replayed.
fn needed(state: &LaneState) -> u64 {
    let waits = state.survey().first.into_iter();
    let jobs = state.replays.iter().map(|job| job.routed_through + 1);
    waits.chain(jobs).fold(state.routed_through + 1, u64::min)
}

//! Lanes at which nothing works: their outbound is no longer in `routes.toml`, or they are read for a moment only.

use std::time::Duration;

use faceway_core::{LaneState, SpoolError, Start};
use faceway_lane::{Lane, Now, Offer, Place, Policy, Tick};

use super::runner::Command;
use super::{Dispatch, LaneTask};
use crate::context::Context;

/// What is done with buried events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuriedChange {
    /// They wait again.
    Revive,
    /// They are gone for good.
    Drop,
}

impl LaneTask {
    fn do_it(&self, lane: &mut Lane) -> u64 {
        match self {
            Self::Replay { span, since, until } => {
                lane.replay((span.first_seq, span.through_seq), (*since, *until))
            }
            Self::Buried(BuriedChange::Revive, events) => {
                lane.revive(events);
                events.len() as u64
            }
            Self::Buried(BuriedChange::Drop, events) => {
                lane.drop_buried(&seqs(events));
                events.len() as u64
            }
        }
    }
}

fn seqs(events: &[Offer]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

impl Dispatch {
    /// Has the owner of a lane change it. Gives the number of events, or of the job.
    ///
    /// # Errors
    /// When the lane's owner does not answer, or the spool fails.
    pub async fn change_lane(&self, name: &str, task: LaneTask) -> Result<u64, SpoolError> {
        let Some(lane) = self.lanes.iter().find(|lane| lane.handle.name == name) else {
            return change(&self.context, name, &task).await;
        };
        let handle = &lane.handle;
        let done = match task {
            LaneTask::Replay { span, since, until } => {
                let replay = |reply| Command::Replay {
                    span,
                    since,
                    until,
                    reply,
                };
                handle.command(replay).await
            }
            LaneTask::Buried(BuriedChange::Revive, events) => {
                handle
                    .command(|reply| Command::Revive { events, reply })
                    .await
            }
            LaneTask::Buried(BuriedChange::Drop, events) => {
                let seqs = seqs(&events);
                handle
                    .command(|reply| Command::DropBuried { seqs, reply })
                    .await
            }
        };
        done.flatten().ok_or_else(|| {
            SpoolError("the lane does not answer: its spool is busy or fails".into())
        })
    }
}

async fn change(context: &Context, name: &str, task: &LaneTask) -> Result<u64, SpoolError> {
    let (claim, state) = context.lanes.claim(name, Start::Now).await?;
    let mut lane = load(context, state);
    let done = task.do_it(&mut lane);
    if let Some(change) = lane.take_change() {
        let committed = context.lanes.commit(&claim, change).await;
        committed.map_err(|error| SpoolError(error.to_string()))?;
    }
    Ok(done)
}

/// Where an event stands in a lane that does not work, and after how long it is due; `None` when there is no such lane.
///
/// # Errors
/// When the spool fails.
pub async fn kept_place(
    context: &Context,
    name: &str,
    seq: u64,
) -> Result<Option<(Place, Option<Duration>)>, SpoolError> {
    let Some(state) = context.lanes.look(name).await? else {
        return Ok(None);
    };
    let place = load(context, state).place(seq);
    Ok(Some((
        place,
        place.due().map(|due| due.since(Tick::default())),
    )))
}

fn load(context: &Context, state: LaneState) -> Lane {
    let now = Now {
        tick: Tick::default(),
        wall: context.clock.now(),
    };
    Lane::load(Policy::default(), state, now).0
}

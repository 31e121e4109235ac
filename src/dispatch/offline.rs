//! Lanes at which nothing works: their outbound is no longer in `routes.toml`, or they are read for a moment only.

use std::time::Duration;

use faceway_core::{Duty, LaneState as KeptLane, SpoolError, Start};
use faceway_lane::{Lane, Now, Offer, Place, Policy, Tick};

use super::elsewhere::{self, Elsewhere};
use super::runner::Command;
use super::{COMMAND_PATIENCE, Dispatch, LaneHandle, LaneTask};
use crate::context::Context;
use crate::duty::{Left, OnDuty};

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

impl LaneHandle {
    /// Has the lane's work change it. `None` when that does not answer, or is fenced.
    pub(super) async fn change(&self, task: LaneTask) -> Option<u64> {
        let done = match task {
            LaneTask::Replay { span, since, until } => {
                let replay = |reply| Command::Replay {
                    span,
                    since,
                    until,
                    reply,
                };
                self.command(replay).await
            }
            LaneTask::Buried(BuriedChange::Revive, events) => {
                self.command(|reply| Command::Revive { events, reply })
                    .await
            }
            LaneTask::Buried(BuriedChange::Drop, events) => {
                let seqs = seqs(&events);
                self.command(|reply| Command::DropBuried { seqs, reply })
                    .await
            }
        };
        done.flatten()
    }
}

impl Dispatch {
    /// Has the owner of a lane change it. Gives the number of events, or of the job.
    ///
    /// # Errors
    /// When the lane's owner does not answer, or the spool fails.
    pub async fn change_lane(&self, name: &str, task: LaneTask) -> Result<u64, SpoolError> {
        let lane = self.lanes.iter().find(|lane| lane.handle.name == name);
        if let Some(lane) = lane
            && !lane.handle.is_elsewhere()
        {
            return lane.handle.change(task).await.ok_or_else(|| {
                SpoolError("the lane does not answer: its spool is busy or fails".into())
            });
        }
        match elsewhere::change(&*self.context.duties, name, &task).await {
            Ok(done) => Ok(done),
            Err(Elsewhere::NoOwner) if lane.is_none() => change(&self.context, name, &task).await,
            Err(error) => Err(SpoolError(error.to_string())),
        }
    }
}

/// Changes a lane at which no gateway works: it is this one's for a moment.
async fn change(context: &Context, name: &str, task: &LaneTask) -> Result<u64, SpoolError> {
    let duty = OnDuty::take(&context.duties, Duty::Lane(name.into()), &[]);
    let Ok(duty) = tokio::time::timeout(COMMAND_PATIENCE, duty).await else {
        return Err(SpoolError(
            "another gateway has just taken this lane, or the cluster does not answer: ask again"
                .into(),
        ));
    };
    let done = change_here(context, name, task).await;
    duty.end(Left::HandedOver).await;
    done
}

async fn change_here(context: &Context, name: &str, task: &LaneTask) -> Result<u64, SpoolError> {
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

fn load(context: &Context, state: KeptLane) -> Lane {
    let now = Now {
        tick: Tick::default(),
        wall: context.clock.now(),
    };
    Lane::load(Policy::default(), state, now).0
}

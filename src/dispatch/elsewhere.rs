//! Lanes that another gateway of the site works: what an operator asks of them here is done there.
//!
//! What one gateway asks of another is JSON, and both may be of neighbouring releases: members are added, never changed.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{AskError, DeviceKey, Duties, Duty, Question, Span, Timestamp};
use faceway_lane::Offer;
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;

use super::offline::BuriedChange;
use super::{LaneHandle, LaneTask};

/// What one gateway asks of another.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Asked {
    /// Hand the events of this time out once more.
    Replay {
        first_seq: u64,
        through_seq: u64,
        events: u64,
        since: Timestamp,
        until: Timestamp,
    },
    /// Let these buried events wait again: number and device.
    Revive { events: Vec<(u64, u64)> },
    /// Remove these buried events for good: number and device.
    DropBuried { events: Vec<(u64, u64)> },
    /// Try the destination now.
    Probe,
}

/// What the other one says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// How many events, or which job.
    Done(u64),
    /// What the lane was doing when it was asked for a probe.
    Was(String),
    /// Why not.
    Failed(String),
}

impl From<&LaneTask> for Asked {
    fn from(task: &LaneTask) -> Self {
        let places = |events: &[Offer]| {
            let place = |event: &Offer| (event.seq, event.device.0);
            events.iter().map(place).collect()
        };
        match task {
            LaneTask::Replay { span, since, until } => Self::Replay {
                first_seq: span.first_seq,
                through_seq: span.through_seq,
                events: span.events,
                since: *since,
                until: *until,
            },
            LaneTask::Buried(BuriedChange::Revive, events) => Self::Revive {
                events: places(events),
            },
            LaneTask::Buried(BuriedChange::Drop, events) => Self::DropBuried {
                events: places(events),
            },
        }
    }
}

impl Asked {
    /// The task; `None` for what is none.
    fn task(self) -> Option<LaneTask> {
        let offers = |places: Vec<(u64, u64)>| {
            let offer = |(seq, device)| Offer {
                seq,
                device: DeviceKey(device),
            };
            places.into_iter().map(offer).collect()
        };
        Some(match self {
            Self::Replay {
                first_seq,
                through_seq,
                events,
                since,
                until,
            } => LaneTask::Replay {
                span: Span {
                    first_seq,
                    through_seq,
                    events,
                },
                since,
                until,
            },
            Self::Revive { events } => LaneTask::Buried(BuriedChange::Revive, offers(events)),
            Self::DropBuried { events } => LaneTask::Buried(BuriedChange::Drop, offers(events)),
            Self::Probe => return None,
        })
    }
}

/// Why another gateway did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Elsewhere {
    /// No other gateway works the lane.
    #[error("no gateway works this lane at this moment: ask again in a few seconds")]
    NoOwner,
    /// It, or the cluster, says why.
    #[error("{0}")]
    Failed(String),
}

impl From<AskError> for Elsewhere {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoOwner => Self::NoOwner,
            AskError::Silent => Self::Failed(
                "the gateway that works this lane does not answer: look whether it was done before you ask again"
                    .into(),
            ),
            AskError::Spool(error) => Self::Failed(error.to_string()),
        }
    }
}

/// Has the gateway that works this lane do it. Gives the number of events, or of the job.
pub(super) async fn change(
    duties: &dyn Duties,
    lane: &str,
    task: &LaneTask,
) -> Result<u64, Elsewhere> {
    match ask(duties, lane, &task.into()).await? {
        Said::Done(count) => Ok(count),
        other => Err(unexpected(other)),
    }
}

/// Has the gateway that works this lane try the destination; gives what the lane was doing.
///
/// # Errors
/// When none works it, or it does not answer.
pub async fn probe(duties: &dyn Duties, lane: &str) -> Result<String, Elsewhere> {
    match ask(duties, lane, &Asked::Probe).await? {
        Said::Was(state) => Ok(state),
        other => Err(unexpected(other)),
    }
}

async fn ask(duties: &dyn Duties, lane: &str, asked: &Asked) -> Result<Said, Elsewhere> {
    let failed = |error: serde_json::Error| Elsewhere::Failed(error.to_string());
    let text = serde_json::to_vec(asked).map_err(failed)?;
    let said = duties.ask(&Duty::Lane(lane.into()), text.into()).await?;
    serde_json::from_slice(&said).map_err(failed)
}

fn unexpected(said: Said) -> Elsewhere {
    Elsewhere::Failed(match said {
        Said::Failed(why) => why,
        Said::Done(_) | Said::Was(_) => "the other gateway answered something else".into(),
    })
}

/// Answers what other gateways ask of the lanes here, until what it gives is dropped.
pub fn answer(
    duties: Arc<dyn Duties>,
    lane: impl Fn(&str) -> Option<LaneHandle> + Send + 'static,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let Question { duty, text, answer } = duties.asked().await;
            let handle = match &duty {
                Duty::Lane(name) => lane(name),
                _ => None,
            };
            // Each by itself: a lane may take its time.
            tokio::spawn(async move {
                let said = said(handle, &text).await;
                // Plain data.
                answer(serde_json::to_vec(&said).unwrap_or_default().into());
            });
        }
    }))
}

async fn said(handle: Option<LaneHandle>, text: &Bytes) -> Said {
    let Some(handle) = handle else {
        return Said::Failed("the gateway that was asked does not work this lane".into());
    };
    match serde_json::from_slice::<Asked>(text).map(Asked::task) {
        Ok(None) => Said::Was(handle.try_now().as_str().to_owned()),
        Ok(Some(task)) => match handle.change(task).await {
            Some(count) => Said::Done(count),
            None => Said::Failed("the lane does not answer: its spool is busy or fails".into()),
        },
        Err(_) => Said::Failed(
            "the gateway that was asked is of another release, and does not know this".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateways of neighbouring releases ask each other by these names.
    #[test]
    fn what_is_asked_comes_back() {
        let at = Timestamp::from_seconds(1_800_000_000).unwrap();
        let span = Span {
            first_seq: 3,
            through_seq: 9,
            events: 5,
        };
        let replay = LaneTask::Replay {
            span,
            since: at,
            until: at,
        };
        let text = serde_json::to_string(&Asked::from(&replay)).unwrap();
        assert!(
            text.starts_with(r#"{"replay":{"first_seq":3,"through_seq":9,"events":5,"since":"#)
        );
        let Some(LaneTask::Replay { span: again, .. }) =
            serde_json::from_str::<Asked>(&text).unwrap().task()
        else {
            panic!("{text}");
        };
        assert_eq!(again, span);
        let events = vec![Offer {
            seq: 7,
            device: DeviceKey(u64::MAX),
        }];
        let revive = LaneTask::Buried(BuriedChange::Revive, events.clone());
        let text = serde_json::to_string(&Asked::from(&revive)).unwrap();
        assert_eq!(text, r#"{"revive":{"events":[[7,18446744073709551615]]}}"#);
        let Some(LaneTask::Buried(BuriedChange::Revive, again)) =
            serde_json::from_str::<Asked>(&text).unwrap().task()
        else {
            panic!("{text}");
        };
        assert_eq!(again, events);
        assert!(
            serde_json::from_str::<Asked>("\"probe\"")
                .unwrap()
                .task()
                .is_none()
        );
    }
}

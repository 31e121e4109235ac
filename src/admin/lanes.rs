//! How the gateway stands, and its lanes.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use faceway_core::{AppendError, Duty, LaneSurvey, SpoolError, Timestamp};

use super::problem::{Body, Path, Problem};
use super::{Admin, Looking, change_topology, inbounds};
use crate::api;
use crate::dispatch::{self, LaneHandle, LaneState};

/// Terminals of one inbound in the overview, which the console asks for again and again.
const OVERVIEW_TERMINALS_MAX: usize = 100;
/// The state of a lane at which nothing works.
pub(super) const REMOVED: &str = "removed";

/// `GET /api/v1/overview`.
pub(super) async fn overview(State(admin): Looking) -> Result<Json<api::Overview>, Problem> {
    let capacity = admin.context.log.capacity().await?;
    Ok(Json(api::Overview {
        version: env!("CARGO_PKG_VERSION").into(),
        started_at: admin.started_at,
        ready: capacity.accepting.is_ok(),
        trouble: capacity.accepting.err().map(|error| match error {
            // The quarantine alone makes no spool unready.
            AppendError::Full | AppendError::QuarantineFull => "full".into(),
            AppendError::Failing => "failing".into(),
        }),
        degraded: capacity.degraded.map(|degraded| degraded.to_string()),
        spool_bytes: capacity.bytes,
        free_bytes: capacity.free,
        quarantined: capacity.quarantined,
        reload_failed: failed_reload(&admin),
        inbounds: inbounds::all(&admin.look().endpoints, OVERVIEW_TERMINALS_MAX),
        lanes: all(&admin).await?,
    }))
}

fn failed_reload(admin: &Admin) -> Option<api::ReloadFailed> {
    let failed = admin.reloader.as_ref()?.failed()?;
    Some(api::ReloadFailed {
        at: failed.at,
        text: failed.text,
    })
}

/// `GET /api/v1/lanes`.
pub(super) async fn list(State(admin): Looking) -> Result<Json<Vec<api::Lane>>, Problem> {
    all(&admin).await.map(Json)
}

/// `DELETE /api/v1/lanes/{name}`: forgets the lane of an outbound that is no longer configured, with its backlog, and
/// tells how much that was.
pub(super) async fn forget(
    State(admin): Looking,
    Path(name): Path<String>,
) -> Result<Json<api::Dropped>, Problem> {
    known(&admin, &name).await?;
    change_topology(&admin, async move |mut topology| {
        if topology.names_outbound(&name) {
            let text = format!(
                "this outbound is in routes.toml. Take it out there, then its lane can be dropped with what waits in it; \
                 of one that stays only buried events can: faceway buried drop --to {name} --all"
            );
            return Err(Problem::new(StatusCode::CONFLICT, text));
        }
        let forgotten = topology.forget(&name).await;
        let forgotten = forgotten.map_err(|error| Problem::trouble(&error))?;
        // Retired since it was looked for.
        let survey = forgotten.ok_or_else(|| Problem::not_found("there is no lane of this name"))?;
        Ok(Json(api::Dropped {
            backlog: survey.backlog,
            buried: survey.buried,
        }))
    })
    .await
}

/// `POST /api/v1/lanes/{name}/probe`: a lane that waits for its destination tries at once, with one event.
pub(super) async fn probe(
    State(admin): Looking,
    Path(name): Path<String>,
    Body(api::Probe {}): Body<api::Probe>,
) -> Result<Json<api::Probed>, Problem> {
    known(&admin, &name).await?;
    let snapshot = admin.look();
    let lane = snapshot.lanes.iter().find(|lane| lane.name() == name);
    let removed = "the outbound of this lane is removed from routes.toml, and cannot deliver";
    let lane = lane.ok_or_else(|| Problem::new(StatusCode::CONFLICT, removed))?;
    let state = match lane.try_now() {
        LaneState::Elsewhere => dispatch::probe(&*admin.context.duties, &name)
            .await
            .map_err(|error| Problem::trouble(&error.into()))?,
        state => state.as_str().to_owned(),
    };
    Ok(Json(api::Probed { state }))
}

/// Whether there is a lane of this name; if not, which one may be meant.
pub(super) async fn known(admin: &Admin, name: &str) -> Result<(), Problem> {
    let lanes = admin.context.lanes.list().await?;
    if lanes.iter().any(|lane| lane == name) {
        return Ok(());
    }
    let near = faceway_rules::nearest(name, lanes.iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
    Err(Problem::not_found(format!(
        "there is no lane of this name, `{name}`; {near}known: {}",
        lanes.join(", ")
    )))
}

async fn all(admin: &Admin) -> Result<Vec<api::Lane>, Problem> {
    let mut lanes = Vec::new();
    let snapshot = admin.look();
    let gateways = gateways(admin).await?;
    for lane in &snapshot.lanes {
        if let Some((survey, oldest)) = survey(admin, lane.name(), Some(lane)).await? {
            lanes.push(api::Lane {
                gateway: gateways.get(lane.name()).cloned(),
                ..shown(lane, &survey, oldest)
            });
        }
    }
    for name in admin.context.lanes.list().await? {
        if snapshot.removed.contains(&name)
            && let Some((survey, oldest)) = survey(admin, &name, None).await?
        {
            lanes.push(removed(name, &survey, oldest));
        }
    }
    Ok(lanes)
}

/// Which gateway works which lane, where several share the log.
async fn gateways(admin: &Admin) -> Result<HashMap<String, String>, SpoolError> {
    let owners = admin.context.duties.owners().await?;
    let lanes = owners.into_iter().filter_map(|owner| match owner.duty {
        Duty::Lane(lane) => Some((lane.to_string(), owner.gateway)),
        _ => None,
    });
    Ok(lanes.collect())
}

/// How a lane stands, and when its oldest waiting event came in; `None` when it has ended since it was looked up.
pub(super) async fn survey(
    admin: &Admin,
    name: &str,
    lane: Option<&LaneHandle>,
) -> Result<Option<(LaneSurvey, Option<Timestamp>)>, SpoolError> {
    let shown = match lane {
        // It never comes to know more: another gateway works it.
        Some(lane) if lane.is_elsewhere() => None,
        Some(lane) => {
            lane.status()
                .caught_up(admin.context.log.tail()?)
                .await
                .survey
        }
        None => None,
    };
    let survey = match shown {
        Some(survey) => survey,
        // It does not work, or has not been read yet: what is kept of it is all there is.
        None => match admin.context.lanes.look(name).await? {
            Some(state) => state.survey(),
            None => return Ok(None),
        },
    };
    let Some(first) = survey.first else {
        return Ok(Some((survey, None)));
    };
    let fetched = admin.context.log.fetch(vec![first]).await?;
    let oldest = fetched.into_iter().flatten().next();
    Ok(Some((survey, oldest.map(|entry| entry.received_at))))
}

fn shown(lane: &LaneHandle, survey: &LaneSurvey, oldest: Option<Timestamp>) -> api::Lane {
    let shown = lane.status().get();
    api::Lane {
        name: lane.name().to_owned(),
        gateway: None,
        protocol: Some(lane.protocol().to_owned()),
        state: shown.state.as_str().into(),
        leaving: lane.is_retired(),
        since: Some(shown.since),
        next_probe: match shown.state {
            LaneState::Waiting { until, .. } => Some(until),
            _ => None,
        },
        backlog: survey.backlog,
        oldest,
        parked: survey.parked,
        buried: survey.buried,
        last_failure: shown.last_failure.map(|failure| api::Failure {
            at: failure.at,
            reason: failure.code.reason().map(str::to_owned),
            code: failure.code.to_string(),
        }),
    }
}

/// A lane whose outbound is no longer in `routes.toml`: what waits and is buried there keeps its room in the spool until
/// the outbound comes back or the lane is forgotten.
fn removed(name: String, survey: &LaneSurvey, oldest: Option<Timestamp>) -> api::Lane {
    api::Lane {
        name,
        gateway: None,
        protocol: None,
        state: REMOVED.into(),
        leaving: false,
        since: None,
        next_probe: None,
        backlog: survey.backlog,
        oldest,
        parked: survey.parked,
        buried: survey.buried,
        last_failure: None,
    }
}

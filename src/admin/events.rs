//! Repair: buried events, replays, and one event's trace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use faceway_core::{
    Attempt, AttemptResult, BuriedBody, BuriedChoice, BuriedPlace, EventId, LaneTrace, Trace,
};
use faceway_lane::{Offer, Place};
use faceway_rules::RouteSet;
use serde_json::Value;

use super::problem::{Body, Path, Problem, Query};
use super::{Admin, Looking, Page, change_topology, lanes};
use crate::api;
use crate::dispatch::{self, BuriedChange, Command, LaneTask};

/// `GET /api/v1/buried`.
pub(super) async fn buried(
    State(admin): Looking,
    Query(page): Query<Page>,
) -> Result<Json<Vec<api::Buried>>, Problem> {
    of_a_lane(&admin, page.to.as_deref()).await?;
    let part = page.part();
    let buried = admin.history.buried(page.to, part).await?;
    Ok(Json(buried.into_iter().map(shown).collect()))
}

/// `GET /api/v1/buried/{id}`: with the event. One for each outbound that buried it.
pub(super) async fn buried_one(
    State(admin): Looking,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<api::Buried>>, Problem> {
    let id = event_id(&id)?;
    of_a_lane(&admin, page.to.as_deref()).await?;
    let buried = admin.history.buried_event(id, page.to).await?;
    let found: Vec<_> = buried.into_iter().map(shown_whole).collect();
    if found.is_empty() {
        Err(Problem::not_found("this event is not buried"))
    } else {
        Ok(Json(found))
    }
}

fn shown_whole(whole: BuriedBody) -> api::Buried {
    api::Buried {
        // The admin API shows the event to who is asked to repair it.
        event: Some(serde_json::from_slice(whole.body.reveal()).unwrap_or_default()),
        ..shown(whole.entry)
    }
}

fn shown(entry: faceway_core::Buried) -> api::Buried {
    api::Buried {
        number: entry.number,
        id: entry.id,
        to: entry.lane,
        received_at: entry.received_at,
        buried_at: entry.buried_at,
        code: entry.code.to_string(),
        // The attempt that buried it is not among those that failed before.
        attempts: entry.failures.saturating_add(1),
        event: None,
    }
}

/// `POST /api/v1/buried/revive`.
pub(super) async fn revive(
    State(admin): Looking,
    Body(choice): Body<api::BuriedChoice>,
) -> Result<Json<api::Count>, Problem> {
    of_a_lane(&admin, choice.to.as_deref()).await?;
    let count = change_buried(&admin, chosen(choice)?, BuriedChange::Revive).await?;
    tracing::info!(count, "buried events are revived");
    Ok(Json(api::Count { count }))
}

/// `POST /api/v1/buried/drop`.
pub(super) async fn drop_buried(
    State(admin): Looking,
    Body(choice): Body<api::BuriedChoice>,
) -> Result<Json<api::Count>, Problem> {
    of_a_lane(&admin, choice.to.as_deref()).await?;
    let count = change_buried(&admin, chosen(choice)?, BuriedChange::Drop).await?;
    tracing::warn!(count, "buried events are dropped for good");
    Ok(Json(api::Count { count }))
}

/// Has the owner of each lane do it. Gives the number of events.
async fn change_buried(
    admin: &Arc<Admin>,
    choice: BuriedChoice,
    change: BuriedChange,
) -> Result<u64, Problem> {
    let mut lanes: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
    for BuriedPlace { lane, seq, device } in admin.history.buried_places(choice).await? {
        lanes.entry(lane).or_default().push(Offer { seq, device });
    }
    let mut count = 0;
    for (name, events) in lanes {
        count += change_lane(admin, name, LaneTask::Buried(change, events)).await?;
    }
    Ok(count)
}

/// Has the owner of a lane change it; where no lane works, the gateway owns it for a moment.
async fn change_lane(admin: &Arc<Admin>, name: String, task: LaneTask) -> Result<u64, Problem> {
    // Under the topology's lock: a lane that begins to work meanwhile would be fenced.
    change_topology(admin, async move |topology| {
        let changed = topology.change_lane(&name, task).await;
        changed.map_err(|error| Problem::trouble(&error))
    })
    .await
}

/// A name that no lane has is a mistake of who asks, and no lane without buried events.
async fn of_a_lane(admin: &Admin, to: Option<&str>) -> Result<(), Problem> {
    match to {
        Some(name) => lanes::known(admin, name).await,
        None => Ok(()),
    }
}

fn chosen(choice: api::BuriedChoice) -> Result<BuriedChoice, Problem> {
    match (choice.ids, choice.all) {
        (Some(ids), false) => Ok(BuriedChoice {
            lane: choice.to,
            ids: Some(ids),
        }),
        (None, true) => Ok(BuriedChoice {
            lane: choice.to,
            ids: None,
        }),
        _ => Err(Problem::bad(
            "say which: either \"ids\": [\"…\"] or \"all\": true",
        )),
    }
}

/// `POST /api/v1/replay`.
pub(super) async fn replay(
    State(admin): Looking,
    Body(replay): Body<api::Replay>,
) -> Result<Json<api::Count>, Problem> {
    let until = replay.until.unwrap_or_else(|| admin.context.clock.now());
    if until <= replay.since {
        return Err(Problem::bad(match replay.until {
            Some(_) => "until must be later than since",
            None => "since is not over yet: the history has no later events than those of now",
        }));
    }
    lanes::known(&admin, &replay.to).await?;
    let span = admin.context.log.span(replay.since, until).await?;
    // A reload between the two would be about other events.
    let count = change_topology(&admin, async move |mut topology| {
        let trouble = |error: anyhow::Error| Problem::trouble(&error);
        topology.backfill(&replay.to).await.map_err(trouble)?;
        let task = LaneTask::Replay {
            span,
            since: replay.since,
            until,
        };
        if span.events > 0 {
            topology
                .change_lane(&replay.to, task)
                .await
                .map_err(trouble)?;
            tracing::info!(
                outbound = replay.to,
                count = span.events,
                "events are replayed"
            );
        }
        Ok(span.events)
    });
    let count = count.await?;
    Ok(Json(api::Count { count }))
}

/// `GET /api/v1/events/{id}/why`.
pub(super) async fn why(
    State(admin): Looking,
    Path(id): Path<String>,
) -> Result<Json<api::Why>, Problem> {
    let id = event_id(&id)?;
    let unknown =
        "no event of this id is kept: it never came in, or it has left the history (spool.history)";
    let trace = admin
        .history
        .trace(id)
        .await?
        .ok_or_else(|| Problem::not_found(unknown))?;
    let event: Value = serde_json::from_slice(trace.body.reveal()).unwrap_or_default();
    let word = |name: &str| {
        event
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let history = admin.rules.current().await;
    let version = history.version(trace.seq);
    let routes = routes(&version.rules.set, &event);
    let (seq, received_at) = (trace.seq, trace.received_at);
    let leads_to = |lane: &str| leads_to(&history.rules_for(lane, seq).set, lane, &event);
    Ok(Json(api::Why {
        id,
        kind: word("kind"),
        inbound: word("inbound"),
        received_at,
        rules_since: version.since,
        rules_changed: version != history.active(),
        lanes: lanes_of(&admin, trace, leads_to).await?,
        routes,
    }))
}

fn routes(rules: &RouteSet, event: &Value) -> Vec<api::RouteWhy> {
    let names = |route: &faceway_rules::Route| {
        route
            .to
            .iter()
            .filter_map(|index| rules.outbounds().get(*index).cloned())
            .collect()
    };
    let explained = rules.explain(event).into_iter().zip(rules.routes());
    explained
        .map(|(explained, route)| api::RouteWhy {
            name: explained.name,
            matched: explained.matched,
            to: names(route),
            failed: explained.failed.map(|failed| api::FailedTest {
                field: failed.field,
                test: failed.test,
                value: failed.value.filter(|_| !failed.personal),
            }),
        })
        .collect()
}

/// Whether a route leads an event to this outbound, by the rules that are for both.
fn leads_to(rules: &RouteSet, outbound: &str, event: &Value) -> bool {
    let Some(outbound) = rules.outbound(outbound) else {
        return false;
    };
    let explained = rules.explain(event).into_iter().zip(rules.routes());
    let mut matched = explained.filter(|(explained, _)| explained.matched);
    matched.any(|(_, route)| route.to.contains(&outbound))
}

/// How the event stands in each lane that there is, and what those did that are gone.
async fn lanes_of(
    admin: &Admin,
    trace: Trace,
    leads_to: impl Fn(&str) -> bool,
) -> Result<Vec<api::LaneWhy>, Problem> {
    let (gone, traces): (Vec<_>, Vec<_>) =
        trace.lanes.into_iter().partition(|lane| lane.is_deleted);
    let traces = traces.into_iter();
    let mut traces: BTreeMap<String, LaneTrace> =
        traces.map(|lane| (lane.lane.clone(), lane)).collect();
    let snapshot = admin.look();
    let mut lanes = Vec::new();
    for name in admin.context.lanes.list().await? {
        let handle = snapshot.lanes.iter().find(|lane| lane.name() == name);
        let seq = trace.seq;
        let place = match handle {
            Some(handle) => handle.command(|reply| Command::Place { seq, reply }).await,
            None => None,
        };
        let place = match place {
            Some(place) => Some(place),
            // It does not work: what is kept of it is all there is.
            None => dispatch::kept_place(&admin.context, &name, seq).await?,
        };
        let known = traces.remove(&name).unwrap_or_else(|| LaneTrace {
            lane: name,
            is_deleted: false,
            is_buried: false,
            attempts: Vec::new(),
        });
        lanes.push(lane(admin, known, place, &leads_to));
    }
    let gone = traces.into_values().chain(gone);
    lanes.extend(gone.map(|gone| lane(admin, gone, None, &leads_to)));
    Ok(lanes)
}

fn lane(
    admin: &Admin,
    trace: LaneTrace,
    place: Option<(Place, Option<Duration>)>,
    leads_to: impl Fn(&str) -> bool,
) -> api::LaneWhy {
    let last = trace.attempts.last().map(|attempt| attempt.result);
    let standing = match (place.map(|(place, _)| place), last) {
        (None, _) => "gone",
        (Some(Place::Through), _) if trace.is_buried => "buried",
        // The lane skips the event when it comes to it. Of an event that was tried the rules are not asked again.
        (Some(Place::Through | Place::Unrouted), None) if !leads_to(&trace.lane) => "not_routed",
        (Some(Place::Through), None) => "not_taken",
        (Some(Place::Through), Some(AttemptResult::Buried)) => "dropped",
        (Some(Place::Through), Some(_)) => "done",
        (Some(Place::Unrouted | Place::Waiting), _) => "waiting",
        (Some(Place::InFlight), _) => "leased",
        (Some(Place::Parked { .. }), _) => "parked",
        (Some(Place::Suspended), _) => "suspended",
        (Some(Place::Behind), _) => "behind",
    };
    let due = place.and_then(|(_, left)| left);
    api::LaneWhy {
        name: trace.lane,
        standing: standing.into(),
        due: due.map(|left| admin.context.clock.now().plus(left)),
        attempts: trace.attempts.into_iter().map(attempt).collect(),
    }
}

fn attempt(attempt: Attempt) -> api::Attempt {
    api::Attempt {
        at: attempt.at,
        took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
        result: attempt.result.as_str().into(),
        code: attempt.code.to_string(),
    }
}

fn event_id(text: &str) -> Result<EventId, Problem> {
    text.parse().map_err(|_| {
        Problem::bad("an event's id is a UUID, such as 94f278e1-a12c-50fa-8d4e-032e47aa1126")
    })
}

//! Repair: buried events, replays, and one event's story.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use faceway_core::{
    Attempt, AttemptResult, BuriedBody, BuriedChoice, EventId, LaneStory, Standing,
};
use faceway_rules::RouteSet;
use serde_json::Value;

use super::problem::{Body, Path, Problem, Query};
use super::{Admin, Looking, Page, change_topology, lanes};
use crate::api;

/// `GET /api/v1/buried`.
pub(super) async fn buried(
    State(admin): Looking,
    Query(page): Query<Page>,
) -> Result<Json<Vec<api::Buried>>, Problem> {
    of_a_lane(&admin, page.to.as_deref()).await?;
    let part = page.part();
    let buried = admin.repair.buried(page.to, part).await?;
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
    let buried = admin.repair.buried_event(id, page.to).await?;
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
    let count = admin.repair.revive(chosen(choice)?).await?;
    tracing::info!(count, "buried events are revived");
    Ok(Json(api::Count { count }))
}

/// `POST /api/v1/buried/drop`.
pub(super) async fn drop_buried(
    State(admin): Looking,
    Body(choice): Body<api::BuriedChoice>,
) -> Result<Json<api::Count>, Problem> {
    of_a_lane(&admin, choice.to.as_deref()).await?;
    let count = admin.repair.drop_buried(chosen(choice)?).await?;
    tracing::warn!(count, "buried events are dropped for good");
    Ok(Json(api::Count { count }))
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
    let repair = Arc::clone(&admin.repair);
    // A reload between the two would be about other events.
    let count = change_topology(&admin, async move |mut topology| {
        let asked = topology.backfill(&replay.to).await;
        asked.map_err(|error| Problem::trouble(&error))?;
        let to = replay.to.clone();
        let count = repair.replay(to, replay.since, until).await?;
        if let Some(count) = count {
            tracing::info!(outbound = replay.to, count, "events are replayed");
        }
        Ok(count)
    });
    let count = count
        .await?
        .ok_or_else(|| Problem::not_found("there is no lane of this name; see faceway lanes"))?;
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
    let story = admin
        .repair
        .story(id)
        .await?
        .ok_or_else(|| Problem::not_found(unknown))?;
    let event: Value = serde_json::from_slice(story.body.reveal()).unwrap_or_default();
    let word = |name: &str| {
        event
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let history = admin.rules.current().await;
    let version = history.version(story.seq);
    let routes = routes(&version.rules.set, &event);
    let leads_to = |lane: &str| leads_to(&history.rules_for(lane, story.seq).set, lane, &event);
    Ok(Json(api::Why {
        id,
        kind: word("kind"),
        inbound: word("inbound"),
        received_at: story.received_at,
        rules_since: version.since,
        rules_changed: version != history.active(),
        lanes: story
            .lanes
            .into_iter()
            .map(|story| lane(story, leads_to))
            .collect(),
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

fn lane(story: LaneStory, leads_to: impl Fn(&str) -> bool) -> api::LaneWhy {
    let last = story.attempts.last().map(|attempt| attempt.result);
    let standing = match (story.standing, last) {
        // The lane passes the event by when it comes to it. Of an event that was tried the rules are not asked again.
        (Standing::Waiting | Standing::Leased | Standing::Behind | Standing::Done, None)
            if !leads_to(&story.lane) =>
        {
            "not_routed"
        }
        (Standing::Done, None) => "not_taken",
        (Standing::Done, Some(AttemptResult::Buried)) => "dropped",
        (standing, _) => standing.as_str(),
    };
    api::LaneWhy {
        name: story.lane,
        standing: standing.into(),
        due: story.due,
        attempts: story.attempts.into_iter().map(attempt).collect(),
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

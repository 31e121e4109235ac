//! `/metrics` and `/readyz`.

use std::fmt::Display;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use faceway_core::{Capacity, Duty, SiteHealth};
use metrics::{counter, gauge};

use super::exposition::Exposition;
use super::lanes::{self, REMOVED};
use super::present::Present;
use super::{Admin, Looking};
use crate::dispatch::{LaneHandle, LaneState};
use crate::observe::{as_float, process_exposition};
use crate::topology::Snapshot;

/// `GET /readyz`: whether events can be kept. What does not work beside that is in the text and changes no status.
pub(super) async fn ready(State(admin): Looking) -> Response {
    let unready = |why: &dyn Display| {
        let told = format!("{why}: devices are told to send again\n");
        (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
    };
    let site = admin.context.duties.health();
    let is_synced = site.is_none_or(|site| site.is_synced);
    match admin.context.log.capacity().await {
        Ok(capacity) => match (capacity.accepting, capacity.degraded) {
            (Ok(()), None) if !is_synced => {
                "ready, but without a proof that the servers sync what they acknowledge: \
                faceway cluster tells more\n"
                    .into_response()
            }
            (Ok(()), None) => "ready\n".into_response(),
            (Ok(()), Some(why)) => format!("ready, but degraded: {why}\n").into_response(),
            (Err(error), _) => unready(&error),
        },
        Err(error) => unready(&error),
    }
}

/// `GET /metrics`: gauges are read at the scrape, so they are never stale, and only of what is there.
pub(super) async fn metrics(State(admin): Looking, headers: HeaderMap) -> Response {
    let snapshot = admin.look();
    let site = admin.context.duties.health();
    if let Some(site) = &site {
        self::site(site);
    }
    match admin.context.log.capacity().await {
        Ok(known) => capacity(&known),
        // The other gauges keep what was known last.
        Err(_) => gauge!("faceway_ready").set(0.0),
    }
    super::terminals::gauges(&snapshot);
    if let Ok(tail) = admin.context.log.tail() {
        admin.ages.note(admin.context.clock.monotonic(), tail);
    }
    lanes(&admin, &snapshot).await;
    let asked = Exposition::asked(&headers);
    let text = Present::of(&snapshot, site.is_none_or(|site| site.is_janitor))
        .only(&admin.metrics.render())
        + &process_exposition();
    (
        [
            (header::CONTENT_TYPE, asked.content_type()),
            // A cache between must not give one scraper the other's form.
            (header::VARY, "accept"),
        ],
        asked.write(&text),
    )
        .into_response()
}

/// How this gateway stands to the others of its site.
fn site(site: &SiteHealth) {
    let tell = |name: &'static str, value: bool| gauge!(name).set(f64::from(u8::from(value)));
    tell("faceway_cluster_connected", site.is_connected);
    tell("faceway_cluster_synced", site.is_synced);
    // The engine's own, so no room of the gateway tells it.
    gauge!("faceway_duty_held", "duty" => Duty::Janitor.kind(), "name" => Duty::Janitor.name().to_owned())
        .set(f64::from(u8::from(site.is_janitor)));
    gauge!("faceway_cluster_members").set(as_float(site.members as u64));
    let lag = Duration::from_millis(site.seen_lag_ms);
    gauge!("faceway_seen_lag_seconds").set(lag.as_secs_f64());
}

fn capacity(capacity: &Capacity) {
    let ready = f64::from(u8::from(capacity.accepting.is_ok()));
    gauge!("faceway_ready").set(ready);
    let degraded = f64::from(u8::from(capacity.degraded.is_some()));
    gauge!("faceway_spool_degraded").set(degraded);
    // The spool has counted them since the start.
    counter!("faceway_spool_failures_total").absolute(capacity.failures);
    counter!("faceway_spool_damaged_total").absolute(capacity.damaged);
    gauge!("faceway_spool_bytes").set(as_float(capacity.bytes));
    gauge!("faceway_spool_free_bytes").set(as_float(capacity.free));
    gauge!("faceway_quarantine").set(as_float(capacity.quarantined));
    gauge!("faceway_quarantine_bytes").set(as_float(capacity.quarantine_bytes));
    counter!("faceway_damaged_pictures_total").absolute(capacity.damaged_pictures);
}

/// Every lane in the spool: those at work, and those that only keep what no outbound delivers.
async fn lanes(admin: &Admin, snapshot: &Snapshot) {
    // The others are told by the gateway that works them, so that a sum over gateways counts each lane once.
    let here = snapshot.lanes.iter().filter(|lane| !lane.is_elsewhere());
    for lane in here {
        // First, as it waits until the lane has routed what there is.
        survey(admin, lane.name(), Some(lane)).await;
        let state = lane.status().get().state;
        self::state(lane.name(), state.as_str(), lane.is_retired());
    }
    for name in &snapshot.removed {
        state(name, REMOVED, false);
        survey(admin, name, None).await;
    }
}

fn state(outbound: &str, state: &'static str, leaving: bool) {
    let tell = |word: &'static str, here: bool| {
        gauge!("faceway_lane_state", "outbound" => outbound.to_owned(), "state" => word)
            .set(f64::from(u8::from(here)));
    };
    for word in LaneState::WORDS.into_iter().chain([REMOVED]) {
        tell(word, word == state);
    }
    // In addition to what it does.
    tell("leaving", leaving);
}

/// A lane whose survey fails keeps its last values; the failure is in the log.
async fn survey(admin: &Admin, outbound: &str, lane: Option<&LaneHandle>) {
    let Ok(Some((survey, oldest))) = lanes::survey(admin, outbound, lane).await else {
        return;
    };
    let clock = &admin.context.clock;
    let by_stamp = oldest.map_or(0.0, |oldest| clock.now().since(oldest).as_secs_f64());
    let at_least = survey.first.map_or(Duration::ZERO, |first| {
        admin.ages.at_least(clock.monotonic(), first)
    });
    let oldest = by_stamp.max(at_least.as_secs_f64());
    let tell = |name: &'static str, value: f64| {
        gauge!(name, "outbound" => outbound.to_owned()).set(value);
    };
    tell("faceway_lane_backlog", as_float(survey.backlog));
    tell("faceway_lane_oldest_seconds", oldest);
    tell("faceway_parked", as_float(survey.parked));
    tell("faceway_buried", as_float(survey.buried));
}

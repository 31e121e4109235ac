//! `/metrics` and `/readyz`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::gauge;

use super::Looking;
use crate::dispatch::LaneState;
use crate::observe::as_float;

/// `GET /readyz`: whether events can be kept.
pub(super) async fn ready(State(admin): Looking) -> Response {
    match admin.spool.room().accepting {
        Ok(()) => "ready\n".into_response(),
        Err(error) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{error}: devices are told to send again\n"),
        )
            .into_response(),
    }
}

/// `GET /metrics`: gauges are read at the scrape, so they are never stale.
pub(super) async fn metrics(State(admin): Looking) -> Response {
    let room = admin.spool.room();
    let ready = f64::from(u8::from(room.accepting.is_ok()));
    gauge!("faceway_ready").set(ready);
    gauge!("faceway_spool_bytes").set(as_float(room.bytes));
    gauge!("faceway_spool_free_bytes").set(as_float(room.free));
    gauge!("faceway_quarantine").set(as_float(room.quarantined));
    let view = admin.look();
    super::terminals::gauges(&view);
    let now = admin.clock.now();
    for lane in &view.lanes {
        let name = lane.name().to_owned();
        let (state, _, _) = lane.status().get();
        for word in LaneState::WORDS {
            let here = f64::from(u8::from(word == state.as_str()));
            gauge!("faceway_lane_state", "outbound" => name.clone(), "state" => word).set(here);
        }
        // A lane whose survey fails keeps its last values; the failure is in the log.
        let Ok(survey) = admin.spool.survey(lane.lane(), now).await else {
            continue;
        };
        let oldest = survey
            .oldest
            .map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
        gauge!("faceway_lane_backlog", "outbound" => name.clone()).set(as_float(survey.backlog));
        gauge!("faceway_lane_oldest_seconds", "outbound" => name.clone()).set(oldest);
        gauge!("faceway_parked", "outbound" => name.clone()).set(as_float(survey.parked));
        gauge!("faceway_buried", "outbound" => name).set(as_float(survey.buried));
    }
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        admin.metrics.render(),
    )
        .into_response()
}

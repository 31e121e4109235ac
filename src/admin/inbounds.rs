//! The inbounds, and how those stand that are dialled.

use axum::Json;
use axum::extract::State;

use super::{Admin, Looking};
use crate::api;
use crate::inbound::{SourceState, SourceStatus};

/// `GET /api/v1/inbounds`.
pub(super) async fn list(State(admin): Looking) -> Json<Vec<api::Inbound>> {
    Json(all(&admin))
}

/// Every inbound, with how it stands now.
pub(super) fn all(admin: &Admin) -> Vec<api::Inbound> {
    let mut inbounds = admin.shown_inbounds.clone();
    for inbound in &mut inbounds {
        let status = admin.sources.get(&inbound.name);
        inbound.source = status.map(|status| source(status.look()));
    }
    inbounds
}

fn source(status: SourceStatus) -> api::Source {
    let (state, next_attempt) = match status.state {
        SourceState::Connecting => ("connecting", None),
        SourceState::Connected => ("connected", None),
        SourceState::Blocked => ("blocked", None),
        SourceState::Waiting(next) => ("waiting", Some(next)),
        SourceState::Stopped => ("stopped", None),
    };
    api::Source {
        state: state.into(),
        since: status.since,
        next_attempt,
        last_error: status.last_error,
        gaps: status.gaps,
        gap_seconds: status.gap.as_secs(),
        last_gap: status.last_gap.map(|(from, to)| api::Gap { from, to }),
    }
}

//! The inbounds, and how those stand that are dialled.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::{Looking, terminals};
use crate::api;
use crate::inbound::{SourceState, SourceStatus};
use crate::site::{Part, View};

/// `GET /api/v1/inbounds`.
pub(super) async fn list(State(admin): Looking) -> Json<Vec<api::Inbound>> {
    Json(all(&admin.look(), usize::MAX))
}

/// Every inbound, with how its source stands now, and at most `terminals_max` of its terminals.
pub(super) fn all(view: &View, terminals_max: usize) -> Vec<api::Inbound> {
    let shown = |part: &Arc<Part>| {
        let mut inbound = part.shown.clone();
        inbound.source = part.source.as_ref().map(|status| source(status.look()));
        terminals::show(&mut inbound, &part.terminals, terminals_max);
        inbound
    };
    view.parts().iter().map(shown).collect()
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

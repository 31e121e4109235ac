//! The inbounds, and how those stand that are dialled.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;

use super::{Looking, terminals};
use crate::api;
use crate::inbound::{Endpoint, Endpoints, SourceState, SourceStatus};

/// `GET /api/v1/inbounds`.
pub(super) async fn list(State(admin): Looking) -> Json<Vec<api::Inbound>> {
    Json(all(&admin.look().endpoints, usize::MAX))
}

/// Every inbound, with how its source stands now, and at most `terminals_max` of its terminals.
pub(super) fn all(endpoints: &Endpoints, terminals_max: usize) -> Vec<api::Inbound> {
    let endpoints = endpoints.iter();
    endpoints
        .map(|endpoint| shown(endpoint, terminals_max))
        .collect()
}

fn shown(endpoint: &Endpoint, terminals_max: usize) -> api::Inbound {
    let source = endpoint.source.as_ref();
    let mut inbound = api::Inbound {
        name: endpoint.name().to_owned(),
        adapter: endpoint.inbound.adapter().name().to_owned(),
        path: endpoint.path.clone(),
        token: endpoint.admission.needs_token(),
        source: source.map(|status| self::source(status.look())),
        terminals: Vec::new(),
        terminal_states: BTreeMap::new(),
    };
    terminals::show(&mut inbound, &endpoint.terminals, terminals_max);
    inbound
}

fn source(status: SourceStatus) -> api::Source {
    let (state, next_attempt) = match status.state {
        SourceState::Connecting => ("connecting", None),
        SourceState::Connected => ("connected", None),
        SourceState::Blocked => ("blocked", None),
        SourceState::Waiting(next) => ("waiting", Some(next)),
        SourceState::Stopped => ("stopped", None),
        SourceState::Elsewhere => ("claimed elsewhere", None),
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

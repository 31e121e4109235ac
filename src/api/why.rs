//! One event's trace, as the API gives it.

use faceway_core::{EventId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event's story. `GET /api/v1/events/{id}/why`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Why {
    /// The event's id.
    pub id: EventId,
    /// Its kind.
    pub kind: String,
    /// Where it came in.
    pub inbound: String,
    /// When the gateway had it.
    pub received_at: Timestamp,
    /// When the rules came into force by which it went, or the oldest that are remembered.
    pub rules_since: Timestamp,
    /// Whether there are others now.
    pub rules_changed: bool,
    /// Each route of these rules.
    pub routes: Vec<RouteWhy>,
    /// Each lane.
    pub lanes: Vec<LaneWhy>,
}

/// Whether a route matched.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RouteWhy {
    /// Name.
    pub name: String,
    /// Whether it matched.
    pub matched: bool,
    /// Where it leads.
    pub to: Vec<String>,
    /// The first test that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedTest>,
}

/// A test that failed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FailedTest {
    /// The field.
    pub field: String,
    /// The test as written.
    pub test: String,
    /// The event's value; absent when the event has none, and for fields about a person, which are not shown here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// One event in one lane.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LaneWhy {
    /// Name of the outbound.
    pub name: String,
    /// `waiting`, `leased`, `parked`, `behind`, `suspended`, `buried`, `done`; `not_routed` when no route leads here.
    pub standing: String,
    /// When it is due, if it is parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Every attempt, oldest first.
    pub attempts: Vec<Attempt>,
}

/// One attempt.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// `delivered`, `retry` or `buried`.
    pub result: String,
    /// The protocol's word.
    pub code: String,
}

//! The shapes of the admin API, for the server and for the commands. `/api/v1/openapi.json` is made from them.

mod cluster;
mod why;

use std::collections::BTreeMap;

use faceway_core::{EventId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cluster::{Cluster, Duty, Member, Server, Stream};
pub use why::{Attempt, FailedTest, LaneWhy, RouteWhy, Why};

/// One outbound's lane. `GET /api/v1/lanes` gives a list of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Lane {
    /// Name of the outbound.
    pub name: String,
    /// Its protocol; absent for a lane whose outbound is no longer configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The gateway that works it, where several share a site; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// `idle`, `delivering`, `waiting` (the destination is down), `blocked` (only parked devices are left), `stopped`,
    /// `claimed elsewhere` (another gateway of the site works it), or `removed` (no longer configured).
    pub state: String,
    /// Whether its outbound is no longer in `routes.toml`, and it only delivers what it was given before.
    #[serde(default)]
    pub leaving: bool,
    /// Since when it is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When the next probe leaves, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_probe: Option<Timestamp>,
    /// Events that are routed to the outbound and not acknowledged.
    pub backlog: u64,
    /// When the oldest of them was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// Events that failed and wait for their next attempt.
    pub parked: u64,
    /// Events that were given up.
    pub buried: u64,
    /// The last failed attempt since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}

/// Body of `POST /api/v1/lanes/{name}/probe`: `{}`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {}

/// What a lane did when it was asked to probe.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Probed {
    /// Its state. `waiting`: its next probe leaves at once, with one event; in any other nothing was to be done.
    pub state: String,
}

/// What went with a lane that was dropped.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Dropped {
    /// Events that were not through.
    pub backlog: u64,
    /// Events that were buried there.
    pub buried: u64,
}

/// A failed attempt.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// The protocol's word: `503`, `timeout`, `refused` …
    pub code: String,
    /// The same in words, where the code alone does not say what is to be put right: `its certificate expired on
    /// 2021-01-01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Failure {
    /// The code, when that was as `ago` says, and the reason.
    pub fn told(&self, ago: &str) -> String {
        let reason = self.reason.as_deref().map(|reason| format!(": {reason}"));
        format!("{}, {ago}{}", self.code, reason.unwrap_or_default())
    }
}

/// One inbound. `GET /api/v1/inbounds` gives a list of them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Inbound {
    /// Name.
    pub name: String,
    /// Adapter.
    pub adapter: String,
    /// Where devices post; absent for a source that is only dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether a token is needed.
    pub token: bool,
    /// How the source stands that is dialled for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Terminals whose subscription is kept pointing here, those with trouble first; in the overview 100 at the most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terminals: Vec<Terminal>,
    /// How many of all its terminals are in which state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub terminal_states: BTreeMap<String, u64>,
}

/// A terminal whose subscription is kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Terminal {
    /// Its own API.
    pub url: String,
    /// `subscribed` (it posts here), `refused` (an operator has to put something right), `unreachable`, `unchecked` (its turn
    /// has not come, or another gateway of the site asks it).
    pub state: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// What is wrong and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A source that is dialled.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// `connecting`, `connected`, `blocked` (not read, as the spool cannot keep), `waiting` (for the next attempt),
    /// `claimed elsewhere` (another gateway of the site dials it) or `stopped`.
    pub state: String,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// When it is dialled next, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<Timestamp>,
    /// Why it was last lost, or could not be reached, since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How often nothing could be read for a while, since the start: what the source said then may be lost.
    pub gaps: u64,
    /// How many seconds together.
    pub gap_seconds: u64,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_gap: Option<Gap>,
}

/// A time in which nothing could be read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub to: Timestamp,
}

/// Body of `POST /api/v1/reload`: `{}`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reload {}

/// What `POST /api/v1/reload` has changed: names of inbounds and outbounds. What is in none of the lists has not noticed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// New ones, each with its kind: `inbound lobby`, `outbound erp`, `route everything`.
    pub added: Vec<String>,
    /// Those that are now something else.
    pub changed: Vec<String>,
    /// Those that are no longer in the file. An outbound delivers what it was given before, and ends.
    pub removed: Vec<String>,
}

/// The gateway as a whole. `GET /api/v1/overview`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// Version of the gateway.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether it can keep events; if not, why.
    pub ready: bool,
    /// `full` or `failing`, when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What does not work although events are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// Bytes that the spool occupies.
    pub spool_bytes: u64,
    /// Bytes that its disk has left.
    pub free_bytes: u64,
    /// Bodies in quarantine.
    pub quarantined: u64,
    /// Why the last reading of `routes.toml` was not taken over; absent when what the file says is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_failed: Option<ReloadFailed>,
    /// Inbounds.
    pub inbounds: Vec<Inbound>,
    /// Lanes.
    pub lanes: Vec<Lane>,
}

/// A reading of `routes.toml`, or of the certificate of `listen.tls`, that was not taken over.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReloadFailed {
    /// When it was read.
    pub at: Timestamp,
    /// Everything that is wrong, as `faceway check` prints it. Secrets in the file are masked.
    pub text: String,
}

/// A buried event. `GET /api/v1/buried?to=NAME&max=N` gives a list of them, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Buried {
    /// Its number; with `?before=` the list goes on with those that were buried earlier.
    pub number: u64,
    /// The event's id.
    pub id: EventId,
    /// Name of the outbound.
    pub to: String,
    /// When the gateway had the event.
    pub received_at: Timestamp,
    /// When it was given up.
    pub buried_at: Timestamp,
    /// Why: the protocol's word.
    pub code: String,
    /// Attempts that counted, with the last: what `attempts_max` counts. Those of an outage count nothing.
    pub attempts: u32,
    /// The event itself; only in `GET /api/v1/buried/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
}

/// Which buried events: body of `POST /api/v1/buried/revive` and `POST /api/v1/buried/drop`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuriedChoice {
    /// Only of this outbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// These ids. Either this or `all` must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<EventId>>,
    /// All of them.
    #[serde(default)]
    pub all: bool,
}

/// Body of `POST /api/v1/replay`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Name of the outbound.
    pub to: String,
    /// From when on, by the gateway's clock.
    pub since: Timestamp,
    /// Until before when; absent = now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How many entries a command touched.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// How many.
    pub count: u64,
}

/// An entry in quarantine. `GET /api/v1/quarantine?max=N` gives a list of them, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Quarantined {
    /// Its number; with `?before=` the list goes on with those that came in earlier.
    pub number: u64,
    /// Name of the inbound.
    pub inbound: String,
    /// When the gateway had it.
    pub received_at: Timestamp,
    /// Why it could not be read.
    pub reason: String,
    /// Size in bytes.
    pub bytes: u64,
    /// The body, as text where it is UTF-8; only in `GET /api/v1/quarantine/{number}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The body in base64, where it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// Which entries: body of `POST /api/v1/quarantine/retry` and `POST /api/v1/quarantine/drop`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuarantineChoice {
    /// These numbers. Either this or `all` must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Vec<u64>>,
    /// All of them.
    #[serde(default)]
    pub all: bool,
}

/// What reading again gave.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reread {
    /// Entries that could be read now; they have left quarantine.
    pub read: u64,
    /// New events from them.
    pub stored: u64,
    /// Events from them that were known.
    pub duplicates: u64,
    /// Entries that still cannot be read, with the reason.
    pub unreadable: Vec<StillUnreadable>,
}

/// An entry that still cannot be read.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StillUnreadable {
    /// Its number.
    pub number: u64,
    /// Why.
    pub reason: String,
}

/// What is wrong with a request. Body of every answer that is no success.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What, and what to do.
    pub error: String,
}

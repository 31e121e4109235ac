//! A site that several gateways share.

use faceway_core::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A site: its gateways, its servers, who does what. `GET /api/v1/cluster`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Cluster {
    /// Name of the site.
    pub site: String,
    /// `synced` (every server proves that it syncs what it acknowledges) or `relaxed` (that is not asked).
    pub durability: String,
    /// Whether the last proof held; absent where none is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<bool>,
    /// Gateways that live, by name.
    pub members: Vec<Member>,
    /// Servers, by name.
    pub servers: Vec<Server>,
    /// Who works which lane, dials which source, looks after which terminals, trims the log.
    pub duties: Vec<Duty>,
    /// Streams.
    pub streams: Vec<Stream>,
}

/// A gateway of a site.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Its name.
    pub gateway: String,
    /// Whether it is the one that answers.
    pub here: bool,
    /// Its release.
    pub version: String,
    /// When it started, by its own clock.
    pub since: Timestamp,
    /// Where links to pictures lead.
    pub public_url: String,
    /// The number of the newest rules that it knows; another one than the others' for more than a moment is trouble.
    pub rules: u64,
}

/// A server of a cluster.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its release.
    pub version: String,
    /// Whether it has proved that it syncs; absent where it was not asked, or did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
}

/// What one gateway at a time does.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Duty {
    /// `lane`, `source`, `terminals` or `janitor`.
    pub duty: String,
    /// Name of the outbound or inbound; empty for the janitor.
    pub name: String,
    /// The gateway that does it.
    pub gateway: String,
    /// Since when, by that gateway's clock.
    pub since: Timestamp,
}

/// A stream of the servers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Bytes in it, each counted once.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// The server that leads it; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}

//! Streams: made, looked at, purged.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::names::StreamKind;

use super::{Client, Failure};

/// Subjects that the servers list in one answer.
const SUBJECTS_PAGE: usize = 100_000;

/// How long ago a leader may have heard of a server that is there. It hears of each with every write, and else every second or
/// two.
pub(crate) const HEARD: Duration = Duration::from_millis(1500);

/// How a stream stands, by its leader.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct StreamState {
    /// Messages in it.
    pub(crate) messages: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// The number of the first message that is there.
    pub(crate) first_seq: u64,
    /// The number of the last message that was ever kept.
    pub(crate) last_seq: u64,
}

/// A look at a stream, by its leader.
#[derive(Clone, Debug)]
pub(crate) struct StreamLook {
    pub(crate) state: StreamState,
    /// Subjects that are there and fit; the first [`SUBJECTS_PAGE`] of them.
    pub(crate) subjects: Vec<String>,
    pub(crate) peers: Peers,
}

/// The servers that keep a stream, as its leader sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peers {
    /// `None` while none leads.
    pub(crate) leader: Option<String>,
    /// Names of all of them, with the leader's.
    pub(crate) names: Vec<String>,
    /// Whether the leader has just heard of each of them.
    pub(crate) are_all_there: bool,
}

#[derive(Default, Deserialize)]
struct Cluster {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    name: String,
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
    /// Nanoseconds since the leader heard of it.
    #[serde(default)]
    active: u64,
}

impl Replica {
    /// One that has just been written to has not everything for a moment, and is there all the same. A new leader has never
    /// heard of one that is away.
    const fn is_there(&self) -> bool {
        let is_heard = self.current || self.active > 0;
        is_heard && !self.offline && self.active < HEARD.as_nanos() as u64
    }
}

impl From<Cluster> for Peers {
    fn from(cluster: Cluster) -> Self {
        let leader = cluster.leader.filter(|name| !name.is_empty());
        let are_all_there = leader.is_some() && cluster.replicas.iter().all(Replica::is_there);
        let names = cluster.replicas.into_iter().map(|replica| replica.name);
        Self {
            names: names.chain(leader.clone()).collect(),
            leader,
            are_all_there,
        }
    }
}

#[derive(Deserialize)]
struct Info {
    config: Value,
    state: State,
    /// A server by itself says who leads, too.
    #[serde(default)]
    cluster: Cluster,
    #[serde(default)]
    created: String,
    #[serde(default)]
    total: usize,
}

#[derive(Deserialize)]
struct State {
    #[serde(flatten)]
    state: StreamState,
    #[serde(default)]
    subjects: Option<HashMap<String, u64>>,
}

/// What the servers say of JetStream.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServersInfo {
    api: Api,
}

#[derive(Clone, Debug, Deserialize)]
struct Api {
    #[serde(default)]
    level: u64,
}

impl ServersInfo {
    pub(crate) const fn level(&self) -> u64 {
        self.api.level
    }
}

#[derive(Deserialize)]
struct Done {
    #[expect(dead_code, reason = "an answer without it is none")]
    success: bool,
}

impl Client {
    /// What JetStream is at the servers; an error where it is off.
    pub(crate) async fn servers(&self) -> Result<ServersInfo, Failure> {
        self.api("INFO", &Value::Null).await
    }

    /// Makes a stream. The same configuration twice is no error; gives the configuration that it has.
    pub(crate) async fn make_stream(&self, config: &Value) -> Result<Value, Failure> {
        let name = config["name"].as_str().unwrap_or_default();
        match self
            .api::<Info>(&format!("STREAM.CREATE.{name}"), config)
            .await
        {
            Ok(info) => Ok(info.config),
            // "In use with another configuration": the caller compares.
            Err(Failure::Refused { code: 10058, .. }) => {
                let info: Info = self
                    .api(&format!("STREAM.INFO.{name}"), &Value::Null)
                    .await?;
                Ok(info.config)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Gives a stream another configuration.
    pub(crate) async fn change_stream(&self, config: &Value) -> Result<(), Failure> {
        let name = config["name"].as_str().unwrap_or_default();
        let request = format!("STREAM.UPDATE.{name}");
        self.api::<Info>(&request, config).await.map(|_| ())
    }

    /// How a stream stands, by its leader.
    pub(crate) async fn state(&self, stream: StreamKind) -> Result<StreamState, Failure> {
        let info: Info = self.info(stream, &Value::Null).await?;
        Ok(info.state.state)
    }

    /// When the stream was made, as text of the servers.
    pub(crate) async fn created(&self, stream: StreamKind) -> Result<String, Failure> {
        let info: Info = self.info(stream, &Value::Null).await?;
        Ok(info.created)
    }

    async fn info(&self, stream: StreamKind, body: &Value) -> Result<Info, Failure> {
        let request = format!("STREAM.INFO.{}", self.stream(stream));
        self.api(&request, body).await
    }

    /// Subjects of a stream that fit, as its leader knows them.
    pub(crate) async fn subjects(
        &self,
        stream: StreamKind,
        filter: &str,
    ) -> Result<Vec<String>, Failure> {
        let mut subjects = Vec::new();
        loop {
            let page = json!({ "subjects_filter": filter, "offset": subjects.len() });
            let info = self.info(stream, &page).await?;
            let found = info.state.subjects.unwrap_or_default();
            let count = found.len();
            subjects.extend(found.into_keys());
            if count < SUBJECTS_PAGE || subjects.len() >= info.total {
                return Ok(subjects);
            }
        }
    }

    /// One look at a stream and what of it fits, asked once.
    pub(crate) async fn look(
        &self,
        stream: StreamKind,
        filter: &str,
    ) -> Result<StreamLook, Failure> {
        let request = format!("STREAM.INFO.{}", self.stream(stream));
        let body = json!({ "subjects_filter": filter });
        let info: Info = self.api_once(&request, &body).await?;
        let subjects = info.state.subjects.unwrap_or_default();
        Ok(StreamLook {
            state: info.state.state,
            subjects: subjects.into_keys().collect(),
            peers: info.cluster.into(),
        })
    }

    /// Removes what has these subjects; only what is below `before`, where that is said.
    pub(crate) async fn purge(
        &self,
        stream: StreamKind,
        filter: &str,
        before: Option<u64>,
    ) -> Result<(), Failure> {
        let mut body = json!({ "filter": filter });
        if let Some(before) = before {
            body["seq"] = before.into();
        }
        let request = format!("STREAM.PURGE.{}", self.stream(stream));
        self.api::<Done>(&request, &body).await.map(|_| ())
    }

    /// Removes one message. `false` when it was not there.
    pub(crate) async fn delete(&self, stream: StreamKind, seq: u64) -> Result<bool, Failure> {
        let request = format!("STREAM.MSG.DELETE.{}", self.stream(stream));
        let body = json!({ "seq": seq, "no_erase": true });
        match self.api::<Done>(&request, &body).await {
            Ok(_) => Ok(true),
            // The servers have a number of their own for "no such message" here.
            Err(
                Failure::NotFound
                | Failure::Refused {
                    code: 10043 | 10057,
                    ..
                },
            ) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_has_to_see_every_server_now() {
        let peers = |current: bool, active: u64, leader: &str| {
            let cluster = json!({
                "leader": leader,
                "replicas": [
                    { "name": "b", "current": true, "active": 900_000_000 },
                    { "name": "c", "current": current, "active": active },
                ],
            });
            Peers::from(serde_json::from_value::<Cluster>(cluster).expect("a cluster"))
        };
        let all = peers(true, 1_400_000_000, "a");
        assert!(all.are_all_there);
        assert_eq!(all.names, ["b", "c", "a"]);
        assert!(peers(false, 100, "a").are_all_there);
        assert!(!peers(false, 0, "a").are_all_there);
        assert!(!peers(true, 1_600_000_000, "a").are_all_there);
        assert!(!peers(true, 100, "").are_all_there);
        // One server has no others.
        let alone = json!({ "leader": "a" });
        let alone = Peers::from(serde_json::from_value::<Cluster>(alone).expect("a cluster"));
        assert!(alone.are_all_there && alone.names == ["a"]);
    }
}

//! Streams: made, looked at, purged.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::names::StreamKind;

use super::{Client, Failure};

/// Subjects that the servers list in one answer.
const SUBJECTS_PAGE: usize = 100_000;

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

#[derive(Deserialize)]
struct Info {
    config: Value,
    state: State,
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

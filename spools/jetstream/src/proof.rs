//! What the servers must prove before anything is kept: their version, and that they sync what they acknowledge.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use faceway_core::Server;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::client::{Client, ask_servers};
use crate::settings::{Credentials, Durability, JetStreamSettings, OpenError};

/// The lowest version that keeps atomic batches and reads stretches without a consumer.
const LOWEST: [u64; 3] = [2, 12, 1];
/// From this version on the servers sync groups of messages.
const FAST: [u64; 3] = [2, 15, 0];
/// The API's level of [`LOWEST`].
const LEVEL: u64 = 2;
/// A server that starts at the same time as the gateway may not answer yet.
const PATIENCE: Duration = Duration::from_secs(25);
/// Servers hear of each other every second.
const AWAY: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(2);
/// What goes into a server's configuration.
const LINE: &str = "jetstream { sync_interval: always }";

/// What a server says of itself.
#[derive(Debug, Deserialize)]
struct Varz {
    server_name: String,
    version: String,
    #[serde(default)]
    jetstream: JetStreamVarz,
}

#[derive(Debug, Default, Deserialize)]
struct JetStreamVarz {
    config: Option<JetStreamConfig>,
}

#[derive(Debug, Deserialize)]
struct JetStreamConfig {
    /// The servers leave it out where it is off.
    #[serde(default)]
    sync_always: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Jsz {
    meta_cluster: Option<MetaCluster>,
}

/// The servers that form one cluster.
#[derive(Debug, Deserialize)]
struct MetaCluster {
    #[serde(default)]
    leader: String,
    cluster_size: usize,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
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
    /// Whether it acknowledges nothing at present, by the leader: the servers call it offline only after minutes, and a new
    /// leader has never heard of it.
    const fn is_away(&self) -> bool {
        let is_unheard = self.active == 0 && !self.current;
        self.offline || is_unheard || self.active > AWAY.as_nanos() as u64
    }
}

/// What is proved of the servers, by their names.
#[derive(Debug, Default)]
struct Proof {
    servers: BTreeMap<String, Varz>,
    /// Every server that another one names.
    named: BTreeSet<String>,
    /// Those of them that the leader does not hear of.
    away: BTreeSet<String>,
    cluster_size: usize,
    has_leader: bool,
}

/// Proves what must hold before the first event is kept.
///
/// # Errors
/// When it does not hold; the text says what to do.
pub(crate) async fn at_start(
    client: &Client,
    settings: &JetStreamSettings,
) -> Result<Vec<Server>, OpenError> {
    let info = client.servers().await;
    let info = info.map_err(|failure| {
        OpenError::Cluster(format!("JetStream is off or does not answer: {failure}"))
    })?;
    if info.level() < LEVEL {
        return Err(OpenError::Refused(format!(
            "the servers are older than {}: install nats-server {} or newer on each",
            text(LOWEST),
            text(LOWEST)
        )));
    }
    if settings.durability == Durability::Relaxed {
        tracing::warn!(
            "spool.jetstream.durability is \"relaxed\": a power cut of all servers at once may lose acknowledged events"
        );
        return Ok(Vec::new());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut proof = Proof::default();
        let checked = check(settings, &mut proof).await;
        match checked {
            // Only silence is waited for; what a server says does not change by itself.
            Err(Refusal::Silent(_)) if Instant::now() < deadline => sleep(LOOK).await,
            Err(Refusal::Silent(text) | Refusal::Said(text)) => {
                return Err(OpenError::Refused(text));
            }
            Ok(()) => return Ok(proof.servers()),
        }
    }
}

/// Proves once that every server syncs.
pub(crate) async fn again(settings: &JetStreamSettings) -> (Vec<Server>, Result<(), String>) {
    let mut proof = Proof::default();
    let checked = check(settings, &mut proof).await;
    let checked = checked.map_err(|(Refusal::Silent(text) | Refusal::Said(text))| text);
    (proof.servers(), checked)
}

enum Refusal {
    /// A server did not answer.
    Silent(String),
    /// A server answered with what may not be.
    Said(String),
}

async fn check(settings: &JetStreamSettings, proof: &mut Proof) -> Result<(), Refusal> {
    let is_by_system = !matches!(settings.system, Credentials::None);
    if settings.monitor.is_empty() && !is_by_system {
        return Err(Refusal::Said(format!(
            "nothing proves that the servers sync what they acknowledge: write the monitoring address of every server into \
             spool.jetstream.monitor, such as \"http://nats-1:8222\", or a user of the system account into \
             system_credentials. Or write durability = \"relaxed\"; then a power cut of \
             all servers at once may lose more than half of what was acknowledged, and whole streams. ({LINE} is what the \
             servers need)"
        )));
    }
    let tls = settings.tls.config(settings.is_encrypted());
    let tls = tls.map_err(|error| Refusal::Said(error.to_string()))?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls)
        .timeout(TIMEOUT)
        .build();
    let http = http.map_err(|error| Refusal::Said(error.to_string()))?;
    let mut silent = None;
    if is_by_system {
        match by_system(settings).await {
            Ok(pages) => pages
                .into_iter()
                .for_each(|(varz, jsz)| proof.add(varz, jsz)),
            Err(reason) => silent = Some(reason),
        }
    }
    for address in &settings.monitor {
        let address = address.trim_end_matches('/');
        match pages(&http, address).await {
            Ok((varz, jsz)) => proof.add(varz, jsz),
            Err(reason) => silent = Some(reason),
        }
    }
    match (proof.check(), silent) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(reason)) => {
            tracing::warn!("a server is down, and proves nothing until it is back: {reason}");
            Ok(())
        }
        // The silent server may be the one that is missing.
        (Err(_), Some(reason)) => Err(Refusal::Silent(reason)),
        // An election is on: the leader names the others when it is over.
        (Err(Wrong::Unnamed(text)), None) => Err(Refusal::Silent(text)),
        (Err(Wrong::Server(text)), None) => Err(Refusal::Said(text)),
    }
}

/// The pages of every server that answers a user of the system account.
async fn by_system(settings: &JetStreamSettings) -> Result<Vec<(Varz, Jsz)>, String> {
    let encrypted = settings.is_encrypted();
    let tls = settings.tls.config(encrypted);
    let tls = tls.map_err(|error| error.to_string())?;
    let tls = encrypted.then_some(&tls);
    let failed = |reason: String| {
        format!(
            "the servers do not answer the user of the system account ({reason}): put spool.jetstream.system_credentials right"
        )
    };
    let ask = async |page| {
        let pages = ask_servers(settings, tls, page).await;
        pages.map_err(|failure| failed(failure.to_string()))
    };
    let (all_varz, all_jsz) = (ask("VARZ").await?, ask("JSZ").await?);
    let mut pages = Vec::new();
    for varz in all_varz {
        let id = varz["server_id"].clone();
        let jsz = all_jsz.iter().find(|jsz| jsz["server_id"] == id);
        let parsed = serde_json::from_value(varz).and_then(|varz| {
            let jsz = serde_json::from_value(jsz.cloned().unwrap_or_default())?;
            Ok((varz, jsz))
        });
        pages.push(parsed.map_err(|error| failed(error.to_string()))?);
    }
    if pages.is_empty() {
        return Err(failed("no answer".into()));
    }
    Ok(pages)
}

async fn pages(http: &reqwest::Client, address: &str) -> Result<(Varz, Jsz), String> {
    Ok((
        page(http, address, "varz").await?,
        page(http, address, "jsz").await?,
    ))
}

async fn page<T: serde::de::DeserializeOwned>(
    http: &reqwest::Client,
    address: &str,
    page: &str,
) -> Result<T, String> {
    let url = format!("{address}/{page}");
    let silent = |error: reqwest::Error| {
        format!(
            "the monitoring address {address} does not prove that its server syncs ({}): start the server, or put \
             spool.jetstream.monitor right",
            error.without_url()
        )
    };
    let answer = http.get(&url).send().await.map_err(silent)?;
    let body = answer.bytes().await.map_err(silent)?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("{url} is no page of a NATS server: {error}"))
}

enum Wrong {
    /// Not every server is known.
    Unnamed(String),
    /// A server is not as it must be.
    Server(String),
}

impl Proof {
    fn add(&mut self, varz: Varz, jsz: Jsz) {
        self.named.insert(varz.server_name.clone());
        if let Some(meta) = jsz.meta_cluster {
            self.cluster_size = self.cluster_size.max(meta.cluster_size);
            self.has_leader |= !meta.leader.is_empty();
            let is_leader = meta.leader == varz.server_name;
            let away = meta.replicas.iter();
            let away = away.filter(|replica| is_leader && replica.is_away());
            self.away.extend(away.map(|replica| replica.name.clone()));
            let others = meta.replicas.into_iter().map(|replica| replica.name);
            let names = others.chain(std::iter::once(meta.leader));
            self.named.extend(names.filter(|name| !name.is_empty()));
        }
        self.servers.insert(varz.server_name.clone(), varz);
    }

    /// Every server that answered or was named, and what it proved.
    fn servers(&self) -> Vec<Server> {
        let names: BTreeSet<&String> = self.servers.keys().chain(&self.named).collect();
        let server = |name: &String| {
            let varz = self.servers.get(name);
            let config = varz.map(|varz| varz.jetstream.config.as_ref());
            Server {
                name: name.clone(),
                version: varz.map_or_else(String::new, |varz| varz.version.clone()),
                is_synced: config.map(|config| config.is_some_and(|config| config.sync_always)),
            }
        };
        names.into_iter().map(server).collect()
    }

    fn check(&self) -> Result<(), Wrong> {
        for (name, varz) in &self.servers {
            self.check_server(name, varz)?;
        }
        // One that is away acknowledges nothing, and proves itself when it is back; else no gateway could start while a
        // server is down.
        let mut unproved = self.named.difference(&self.away);
        if let Some(name) = unproved.find(|name| !self.servers.contains_key(*name)) {
            return Err(Wrong::Server(format!(
                "the server {name} does not prove that it syncs what it acknowledges: add its monitoring address to \
                 spool.jetstream.monitor, and to its configuration the line {LINE}"
            )));
        }
        let size = self.cluster_size.max(1);
        if self.named.len() < size {
            let unnamed = if self.has_leader {
                Wrong::Server
            } else {
                Wrong::Unnamed
            };
            return Err(unnamed(format!(
                "the cluster has {size} servers, and {} prove that they sync: add the monitoring address of every server to \
                 spool.jetstream.monitor",
                self.named.len()
            )));
        }
        Ok(())
    }

    fn check_server(&self, name: &str, varz: &Varz) -> Result<(), Wrong> {
        let Some(config) = &varz.jetstream.config else {
            return Err(Wrong::Server(format!(
                "the server {name} has no JetStream: add to its configuration the line {LINE}"
            )));
        };
        let version = numbers(&varz.version);
        if version < LOWEST {
            return Err(Wrong::Server(format!(
                "the server {name} is version {}: install nats-server {} or newer",
                varz.version,
                text(LOWEST)
            )));
        }
        if !config.sync_always {
            return Err(Wrong::Server(format!(
                "the server {name} acknowledges what it has not synced: add to its configuration the line {LINE}, or write \
                 durability = \"relaxed\"; then a power cut of all servers at once may lose acknowledged events"
            )));
        }
        if version < FAST {
            tracing::warn!(
                "the server {name} is version {}: from {} on it syncs groups of messages, 7 to 14 times faster",
                varz.version,
                text(FAST)
            );
        }
        Ok(())
    }
}

/// `2.15.1-RC.2` as numbers.
fn numbers(version: &str) -> [u64; 3] {
    let mut parts = version
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn text([major, minor, patch]: [u64; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the pages of these servers prove; a name with `-` before it is one that the leader does not hear of.
    fn proof(servers: &[(&str, &str, bool)], named: &[&str], size: usize) -> Result<(), String> {
        let mut proof = Proof::default();
        for (name, version, sync) in servers {
            let config = if *sync {
                json!({ "sync_always": true })
            } else {
                json!({})
            };
            let varz = json!({
                "server_name": name, "version": version, "jetstream": { "config": config },
            });
            let replica = |name: &&str| {
                let active = if name.starts_with('-') {
                    9_000_000_000_u64
                } else {
                    900_000_000
                };
                json!({ "name": name.trim_start_matches('-'), "active": active })
            };
            let replicas: Vec<_> = named.iter().map(replica).collect();
            let leader = if named.is_empty() { "" } else { "a" };
            let jsz = json!({
                "meta_cluster": { "leader": leader, "cluster_size": size, "replicas": replicas },
            });
            proof.add(
                serde_json::from_value(varz).expect("a page"),
                serde_json::from_value(jsz).expect("a page"),
            );
        }
        proof.check().map_err(|wrong| match wrong {
            Wrong::Unnamed(text) | Wrong::Server(text) => text,
        })
    }

    #[test]
    fn every_server_must_prove_itself() {
        let three = [
            ("a", "2.15.1", true),
            ("b", "2.12.1", true),
            ("c", "2.16.0-RC.1", true),
        ];
        assert_eq!(proof(&three, &["a", "b", "c"], 3), Ok(()));
        let unknown = proof(&three[..2], &["a", "b", "c"], 3).unwrap_err();
        assert!(unknown.contains("server c "), "{unknown}");
        // One that is down holds no start up; it proves itself when it is back.
        assert_eq!(proof(&three[..2], &["a", "b", "-c"], 3), Ok(()));
        let unnamed = proof(&three[..2], &[], 3).unwrap_err();
        assert!(unnamed.contains("has 3 servers, and 2 prove"), "{unnamed}");
        let lazy = proof(&[("a", "2.15.1", false)], &[], 1).unwrap_err();
        assert!(lazy.contains("server a ") && lazy.contains(LINE), "{lazy}");
        let old = proof(&[("a", "2.12.0", true)], &[], 1).unwrap_err();
        assert!(old.contains("2.12.0") && old.contains("2.12.1"), "{old}");
    }
}

//! A Prometheus of its own: a child process, a free port, a directory.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

use super::read;
use crate::harness::{Device, PATIENCE, text};

/// Killed when dropped.
pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Prometheus {
    /// Starts one with the shipped configuration: it scrapes this gateway, more often than it would elsewhere.
    pub(super) async fn start(gateway: SocketAddr, rules: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = read("prometheus/prometheus.yml");
        let theirs = config
            .replace("faceway:9464", &gateway.to_string())
            .replace(": 15s", ": 500ms");
        assert!(theirs.contains(&gateway.to_string()) && theirs.matches("500ms").count() == 2);
        std::fs::write(directory.path().join("prometheus.yml"), theirs).unwrap();
        std::fs::write(directory.path().join("faceway.rules.yml"), rules).unwrap();
        // A port that was free may be another process's a moment later.
        for _ in 0..5 {
            let (mut child, address) = spawn(&directory);
            if is_ready(&mut child, address).await {
                return Self {
                    child,
                    address,
                    directory,
                };
            }
        }
        panic!("prometheus does not start: {}", log(&directory));
    }

    /// The member `data` of an answer.
    pub(super) async fn get(&self, path: &str) -> Value {
        let (status, body) = get(self.address, path).await.unwrap_or_else(|| {
            panic!(
                "process {:?} does not answer: {}",
                self.child.id(),
                log(&self.directory)
            )
        });
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &answer["status"]),
            (200, &"success".into()),
            "{path}: {body}"
        );
        answer["data"].take()
    }

    /// What a query gives now.
    pub(super) async fn query(&self, query: &str) -> Vec<Value> {
        let data = self
            .get(&format!("/api/v1/query?query={}", encoded(query)))
            .await;
        data["result"].as_array().unwrap().clone()
    }

    /// The labels of all series that match.
    pub(super) async fn series(&self, selector: &str) -> Vec<Value> {
        let data = self
            .get(&format!("/api/v1/series?match[]={}", encoded(selector)))
            .await;
        data.as_array().unwrap().clone()
    }

    /// All rules, each evaluated at least once.
    pub(super) async fn rules(&self) -> Vec<Value> {
        until("rules", async || {
            let data = self.get("/api/v1/rules").await;
            let groups = data["groups"].as_array().unwrap();
            let rules: Vec<Value> = groups
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap().clone())
                .collect();
            rules
                .iter()
                .all(|rule| rule["health"] != "unknown")
                .then_some(rules)
        })
        .await
    }

    /// Waits until this alert fires, and gives it; or until it does not.
    pub(super) async fn wait_for_alert(&self, name: &str, fires: bool) -> Option<Value> {
        self.rules().await;
        until(name, async || {
            let data = self.get("/api/v1/alerts").await;
            let mut alerts = data["alerts"].as_array().unwrap().iter();
            let found = alerts
                .find(|alert| alert["labels"]["alertname"] == name && alert["state"] == "firing");
            (found.is_some() == fires).then(|| found.cloned())
        })
        .await
    }
}

fn spawn(directory: &TempDir) -> (Child, SocketAddr) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let child = Command::new("prometheus")
        .current_dir(directory.path())
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus is installed (./run-tests does it)");
    (child, address)
}

async fn is_ready(child: &mut Child, address: SocketAddr) -> bool {
    until("prometheus", async || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let (status, _) = get(address, "/-/ready").await?;
        (status == 200).then_some(true)
    })
    .await
}

async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut connection = Device::try_connect(address).await.ok()?;
    let answer = connection.send("GET", path, &[], b"").await.ok()?;
    Some((answer.status, text(&answer.body)))
}

fn log(directory: &TempDir) -> String {
    std::fs::read_to_string(directory.path().join("log")).unwrap_or_default()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Asks again and again, until there is an answer.
pub(super) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = interval(Duration::from_millis(100));
    let asking = async {
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    match timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

//! A real Prometheus, with the files of `deploy/prometheus`, scrapes a running gateway; the dashboard of `deploy/grafana` asks
//! it. All of it is Debian's package `prometheus` (`./run-tests` installs it).

mod gone;
mod routed;
mod server;
mod shared;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use faceway_testkit::platform::Platform;
use faceway_testkit::receiver::{Behaviour, Receiver};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use self::server::Prometheus;
use self::words::{ITS_OWN, METRICS, OF_A_SITE, metric_names};
use crate::harness::{Device, Gateway, Site, recognition, routes_to, text};

/// The labels that there may be besides `__name__`, `job`, `instance` and `le`. None of them holds a person or a device.
const LABELS: [&str; 10] = [
    "inbound", "outbound", "route", "kind", "result", "code", "state", "version", "listener",
    "reason",
];

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(deploy(file)).unwrap()
}

/// A gateway to which everything has happened that makes a metric or moves one.
struct Eventful {
    gateway: Gateway,
    site: Site,
    _peers: (Platform, Receiver, Receiver, Receiver),
}

impl Eventful {
    async fn start() -> Self {
        let peers = (
            Platform::start().await,
            Receiver::start().await,
            Receiver::start().await,
            Receiver::start().await,
        );
        let (campus, erp, guard, gone) = &peers;
        guard.script(Behaviour::status(400));
        gone.refuse().await;
        let site = Site::new(&routes(campus, erp, guard, gone))
            .set("PASSWORD", "Hyazinthe 9")
            .set("TOKEN", "T0ken-of-the-gate")
            .set("FACEWAY_LISTEN__PUBLIC_URL", "http://gateway.example:8080/")
            .set("FACEWAY_LOG", "info,faceway=trace");
        let gateway = site.start().await;
        Self {
            gateway,
            site,
            _peers: peers,
        }
    }

    /// Pushes a record of each of these devices, and whatever else an inbound knows to happen.
    async fn push(&self, devices: std::ops::Range<u32>) {
        let mut device = Device::connect(self.gateway.devices).await;
        for n in devices {
            let body = recognition(&format!("PSC{n}"), &format!("u-{n}"));
            assert!(device.push(&body).await.unwrap().is_success());
            assert!(
                device.push(&body).await.unwrap().is_success(),
                "known, and kept once"
            );
        }
        let unrouted = recognition("QQQ1", "u-unrouted");
        assert!(device.push(&unrouted).await.unwrap().is_success());
        assert!(
            device.push(b"{\"type\":0,}").await.unwrap().is_success(),
            "in quarantine"
        );
        let refused = device.send("POST", "/in/gate", &[], b"{}").await.unwrap();
        assert_eq!(refused.status, 401);
    }

    /// Waits until each of the three destinations has shown how it is.
    async fn settle(&self) {
        self.gateway.delivered_all("erp").await;
        self.gateway
            .wait_for_metric("faceway_buried{outbound=\"guard\"}", |count| count >= 1.0)
            .await;
        let waiting = "faceway_lane_state{outbound=\"gone\",state=\"waiting\"}";
        self.gateway
            .wait_for_metric(waiting, |here| here == 1.0)
            .await;
    }
}

fn routes(campus: &Platform, erp: &Receiver, guard: &Receiver, gone: &Receiver) -> String {
    let outbound = |name: &str, url: String| {
        format!("[outbound.webhook.{name}]\nurl = \"{url}\"\nretry.backoff_max = \"1s\"\n\n")
    };
    let terminal = "{ url = \"https://127.0.0.1:1\", username = \"admin\", password = { env = \"PASSWORD\" } }";
    [
        format!("[inbound.nebula.lobby]\nterminals = [{terminal}]\n\n"),
        "[inbound.nebula.gate]\ntoken = { env = \"TOKEN\" }\n\n".to_owned(),
        format!("[inbound.omni.campus]\nurl = \"{}/event-service/ws?endpoint_id=7\"\n\n", campus.url()),
        outbound("erp", erp.url()),
        outbound("guard", guard.url()),
        outbound("gone", gone.url()),
        "[[route]]\nname = \"doors\"\nwhen = { \"device.id\" = { like = \"PSC*\" } }\nto = [\"erp\", \"guard\", \"gone\"]\n"
            .to_owned(),
    ]
    .concat()
}

/// Everything that one needs a Prometheus for, which is slow to start.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_knows_every_metric_and_answers_every_query() {
    let eventful = Eventful::start().await;
    let gateway = &eventful.gateway;
    let prometheus = Prometheus::start(gateway.admin, &read("prometheus/faceway.rules.yml")).await;
    eventful.push(0..3).await;
    eventful.settle().await;

    every_metric_is_described(&prometheus).await;
    labels_are_bounded(&prometheus).await;
    let (_, exposition) = gateway.get("/metrics").await;
    eventful.push(3..40).await;
    eventful.settle().await;
    let (_, later) = gateway.get("/metrics").await;
    assert_eq!(
        series(&exposition),
        series(&later),
        "no device makes a series"
    );
    histograms_can_be_added_up(&later);
    promtool_has_nothing_to_say(&later).await;
    python_reads_openmetrics(gateway, &later).await;

    let exposed = METRICS
        .iter()
        .map(|(name, _)| *name)
        .chain(ITS_OWN)
        .chain(OF_A_SITE)
        .collect();
    rules_ask_for_what_is_there(&prometheus, &exposed).await;
    the_dashboard_has_data(&prometheus, &exposed).await;
    inbounds_that_were_never_heard_are_on_top(&prometheus).await;
    let tidied = || gateway.log().matches("histograms are tidied").count() >= 2;
    server::until("upkeep", async || tidied().then_some(())).await;
}

async fn every_metric_is_described(prometheus: &Prometheus) {
    // Prometheus asks for OpenMetrics, in which a family of counters is called without their `_total`.
    let family = |name: &str| name.strip_suffix("_total").unwrap_or(name).to_owned();
    let expected: BTreeMap<String, String> = METRICS
        .iter()
        .map(|(name, kind)| (family(name), (*kind).to_owned()))
        .collect();
    let told = server::until("metadata", async || {
        let told = prometheus.get("/api/v1/metadata").await;
        // The last to appear, in whichever order: a scrape may come in the middle of the first event.
        let last = [
            "faceway_append_seconds",
            "faceway_attempts",
            "faceway_delivery_seconds",
        ];
        let all = last.iter().all(|name| told.get(*name).is_some());
        all.then_some(told)
    })
    .await;
    let mut found = BTreeMap::new();
    for (name, entries) in told.as_object().unwrap() {
        let help = entries[0]["help"].as_str().unwrap();
        assert!(
            help.len() > 10 && help.ends_with('.'),
            "{name} needs a sentence in src/observe.rs; it has {help:?}"
        );
        found.insert(
            name.clone(),
            entries[0]["type"].as_str().unwrap().to_owned(),
        );
    }
    assert_eq!(
        found, expected,
        "left: what Prometheus found, right: the list in tests/it/prometheus/words.rs; a new metric is described in \
         src/observe.rs and added to the list"
    );
}

async fn labels_are_bounded(prometheus: &Prometheus) {
    let found = prometheus.series("{__name__=~\"faceway_.+\"}").await;
    assert!(found.len() > 50, "{found:?}");
    for one in found {
        for (label, value) in one.as_object().unwrap() {
            let known = LABELS.contains(&label.as_str())
                || ["__name__", "job", "instance", "le"].contains(&label.as_str());
            assert!(
                known,
                "a new label, {label}: may it hold a person or a device? {one}"
            );
            let value = value.as_str().unwrap();
            for secret in [
                "PSC",
                "QQQ",
                "u-",
                "Wanda",
                "Probst",
                "4711",
                "T0ken",
                "Hyazinthe",
            ] {
                assert!(!value.contains(secret), "{one}");
            }
        }
    }
}

/// Every series of an exposition, without its value.
fn series(exposition: &str) -> BTreeSet<&str> {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.rsplit_once(' ')?.0))
        .collect()
}

/// Summaries of several gateways cannot be added up; and buckets are of use only where they hold what there is.
fn histograms_can_be_added_up(exposition: &str) {
    for (name, _) in METRICS.iter().filter(|(_, kind)| *kind == "histogram") {
        let bucket = format!("{name}_bucket");
        let mine: Vec<_> = exposition
            .lines()
            .filter(|line| line.starts_with(&bucket))
            .collect();
        let bounds: BTreeSet<_> = mine
            .iter()
            .filter_map(|line| bound(line))
            .map(f64::to_bits)
            .collect();
        let smallest = f64::from_bits(*bounds.first().unwrap());
        let largest = f64::from_bits(*bounds.last().unwrap());
        assert!(
            (8..=20).contains(&bounds.len()),
            "{name}: {} buckets",
            bounds.len()
        );
        assert!(
            smallest <= 0.001 && largest >= 300.0,
            "{name}: from {smallest} to {largest}"
        );
    }
}

/// The bound of a bucket that has one.
fn bound(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("le=\"")?;
    rest.split_once('"')?
        .0
        .parse()
        .ok()
        .filter(|bound: &f64| bound.is_finite())
}

async fn promtool_has_nothing_to_say(exposition: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(exposition.as_bytes())
        .await
        .unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// The parser of Prometheus' own client for Python, which is strict: it gives each family and each series as a line.
const PARSER: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
for family in families(sys.stdin.read()):
    print("family", family.name, family.type, family.unit, family.documentation)
    for sample in family.samples:
        labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
        print("series", sample.name + ("{" + labels + "}" if labels else ""))
"#;

/// OpenMetrics has the same series as the text, and what the text has not: units and an end.
async fn python_reads_openmetrics(gateway: &Gateway, plain: &str) {
    let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
    let mut scraper = Device::connect(gateway.admin).await;
    let answer = scraper.send("GET", "/metrics", &accept, b"").await.unwrap();
    assert_eq!(
        answer.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&answer.body).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let (read, said) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && said.is_empty(),
        "python3-prometheus-client (./run-tests installs it) says: {said}\n{}",
        text(&answer.body)
    );
    let words = |word: &str| {
        let lines = read.lines().filter_map(|line| line.strip_prefix(word));
        lines.collect::<BTreeSet<_>>()
    };
    assert_eq!(words("series "), series(plain));
    let families = words("family ");
    assert_eq!(families.len(), METRICS.len(), "{families:#?}");
    for family in families {
        let parts: Vec<_> = family.splitn(4, ' ').collect();
        let [name, kind, unit, about] = parts.as_slice() else {
            panic!("{family}")
        };
        assert!(
            ["counter", "gauge", "histogram"].contains(kind) && !about.is_empty(),
            "{family}"
        );
        for known in ["seconds", "bytes"] {
            let ends = name.ends_with(&format!("_{known}"));
            assert_eq!(ends, *unit == known, "{family}");
        }
    }
}

async fn rules_ask_for_what_is_there(prometheus: &Prometheus, exposed: &BTreeSet<&str>) {
    let rules = prometheus.rules().await;
    assert!(rules.len() >= 15, "{}", rules.len());
    for rule in rules {
        let query = rule["query"].as_str().unwrap();
        assert_names_exist(query, exposed);
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

fn assert_names_exist(query: &str, exposed: &BTreeSet<&str>) {
    let names = metric_names(query);
    assert!(!names.is_empty(), "{query} asks for no metric");
    for name in names {
        assert!(
            exposed.contains(name.as_str()),
            "no gateway has {name}: {query}"
        );
    }
}

/// Everything that the dashboard asks has an answer here, where everything has happened: a wrong label has none.
async fn the_dashboard_has_data(prometheus: &Prometheus, exposed: &BTreeSet<&str>) {
    let queries = dashboard_queries(|_| true);
    assert!(queries.len() >= 15, "{}", queries.len());
    for variable in ["job", "inbound", "outbound", "instance"] {
        let query = format!("group by ({variable}) ({})", variable_metric(variable));
        assert_names_exist(&query, exposed);
        assert!(!prometheus.query(&query).await.is_empty(), "{query}");
    }
    for query in queries {
        assert_names_exist(&query, exposed);
        server::until(&query, async || {
            let found = prometheus.query(&query).await;
            (!found.is_empty()).then_some(())
        })
        .await;
    }
}

/// Of three inbounds one has given events; the table tells of all, and says of the others that they never have.
async fn inbounds_that_were_never_heard_are_on_top(prometheus: &Prometheus) {
    let silent = |target: &Value| {
        let query = target["expr"].as_str().unwrap();
        query.starts_with("time() - ") && target["format"] == "table"
    };
    let queries = dashboard_queries(silent);
    let found = prometheus.query(&queries[0]).await;
    let seconds = |row: &Value| row["value"][1].as_str().unwrap().parse::<f64>().unwrap();
    let rows: BTreeMap<&str, f64> = found
        .iter()
        .map(|row| (row["metric"]["inbound"].as_str().unwrap(), seconds(row)))
        .collect();
    // From there on the cell says "never".
    let never = 1e9;
    assert!(read("grafana/dashboards/faceway.json").contains("\"from\": 1000000000"));
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows["lobby"] < 3600.0 && rows["gate"] > never && rows["campus"] > never);
}

/// The metric whose label a variable of the dashboard has its values from.
fn variable_metric(name: &str) -> String {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboards/faceway.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variable = variables
        .iter()
        .find(|variable| variable["name"] == name)
        .unwrap();
    let query = variable["definition"].as_str().unwrap();
    let (metric, label) = query
        .strip_prefix("label_values(")
        .unwrap()
        .rsplit_once(", ")
        .unwrap();
    assert_eq!(label, format!("{name})"));
    written(metric)
}

/// What Grafana writes for the dashboard's variables.
fn written(query: &str) -> String {
    let query = query
        .replace("$__rate_interval", "5m")
        .replace("$__range", "5m")
        .replace("$job", "faceway");
    let query = ["$inbound", "$outbound", "$instance"]
        .iter()
        .fold(query, |query, variable| query.replace(variable, ".*"));
    assert!(!query.contains('$'), "an unknown variable: {query}");
    query
}

/// A Grafana has many data sources, and a Prometheus many jobs: everything that is asked is asked of the chosen ones.
#[test]
fn the_dashboard_asks_the_chosen_source_of_the_chosen_job() {
    fn sources<'d>(value: &'d Value, found: &mut Vec<&'d Value>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("datasource"));
                members.values().for_each(|member| sources(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| sources(item, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboards/faceway.json")).unwrap();
    let mut found = Vec::new();
    sources(&dashboard, &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for source in found {
        let uid = &source["uid"];
        assert!(uid == "${datasource}" || uid == "-- Grafana --", "{source}");
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "datasource",
            "job",
            "instance",
            "inbound",
            "outbound",
            "console"
        ]
    );
    // `.*` would be every job of that Prometheus.
    assert_eq!(
        (&variables[0]["type"], variables[1].get("allValue")),
        (&"datasource".into(), None)
    );
    let of_variables = variables
        .iter()
        .filter_map(|one| one["definition"].as_str());
    let panels = dashboard["panels"].as_array().unwrap();
    let closed = panels.iter().filter_map(|row| row["panels"].as_array());
    let panels = panels.iter().chain(closed.flatten());
    let targets = panels
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let of_panels = targets.map(|target| target["expr"].as_str().unwrap());
    for query in of_variables.chain(of_panels) {
        let selectors: Vec<_> = query.split('{').skip(1).collect();
        let of_jobs = query == "label_values(faceway_build_info, job)";
        assert!(of_jobs || !selectors.is_empty(), "{query}");
        for selector in selectors {
            assert!(selector.starts_with("job=~\"$job\""), "{query}");
        }
        // No metric without a selector.
        let metrics = query.matches("faceway_").count() + query.matches("up{").count();
        assert!(of_jobs || metrics == query.matches('{').count(), "{query}");
    }
}

/// The dashboard's queries that are `wanted`, with what Grafana writes for its variables.
fn dashboard_queries(wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboards/faceway.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let shown = panels.iter().filter(|panel| panel["type"] != "row").count();
    assert!(
        shown <= 20,
        "{shown} panels: no operator reads them all at three in the morning"
    );
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let wanted = targets.filter(|target| wanted(target));
    wanted
        .map(|target| written(target["expr"].as_str().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_fires_while_a_destination_is_down_and_ends_with_it() {
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let site = Site::new(&routes_to(&receiver.url(), "retry.backoff_max = \"500ms\""));
    let gateway = site.start().await;
    let rules = words::impatient(&read("prometheus/faceway.rules.yml"));
    let prometheus = Prometheus::start(gateway.admin, &rules).await;
    prometheus.wait_for_alert("FacewayLaneWaiting", false).await;

    let mut device = Device::connect(gateway.devices).await;
    assert!(
        device
            .push(&recognition("PSC1", "u-1"))
            .await
            .unwrap()
            .is_success()
    );
    let alert = prometheus
        .wait_for_alert("FacewayLaneWaiting", true)
        .await
        .unwrap();
    assert_eq!(alert["labels"]["outbound"], "erp");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("Destination erp has been down"),
        "{summary}"
    );
    runbooks_lead_to_their_sections(&gateway, &alert).await;
    // Nothing is delivered, but of an outage one alert is enough.
    let stalled = "faceway_lane_backlog > 0 unless on (outbound) increase(faceway_delivery_seconds_count[10s]) > 0";
    assert!(!prometheus.query(stalled).await.is_empty());
    prometheus.wait_for_alert("FacewayLaneStalled", false).await;

    receiver.listen().await;
    gateway.delivered_all("erp").await;
    prometheus.wait_for_alert("FacewayLaneWaiting", false).await;
    prometheus.wait_for_alert("FacewayLaneStalled", false).await;

    prometheus.wait_for_alert("FacewayDown", false).await;
    gateway.kill().await;
    prometheus.wait_for_alert("FacewayDown", true).await;
}

/// The link of an alert that fires leads to the gateway, and the links of all the others there would lead to a heading too;
/// so do those of the dashboard.
async fn runbooks_lead_to_their_sections(gateway: &Gateway, alert: &Value) {
    let url = alert["annotations"]["runbook_url"].as_str().unwrap();
    let page = format!("http://{}/docs/operating", gateway.admin);
    assert_eq!(url, format!("{page}#alert-facewaylanewaiting"));
    let (status, page) = gateway.get("/docs/operating").await;
    assert_eq!(status, 200);
    let files = read("prometheus/faceway.rules.yml") + &read("grafana/dashboards/faceway.json");
    let links: Vec<_> = files.split("docs/operating#").skip(1).collect();
    assert!(links.len() >= 25, "{}", links.len());
    for link in links {
        let end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        let anchor = link.split(end).next().unwrap();
        assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
}

#[tokio::test]
async fn promtool_accepts_the_files_and_their_tests() {
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "faceway.rules.yml"],
        ["test", "rules", "faceway.rules.test.yml"],
        ["test", "rules", "faceway.cluster.test.yml"],
    ] {
        let mut command = Command::new("promtool");
        command
            .args(arguments)
            .current_dir(deploy("prometheus"))
            .kill_on_drop(true);
        let output = command
            .output()
            .await
            .expect("promtool is installed (./run-tests does it)");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(
            output.status.success() && !said.contains("duplicate"),
            "{said}"
        );
    }
}

#[test]
fn every_alert_says_what_to_do_and_is_tested_both_ways() {
    let rules = read("prometheus/faceway.rules.yml");
    let tests =
        read("prometheus/faceway.rules.test.yml") + &read("prometheus/faceway.cluster.test.yml");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 15);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for needed in ["severity: ", "summary: ", "description: "] {
            assert!(alert.contains(needed), "{name} has no {needed}");
        }
        // One that is down cannot serve it, so that alert goes to another.
        let from = match name {
            "FacewayDown" => "localhost:9464{{ end }}{{ end }}",
            // Nor can the owner that there is none of.
            "FacewayDutyWithoutOwner" => "localhost:9464{{ end }}",
            _ => "http://{{ $labels.instance }}",
        };
        let url = format!("{from}/docs/operating#alert-{}", name.to_lowercase());
        assert!(
            alert.contains("runbook_url: ") && alert.contains(&url),
            "{name} needs {url}"
        );
        assert!(
            !alert.contains("by (")
                || alert.contains("by (job, instance")
                || alert.contains("by (job, duty, name)"),
            "{name} loses its instance"
        );
        let asked = tests
            .split("- expr: ")
            .filter(|one| one.contains(&format!("alertname=\"{name}\"")));
        let (quiet, fires): (Vec<_>, Vec<_>) =
            asked.partition(|one| one.contains("exp_samples: []"));
        let quiet = !quiet.is_empty() || tests.contains(&format!("alertname: {name}\n"));
        assert!(
            quiet && !fires.is_empty(),
            "{name} must be shown to fire, and not to fire"
        );
    }
}

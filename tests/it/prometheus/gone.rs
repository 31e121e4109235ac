//! What is taken out of `routes.toml` is gone from metrics, alerts and dashboard, and comes back with it; what is kept all
//! the same is seen there.

use std::collections::BTreeSet;

use faceway_testkit::receiver::Receiver;
use serde_json::Value;

use super::server::{self, Prometheus};
use super::{Eventful, dashboard_queries, words};
use crate::harness::{
    Device, Gateway, LOBBY, Site, recognition, reload, replace, route, wait_for_log, webhook,
};

/// A gauge's value, as `/metrics` has it now; `None` when there is no such series.
async fn gauge(gateway: &Gateway, series: &str) -> Option<f64> {
    let (_, text) = gateway.get("/metrics").await;
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .map(|value| value.parse().unwrap())
}

async fn state(gateway: &Gateway, outbound: &str, state: &str) -> Option<f64> {
    let series = format!("faceway_lane_state{{outbound=\"{outbound}\",state=\"{state}\"}}");
    gauge(gateway, &series).await
}

/// Series of gauges that tell of one of these names.
fn gauges_of<'a>(text: &'a str, names: &[&str]) -> Vec<&'a str> {
    let of = |line: &&str| {
        let named = |name: &&str| line.contains(&format!("bound=\"{name}\""));
        let family = line.split('{').next().unwrap();
        let is_gauge = text.contains(&format!("# TYPE {family} gauge\n"));
        is_gauge && names.iter().any(named)
    };
    text.lines().filter(of).collect()
}

/// Gone are an inbound with terminals, a dialled one, and an outbound that waits for its destination with a backlog.
const GONE: [&str; 3] = ["lobby", "campus", "gone"];
const LAST_EVENT: &str = "faceway_inbound_last_event_timestamp_seconds{inbound=\"lobby\"}";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_out_is_gone_everywhere_and_comes_back() {
    let eventful = Eventful::start().await;
    let (gateway, site) = (&eventful.gateway, &eventful.site);
    let rules = words::impatient(&super::read("prometheus/faceway.rules.yml"));
    let prometheus = Prometheus::start(gateway.admin, &rules).await;
    eventful.push(0..3).await;
    eventful.settle().await;
    prometheus.wait_for_alert("FacewayLaneWaiting", true).await;
    let (_, before) = gateway.get("/metrics").await;
    let last_event = gauge(gateway, LAST_EVENT).await.unwrap();
    assert!(last_event > 0.0, "{before}");

    let routes = std::fs::read_to_string(site.path().join("routes.toml")).unwrap();
    replace(site, &without(&routes));
    assert_eq!(reload(gateway).await.0, 200);
    // It goes on waiting, and is leaving in addition.
    assert_eq!(state(gateway, "gone", "leaving").await, Some(1.0));
    assert_eq!(state(gateway, "gone", "waiting").await, Some(1.0));
    assert_eq!(state(gateway, "erp", "leaving").await, Some(0.0));
    site.ask(gateway, &["lanes", "drop", "gone"]).await;
    let (_, text) = gateway.get("/metrics").await;
    assert!(gauges_of(&text, &GONE).is_empty(), "{text}");
    assert!(!text.contains("NaN"), "{text}");
    prometheus.wait_for_alert("FacewayLaneWaiting", false).await;
    the_dashboard_has_forgotten(&prometheus).await;

    replace(site, &routes);
    assert_eq!(reload(gateway).await.0, 200);
    let series = |text| -> BTreeSet<String> {
        let lines = gauges_of(text, &GONE).into_iter();
        lines
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    };
    let (_, after) = gateway.get("/metrics").await;
    assert_eq!(series(&after), series(&before), "all are back");
    assert_eq!(gauge(gateway, LAST_EVENT).await, Some(last_event));
    assert_eq!(state(gateway, "gone", "leaving").await, Some(0.0));
}

/// The file without what is to be gone.
fn without(routes: &str) -> String {
    let parts = routes.split("\n\n").filter(|part| {
        let header = part.lines().next().unwrap_or_default();
        !GONE
            .iter()
            .any(|name| header.ends_with(&format!(".{name}]")))
    });
    let left = parts.collect::<Vec<_>>().join("\n\n");
    let left = left.replace(", \"gone\"", "");
    assert!(left.contains(".erp]") && GONE.iter().all(|name| !left.contains(name)));
    left
}

/// Whatever shows how things are now: no sum is spoilt, and no row is left.
async fn the_dashboard_has_forgotten(prometheus: &Prometheus) {
    let instant = dashboard_queries(|target| target["instant"] == true);
    assert!(instant.len() >= 15, "{}", instant.len());
    for query in instant {
        server::until(&query, async || {
            let found = prometheus.query(&query).await;
            let is_clean = |row: &Value| {
                let mut labels = row["metric"].as_object().unwrap().values();
                row["value"][1] != "NaN" && !labels.any(|one| GONE.iter().any(|name| one == name))
            };
            found.iter().all(is_clean).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_nobody_works_for_is_seen() {
    let old = Receiver::start().await;
    let signed = webhook("old", &old) + "sign = [{ env = \"OLD_SECRET\" }]\n";
    let site = Site::new(&format!("{LOBBY}{signed}{}", route("all", &["old"])))
        .set("OLD_SECRET", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=");
    let gateway = site.start().await;
    old.refuse().await;
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-1", "u-2", "u-3"] {
        let answer = device.push(&recognition("PSC1", uuid)).await.unwrap();
        assert!(answer.is_success());
    }
    // A lane without a supervisor routes nothing.
    let backlog = "faceway_lane_backlog{outbound=\"old\"}";
    gateway.wait_for_metric(backlog, |count| count == 3.0).await;
    assert!(gateway.stop().await.success());
    replace(&site, LOBBY);
    let site = site.unset("OLD_SECRET");
    let gateway = site.start().await;
    wait_for_log(&gateway, "OLD_SECRET").await;

    assert_eq!(state(&gateway, "old", "removed").await, Some(1.0));
    assert_eq!(state(&gateway, "old", "idle").await, Some(0.0));
    assert_eq!(gauge(&gateway, backlog).await, Some(3.0));
    let oldest = gauge(&gateway, "faceway_lane_oldest_seconds{outbound=\"old\"}").await;
    assert!(oldest > Some(0.0));
    let rules = words::impatient(&super::read("prometheus/faceway.rules.yml"));
    let prometheus = Prometheus::start(gateway.admin, &rules).await;
    let alert = prometheus.wait_for_alert("FacewayLaneRemoved", true).await;
    let alert = alert.unwrap();
    assert_eq!(
        (&alert["labels"]["outbound"], &alert["value"]),
        (&"old".into(), &"3e+00".into())
    );
    prometheus.wait_for_alert("FacewayLaneStalled", false).await;

    site.ask(&gateway, &["lanes", "drop", "old"]).await;
    let (_, text) = gateway.get("/metrics").await;
    assert!(gauges_of(&text, &["old"]).is_empty(), "{text}");
    prometheus.wait_for_alert("FacewayLaneRemoved", false).await;
}

#[tokio::test]
async fn every_state_of_a_lane_has_its_colour() {
    let receiver = Receiver::start().await;
    let site = Site::new(&format!("{LOBBY}{}", webhook("erp", &receiver)));
    let gateway = site.start().await;
    let (_, text) = gateway.get("/metrics").await;
    let states: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("faceway_lane_state{")?.split('"').nth(3))
        // It has a column of its own.
        .filter(|state| *state != "leaving")
        .collect();
    let dashboard: Value =
        serde_json::from_str(&super::read("grafana/dashboards/faceway.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let table = panels.iter().find(|panel| panel["title"] == "Outbounds");
    let overrides = table.unwrap()["fieldConfig"]["overrides"].as_array();
    let column = overrides.unwrap().iter();
    let column = column
        .clone()
        .find(|one| one["matcher"]["options"] == "state");
    let properties = column.unwrap()["properties"].as_array().unwrap();
    let mappings = properties.iter().find(|one| one["id"] == "mappings");
    let mapped = mappings.unwrap()["value"][0]["options"]
        .as_object()
        .unwrap();
    let mapped: BTreeSet<&str> = mapped.keys().map(String::as_str).collect();
    assert_eq!(states, mapped);
}

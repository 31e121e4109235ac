//! Where gateways share a site there are metrics of that, and the dashboard's closed row asks for them.

use faceway_testkit::broker::nats::{Nats, Options};
use serde_json::Value;

use super::server::{self, Prometheus};
use super::words::OF_A_SITE;
use super::{read, rules_ask_for_what_is_there, written};
use crate::cluster::several::member;
use crate::harness::routes_to;

/// The queries of the rows that are closed until an operator opens them.
fn closed_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboards/faceway.json")).unwrap();
    let rows = dashboard["panels"].as_array().unwrap().iter();
    let panels = rows.filter_map(|row| row["panels"].as_array()).flatten();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    targets
        .flatten()
        .map(|target| written(target["expr"].as_str().unwrap()))
        .collect()
}

/// Every metric of a site is there, every query of the closed row has an answer, and no alert of a cluster fires.
#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_s_row_has_data_and_its_alerts_are_quiet() {
    let nats = Nats::start(Options::single()).await;
    let site = member(&nats, "gw-1", &routes_to("http://127.0.0.1:1/", ""));
    let gateway = site.start().await;
    let held = "faceway_duty_held{duty=\"lane\",name=\"erp\"}";
    gateway.wait_for_metric(held, |held| held == 1.0).await;
    let rules = super::words::impatient(&read("prometheus/faceway.rules.yml"));
    let prometheus = Prometheus::start(gateway.admin, &rules).await;
    let queries = closed_queries();
    assert!(queries.len() >= 6, "{queries:?}");
    let metrics = OF_A_SITE.map(str::to_owned);
    for query in queries.iter().chain(&metrics) {
        server::until(query, async || {
            (!prometheus.query(query).await.is_empty()).then_some(())
        })
        .await;
    }
    let known = super::METRICS.iter().map(|(name, _)| *name);
    let known = known.chain(super::ITS_OWN).chain(OF_A_SITE).collect();
    rules_ask_for_what_is_there(&prometheus, &known).await;
    for alert in [
        "FacewayClusterMemberMissing",
        "FacewayClusterNotConnected",
        "FacewayClusterNotSynced",
        "FacewayDiskNearlyFull",
        "FacewayDutyWithoutOwner",
        "FacewayRoutesDiffer",
        "FacewaySeenLag",
    ] {
        prometheus.wait_for_alert(alert, false).await;
    }
    gateway.stop().await;
}

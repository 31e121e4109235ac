//! The cluster of the testkit is one: three servers that sync, and that come back.

use faceway_testkit::broker::nats::{Nats, Options};

#[tokio::test]
async fn three_servers_sync_and_come_back() {
    let nats = Nats::start(Options::cluster()).await;
    assert_eq!(nats.names(), ["nats-1", "nats-2", "nats-3"]);
    for server in 0..nats.count() {
        let page = nats.monitor(server, "/varz").await.expect("it answers");
        let varz: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        assert_eq!(varz["jetstream"]["config"]["sync_always"], true);
        assert_eq!(varz["version"], "2.15.1");
    }
    nats.kill(1);
    assert!(nats.monitor(1, "/healthz").await.is_none());
    nats.run(1);
    nats.wait().await;
    let page = nats.monitor(1, "/jsz").await.expect("it answers");
    let jsz: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(jsz["meta_cluster"]["cluster_size"], 3);
    nats.freeze(2);
    assert!(nats.monitor(2, "/healthz").await.is_none(), "it is frozen");
    nats.thaw(2);
    nats.wait().await;
}

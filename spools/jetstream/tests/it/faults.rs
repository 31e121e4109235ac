//! Servers that die, freeze and come back.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{
    AppendError, CommitError, LaneChange, LaneStore as _, Log as _, Receipt, Start,
};
use faceway_spool_jetstream::JetStreamSpool;
use faceway_testkit::broker::nats::{Nats, Options};
use tokio::time::timeout;

use crate::common::{PATIENCE, Site, api, append, batch, kept, moment};

/// The server that leads a stream.
async fn leader(site: &Site, stream: &str) -> usize {
    let info = format!("STREAM.INFO.FW_{}_{stream}", site.name);
    let info = api(&site.nats, &info, "").await;
    let leader = info["cluster"]["leader"].as_str().unwrap().to_owned();
    let names = site.nats.names();
    names.iter().position(|name| *name == leader).unwrap()
}

/// Appends until it succeeds; as a device does.
async fn insist(spool: &JetStreamSpool, n: u64) {
    let appended = async {
        while spool.append(batch([n, n + 1000])).await.is_err() {
            moment().await;
        }
    };
    timeout(PATIENCE, appended)
        .await
        .expect("the cluster is back");
}

async fn own_cluster() -> Site {
    Site::on(Arc::new(Nats::start(Options::cluster()).await))
}

/// The leader of the log dies between events, then every server: nothing that was acknowledged is lost, nothing is kept twice,
/// and the order stays.
#[tokio::test(flavor = "multi_thread")]
async fn dead_servers_lose_nothing() {
    let site = own_cluster().await;
    let spool = site.open("gw-1").await;
    let (claim, _) = spool.claim("erp", Start::Oldest).await.unwrap();
    let mut first = append(&spool, 1..=3).await;
    let dead = leader(&site, "EVENTS").await;
    site.nats.kill(dead);
    for n in 4..=6 {
        let receipts = timeout(PATIENCE, spool.append(batch([n]))).await.unwrap();
        first.extend(
            receipts
                .expect("an election is waited for")
                .iter()
                .filter_map(|it| it.seq()),
        );
    }
    assert!(first.is_sorted(), "{first:?}");
    let change = LaneChange {
        routed_through: first[5],
        ..LaneChange::default()
    };
    let committed = timeout(PATIENCE, spool.commit(&claim, change))
        .await
        .unwrap();
    assert_eq!(committed, Ok(0));
    site.nats.run(dead);
    site.nats.wait().await;
    for server in 0..3 {
        site.nats.kill(server);
    }
    for server in 0..3 {
        site.nats.run(server);
    }
    site.nats.wait().await;
    insist(&spool, 7).await;
    let receipts = spool.append(batch(1..=7)).await.unwrap();
    assert!(
        receipts.iter().all(|it| *it == Receipt::Duplicate),
        "{receipts:?}"
    );
    assert_eq!(kept(&spool).await, [1, 2, 3, 4, 5, 6, 7, 1007]);
    let state = spool.look("erp").await.unwrap().expect("it is there");
    assert_eq!(state.routed_through, first[5]);
    spool.close().await;
}

/// Two of three servers are frozen: nothing is acknowledged, and what was kept all the same is recognised afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_acknowledged() {
    let site = own_cluster().await;
    let mut settings = site.settings("gw-1");
    settings.append_timeout = Duration::from_secs(3);
    let spool = crate::common::open(settings).await.unwrap();
    append(&spool, [1]).await;
    let (claim, _) = spool.claim("erp", Start::Oldest).await.unwrap();
    let frozen = [leader(&site, "EVENTS").await, leader(&site, "STATE").await];
    let other = (0..3).find(|server| !frozen.contains(server)).unwrap();
    let frozen: Vec<usize> = (0..3).filter(|server| *server != other).collect();
    for server in &frozen {
        site.nats.freeze(*server);
    }
    let refused = timeout(PATIENCE, spool.append(batch([2]))).await.unwrap();
    assert_eq!(refused, Err(AppendError::Failing));
    let change = LaneChange {
        routed_through: 1,
        ..LaneChange::default()
    };
    let commit = timeout(PATIENCE, spool.commit(&claim, change.clone())).await;
    assert_eq!(commit.unwrap(), Err(CommitError::Unavailable));
    for server in &frozen {
        site.nats.thaw(*server);
    }
    insist(&spool, 2).await;
    assert_eq!(kept(&spool).await, [1, 2, 1002]);
    // The change is committed again, with what came since.
    let later = LaneChange {
        routed_through: 2,
        ..LaneChange::default()
    };
    let committed = async {
        while spool.commit(&claim, later.clone()).await != Ok(0) {
            moment().await;
        }
    };
    timeout(PATIENCE, committed)
        .await
        .expect("the lane goes on");
    let state = spool.look("erp").await.unwrap().expect("it is there");
    assert_eq!(state.routed_through, 2);
    spool.close().await;
}

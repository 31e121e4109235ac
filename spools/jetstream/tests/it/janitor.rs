//! Trimming: history leaves by age, what a lane needs stays, and so do the rules and the pictures.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{DeviceKey, LaneChange, LaneStore as _, Log as _, Start, waiting};
use faceway_spool_jetstream::JetStreamSpool;
use faceway_testkit::clock::TestClock;
use faceway_testkit::spool::time;
use tokio::time::timeout;

use crate::common::{PATIENCE, Site, append, batch, moment};

/// Resolves when the first of these events has left the log, and no earlier one is asked for.
async fn leaves(spool: &JetStreamSpool, seq: u64) {
    let gone = async {
        while spool.fetch(vec![seq]).await.unwrap()[0].is_some() {
            moment().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_history_leaves_and_nothing_else() {
    let site = Site::new().await;
    let clock = Arc::new(TestClock::at(time(0)));
    let mut settings = site.settings("gw-1");
    settings.history = Duration::from_secs(3600);
    let spool = JetStreamSpool::open(settings.clone(), Arc::clone(&clock) as _)
        .await
        .unwrap();
    let mark = spool.append_rules("first".into(), 0).await.unwrap();
    let (claim, _) = spool.claim("erp", Start::Oldest).await.unwrap();
    let mut seqs = Vec::new();
    for round in 0..5 {
        let first = round * 500;
        seqs.extend(append(&spool, first + 1..=first + 500).await);
    }
    // One event of the second block waits; everything else is delivered.
    let needed = seqs[1500];
    let range = waiting::range_of(needed);
    let waits = waiting::encode(range, &[(needed, DeviceKey(1))]);
    let change = LaneChange {
        routed_through: seqs[2499],
        waiting: vec![(range, Some(waits))],
        ..LaneChange::default()
    };
    spool.commit(&claim, change).await.unwrap();
    clock.advance(Duration::from_secs(24 * 3600));
    leaves(&spool, seqs[1000]).await;
    leaves(&spool, seqs[0]).await;
    assert!(spool.fetch(vec![needed]).await.unwrap()[0].is_some());
    // Known ids stay, and the mark that has left with the events is there again, under its own number.
    let receipts = spool.append(batch([1])).await.unwrap();
    assert!(receipts[0].seq().is_none());
    let rules = spool.rules().await.unwrap().expect("they are there");
    assert_eq!((rules.mark, &rules.text[..]), (mark, &b"first"[..]));
    assert_eq!(spool.rules_version(), mark.version);
    spool.close().await;
    let spool = JetStreamSpool::open(settings, Arc::clone(&clock) as _)
        .await
        .unwrap();
    assert_eq!(spool.rules_version(), mark.version);
    let next = spool
        .append_rules("second".into(), mark.version)
        .await
        .unwrap();
    assert!(next.version > seqs[2499]);
    spool.close().await;
}

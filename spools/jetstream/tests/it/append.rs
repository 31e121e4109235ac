//! Appending from two gateways, and in large batches.

use std::sync::Arc;

use faceway_core::{Log as _, Receipt};

use crate::common::{Site, append, batch, kept};

/// More than one atomic batch, in one order and without a gap of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_stays_in_order() {
    let site = Site::new().await;
    let spool = site.open("gw-1").await;
    let seqs = append(&spool, 1..=1200).await;
    assert!(seqs.is_sorted() && seqs.len() == 1200);
    // The second batch has a known one in its midst: the servers would refuse it whole.
    let receipts = spool.append(batch(1190..=1300)).await.unwrap();
    let known = receipts.iter().filter(|it| **it == Receipt::Duplicate);
    assert_eq!(known.count(), 11);
    let numbers: Vec<u64> = (1..=1300).collect();
    assert_eq!(kept(&spool).await, numbers);
    spool.close().await;
}

/// The same record goes to two gateways at once, again, and again after both were restarted.
#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_keep_an_event_once() {
    let site = Site::new().await;
    let one = Arc::new(site.open("gw-1").await);
    let two = Arc::new(site.open("gw-2").await);
    let mut tasks = Vec::new();
    for n in 0..40 {
        let spool = Arc::clone(if n % 2 == 0 { &one } else { &two });
        // Two of a batch, so that atomic batches meet single events.
        tasks.push(tokio::spawn(async move {
            spool.append(batch([n / 4, n / 4 + 100])).await.unwrap()
        }));
    }
    let mut new = 0;
    for task in tasks {
        let receipts = task.await.unwrap();
        new += receipts.iter().filter(|it| it.seq().is_some()).count();
    }
    assert_eq!(new, 20, "each is new once");
    let mut numbers = kept(&one).await;
    assert_eq!(numbers, kept(&two).await, "both read one order");
    numbers.sort_unstable();
    let all: Vec<u64> = (0..10).chain(100..110).collect();
    assert_eq!(numbers, all);
    one.close().await;
    two.close().await;
    for gateway in ["gw-1", "gw-2"] {
        let spool = site.open(gateway).await;
        let receipts = spool.append(batch(all.clone())).await.unwrap();
        assert!(receipts.iter().all(|it| *it == Receipt::Duplicate));
        spool.close().await;
    }
}

/// A gateway hears of what another one appended.
#[tokio::test(flavor = "multi_thread")]
async fn the_tail_follows_other_gateways() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let seqs = append(&one, 1..=3).await;
    let mut seen = 0;
    while seen < seqs[2] {
        seen = two.watch_tail(seen).await.unwrap();
    }
    assert_eq!(kept(&two).await, [1, 2, 3]);
}

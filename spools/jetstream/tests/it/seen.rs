//! Known ids over restarts, with the table on the disk and without it.

use std::time::Duration;

use faceway_core::{Log as _, Receipt};
use faceway_testkit::spool::id;
use tokio::time::timeout;

use crate::common::{PATIENCE, Site, api, append, batch, kept, moment, open};

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_known_when_the_table_is_lost() {
    let site = Site::new().await;
    let spool = site.open("gw-1").await;
    append(&spool, 1..=20).await;
    spool.close().await;
    std::fs::remove_dir_all(site.dir.path().join("gw-1")).unwrap();
    let spool = site.open("gw-1").await;
    let receipts = spool.append(batch(1..=20)).await.unwrap();
    assert!(receipts.iter().all(|it| *it == Receipt::Duplicate));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_trimmed_events_are_known_from_the_table() {
    let site = Site::new().await;
    let spool = site.open("gw-1").await;
    append(&spool, 1..=20).await;
    spool.close().await;
    let purge = format!("STREAM.PURGE.FW_{}_EVENTS", site.name);
    assert_eq!(api(&site.nats, &purge, "").await["success"], true);
    let spool = site.open("gw-1").await;
    let receipts = spool.append(batch(1..=21)).await.unwrap();
    let new: Vec<_> = receipts.iter().filter(|it| it.seq().is_some()).collect();
    assert_eq!(new.len(), 1, "{receipts:?}");
    assert_eq!(kept(&spool).await, [21]);
    spool.close().await;
    // Another stream has other numbers, so the table of this one says nothing of it.
    let delete = format!("STREAM.DELETE.FW_{}_EVENTS", site.name);
    assert_eq!(api(&site.nats, &delete, "").await["success"], true);
    let spool = site.open("gw-1").await;
    assert_eq!(append(&spool, 1..=2).await, [1, 2]);
    spool.close().await;
}

/// The servers recognise an id for a while only; the gateway's table recognises it for good.
#[tokio::test(flavor = "multi_thread")]
async fn ids_are_known_when_the_servers_have_forgotten_them() {
    let site = Site::new().await;
    let mut settings = site.settings("gw-1");
    settings.append_timeout = Duration::from_secs(3);
    settings.dedup_window = Duration::from_secs(6);
    let spool = open(settings).await.unwrap();
    append(&spool, 1..=5).await;
    append(&spool, [99]).await;
    // Another program sends the last of them until the servers take it anew: the earlier ones are forgotten then, too.
    let client = async_nats::connect(site.nats.urls()).await.unwrap();
    let forgotten = async {
        loop {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Msg-Id", id(99).to_string());
            let request = async_nats::Request::new()
                .headers(headers)
                .payload("x".into());
            let subject = format!("fw.{}.ev.0.0000000000000001", site.name);
            let answer = client.send_request(subject, request).await.unwrap();
            let ack: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
            if ack["duplicate"] != true {
                return;
            }
            moment().await;
        }
    };
    timeout(PATIENCE, forgotten).await.expect("they forget");
    let receipts = async {
        loop {
            // With so short a window a busy machine may refuse for a moment.
            if let Ok(receipts) = spool.append(batch(1..=5)).await {
                return receipts;
            }
            moment().await;
        }
    };
    let receipts = timeout(PATIENCE, receipts).await.expect("it appends");
    assert!(
        receipts.iter().all(|it| *it == Receipt::Duplicate),
        "{receipts:?}"
    );
    assert_eq!(kept(&spool).await, [1, 2, 3, 4, 5, 99]);
    spool.close().await;
}

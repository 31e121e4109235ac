//! Known ids over restarts, with the table on the disk and without it.

use faceway_core::{Log as _, Receipt};

use crate::common::{Site, api, append, batch, kept};

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

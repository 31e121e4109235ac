//! Which version of the rules each gateway knows.

use faceway_core::Log as _;
use tokio::time::timeout;

use crate::common::{PATIENCE, Site, append};

#[tokio::test(flavor = "multi_thread")]
async fn every_gateway_knows_the_newest_mark_below_its_tail() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    assert_eq!((one.rules_version(), two.rules_version()), (0, 0));
    let watched = two.watch_rules(0);
    let first = one.append_rules("first".into(), 0).await.unwrap();
    assert_eq!(one.rules_version(), first.version);
    let seen = timeout(PATIENCE, watched)
        .await
        .expect("it is told")
        .unwrap();
    assert_eq!(seen, first.version);
    // A gateway that has read an event behind a mark knows the mark.
    for n in 1..=20 {
        let before = two.rules_version();
        let mark = one.append_rules("next".into(), before).await.unwrap();
        let seq = append(&one, [n]).await[0];
        let tail = timeout(PATIENCE, two.watch_tail(seq - 1)).await;
        assert!(tail.expect("it is seen").unwrap() >= seq);
        assert_eq!(two.rules_version(), mark.version);
    }
    let newest = two.rules_version();
    // Its table says how far it has read: the mark stands below.
    two.close().await;
    let two = site.open("gw-2").await;
    assert!(two.tail().unwrap() > newest);
    assert_eq!(two.rules_version(), newest);
    two.close().await;
    std::fs::remove_dir_all(site.dir.path().join("gw-2")).unwrap();
    let two = site.open("gw-2").await;
    assert_eq!(two.rules_version(), newest);
    two.close().await;
    one.close().await;
}

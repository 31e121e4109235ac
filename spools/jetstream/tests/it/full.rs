//! What happens when there is no space left.

use std::sync::Arc;

use faceway_core::{
    AppendError, Batch, LaneChange, LaneStore as _, Log as _, NewEvent, NewUnreadable, Private,
    Start,
};
use faceway_testkit::spool::{event, time};
use tokio::time::timeout;

use crate::common::{PATIENCE, Site, moment, open};

/// At the limit nothing is taken, a lane's state is kept all the same, and delivered history gives way by itself.
#[tokio::test(flavor = "multi_thread")]
async fn delivered_history_gives_way_at_the_limit() {
    let site = Site::new().await;
    let mut settings = site.settings("gw-1");
    settings.bytes_max = 2_000_000;
    let spool = open(settings).await.unwrap();
    let (claim, _) = spool.claim("erp", Start::Oldest).await.unwrap();
    let large = |n: u64| Batch {
        events: vec![NewEvent {
            body: Private::new(vec![n as u8; 100_000].into()),
            ..event(n, 1)
        }],
        ..Batch::default()
    };
    let (mut n, mut last) = (0, 0);
    loop {
        n += 1;
        match spool.append(large(n)).await {
            Ok(receipts) => last = receipts[0].seq().expect("it is new"),
            Err(error) => {
                assert_eq!(error, AppendError::Full);
                break;
            }
        }
        assert!(n < 100, "the limit is not kept");
    }
    let capacity = spool.capacity().await.unwrap();
    assert_eq!(capacity.accepting, Err(AppendError::Full));
    // Nothing is delivered, so nothing gives way; the rules and the lane are kept.
    spool.append_rules("x".into(), 0).await.unwrap();
    let change = LaneChange {
        routed_through: last,
        ..LaneChange::default()
    };
    assert_eq!(spool.commit(&claim, change).await, Ok(0));
    let taken = async {
        while spool.append(large(n)).await.is_err() {
            moment().await;
        }
    };
    timeout(PATIENCE, taken)
        .await
        .expect("delivered history gives way");
    spool.close().await;
}

/// One inbound may use half of quarantine, by the count of every gateway together.
#[tokio::test(flavor = "multi_thread")]
async fn one_inbound_may_use_half_of_quarantine() {
    let site = Site::new().await;
    let open_one = async |gateway| {
        let mut settings = site.settings(gateway);
        settings.quarantine_bytes_max = 1000;
        Arc::new(open(settings).await.unwrap())
    };
    let (one, two) = (open_one("gw-1").await, open_one("gw-2").await);
    let unreadable = |inbound: &str, bytes: usize| Batch {
        events: Vec::new(),
        pictures: Vec::new(),
        unreadable: vec![NewUnreadable {
            received_at: time(1),
            ..faceway_testkit::spool::unreadable(inbound, vec![0; bytes])
        }],
    };
    one.append(unreadable("gate", 300)).await.unwrap();
    let refused = two.append(unreadable("gate", 300)).await;
    assert_eq!(refused, Err(AppendError::QuarantineFull));
    two.append(unreadable("door", 300)).await.unwrap();
    let refused = one.append(unreadable("hall", 401)).await;
    assert_eq!(refused, Err(AppendError::QuarantineFull));
    one.append(unreadable("hall", 400)).await.unwrap();
}

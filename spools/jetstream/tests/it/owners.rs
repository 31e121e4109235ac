//! Who owns a lane: two gateways, one that died, one whose commit comes late.

use faceway_core::{CommitError, LaneChange, LaneStore as _, Log as _, Start};

use crate::common::{PATIENCE, Site, append};

fn through(seq: u64) -> LaneChange {
    LaneChange {
        routed_through: seq,
        ..LaneChange::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_gateway_fences_the_one_before() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let (first, _) = one.claim("erp", Start::Oldest).await.unwrap();
    assert_eq!(one.commit(&first, through(5)).await, Ok(0));
    let (second, state) = two.claim("erp", Start::Oldest).await.unwrap();
    assert!(second.epoch > first.epoch && state.routed_through == 5);
    // A late change of the old owner comes, rows and record.
    let late = one.commit(&first, through(9)).await;
    assert_eq!(late, Err(CommitError::Fenced));
    assert_eq!(
        one.commit(&first, through(9)).await,
        Err(CommitError::Fenced)
    );
    assert_eq!(two.commit(&second, through(7)).await, Ok(0));
    let seen = one.look("erp").await.unwrap().expect("it is there");
    assert_eq!(seen.routed_through, 7);
    // And back again.
    let (third, state) = one.claim("erp", Start::Oldest).await.unwrap();
    assert!(third.epoch > second.epoch && state.routed_through == 7);
    assert_eq!(
        two.commit(&second, through(8)).await,
        Err(CommitError::Fenced)
    );
    assert_eq!(one.commit(&third, through(8)).await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_of_a_dead_gateway_goes_on_where_it_was() {
    let site = Site::new().await;
    let one = site.open("gw-1").await;
    let seqs = append(&one, 1..=3).await;
    let (first, _) = one.claim("erp", Start::Oldest).await.unwrap();
    one.commit(&first, through(seqs[1])).await.unwrap();
    // Nothing of it is closed.
    drop(one);
    let two = site.open("gw-2").await;
    let (_, state) = two.claim("erp", Start::Now).await.unwrap();
    assert_eq!(state.routed_through, seqs[1]);
    assert_eq!(two.list().await.unwrap(), ["erp"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_another_gateway_deleted_is_fenced() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let (claim, _) = one.claim("erp", Start::Oldest).await.unwrap();
    one.commit(&claim, through(5)).await.unwrap();
    assert!(two.delete("erp").await.unwrap());
    assert_eq!(
        one.commit(&claim, through(6)).await,
        Err(CommitError::Fenced)
    );
    let (again, state) = two.claim("erp", Start::Oldest).await.unwrap();
    assert!(again.epoch > claim.epoch && state.routed_through == 0);
    assert_eq!(
        one.commit(&claim, through(7)).await,
        Err(CommitError::Fenced)
    );
}

/// A change of more rows than one atomic batch takes is kept whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_many_rows_is_kept() {
    use faceway_core::{DeviceKey, waiting};
    let site = Site::new().await;
    let spool = site.open("gw-1").await;
    let (claim, _) = spool.claim("erp", Start::Oldest).await.unwrap();
    let rows = (0..1200).map(|range| {
        let events = [(range * waiting::RANGE, DeviceKey(range))];
        (range, Some(waiting::encode(range, &events)))
    });
    let change = LaneChange {
        routed_through: 1200 * waiting::RANGE,
        waiting: rows.collect(),
        ..LaneChange::default()
    };
    let committed = tokio::time::timeout(PATIENCE, spool.commit(&claim, change.clone()));
    committed.await.expect("it is kept in time").unwrap();
    let state = spool.look("erp").await.unwrap().expect("it is there");
    assert_eq!(state.survey().backlog, 1200);
    assert_eq!(state.routed_through, change.routed_through);
    spool.close().await;
}

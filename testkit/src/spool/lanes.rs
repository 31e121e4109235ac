//! The promises of the lane store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use faceway_core::{
    Attempt, AttemptResult, Burial, Code, CommitError, DeviceKey, HeldEvent, Hold, LaneChange,
    LaneState, OnceMark, Parked, Replay, Start, waiting,
};

use super::{Bench, LaneEngine, Open, event, id, promises, time, traced};

/// Every promise, one after another.
///
/// # Errors
/// The first that does not hold, by name.
pub async fn all<E: LaneEngine + ?Sized>(open: &Open<E>) -> anyhow::Result<()> {
    promises! { open:
        lanes_begin_where_they_are_told,
        changes_are_kept,
        a_change_committed_twice_does_no_harm,
        the_next_claim_fences,
        a_deleted_lane_fences,
        looking_claims_nothing,
        burials_keep_their_event,
        a_revived_event_is_there_again,
        a_dropped_burial_is_gone,
        lanes_are_independent,
    }
    Ok(())
}

/// A change in which these events wait.
pub(super) fn waits(through: u64, seqs: &[u64]) -> LaneChange {
    let mut ranges: std::collections::BTreeMap<u64, Vec<(u64, DeviceKey)>> = Default::default();
    for seq in seqs {
        let range = ranges.entry(waiting::range_of(*seq)).or_default();
        range.push((*seq, DeviceKey(seq % 3)));
    }
    let encode = |(range, events): (u64, Vec<_>)| (range, Some(waiting::encode(range, &events)));
    LaneChange {
        routed_through: through,
        waiting: ranges.into_iter().map(encode).collect(),
        ..LaneChange::default()
    }
}

pub(super) fn burial(code: u16) -> Burial {
    Burial {
        at: time(50),
        code: Code::status(code),
        failures: 2,
    }
}

/// `Now` behind all that is there, `Oldest` before it; a lane that is there goes on where it was.
pub async fn lanes_begin_where_they_are_told<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bench.append(1..=3).await?;
    let engine = Arc::clone(bench.engine()?);
    let (_, now) = engine.claim("now", Start::Now).await?;
    ensure!(now.routed_through >= seqs[2]);
    let (_, oldest) = engine.claim("oldest", Start::Oldest).await?;
    ensure!(oldest.routed_through < seqs[0]);
    bench.append(4..=6).await?;
    let (_, again) = engine.claim("now", Start::Now).await?;
    ensure!(
        again.routed_through == now.routed_through,
        "it goes on where it was"
    );
    let mut names = engine.list().await?;
    names.sort();
    ensure!(names == ["now", "oldest"]);
    Ok(())
}

/// All of a change, over a restart.
pub async fn changes_are_kept<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bench.append(1..=20).await?;
    let (claim, _) = bench.claim("erp").await?;
    let hold = Hold::Parked {
        pause: Duration::from_secs(90),
        set_at: time(7),
        why: Parked::Probe,
    };
    let parked = HeldEvent {
        failures: 3,
        hold: Some(hold),
    };
    let suspended = HeldEvent {
        failures: 0,
        hold: Some(Hold::Suspended {
            code: Code::status(401),
        }),
    };
    let failed = HeldEvent {
        failures: 1,
        hold: None,
    };
    let held = vec![
        (seqs[0], Some(parked.clone())),
        (seqs[3], Some(suspended.clone())),
        (seqs[5], Some(failed)),
    ];
    let replay = Replay {
        number: 4,
        routed_through: seqs[1],
        through_seq: seqs[9],
        since: time(1),
        until: time(9),
    };
    let passed = OnceMark {
        route: "r".into(),
        key: [7; 16],
        id: id(2),
        received_at: time(2),
        until: time(99),
    };
    let attempt = Attempt {
        at: time(8),
        took: Duration::from_millis(5),
        result: AttemptResult::Retry,
        code: Code::word("timeout"),
    };
    let change = LaneChange {
        held,
        undecided: Some(vec![seqs[2]]),
        replays: Some(vec![replay]),
        passed: vec![passed.clone()],
        attempts: vec![(seqs[0], attempt)],
        ..waits(seqs[9], &[seqs[0], seqs[3], seqs[5]])
    };
    let mut kept = LaneState::default();
    kept.apply(change.clone());
    bench.engine()?.commit(&claim, change).await?;
    bench.reopen().await?;
    ensure!(
        bench.look("erp").await? == kept,
        "{:?}",
        bench.look("erp").await?
    );
    let (claim, state) = bench.claim("erp").await?;
    ensure!(state == kept);
    let later = LaneChange {
        held: vec![(seqs[0], None), (seqs[3], Some(parked))],
        undecided: Some(Vec::new()),
        replays: Some(Vec::new()),
        ..waits(seqs[19], &[seqs[3]])
    };
    kept.apply(later.clone());
    bench.engine()?.commit(&claim, later).await?;
    bench.reopen().await?;
    ensure!(
        bench.look("erp").await? == kept,
        "{:?}",
        bench.look("erp").await?
    );
    let (claim, _) = bench.claim("erp").await?;
    let empty = LaneChange {
        routed_through: seqs[19],
        waiting: vec![(waiting::range_of(seqs[3]), None)],
        held: vec![(seqs[3], None), (seqs[5], None)],
        ..LaneChange::default()
    };
    bench.engine()?.commit(&claim, empty).await?;
    let state = bench.look("erp").await?;
    ensure!(
        state.waiting.is_empty() && state.held.is_empty(),
        "{state:?}"
    );
    Ok(())
}

/// As after an answer that was lost.
pub async fn a_change_committed_twice_does_no_harm<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let (seqs, claim) = bench.three_for_erp().await?;
    let mut change = waits(seqs[2], &[seqs[1]]);
    change.burials = vec![(seqs[0], Some(burial(404)))];
    for _ in 0..2 {
        let buried = bench.engine()?.commit(&claim, change.clone()).await?;
        ensure!(buried == 1, "{buried}");
    }
    ensure!(bench.look("erp").await?.buried == 1);
    Ok(())
}

/// The one that held the lane before cannot change it any more.
pub async fn the_next_claim_fences<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let (seqs, first) = bench.three_for_erp().await?;
    bench.engine()?.commit(&first, waits(seqs[0], &[])).await?;
    let (second, _) = bench.claim("erp").await?;
    ensure!(second.epoch > first.epoch);
    let fenced = bench.engine()?.commit(&first, waits(seqs[2], &[])).await;
    ensure!(fenced == Err(CommitError::Fenced), "{fenced:?}");
    ensure!(bench.look("erp").await?.routed_through == seqs[0]);
    bench.engine()?.commit(&second, waits(seqs[1], &[])).await?;
    bench.reopen().await?;
    let (third, state) = bench.claim("erp").await?;
    ensure!(third.epoch > second.epoch, "also over a restart");
    ensure!(state.routed_through == seqs[1]);
    Ok(())
}

/// And its name may be used again, by a lane that begins anew.
pub async fn a_deleted_lane_fences<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let (seqs, claim) = bench.three_for_erp().await?;
    let mut change = waits(seqs[2], &[seqs[1]]);
    change.burials = vec![(seqs[0], Some(burial(404)))];
    bench.engine()?.commit(&claim, change.clone()).await?;
    ensure!(bench.engine()?.delete("erp").await?);
    ensure!(!bench.engine()?.delete("erp").await?);
    ensure!(bench.engine()?.look("erp").await?.is_none());
    let fenced = bench.engine()?.commit(&claim, change).await;
    ensure!(fenced == Err(CommitError::Fenced), "{fenced:?}");
    bench.reopen().await?;
    let (again, state) = bench.claim("erp").await?;
    ensure!(state.waiting.is_empty() && state.buried == 0, "{state:?}");
    ensure!(again.epoch > claim.epoch);
    Ok(())
}

/// Looking at a lane changes nothing for its owner.
pub async fn looking_claims_nothing<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    ensure!(bench.engine()?.look("erp").await?.is_none());
    let (claim, state) = bench.claim("erp").await?;
    ensure!(bench.look("erp").await? == state);
    bench.engine()?.commit(&claim, waits(7, &[])).await?;
    ensure!(bench.look("erp").await?.routed_through == 7);
    Ok(())
}

/// They are counted, over a restart.
pub async fn burials_keep_their_event<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let (seqs, claim) = bench.three_for_erp().await?;
    let change = LaneChange {
        burials: vec![(seqs[0], Some(burial(404))), (seqs[1], Some(burial(410)))],
        ..waits(seqs[2], &[])
    };
    ensure!(bench.engine()?.commit(&claim, change).await? == 2);
    bench.reopen().await?;
    ensure!(bench.look("erp").await?.buried == 2);
    Ok(())
}

/// It waits again, and can be fetched, as it was.
pub async fn a_revived_event_is_there_again<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let traced = traced(1, 1);
    let context = traced.trace_context.clone();
    let receipts = bench.append_events(vec![traced]).await?;
    let seq = receipts[0].seq().context("it is new")?;
    let (claim, _) = bench.claim("erp").await?;
    let change = LaneChange {
        burials: vec![(seq, Some(burial(404)))],
        ..waits(seq, &[])
    };
    bench.engine()?.commit(&claim, change).await?;
    let change = LaneChange {
        burials: vec![(seq, None)],
        ..waits(seq, &[seq])
    };
    ensure!(bench.engine()?.commit(&claim, change).await? == 0);
    bench.reopen().await?;
    let state = bench.look("erp").await?;
    ensure!(state.buried == 0 && state.waiting.len() == 1, "{state:?}");
    let fetched = bench.engine()?.fetch(vec![seq]).await?;
    let Some(entry) = &fetched[0] else {
        bail!("it is gone");
    };
    ensure!(entry.id == id(1) && entry.body.reveal() == event(1, 1).body.reveal());
    ensure!(entry.trace_context == context);
    Ok(())
}

/// For good.
pub async fn a_dropped_burial_is_gone<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let (seqs, claim) = bench.three_for_erp().await?;
    let change = LaneChange {
        burials: vec![(seqs[0], Some(burial(404))), (seqs[1], Some(burial(404)))],
        ..waits(seqs[2], &[])
    };
    bench.engine()?.commit(&claim, change).await?;
    let change = LaneChange {
        dropped: vec![seqs[0]],
        ..waits(seqs[2], &[])
    };
    ensure!(bench.engine()?.commit(&claim, change).await? == 1);
    bench.reopen().await?;
    ensure!(bench.look("erp").await?.buried == 1);
    Ok(())
}

/// What one holds does not concern another.
pub async fn lanes_are_independent<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let (seqs, erp) = bench.three_for_erp().await?;
    let (bus, _) = bench.claim("bus").await?;
    bench
        .engine()?
        .commit(&erp, waits(seqs[2], &[seqs[0]]))
        .await?;
    bench.engine()?.commit(&bus, waits(seqs[1], &[])).await?;
    ensure!(bench.look("erp").await?.waiting.len() == 1);
    ensure!(bench.look("bus").await?.waiting.is_empty());
    ensure!(bench.engine()?.delete("bus").await?);
    let waits_on: Option<Bytes> = bench
        .look("erp")
        .await?
        .waiting
        .pop()
        .map(|(_, bytes)| bytes);
    ensure!(waits_on.is_some());
    Ok(())
}

//! Lanes: where they begin, what they hand out, how they stand.

use anyhow::{Context as _, ensure};
use faceway_core::{Passed, Settled, Settlement, Start};

use super::{Bench, alone, bury, id, numbers, time};

/// `Now` begins with later events, `Oldest` with those that are kept; `start` counts for a new lane only.
pub async fn lanes_begin_where_they_are_told(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bench.fill(&[(1, 1), (2, 2)]).await?;
    let now = bench.spool()?.open_lane("now", Start::Now).await?;
    let oldest = bench.lane("oldest").await?;
    ensure!(now != oldest);
    bench.fill(&[(3, 1)]).await?;
    ensure!(bench.take(now, 10, time(9)).await? == [3]);
    ensure!(bench.take(oldest, 10, time(9)).await? == [1, 2, 3]);
    let again = bench.spool()?.open_lane("now", Start::Oldest).await?;
    ensure!(again == now && bench.take(now, 10, time(9)).await? == [3]);
    bench.reopen().await?;
    let now = bench.lane("now").await?;
    ensure!(bench.take(now, 10, time(9)).await? == [3]);
    Ok(())
}

/// Lowest first, each once until it is settled, and an empty list when nothing is due.
pub async fn leases_last_until_settled(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    ensure!(bench.take(lane, 10, time(0)).await?.is_empty());
    let events: Vec<(u64, u64)> = (0..1000).map(|n| (n, n % 7)).collect();
    bench.fill(&events).await?;
    ensure!(bench.lease(lane, 0, time(0)).await?.is_empty());
    let mut all = Vec::new();
    loop {
        let leases = bench.lease(lane, 33, time(2000)).await?;
        if leases.is_empty() {
            break;
        }
        all.extend(numbers(&leases));
        if all.len() % 2 == 0 {
            bench.done(lane, &leases)?;
        }
    }
    ensure!(
        all == (0..1000).collect::<Vec<u64>>(),
        "{} handed out",
        all.len()
    );
    Ok(())
}

/// What one lane does is nothing to another.
pub async fn lanes_are_independent(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (erp, bus) = (bench.lane("erp").await?, bench.lane("bus").await?);
    bench.fill(&[(1, 1), (2, 1)]).await?;
    let leases = bench.lease(erp, 1, time(3)).await?;
    bench.settle(erp, leases.first().context("leased")?, alone(time(1000)))?;
    ensure!(bench.take(erp, 9, time(4)).await?.is_empty());
    ensure!(bench.take(bus, 9, time(4)).await? == [1, 2]);
    Ok(())
}

/// Opening a lane again gives back what was leased, with what is known of it.
pub async fn opening_again_gives_back(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1), (2, 2), (3, 3)]).await?;
    let leases = bench.lease(lane, 9, time(4)).await?;
    bench.settle(lane, &leases[1], Settled::Done)?;
    bench.settle(lane, &leases[2], alone(time(5)))?;
    ensure!(bench.take(lane, 9, time(5)).await? == [3]);
    ensure!(bench.lane("erp").await? == lane);
    let again = bench.lease(lane, 9, time(5)).await?;
    ensure!(numbers(&again) == [1, 3]);
    ensure!((again[0].failures, again[0].routed) == (0, false));
    ensure!((again[1].failures, again[1].routed) == (1, true));
    Ok(())
}

/// After a restart everything unsettled comes again, and nothing that was settled.
pub async fn what_was_not_settled_comes_again(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    let events: Vec<(u64, u64)> = (0..600).map(|n| (n, n)).collect();
    bench.fill(&events).await?;
    let leases = bench.lease(lane, 100, time(900)).await?;
    let odd: Vec<_> = leases
        .iter()
        .filter(|lease| lease.seq % 2 == 1)
        .cloned()
        .collect();
    bench.done(lane, &odd)?;
    bench.reopen().await?;
    let lane = bench.lane("erp").await?;
    let done = numbers(&odd);
    let mut expected: Vec<u64> = (0..600).filter(|n| !done.contains(n)).collect();
    let mut again = Vec::new();
    while again.len() < expected.len() {
        let taken = bench.take(lane, 64, time(900)).await?;
        ensure!(
            !taken.is_empty(),
            "{} of {} came again",
            again.len(),
            expected.len()
        );
        again.extend(taken);
    }
    again.sort_unstable();
    expected.sort_unstable();
    ensure!(again == expected && bench.take(lane, 64, time(900)).await?.is_empty());
    Ok(())
}

/// A settlement of what is not leased changes nothing.
pub async fn settlements_of_others_are_void(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1), (2, 1)]).await?;
    let lease = bench
        .lease(lane, 1, time(4))
        .await?
        .pop()
        .context("leased")?;
    let void = [lease.seq + 1, lease.seq + 1000].map(|seq| Settlement {
        seq,
        outcome: Settled::Done,
        attempt: None,
    });
    bench.spool()?.settle(lane, void.into());
    bench.settle(lane, &lease, Settled::Done)?;
    bench.settle(lane, &lease, bury("late"))?;
    ensure!(bench.spool()?.survey(lane, time(4)).await?.buried == 0);
    ensure!(bench.take(lane, 9, time(4)).await? == [2]);
    Ok(())
}

/// A survey tells a sequence number below which nothing waits.
pub async fn surveys_tell_where_the_rest_begins(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    let first = async |bench: &Bench<'_>| {
        let survey = bench.spool()?.survey(lane, time(9)).await?;
        anyhow::Ok((survey.backlog, survey.first))
    };
    ensure!(first(bench).await? == (0, None));
    bench.fill(&[(1, 1), (2, 2), (3, 1), (4, 3)]).await?;
    let (_, begin) = first(bench).await?;
    let leases = bench.lease(lane, 3, time(9)).await?;
    let seqs: Vec<u64> = leases.iter().map(|lease| lease.seq).collect();
    ensure!(begin.is_some_and(|begin| begin <= seqs[0]), "{begin:?}");
    // Whatever was settled before it: what is leased, parked or behind counts.
    bench.settle(lane, &leases[1], Settled::Done)?;
    ensure!(first(bench).await? == (3, Some(seqs[0])), "leased");
    bench.settle(lane, &leases[0], alone(time(50)))?;
    bench.settle(lane, &leases[2], Settled::Release)?;
    for _ in 0..2 {
        ensure!(first(bench).await? == (3, Some(seqs[0])), "parked");
        bench.reopen().await?;
        bench.lane("erp").await?;
    }
    let leases = bench.lease(lane, 1, time(50)).await?;
    bench.settle(lane, &leases[0], bury("404"))?;
    ensure!(
        first(bench).await? == (2, Some(seqs[2])),
        "behind, and now free"
    );
    let leases = bench.lease(lane, 1, time(50)).await?;
    bench.done(lane, &leases)?;
    let (backlog, begin) = first(bench).await?;
    ensure!(
        backlog == 1 && begin.is_some_and(|begin| begin > seqs[2]),
        "unread: {begin:?}"
    );
    // What comes once more is before it.
    let (since, until) = (time(2), time(4));
    bench.spool()?.replay("erp".into(), since, until).await?;
    let (backlog, begin) = first(bench).await?;
    ensure!(
        backlog == 3 && begin.is_some_and(|begin| begin <= seqs[1]),
        "replayed: {begin:?}"
    );
    Ok(())
}

/// A survey counts what is not through.
pub async fn surveys_count(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    let survey = bench.spool()?.survey(lane, time(0)).await?;
    ensure!(survey == Default::default(), "{survey:?}");
    bench
        .fill(&[(1, 1), (2, 1), (3, 1), (4, 2), (5, 3), (6, 4)])
        .await?;
    let leases = bench.lease(lane, 5, time(9)).await?;
    bench.settle(lane, &leases[0], alone(time(50)))?;
    bench.settle(lane, &leases[1], Settled::Release)?;
    bench.settle(lane, &leases[2], Settled::Release)?;
    bench.settle(lane, &leases[3], bury("404"))?;
    bench.settle(lane, &leases[4], Settled::Done)?;
    for _ in 0..2 {
        let survey = bench.spool()?.survey(lane, time(9)).await?;
        // 1 parked, 2 and 3 behind it, 6 unread.
        ensure!(
            (survey.backlog, survey.parked, survey.buried) == (4, 1, 1),
            "{survey:?}"
        );
        ensure!(
            survey.oldest == Some(time(1)) && survey.next_due == Some(time(50)),
            "{survey:?}"
        );
        bench.reopen().await?;
        ensure!(
            bench.lane("erp").await? == lane,
            "a lane has another handle after opening again"
        );
    }
    let leases = bench.lease(lane, 9, time(50)).await?;
    bench.done(lane, &leases)?;
    let leases = bench.lease(lane, 9, time(50)).await?;
    bench.done(lane, &leases)?;
    let survey = bench.spool()?.survey(lane, time(9)).await?;
    ensure!(
        (survey.backlog, survey.oldest, survey.next_due) == (0, None, None),
        "{survey:?}"
    );
    Ok(())
}

/// What the rules let pass is remembered lane by lane, at once and for ever until it silences nothing any more.
pub async fn what_passed_is_remembered(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (erp, other) = (bench.lane("erp").await?, bench.lane("other").await?);
    let passed = |n: u64, until: u64| Passed {
        route: format!("route {}", n % 2),
        key: [n as u8; 16],
        id: id(n),
        received_at: time(n),
        until: time(until),
    };
    // An event that waits keeps what may silence it.
    bench.fill(&[(1, 1), (2, 2)]).await?;
    let spool = bench.spool()?;
    ensure!(spool.remembered(erp).await?.is_empty());
    spool.remember(erp, vec![passed(1, 4_000_000), passed(2, 3_000_000)]);
    spool.remember(erp, vec![passed(3, 5_000_000), passed(1, 4_000_000)]);
    spool.remember(other, vec![passed(4, 3_000_000)]);
    let ours = [
        passed(2, 3_000_000),
        passed(1, 4_000_000),
        passed(3, 5_000_000),
    ];
    for _ in 0..2 {
        let spool = bench.spool()?;
        ensure!(
            spool.remembered(erp).await? == ours,
            "the earliest first, each once"
        );
        ensure!(spool.remembered(other).await? == [passed(4, 3_000_000)]);
        bench.reopen().await?;
    }
    let spool = bench.spool()?;
    ensure!(spool.drop_lane("other".into()).await?);
    let other = bench.lane("other").await?;
    ensure!(
        spool.remembered(other).await?.is_empty(),
        "it went with its lane"
    );
    Ok(())
}

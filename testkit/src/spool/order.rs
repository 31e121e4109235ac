//! The order of a device, and what parking does to it.

use anyhow::{Context as _, ensure};
use faceway_core::{Parked, Settled};

use super::{Bench, alone, bury, numbers, time};

/// A released event comes again before later ones of its device, and nothing is counted.
pub async fn released_comes_first(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1), (2, 1), (3, 2), (4, 1)]).await?;
    let leases = bench.lease(lane, 3, time(9)).await?;
    ensure!(numbers(&leases) == [1, 2, 3]);
    bench.settle(lane, &leases[1], Settled::Release)?;
    bench.settle(lane, &leases[0], Settled::Release)?;
    let again = bench.lease(lane, 1, time(9)).await?;
    ensure!(numbers(&again) == [1] && again[0].failures == 0 && !again[0].routed);
    ensure!(bench.take(lane, 9, time(9)).await? == [2, 4]);
    Ok(())
}

/// Behind a parked event its device waits; the others go on. When it is due it comes again, counted and routed.
pub async fn parked_blocks_its_device_only(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1), (2, 1), (3, 2)]).await?;
    let leases = bench.lease(lane, 1, time(9)).await?;
    bench.settle(lane, &leases[0], alone(time(20)))?;
    ensure!(bench.take(lane, 9, time(10)).await? == [3]);
    bench.fill(&[(4, 1), (5, 3)]).await?;
    ensure!(bench.take(lane, 9, time(19)).await? == [5]);
    let mut failures = 0;
    for round in 0..3 {
        let now = time(20 + round * 10);
        let due = bench.lease(lane, 1, now).await?.pop().context("due")?;
        failures += 1;
        ensure!((super::number(due.id), due.failures, due.routed) == (1, failures, true));
        bench.settle(lane, &due, alone(time(30 + round * 10)))?;
        ensure!(bench.take(lane, 9, now).await?.is_empty());
    }
    Ok(())
}

/// When the parked event is through, those behind it follow in their order, before later ones.
pub async fn behind_follow_in_order(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1)]).await?;
    let leases = bench.lease(lane, 1, time(1)).await?;
    bench.settle(lane, &leases[0], alone(time(5000)))?;
    let events: Vec<(u64, u64)> = (2..500).map(|n| (n, n % 2)).collect();
    bench.fill(&events).await?;
    while !bench.take(lane, 64, time(600)).await?.is_empty() {}
    let head = bench
        .lease(lane, 1, time(5000))
        .await?
        .pop()
        .context("due")?;
    bench.settle(lane, &head, Settled::Done)?;
    bench.fill(&[(501, 1)]).await?;
    let mut got = Vec::new();
    loop {
        let leases = bench.lease(lane, 50, time(5000)).await?;
        if leases.is_empty() {
            break;
        }
        got.extend(numbers(&leases));
        bench.done(lane, &leases)?;
    }
    let expected: Vec<u64> = (3..=501).filter(|n| n % 2 == 1).collect();
    ensure!(got == expected, "{got:?}");
    Ok(())
}

/// Events of one device that were leased together: one parks, those behind are released, and wait.
pub async fn parked_again_sends_back(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench
        .fill(&[(1, 1), (2, 1), (3, 1), (4, 1), (5, 2)])
        .await?;
    let leases = bench.lease(lane, 5, time(9)).await?;
    bench.settle(lane, &leases[0], Settled::Done)?;
    // Released before the one in front of them is parked: the order of settlements is the holder's.
    bench.settle(lane, &leases[2], Settled::Release)?;
    bench.settle(lane, &leases[1], alone(time(20)))?;
    bench.settle(lane, &leases[3], Settled::Release)?;
    ensure!(bench.take(lane, 9, time(10)).await?.is_empty());
    bench.reopen().await?;
    let lane = bench.lane("erp").await?;
    ensure!(bench.take(lane, 9, time(10)).await? == [5]);
    let head = bench.lease(lane, 1, time(20)).await?;
    ensure!(numbers(&head) == [2] && head[0].failures == 1);
    bench.done(lane, &head)?;
    let rest = bench.lease(lane, 9, time(20)).await?;
    ensure!(numbers(&rest) == [3, 4] && rest.iter().all(|lease| lease.failures == 0));
    Ok(())
}

/// The probe of an outage is parked without being counted, and comes when the outage is over.
pub async fn probes_count_nothing_and_wake(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1), (2, 2), (3, 1)]).await?;
    let leases = bench.lease(lane, 2, time(9)).await?;
    let probe = Settled::Park {
        until: time(9000),
        why: Parked::Probe,
    };
    bench.settle(lane, &leases[0], probe)?;
    bench.settle(lane, &leases[1], alone(time(8000)))?;
    ensure!(bench.take(lane, 9, time(100)).await?.is_empty());
    bench.spool()?.wake(lane);
    let woken = bench.lease(lane, 9, time(100)).await?;
    ensure!(numbers(&woken) == [1] && woken[0].failures == 0 && woken[0].routed);
    bench.done(lane, &woken)?;
    ensure!(bench.take(lane, 9, time(100)).await? == [3]);
    ensure!(bench.take(lane, 9, time(8000)).await? == [2]);
    Ok(())
}

/// Parked events and those behind them are the same after a restart.
pub async fn parked_survives(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1), (2, 1), (3, 2)]).await?;
    let leases = bench.lease(lane, 9, time(9)).await?;
    bench.settle(lane, &leases[0], alone(time(50)))?;
    bench.settle(lane, &leases[1], Settled::Release)?;
    bench.settle(lane, &leases[2], Settled::Done)?;
    for _ in 0..3 {
        bench.reopen().await?;
        let lane = bench.lane("erp").await?;
        ensure!(bench.take(lane, 9, time(49)).await?.is_empty());
        let due = bench.lease(lane, 1, time(50)).await?;
        ensure!(numbers(&due) == [1] && due[0].failures == 1 && due[0].routed);
    }
    Ok(())
}

/// A buried event blocks nobody.
pub async fn buried_lets_go_on(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1), (2, 1), (3, 1)]).await?;
    let head = bench.lease(lane, 1, time(9)).await?;
    bench.settle(lane, &head[0], alone(time(20)))?;
    ensure!(bench.take(lane, 9, time(10)).await?.is_empty());
    let head = bench.lease(lane, 1, time(20)).await?;
    bench.settle(lane, &head[0], bury("500"))?;
    let rest = bench.lease(lane, 9, time(20)).await?;
    ensure!(numbers(&rest) == [2, 3]);
    ensure!(bench.spool()?.survey(lane, time(20)).await?.buried == 1);
    Ok(())
}

/// Thousands of events behind a parked one do not keep the other devices' from being handed out.
pub async fn a_blocked_device_holds_up_nobody(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(0, 1)]).await?;
    let head = bench.lease(lane, 1, time(1)).await?;
    bench.settle(lane, &head[0], alone(time(90_000)))?;
    let mut others = Vec::new();
    for group in 0..20_u64 {
        let numbers = 1 + group * 500..501 + group * 500;
        let events: Vec<(u64, u64)> = numbers
            .map(|n| (n, if n % 100 == 0 { 2 } else { 1 }))
            .collect();
        bench.fill(&events).await?;
    }
    loop {
        let leases = bench.lease(lane, 16, time(20_000)).await?;
        if leases.is_empty() {
            break;
        }
        others.extend(numbers(&leases));
        bench.done(lane, &leases)?;
    }
    ensure!(
        others == (1..=100).map(|n| n * 100).collect::<Vec<u64>>(),
        "{others:?}"
    );
    let survey = bench.spool()?.survey(lane, time(20_000)).await?;
    ensure!((survey.backlog, survey.parked) == (9901, 1), "{survey:?}");
    Ok(())
}

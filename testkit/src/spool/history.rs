//! The promises of the history.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use faceway_core::{
    AttemptResult, Batch, BuriedBody, BuriedChoice, LaneChange, NewUnreadable, Page, Private,
};

use super::lanes::{burial, waits};
use super::{Bench, Engine, Open, attempt, body, event, id, number, promises, time};

/// Every promise, one after another.
///
/// # Errors
/// The first that does not hold, by name.
pub async fn all<E: Engine + ?Sized>(open: &Open<E>) -> anyhow::Result<()> {
    promises! { open:
        buried_are_listed,
        buried_are_found_by_lane_and_id,
        dropped_burials_are_not_shown,
        traces_tell_everything,
        unreadable_is_kept,
    }
    Ok(())
}

/// Three events that two lanes buried; gives their sequence numbers.
async fn bury_three<E: Engine + ?Sized>(bench: &Bench<'_, E>) -> anyhow::Result<Vec<u64>> {
    let seqs = bench.append(1..=3).await?;
    for name in ["erp", "bus"] {
        let (claim, _) = bench.claim(name).await?;
        for seq in &seqs {
            let change = LaneChange {
                burials: vec![(*seq, Some(burial(422)))],
                ..waits(seqs[2], &[])
            };
            bench.engine()?.commit(&claim, change).await?;
        }
    }
    Ok(seqs)
}

/// Buried events are listed newest first, page by page, and each is shown whole.
pub async fn buried_are_listed<E: Engine + ?Sized>(bench: &mut Bench<'_, E>) -> anyhow::Result<()> {
    bury_three(bench).await?;
    for _ in 0..2 {
        let engine = bench.engine()?;
        let of_bus = || Some("bus".to_owned());
        let list = engine.buried(of_bus(), Page::first(2)).await?;
        let listed: Vec<u64> = list.iter().map(|buried| number(buried.id)).collect();
        ensure!(listed == [3, 2], "{listed:?}");
        let last = list.first().context("listed")?;
        ensure!((&*last.lane, last.code.as_str(), last.failures) == ("bus", "422", 2));
        ensure!((last.received_at, last.buried_at) == (time(3), time(50)));
        let before = Some(list.last().context("listed")?.number);
        let rest = engine.buried(of_bus(), Page { before, max: 9 }).await?;
        let rest: Vec<u64> = rest.iter().map(|buried| number(buried.id)).collect();
        ensure!(rest == [1], "{rest:?}");
        let whole = engine.buried_event(id(3), None).await?;
        let lanes: Vec<&str> = whole.iter().map(|whole| &*whole.entry.lane).collect();
        ensure!(lanes == ["bus", "erp"], "{lanes:?}");
        let alike = |whole: &BuriedBody| whole.body.reveal()[..] == *body(3).as_bytes();
        ensure!(whole.iter().all(alike));
        ensure!(engine.buried_event(id(3), of_bus()).await?.len() == 1);
        ensure!(engine.buried_event(id(99), None).await?.is_empty());
        ensure!(engine.buried(None, Page::first(99)).await?.len() == 6);
        let unknown = engine.buried(Some("unknown".into()), Page::first(99));
        ensure!(unknown.await?.is_empty());
        bench.reopen().await?;
    }
    Ok(())
}

/// The place of each is told, ascending in its lane, so that its owner can revive or drop it.
pub async fn buried_are_found_by_lane_and_id<E: Engine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bury_three(bench).await?;
    let places = async |lane: Option<&str>, ids: Option<Vec<u64>>| -> anyhow::Result<Vec<_>> {
        let which = BuriedChoice {
            lane: lane.map(str::to_owned),
            ids: ids.map(|ids| ids.into_iter().map(id).collect()),
        };
        let places = bench.engine()?.buried_places(which).await?;
        let places = places.into_iter();
        let place = places.map(|place| (place.lane, place.seq, place.device.0));
        Ok(place.collect())
    };
    let all = places(None, None).await?;
    ensure!(
        all.len() == 6 && all.is_sorted_by_key(|(lane, seq, _)| (lane.clone(), *seq)),
        "{all:?}"
    );
    let of = |lane: &str, n: usize| (lane.to_owned(), seqs[n - 1], n as u64 % 3);
    let of_bus = places(Some("bus"), None).await?;
    ensure!(
        of_bus == [of("bus", 1), of("bus", 2), of("bus", 3)],
        "{of_bus:?}"
    );
    let some = places(Some("erp"), Some(vec![3, 1, 77])).await?;
    ensure!(some == [of("erp", 1), of("erp", 3)], "{some:?}");
    let none = places(Some("unknown"), None).await?;
    ensure!(none.is_empty());
    Ok(())
}

/// What was dropped or waits again is buried no more.
pub async fn dropped_burials_are_not_shown<E: Engine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bury_three(bench).await?;
    let (claim, _) = bench.claim("erp").await?;
    let change = LaneChange {
        burials: vec![(seqs[1], None)],
        dropped: vec![seqs[0]],
        ..waits(seqs[2], &[seqs[1]])
    };
    ensure!(bench.engine()?.commit(&claim, change).await? == 1);
    let engine = bench.engine()?;
    let list = engine.buried(Some("erp".into()), Page::first(9)).await?;
    let listed: Vec<u64> = list.iter().map(|buried| number(buried.id)).collect();
    ensure!(listed == [3], "{listed:?}");
    ensure!(engine.delete("erp").await?);
    let list = engine.buried(None, Page::first(9)).await?;
    ensure!(list.len() == 3 && list.iter().all(|buried| buried.lane == "bus"));
    Ok(())
}

/// A trace has the event, and for each lane that touched it whether it is buried there, and every attempt.
pub async fn traces_tell_everything<E: Engine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bench.append(1..=3).await?;
    let failed = attempt(time(10), AttemptResult::Retry, "500");
    let given_up = attempt(time(21), AttemptResult::Buried, "422");
    let delivered = attempt(time(11), AttemptResult::Delivered, "200");
    let (erp, _) = bench.claim("erp").await?;
    let (bus, _) = bench.claim("bus").await?;
    bench.claim("idle").await?;
    let change = LaneChange {
        attempts: vec![(seqs[0], failed.clone()), (seqs[0], given_up.clone())],
        burials: vec![(seqs[0], Some(burial(422)))],
        ..waits(seqs[2], &[seqs[1]])
    };
    bench.engine()?.commit(&erp, change).await?;
    let change = LaneChange {
        attempts: vec![(seqs[0], delivered.clone())],
        ..waits(seqs[2], &[])
    };
    bench.engine()?.commit(&bus, change).await?;
    bench.reopen().await?;
    let trace = bench.engine()?.trace(id(1)).await?.context("known")?;
    ensure!((trace.seq, trace.received_at) == (seqs[0], time(1)));
    ensure!(trace.body.reveal()[..] == *body(1).as_bytes());
    ensure!(trace.lanes.len() == 2, "{:?}", trace.lanes);
    for lane in &trace.lanes {
        let is_buried = lane.lane == "erp";
        ensure!((lane.is_buried, lane.is_deleted) == (is_buried, false));
        let told = if is_buried {
            vec![failed.clone(), given_up.clone()]
        } else {
            vec![delivered.clone()]
        };
        ensure!(lane.attempts == told, "{:?}", lane.attempts);
    }
    let untouched = bench.engine()?.trace(id(2)).await?.context("known")?;
    ensure!(untouched.lanes.is_empty(), "{:?}", untouched.lanes);
    ensure!(bench.engine()?.trace(id(99)).await?.is_none());
    // What a lane did is told when it is gone, and when another of its name is there.
    ensure!(bench.engine()?.delete("bus").await?);
    bench.claim("bus").await?;
    let trace = bench.engine()?.trace(id(1)).await?.context("known")?;
    let told = trace.lanes.iter().filter(|lane| lane.lane == "bus");
    let told: Vec<_> = told
        .map(|lane| (lane.is_deleted, lane.attempts.len()))
        .collect();
    ensure!(told == [(true, 1)], "{told:?}");
    Ok(())
}

fn unreadable(n: u64) -> NewUnreadable {
    NewUnreadable {
        inbound: format!("gate-{n}"),
        received_at: time(n),
        reason: "not JSON".into(),
        headers: Private::new("{\"sn\":\"TEST\"}".into()),
        body: Private::new(Bytes::from(vec![n as u8; 50])),
    }
}

/// Unreadable bodies are kept raw, listed newest first without bodies, and dropped.
pub async fn unreadable_is_kept<E: Engine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let batch = Batch {
        events: vec![event(1, 1)],
        unreadable: (0..5).map(unreadable).collect(),
        ..Batch::default()
    };
    ensure!(bench.engine()?.append(batch).await?.len() == 1);
    bench.reopen().await?;
    let engine = bench.engine()?;
    ensure!(engine.capacity().await?.quarantined == 5);
    let list = engine.quarantine(Page::first(3)).await?;
    let inbounds: Vec<&str> = list.iter().map(|entry| &*entry.inbound).collect();
    ensure!(inbounds == ["gate-4", "gate-3", "gate-2"], "{inbounds:?}");
    let first = list.first().context("listed")?;
    ensure!((first.bytes, first.received_at, &*first.reason) == (50, time(4), "not JSON"));
    let page = Page {
        before: list.last().map(|entry| entry.number),
        max: 9,
    };
    let rest = engine.quarantine(page).await?;
    let inbounds: Vec<&str> = rest.iter().map(|entry| &*entry.inbound).collect();
    ensure!(inbounds == ["gate-1", "gate-0"], "{inbounds:?}");
    let whole = engine.quarantined(first.number).await?.context("kept")?;
    ensure!(whole.body.reveal()[..] == [4; 50] && whole.entry.headers.reveal().contains("sn"));
    let chosen = vec![first.number, u64::MAX >> 1];
    ensure!(engine.drop_quarantined(Some(chosen)).await? == 1);
    ensure!(engine.quarantined(first.number).await?.is_none());
    ensure!(engine.drop_quarantined(None).await? == 4);
    ensure!(engine.capacity().await?.quarantined == 0);
    ensure!(engine.quarantine(Page::first(9)).await?.is_empty());
    Ok(())
}

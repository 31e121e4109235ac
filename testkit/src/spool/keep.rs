//! What is kept, and how it is told.

use std::future::poll_fn;
use std::task::Poll;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use faceway_core::{
    Batch, BuriedChoice, NewEvent, NewUnreadable, Page, Picture, Private, Receipt, Sha256, Start,
    TraceContext,
};

use super::{Bench, another_id, bury, event, id, time};

/// One receipt for each event, in their order, with rising numbers.
pub async fn receipts_ascend(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut last = 0;
    for group in 0..5 {
        let events = (0..10).map(|n| event(group * 10 + n, n % 3)).collect();
        let receipts = bench.append(events).await?;
        ensure!(receipts.len() == 10);
        for receipt in receipts {
            let Receipt::Appended(seq) = receipt else {
                anyhow::bail!("a new event is taken for a duplicate");
            };
            ensure!(seq > last, "numbers go back");
            last = seq;
        }
        bench.reopen().await?;
    }
    Ok(())
}

/// Nothing to keep is kept at once.
pub async fn empty_batches_are_fine(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    ensure!(bench.append(Vec::new()).await?.is_empty());
    Ok(())
}

/// A known id is not kept again: not in one batch, not later, not after opening again.
pub async fn duplicates_are_kept_once(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    let receipts = bench
        .append(vec![event(1, 1), event(2, 1), event(1, 1)])
        .await?;
    ensure!(matches!(
        receipts[..],
        [
            Receipt::Appended(_),
            Receipt::Appended(_),
            Receipt::Duplicate
        ]
    ));
    ensure!(bench.append(vec![event(2, 1)]).await? == [Receipt::Duplicate]);
    let leases = bench.lease(lane, 10, time(9)).await?;
    ensure!(leases.len() == 2);
    bench.done(lane, &leases)?;
    bench.reopen().await?;
    let receipts = bench
        .append(vec![event(3, 1), event(1, 1), event(2, 1)])
        .await?;
    ensure!(matches!(
        receipts[..],
        [Receipt::Appended(_), Receipt::Duplicate, Receipt::Duplicate]
    ));
    let lane = bench.lane("erp").await?;
    ensure!(bench.take(lane, 10, time(9)).await? == [3]);
    Ok(())
}

/// Of equal events that come at the same time exactly one is kept.
pub async fn duplicates_at_the_same_time_are_kept_once(
    bench: &mut Bench<'_>,
) -> anyhow::Result<()> {
    let mut tasks = Vec::new();
    for n in 0..40 {
        let spool = bench.spool()?.clone();
        let events = vec![event(n % 4, 1)];
        tasks.push(tokio::spawn(async move {
            let batch = Batch {
                events,
                ..Batch::default()
            };
            spool.append(batch).await
        }));
    }
    let mut kept = 0;
    for task in tasks {
        kept += usize::from(task.await?? != [Receipt::Duplicate]);
    }
    ensure!(kept == 4, "{kept} of 4 kept");
    Ok(())
}

/// An event whose record is known with another content is kept, and told apart from one whose record is new; each of both
/// is recognised when it comes again.
pub async fn another_content_of_a_record_is_a_conflict(
    bench: &mut Bench<'_>,
) -> anyhow::Result<()> {
    let another = |content| NewEvent {
        id: another_id(1, content),
        ..event(1, 1)
    };
    let receipts = bench.append(vec![event(1, 1), another(1)]).await?;
    ensure!(
        matches!(receipts[..], [Receipt::Appended(_), Receipt::Conflict(_)]),
        "{receipts:?}"
    );
    bench.reopen().await?;
    let receipts = bench
        .append(vec![another(2), event(1, 1), another(1), event(2, 1)])
        .await?;
    let [
        Receipt::Conflict(_),
        Receipt::Duplicate,
        Receipt::Duplicate,
        Receipt::Appended(_),
    ] = receipts[..]
    else {
        anyhow::bail!("{receipts:?}");
    };
    Ok(())
}

/// The newest of each record is told, also after opening again, and nothing of a record that is not known.
pub async fn the_newest_of_a_record_is_known(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let asked = vec![id(1).record(), id(9).record(), id(2).record()];
    ensure!(bench.spool()?.newest_of(asked.clone()).await? == [None, None, None]);
    let another = NewEvent {
        id: another_id(1, 1),
        ..event(1, 1)
    };
    let receipts = bench
        .append(vec![event(1, 1), event(2, 1), another])
        .await?;
    let seqs: Vec<u64> = receipts.into_iter().filter_map(Receipt::seq).collect();
    for _ in 0..2 {
        let newest = bench.spool()?.newest_of(asked.clone()).await?;
        let told = newest
            .iter()
            .map(|newest| newest.map(|known| (known.seq, known.id)));
        let told: Vec<_> = told.collect();
        ensure!(
            told == [
                Some((seqs[2], another_id(1, 1))),
                None,
                Some((seqs[1], id(2)))
            ],
            "{told:?}"
        );
        bench.reopen().await?;
    }
    Ok(())
}

/// A trace context comes back with its event and with no other: at once, after opening again, and when the event was buried
/// and revived.
pub async fn a_trace_context_comes_back_with_its_event(
    bench: &mut Bench<'_>,
) -> anyhow::Result<()> {
    let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nvendor=1";
    let context = TraceContext::stored(context);
    let traced = NewEvent {
        trace_context: context.clone(),
        ..event(2, 2)
    };
    let lane = bench.lane("erp").await?;
    bench.append(vec![event(1, 1), traced, event(3, 3)]).await?;
    for _ in 0..2 {
        let leases = bench.lease(lane, 10, time(9)).await?;
        let kept = leases.iter().map(|lease| lease.trace_context.clone());
        let kept: Vec<_> = kept.collect();
        ensure!(kept == [None, context.clone(), None], "{kept:?}");
        bench.reopen().await?;
        bench.lane("erp").await?;
    }
    for lease in bench.lease(lane, 10, time(9)).await? {
        bench.settle(lane, &lease, bury("400"))?;
    }
    bench.reopen().await?;
    let lane = bench.lane("erp").await?;
    bench.spool()?.revive(BuriedChoice::default()).await?;
    let leases = bench.lease(lane, 10, time(9)).await?;
    let revived = leases.iter().find(|lease| lease.id == id(2));
    ensure!(revived.context("it comes again")?.trace_context == context);
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
pub async fn unreadable_is_kept(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let batch = Batch {
        events: vec![event(1, 1)],
        unreadable: (0..5).map(unreadable).collect(),
        ..Batch::default()
    };
    ensure!(bench.spool()?.append(batch).await?.len() == 1);
    bench.reopen().await?;
    let spool = bench.spool()?;
    ensure!(spool.room().quarantined == 5);
    let list = spool.quarantine(Page::first(3)).await?;
    let inbounds: Vec<&str> = list.iter().map(|entry| &*entry.inbound).collect();
    ensure!(inbounds == ["gate-4", "gate-3", "gate-2"], "{inbounds:?}");
    let first = list.first().context("listed")?;
    ensure!((first.bytes, first.received_at, &*first.reason) == (50, time(4), "not JSON"));
    let page = Page {
        before: list.last().map(|entry| entry.number),
        max: 9,
    };
    let rest = spool.quarantine(page).await?;
    let inbounds: Vec<&str> = rest.iter().map(|entry| &*entry.inbound).collect();
    ensure!(inbounds == ["gate-1", "gate-0"], "{inbounds:?}");
    let whole = spool.quarantined(first.number).await?.context("kept")?;
    ensure!(whole.body.reveal()[..] == [4; 50] && whole.entry.headers.reveal().contains("sn"));
    ensure!(
        spool
            .drop_quarantined(Some(vec![first.number, u64::MAX >> 1]))
            .await?
            == 1
    );
    ensure!(spool.quarantined(first.number).await?.is_none());
    ensure!(spool.drop_quarantined(None).await? == 4);
    ensure!(spool.room().quarantined == 0 && spool.quarantine(Page::first(9)).await?.is_empty());
    Ok(())
}

/// Pictures are there when the batch is, under their digest, also when they come again.
pub async fn pictures_are_kept(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let bytes = |n: u8| Bytes::from(vec![n; 10_000]);
    for n in [1_u8, 2, 1] {
        let sha256 = Sha256::of(&bytes(n));
        let number = bench.spool()?.quarantine(Page::first(1)).await?.len() as u64 + u64::from(n);
        let mut event = event(number, 1);
        event.images = vec![sha256];
        let picture = Picture {
            sha256,
            media_type: None,
            bytes: Private::new(bytes(n)),
        };
        let batch = Batch {
            events: vec![event],
            pictures: vec![picture],
            ..Batch::default()
        };
        bench.spool()?.append(batch).await?;
        let kept = bench.spool()?.picture(sha256).await?.context("kept")?;
        ensure!(kept.reveal()[..] == bytes(n)[..]);
    }
    bench.reopen().await?;
    for n in [1, 2] {
        let kept = bench.spool()?.picture(Sha256::of(&bytes(n))).await?;
        ensure!(kept.is_some_and(|kept| kept.reveal()[..] == bytes(n)[..]));
    }
    ensure!(
        bench
            .spool()?
            .picture(Sha256::of(b"never"))
            .await?
            .is_none()
    );
    Ok(())
}

/// Whoever waits for changes is told of an append, a replay and a revival, and of nothing when nothing changes.
pub async fn changes_are_told(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let spool = bench.spool()?.clone();
    let lane = bench.lane("erp").await?;
    let mut waiting = spool.changed(0);
    let idle = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending())).await;
    ensure!(idle, "told of a change before there was one");
    bench.fill(&[(1, 1)]).await?;
    let seen = waiting.await;
    ensure!(seen > 0 && spool.changed(0).await >= seen);
    let lease = bench
        .lease(lane, 1, time(5))
        .await?
        .pop()
        .context("leased")?;
    bench.settle(lane, &lease, super::bury("422"))?;
    let seen = spool.changed(0).await;
    ensure!(spool.revive(Default::default()).await? == 1);
    let seen = spool.changed(seen).await;
    let leases = bench.lease(lane, 1, time(5)).await?;
    bench.done(lane, &leases)?;
    let after = spool.changed(seen - 1).await;
    ensure!(spool.replay("erp".into(), time(0), time(9)).await? == Some(1));
    ensure!(spool.changed(after).await > after);
    ensure!(bench.take(lane, 1, time(5)).await? == [1]);
    Ok(())
}

/// What is kept later has a higher number than all that could be leased before.
pub async fn newest_divides_earlier_from_later(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let spool = bench.spool()?;
    ensure!(spool.newest() == 0, "nothing is kept yet");
    let lane = spool.open_lane("erp", Start::Oldest).await?;
    bench.fill(&[(1, 1), (2, 1)]).await?;
    let newest = spool.newest();
    bench.fill(&[(3, 1)]).await?;
    ensure!(spool.newest() > newest);
    let leases = spool.lease(lane, 10, time(5)).await?;
    let earlier = leases.iter().filter(|lease| lease.seq <= newest).count();
    ensure!((leases.len(), earlier) == (3, 2), "{leases:?}");
    Ok(())
}

/// A note is what was last kept under its name, and outlives the engine.
pub async fn notes_are_kept(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let spool = bench.spool()?;
    ensure!(spool.note("rules").await?.is_none(), "nothing is kept yet");
    let large = vec![b'x'; 3_000_000];
    spool.keep_note("rules", large.into()).await?;
    spool.keep_note("other", "2".into()).await?;
    spool.keep_note("rules", "".into()).await?;
    for _ in 0..2 {
        let spool = bench.spool()?;
        ensure!(spool.note("rules").await? == Some("".into()));
        ensure!(spool.note("other").await? == Some("2".into()));
        ensure!(spool.note("third").await?.is_none());
        bench.reopen().await?;
    }
    Ok(())
}

/// An engine with room says so.
pub async fn room_is_told(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let spool = bench.spool()?;
    bench.fill(&[(1, 1)]).await?;
    let room = spool.room();
    ensure!(
        room.accepting.is_ok() && room.bytes > 0 && room.free > 0,
        "{room:?}"
    );
    let _ = (id(1), spool.open_lane("x", Start::Now).await?);
    Ok(())
}

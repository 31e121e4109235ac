//! The promises of the log.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use faceway_core::{Batch, NewEvent, Picture, Private, ReadMax, Receipt, RulesError, Sha256};

use super::{Bench, LaneEngine, MANY, Open, another_id, event, id, promises, time, traced};

/// Every promise, one after another.
///
/// # Errors
/// The first that does not hold, by name.
pub async fn all<E: LaneEngine + ?Sized>(open: &Open<E>) -> anyhow::Result<()> {
    promises! { open:
        receipts_ascend,
        empty_batches_are_fine,
        duplicates_are_kept_once,
        duplicates_at_the_same_time_are_kept_once,
        another_content_of_a_record_is_a_conflict,
        the_newest_of_a_record_is_known,
        entries_are_read_in_their_order,
        reading_keeps_its_limits,
        entries_are_fetched,
        a_trace_context_comes_back_with_its_event,
        the_tail_moves,
        spans_are_found,
        pictures_are_kept,
        rules_are_kept,
        rules_stand_between_events,
        secrets_stay,
        capacity_is_told,
    }
    Ok(())
}

/// One receipt for each event, in their order, with rising numbers.
pub async fn receipts_ascend<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let mut last = 0;
    for group in 0..5 {
        let events = (0..10).map(|n| event(group * 10 + n, n % 3)).collect();
        let receipts = bench.append_events(events).await?;
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
pub async fn empty_batches_are_fine<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    ensure!(bench.append_events(Vec::new()).await?.is_empty());
    Ok(())
}

/// A known id is not kept again: not in one batch, not later, not after opening again.
pub async fn duplicates_are_kept_once<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let events = vec![event(1, 1), event(2, 1), event(1, 1)];
    let receipts = bench.append_events(events).await?;
    ensure!(matches!(
        receipts[..],
        [
            Receipt::Appended(_),
            Receipt::Appended(_),
            Receipt::Duplicate
        ]
    ));
    ensure!(bench.append_events(vec![event(2, 1)]).await? == [Receipt::Duplicate]);
    bench.reopen().await?;
    let events = vec![event(3, 1), event(1, 1), event(2, 1)];
    let receipts = bench.append_events(events).await?;
    ensure!(matches!(
        receipts[..],
        [Receipt::Appended(_), Receipt::Duplicate, Receipt::Duplicate]
    ));
    let stretch = bench.engine()?.read(0, u64::MAX, MANY).await?;
    let ids: Vec<_> = stretch.entries.iter().map(|entry| entry.id).collect();
    ensure!(ids == [id(1), id(2), id(3)], "{ids:?}");
    Ok(())
}

/// Of equal events that come at the same time exactly one is kept.
pub async fn duplicates_at_the_same_time_are_kept_once<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let mut tasks = Vec::new();
    for n in 0..40 {
        let engine = Arc::clone(bench.engine()?);
        let events = vec![event(n % 4, 1)];
        tasks.push(tokio::spawn(async move {
            let batch = Batch {
                events,
                ..Batch::default()
            };
            engine.append(batch).await
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
pub async fn another_content_of_a_record_is_a_conflict<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let another = |content| NewEvent {
        id: another_id(1, content),
        ..event(1, 1)
    };
    let receipts = bench.append_events(vec![event(1, 1), another(1)]).await?;
    ensure!(
        matches!(receipts[..], [Receipt::Appended(_), Receipt::Conflict(_)]),
        "{receipts:?}"
    );
    bench.reopen().await?;
    let events = vec![another(2), event(1, 1), another(1), event(2, 1)];
    let receipts = bench.append_events(events).await?;
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
pub async fn the_newest_of_a_record_is_known<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let asked = vec![id(1).record(), id(9).record(), id(2).record()];
    ensure!(bench.engine()?.newest_of(asked.clone()).await? == [None, None, None]);
    let another = NewEvent {
        id: another_id(1, 1),
        ..event(1, 1)
    };
    let events = vec![event(1, 1), event(2, 1), another];
    let receipts = bench.append_events(events).await?;
    let seqs: Vec<u64> = receipts.into_iter().filter_map(Receipt::seq).collect();
    for _ in 0..2 {
        let newest = bench.engine()?.newest_of(asked.clone()).await?;
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

/// Each entry once, ascending, and what was appended comes back.
pub async fn entries_are_read_in_their_order<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bench.append(1..=20).await?;
    bench.reopen().await?;
    let stretch = bench.engine()?.read(0, u64::MAX, MANY).await?;
    ensure!(
        stretch
            .entries
            .iter()
            .map(|entry| entry.seq)
            .eq(seqs.iter().copied())
    );
    ensure!(stretch.through_seq >= seqs[19], "{}", stretch.through_seq);
    for (n, entry) in (1..).zip(&stretch.entries) {
        let appended = event(n, n % 3);
        ensure!(entry.id == id(n) && entry.device == appended.device);
        ensure!(entry.received_at == appended.received_at);
        ensure!(entry.body.reveal() == appended.body.reveal());
    }
    let rest = bench.engine()?.read(seqs[4], seqs[9], MANY).await?;
    ensure!(
        rest.entries
            .iter()
            .map(|entry| entry.seq)
            .eq(seqs[5..10].iter().copied())
    );
    ensure!(rest.through_seq == seqs[9]);
    Ok(())
}

/// Pieces make the whole, whatever the limits are.
pub async fn reading_keeps_its_limits<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bench.append(1..=20).await?;
    for max in [
        ReadMax {
            entries: 3,
            bytes: 1 << 20,
        },
        ReadMax {
            entries: 100,
            bytes: 1,
        },
    ] {
        let (mut after, mut read) = (0, Vec::new());
        while after < seqs[19] {
            let stretch = bench.engine()?.read(after, u64::MAX, max).await?;
            ensure!(stretch.through_seq > after, "it does not go on");
            ensure!(stretch.entries.len() <= max.entries);
            read.extend(stretch.entries.iter().map(|entry| entry.seq));
            after = stretch.through_seq;
        }
        ensure!(read == seqs, "{read:?}");
    }
    Ok(())
}

/// In the order in which they are asked for.
pub async fn entries_are_fetched<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bench.append(1..=5).await?;
    let asked = vec![seqs[3], seqs[4] + 1000, seqs[0]];
    let fetched = bench.engine()?.fetch(asked).await?;
    let ids: Vec<_> = fetched
        .iter()
        .map(|entry| entry.as_ref().map(|entry| entry.id))
        .collect();
    ensure!(ids == [Some(id(4)), None, Some(id(1))]);
    Ok(())
}

/// The tail is the last entry, and each watcher hears of every move.
pub async fn the_tail_moves<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let engine = Arc::clone(bench.engine()?);
    ensure!(engine.tail()? == 0);
    let mut watch = engine.watch_tail(0);
    let idle = poll_fn(|context| Poll::Ready(watch.as_mut().poll(context).is_pending())).await;
    ensure!(idle, "told of a move before there was one");
    let seqs = bench.append(1..=3).await?;
    let mut tail = watch.await?;
    // A batch may come one event after another.
    while tail < seqs[2] {
        tail = engine.watch_tail(tail).await?;
    }
    ensure!(tail == seqs[2] && engine.tail()? == tail);
    ensure!(
        engine.watch_tail(seqs[1]).await? == tail,
        "it resolves at once"
    );
    bench.reopen().await?;
    ensure!(bench.engine()?.tail()? >= tail);
    Ok(())
}

/// Also where a clock was set back.
pub async fn spans_are_found<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let seqs = bench.append([1, 2, 9, 3, 4, 5]).await?;
    let span = bench.engine()?.span(time(3), time(5)).await?;
    ensure!(
        span.first_seq <= seqs[3] && span.through_seq >= seqs[4],
        "{span:?}"
    );
    ensure!(span.events == 2, "{span:?}");
    let none = bench.engine()?.span(time(100), time(200)).await?;
    ensure!(none.events == 0, "{none:?}");
    Ok(())
}

/// A trace context comes back with its event and with no other, also after opening again.
pub async fn a_trace_context_comes_back_with_its_event<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let traced = traced(2, 2);
    let context = traced.trace_context.clone();
    let events = vec![event(1, 1), traced, event(3, 3)];
    bench.append_events(events).await?;
    for _ in 0..2 {
        let stretch = bench.engine()?.read(0, u64::MAX, MANY).await?;
        let kept = stretch.entries.iter();
        let kept: Vec<_> = kept.map(|entry| entry.trace_context.clone()).collect();
        ensure!(kept == [None, context.clone(), None], "{kept:?}");
        bench.reopen().await?;
    }
    Ok(())
}

/// Pictures are there when the batch is, under their digest, also when they come again.
pub async fn pictures_are_kept<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let bytes = |n: u8| Bytes::from(vec![n; 10_000]);
    for (number, n) in [1_u8, 2, 1].into_iter().enumerate() {
        let sha256 = Sha256::of(&bytes(n));
        let mut event = event(number as u64, 1);
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
        bench.engine()?.append(batch).await?;
        let kept = bench.engine()?.picture(sha256).await?.context("kept")?;
        ensure!(kept.reveal()[..] == bytes(n)[..]);
    }
    bench.reopen().await?;
    for n in [1, 2] {
        let kept = bench.engine()?.picture(Sha256::of(&bytes(n))).await?;
        ensure!(kept.is_some_and(|kept| kept.reveal()[..] == bytes(n)[..]));
    }
    let never = bench.engine()?.picture(Sha256::of(b"never")).await?;
    ensure!(never.is_none());
    Ok(())
}

/// The newest version of the rules is what was appended last, by a writer that knew the one before, and outlives the engine.
pub async fn rules_are_kept<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let engine = bench.engine()?;
    ensure!(engine.rules().await?.is_none(), "nothing is kept yet");
    let large = vec![b'x'; 3_000_000];
    let first = engine.append_rules(large.into(), 0).await?;
    let second = engine.append_rules("".into(), first.version).await?;
    ensure!(0 < first.version && first.version < second.version);
    for expected in [0, first.version, second.version + 1] {
        let refused = engine.append_rules("late".into(), expected).await;
        let newest = match refused {
            Err(RulesError::Conflict(newest)) => newest,
            other => anyhow::bail!("{other:?} behind {expected}"),
        };
        ensure!(newest == second.version);
    }
    for _ in 0..2 {
        let kept = bench.engine()?.rules().await?.context("kept")?;
        ensure!(kept.mark == second && kept.text.is_empty(), "{kept:?}");
        bench.reopen().await?;
    }
    let third = bench.engine()?;
    let third = third.append_rules("3".into(), second.version).await?;
    ensure!(third.version > second.version);
    Ok(())
}

/// A version of the rules counts for what is appended after it, and for nothing that was appended before.
pub async fn rules_stand_between_events<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    let mut version = 0;
    for round in 0..4 {
        let before = bench.append([round * 10 + 1, round * 10 + 2]).await?;
        let engine = Arc::clone(bench.engine()?);
        // At the same time: on which side it comes is open, but it has one.
        let meanwhile = tokio::spawn(async move {
            let batch = Batch {
                events: vec![event(round * 10 + 3, 1)],
                ..Batch::default()
            };
            engine.append(batch).await
        });
        let text = Bytes::from(round.to_string());
        let mark = bench.engine()?.append_rules(text, version).await?;
        meanwhile.await??;
        let after = bench.append([round * 10 + 4]).await?;
        let last = before.last().context("two were appended")?;
        ensure!(
            *last <= mark.after_seq && mark.after_seq < after[0],
            "{before:?} {mark:?} {after:?}"
        );
        version = mark.version;
        bench.reopen().await?;
    }
    let stretch = bench.engine()?.read(0, u64::MAX, MANY).await?;
    ensure!(stretch.entries.len() == 16, "rules are no events");
    Ok(())
}

/// A secret is the same after every start, and another name has another one.
pub async fn secrets_stay<E: LaneEngine + ?Sized>(bench: &mut Bench<'_, E>) -> anyhow::Result<()> {
    let first = bench.engine()?.secret("link").await?;
    let other = bench.engine()?.secret("other").await?;
    ensure!(first != other && first != [0; 32]);
    bench.reopen().await?;
    ensure!(bench.engine()?.secret("link").await? == first);
    ensure!(bench.engine()?.secret("other").await? == other);
    Ok(())
}

/// An engine with room says so.
pub async fn capacity_is_told<E: LaneEngine + ?Sized>(
    bench: &mut Bench<'_, E>,
) -> anyhow::Result<()> {
    bench.append([1]).await?;
    let capacity = bench.engine()?.capacity().await?;
    ensure!(
        capacity.accepting.is_ok() && capacity.bytes > 0 && capacity.free > 0,
        "{capacity:?}"
    );
    Ok(())
}

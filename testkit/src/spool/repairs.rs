//! Looking and repairing.

use anyhow::{Context as _, ensure};
use faceway_core::{AttemptResult, BuriedBody, BuriedChoice, Page, Settled, Standing};

use super::{Bench, alone, attempt, body, bury, id, number, numbers, time};

async fn bury_three(bench: &Bench<'_>) -> anyhow::Result<()> {
    bench.fill(&[(1, 1), (2, 1), (3, 2)]).await?;
    for name in ["erp", "bus"] {
        let lane = bench.lane(name).await?;
        for lease in bench.lease(lane, 9, time(9)).await? {
            let told = attempt(time(10 + number(lease.id)), AttemptResult::Buried, "422");
            bench.tell(lane, &lease, bury("422"), Some(told))?;
        }
    }
    Ok(())
}

fn of(lane: &str) -> BuriedChoice {
    BuriedChoice {
        lane: Some(lane.into()),
        ids: None,
    }
}

/// Buried events are listed newest first, page by page, and each is shown whole.
pub async fn buried_are_listed(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bury_three(bench).await?;
    for _ in 0..2 {
        let list = bench
            .spool()?
            .buried(Some("bus".into()), Page::first(2))
            .await?;
        let listed: Vec<u64> = list.iter().map(|buried| number(buried.id)).collect();
        ensure!(listed == [3, 2], "{listed:?}");
        let last = list.first().context("listed")?;
        ensure!((&*last.lane, last.code.as_str(), last.failures) == ("bus", "422", 0));
        ensure!((last.received_at, last.buried_at) == (time(3), time(13)));
        let before = Some(list.last().context("listed")?.number);
        let page = Page { before, max: 9 };
        let rest = bench.spool()?.buried(Some("bus".into()), page).await?;
        let rest: Vec<u64> = rest.iter().map(|buried| number(buried.id)).collect();
        ensure!(rest == [1], "{rest:?}");
        let whole = bench.spool()?.buried_event(id(3), None).await?;
        let lanes: Vec<&str> = whole.iter().map(|whole| &*whole.entry.lane).collect();
        ensure!(lanes == ["bus", "erp"], "{lanes:?}");
        let alike = |whole: &BuriedBody| whole.body.reveal()[..] == *body(3).as_bytes();
        ensure!(whole.iter().all(alike));
        let of_bus = bench.spool()?.buried_event(id(3), Some("bus".into()));
        ensure!(of_bus.await?.len() == 1);
        ensure!(bench.spool()?.buried_event(id(99), None).await?.is_empty());
        ensure!(bench.spool()?.buried(None, Page::first(99)).await?.len() == 6);
        ensure!(
            bench
                .spool()?
                .buried(Some("nobody".into()), Page::first(99))
                .await?
                .is_empty()
        );
        bench.reopen().await?;
    }
    Ok(())
}

/// Dropping removes the chosen ones for good.
pub async fn buried_are_dropped(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bury_three(bench).await?;
    let spool = bench.spool()?.clone();
    let chosen = BuriedChoice {
        lane: Some("erp".into()),
        ids: Some(vec![id(1), id(77)]),
    };
    ensure!(spool.drop_buried(chosen).await? == 1);
    ensure!(
        spool
            .buried(Some("erp".into()), Page::first(9))
            .await?
            .len()
            == 2
    );
    ensure!(spool.drop_buried(of("bus")).await? == 3);
    let erp = bench.lane("erp").await?;
    ensure!(spool.survey(erp, time(9)).await?.buried == 2);
    ensure!(spool.drop_buried(BuriedChoice::default()).await? == 2);
    ensure!(spool.buried(None, Page::first(9)).await?.is_empty());
    Ok(())
}

/// Revived events are leased again with no attempt counted, their rules not asked, and blocked like any other.
pub async fn revived_come_again(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    bench.fill(&[(1, 1)]).await?;
    let head = bench.lease(lane, 1, time(9)).await?;
    bench.settle(lane, &head[0], alone(time(10)))?;
    let head = bench.lease(lane, 1, time(10)).await?;
    bench.settle(lane, &head[0], bury("500"))?;
    ensure!(
        bench
            .spool()?
            .buried(None, Page::first(1))
            .await?
            .first()
            .context("buried")?
            .failures
            == 1
    );
    ensure!(bench.spool()?.revive(of("bus")).await? == 0);
    let chosen = BuriedChoice {
        lane: Some("erp".into()),
        ids: Some(vec![id(1)]),
    };
    ensure!(bench.spool()?.revive(chosen).await? == 1);
    let survey = bench.spool()?.survey(lane, time(10)).await?;
    ensure!((survey.backlog, survey.buried) == (1, 0), "{survey:?}");
    bench.reopen().await?;
    let lane = bench.lane("erp").await?;
    let again = bench.lease(lane, 9, time(10)).await?;
    ensure!(numbers(&again) == [1] && again[0].failures == 0 && again[0].routed);
    bench.settle(lane, &again[0], alone(time(30)))?;
    bench.fill(&[(2, 1)]).await?;
    ensure!(bench.take(lane, 9, time(20)).await?.is_empty());
    let again = bench.lease(lane, 1, time(30)).await?;
    ensure!(again[0].failures == 1);
    bench.done(lane, &again)?;
    ensure!(bench.take(lane, 9, time(30)).await? == [2]);
    Ok(())
}

/// What a lane buried and takes back comes again before what is behind it; of other lanes nothing does.
pub async fn what_is_taken_back_comes_first(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    bury_three(bench).await?;
    let erp = bench.lane("erp").await?;
    bench.fill(&[(4, 1), (5, 2)]).await?;
    let held = bench.lease(erp, 9, time(9)).await?;
    ensure!(numbers(&held) == [4, 5]);
    for lease in &held {
        bench.settle(erp, lease, Settled::Release)?;
    }
    let taken = vec![id(3), id(77), id(1)];
    bench.spool()?.take_back(erp, taken.clone()).await?;
    // Once more does no harm.
    bench.spool()?.take_back(erp, taken).await?;
    let survey = bench.spool()?.survey(erp, time(9)).await?;
    ensure!((survey.backlog, survey.buried) == (4, 1), "{survey:?}");
    ensure!(
        bench
            .spool()?
            .buried(Some("bus".into()), Page::first(9))
            .await?
            .len()
            == 3
    );
    bench.reopen().await?;
    let erp = bench.lane("erp").await?;
    let again = bench.lease(erp, 9, time(9)).await?;
    ensure!(numbers(&again) == [1, 3, 4, 5] && again.iter().all(|lease| lease.failures == 0));
    Ok(())
}

/// A replay hands out what came in in a span of time, in order, its rules to be asked again; it survives a restart.
pub async fn replay_hands_out_once_more(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let lane = bench.lane("erp").await?;
    let events: Vec<(u64, u64)> = (0..800).map(|n| (n, n % 5)).collect();
    bench.fill(&events).await?;
    loop {
        let leases = bench.lease(lane, 100, time(900)).await?;
        if leases.is_empty() {
            break;
        }
        bench.done(lane, &leases)?;
    }
    let spool = bench.spool()?.clone();
    ensure!(
        spool
            .replay("nobody".into(), time(0), time(9))
            .await?
            .is_none()
    );
    ensure!(spool.replay("erp".into(), time(5000), time(6000)).await? == Some(0));
    ensure!(spool.replay("erp".into(), time(100), time(700)).await? == Some(600));
    ensure!(spool.survey(lane, time(900)).await?.backlog == 600);
    ensure!(spool.survey(lane, time(900)).await?.oldest == Some(time(100)));
    let first = bench.lease(lane, 50, time(900)).await?;
    ensure!(numbers(&first) == (100..150).collect::<Vec<_>>());
    ensure!(
        first
            .iter()
            .all(|lease| !lease.routed && lease.failures == 0)
    );
    bench.done(lane, &first[..40])?;
    drop(spool);
    bench.reopen().await?;
    let lane = bench.lane("erp").await?;
    ensure!(bench.spool()?.survey(lane, time(900)).await?.backlog == 560);
    let mut rest = Vec::new();
    loop {
        let leases = bench.lease(lane, 64, time(900)).await?;
        if leases.is_empty() {
            break;
        }
        rest.extend(numbers(&leases));
        bench.done(lane, &leases)?;
    }
    ensure!(
        rest == (140..700).collect::<Vec<_>>(),
        "{} of 560",
        rest.len()
    );
    ensure!(bench.spool()?.survey(lane, time(900)).await?.backlog == 0);
    Ok(())
}

/// A story has the event, and for each lane its standing and every attempt.
pub async fn stories_tell_everything(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (erp, bus) = (bench.lane("erp").await?, bench.lane("bus").await?);
    bench.fill(&[(1, 1), (2, 1), (3, 2)]).await?;
    let head = bench.lease(erp, 1, time(9)).await?;
    let failed = attempt(time(10), AttemptResult::Retry, "500");
    bench.tell(erp, &head[0], alone(time(20)), Some(failed.clone()))?;
    let taken = bench.lease(bus, 2, time(9)).await?;
    let delivered = attempt(time(11), AttemptResult::Delivered, "200");
    bench.tell(bus, &taken[0], Settled::Done, Some(delivered.clone()))?;
    ensure!(bench.take(erp, 9, time(9)).await? == [3]);
    for told in [
        (1, Standing::Parked, Standing::Done),
        (2, Standing::Behind, Standing::Leased),
        (3, Standing::Leased, Standing::Waiting),
    ] {
        let story = bench.spool()?.story(id(told.0)).await?.context("known")?;
        ensure!(
            story.received_at == time(told.0)
                && story.body.reveal()[..] == *body(told.0).as_bytes()
        );
        let standing = |name: &str| {
            story
                .lanes
                .iter()
                .find(|lane| lane.lane == name)
                .map(|lane| lane.standing)
        };
        ensure!(
            standing("erp") == Some(told.1) && standing("bus") == Some(told.2),
            "{told:?} {:?}",
            story.lanes
        );
    }
    ensure!(bench.spool()?.story(id(99)).await?.is_none());
    let head = bench.lease(erp, 1, time(20)).await?;
    let given_up = attempt(time(21), AttemptResult::Buried, "422");
    bench.tell(erp, &head[0], bury("422"), Some(given_up.clone()))?;
    bench.reopen().await?;
    let story = bench.spool()?.story(id(1)).await?.context("known")?;
    let lane = |name: &str| {
        story
            .lanes
            .iter()
            .find(|lane| lane.lane == name)
            .context("lane")
    };
    ensure!(
        lane("erp")?.standing == Standing::Buried && lane("erp")?.attempts == [failed, given_up]
    );
    ensure!(
        lane("bus")?.standing == Standing::Done
            && lane("bus")?.attempts == std::slice::from_ref(&delivered)
    );
    // What a lane did is told when it is gone, and when another of its name is there.
    bench.spool()?.drop_lane("bus".into()).await?;
    bench.lane("bus").await?;
    let story = bench.spool()?.story(id(1)).await?.context("known")?;
    let told = story.lanes.iter().filter(|lane| lane.lane == "bus");
    let told: Vec<_> = told
        .map(|lane| (lane.standing, lane.attempts.len()))
        .collect();
    ensure!(
        told == [(Standing::Waiting, 0), (Standing::Gone, 1)],
        "{told:?}"
    );
    Ok(())
}

/// All lanes are named, and one that is dropped is gone with its backlog.
pub async fn lanes_are_dropped(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let (erp, _) = (bench.lane("erp").await?, bench.lane("bus").await?);
    bench.fill(&[(1, 1), (2, 1)]).await?;
    let leases = bench.lease(erp, 1, time(9)).await?;
    bench.settle(erp, &leases[0], alone(time(99)))?;
    bench.reopen().await?;
    let spool = bench.spool()?.clone();
    let mut names = spool.lanes().await?;
    names.sort();
    ensure!(names == ["bus", "erp"]);
    ensure!(spool.drop_lane("erp".into()).await? && !spool.drop_lane("erp".into()).await?);
    ensure!(spool.lanes().await? == ["bus"]);
    ensure!(spool.lease(erp, 1, time(9)).await.is_err());
    spool.settle(erp, Vec::new());
    let erp = bench.lane("erp").await?;
    ensure!(bench.take(erp, 9, time(9)).await? == [1, 2]);
    Ok(())
}

//! Duties: who has which, and how it goes from one gateway to another.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{AskError, Duties as _, Duty, Log as _};
use faceway_spool_jetstream::{JetStreamSpool, OpenError};
use faceway_testkit::broker::nats::{Nats, Options};
use tokio::time::{Instant, timeout};

use crate::common::{PATIENCE, Site, api, is_lost, moment, open, open_at_once, open_quick, take};

fn lane(name: &str) -> Duty {
    Duty::Lane(name.into())
}

/// Which gateway has the lane; waits until one has.
async fn owner(spool: &JetStreamSpool, name: &str) -> String {
    let found = async {
        loop {
            let owners = spool.owners().await.unwrap();
            if let Some(owner) = owners.iter().find(|owner| owner.duty == lane(name)) {
                return owner.gateway.clone();
            }
            moment().await;
        }
    };
    timeout(PATIENCE, found).await.expect("it has an owner")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_has_one_owner_and_goes_on_when_it_is_given_back() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let mut held = take(&one, "erp").await;
    assert_eq!(owner(&two, "erp").await, "gw-1");
    // Back and forth, so that each is the one that is not placed best.
    for (giver, taker, name) in [
        (&one, &two, "gw-2"),
        (&two, &one, "gw-1"),
        (&one, &two, "gw-2"),
    ] {
        let next = taker.take(lane("erp"));
        tokio::pin!(next);
        // Longer than a look at the record.
        let early = timeout(Duration::from_secs(2), &mut next).await;
        assert!(early.is_err(), "two gateways have it");
        assert!(!is_lost(&*held));
        let given_at = Instant::now();
        held.release().await;
        held = timeout(PATIENCE, next).await.expect("it is taken");
        println!("taken {:?} after a release", given_at.elapsed());
        assert!(
            given_at.elapsed() < Duration::from_secs(3),
            "{:?}",
            given_at.elapsed()
        );
        assert_eq!(owner(giver, "erp").await, name);
    }
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duties_of_a_closed_gateway_are_taken_at_once() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let held = take(&one, "erp").await;
    let next = take(&two, "erp");
    let (next, ()) = tokio::join!(next, one.close());
    assert!(is_lost(&*held));
    assert!(!is_lost(&*next));
    let members = two.site().await.unwrap().expect("a site").members;
    assert_eq!(members.len(), 1);
    two.close().await;
}

/// As if it were killed: it closes nothing, and its subscriptions end.
#[tokio::test(flavor = "multi_thread")]
async fn duties_of_a_dead_gateway_are_taken_soon() {
    let site = Site::new().await;
    let one = site.open("gw-1").await;
    let names: Vec<String> = (0..8).map(|n| n.to_string()).collect();
    let held = futures_util::future::join_all(names.iter().map(|name| take(&one, name))).await;
    let two = site.open("gw-2").await;
    drop(one);
    let died_at = Instant::now();
    let taken = names.iter().map(|name| take(&two, name));
    let taken = futures_util::future::join_all(taken).await;
    let elapsed = died_at.elapsed();
    println!("8 duties of a dead gateway taken after {elapsed:?}");
    // Not before the dead one would have stopped, if it were only cut off.
    assert!(elapsed >= Duration::from_secs(4), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    assert!(taken.iter().all(|one| !is_lost(&**one)));
    // It never gave them back.
    assert!(held.iter().all(|one| is_lost(&**one)));
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_duty_moves_while_the_servers_elect_a_leader() {
    let site = Site::on(Arc::new(Nats::start(Options::cluster()).await));
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let held = take(&one, "erp").await;
    for stream in ["MEMBERS", "STATE"] {
        let info = format!("STREAM.INFO.FW_{}_{stream}", site.name);
        let before = api(&site.nats, &info, "").await;
        let names = site.nats.names();
        let leader = before["cluster"]["leader"].as_str().unwrap();
        let leader = names.iter().position(|name| name == leader).unwrap();
        let next = two.take(lane("erp"));
        tokio::pin!(next);
        site.nats.kill(leader);
        let again = async {
            loop {
                // Both have renewed their records at the next leader.
                let members = two.site().await.ok().flatten();
                let members = members.map_or(0, |site| site.members.len());
                let is_connected = [&one, &two].map(|it| it.health().unwrap().is_connected);
                let owners = two.owners().await.unwrap_or_default();
                if members == 2 && is_connected == [true; 2] && !owners.is_empty() {
                    return;
                }
                moment().await;
            }
        };
        tokio::select! {
            _ = &mut next => panic!("a duty moves while a leader of {stream} is elected"),
            again = timeout(PATIENCE, again) => again.expect("a leader is elected"),
        }
        assert!(!is_lost(&*held), "{stream}");
        site.nats.run(leader);
        site.nats.wait().await;
    }
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_better_placed_gateway_is_given_its_share() {
    let site = Site::new().await;
    let one = Arc::new(open_quick(site.settings("gw-1")).await);
    let names: Vec<String> = (0..20).map(|n| format!("lane {n}")).collect();
    let taken = names.iter().map(|name| take(&one, name));
    let taken = futures_util::future::join_all(taken).await;
    let two = open_quick(site.settings("gw-2")).await;
    // The first one gives back what is wanted, and wants it again at once.
    let mut given = tokio::task::JoinSet::new();
    for (held, name) in taken.into_iter().zip(&names) {
        let (one, name) = (Arc::clone(&one), name.clone());
        given.spawn(async move {
            held.wanted().await;
            held.release().await;
            // Nothing comes back while the other one lives.
            one.take(lane(&name)).await;
            panic!("{name} came back");
        });
    }
    let got = std::sync::atomic::AtomicUsize::new(0);
    let share = async {
        let wanted = names.iter().map(|name| async {
            let held = take(&two, name).await;
            got.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            held
        });
        futures_util::future::join_all(wanted).await
    };
    let _ = timeout(Duration::from_secs(8), share).await;
    let got = got.load(std::sync::atomic::Ordering::Relaxed);
    println!("{got} of 20 duties went to the second gateway");
    assert!((3..=17).contains(&got), "{got}");
    assert!(given.try_join_next().is_none());
    given.shutdown().await;
    two.close().await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_duties_are_taken_and_handed_over() {
    let site = Site::new().await;
    let one = site.open("gw-1").await;
    let names: Vec<String> = (0..200).map(|n| format!("lane {n}")).collect();
    let began = Instant::now();
    let held = futures_util::future::join_all(names.iter().map(|name| take(&one, name))).await;
    println!("200 duties taken after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(4));
    let two = site.open("gw-2").await;
    let next = futures_util::future::join_all(names.iter().map(|name| take(&two, name)));
    let began = Instant::now();
    let (next, ()) = tokio::join!(next, one.close());
    println!("200 duties taken over after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(next.iter().all(|held| !is_lost(&**held)));
    assert!(held.iter().all(|held| is_lost(&**held)));
    two.close().await;
}

/// Gateways that do not wait for each other: the servers decide.
#[tokio::test(flavor = "multi_thread")]
async fn of_gateways_that_take_at_the_same_moment_one_gets_the_duty() {
    let site = Site::new().await;
    let gateways = ["gw-1", "gw-2", "gw-3"].map(|name| open_at_once(site.settings(name)));
    let gateways = futures_util::future::join_all(gateways).await;
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let taken = std::sync::atomic::AtomicUsize::new(0);
    let all = gateways.iter().flat_map(|spool| {
        let taken = &taken;
        names.iter().map(move |name| async move {
            let held = take(spool, name).await;
            taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            held.lost().await;
        })
    });
    // Longer than some looks at the records: one that is overwritten is lost.
    let first = futures_util::future::select_all(all.map(Box::pin));
    let is_quiet = timeout(Duration::from_secs(4), first).await.is_err();
    assert!(is_quiet, "a duty was taken from its owner");
    assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), 20);
    for spool in gateways {
        spool.close().await;
    }
}

/// "No responders" is also what servers say that do not see each other, so it is not believed while one is away.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_is_away_only_the_age_of_a_record_counts() {
    let site = Site::on(Arc::new(Nats::start(Options::cluster()).await));
    let one = site.open("gw-1").await;
    let _held = take(&one, "erp").await;
    let two = site.open("gw-2").await;
    let info = format!("STREAM.INFO.FW_{}_MEMBERS", site.name);
    let info = api(&site.nats, &info, "").await;
    let leader = info["cluster"]["leader"].as_str().unwrap();
    let names = site.nats.names();
    let follower = names.iter().position(|name| name != leader).unwrap();
    site.nats.kill(follower);
    let connected = async {
        while ![&one, &two]
            .iter()
            .all(|it| it.health().unwrap().is_connected)
        {
            moment().await;
        }
    };
    timeout(PATIENCE, connected)
        .await
        .expect("another server answers");
    drop(one);
    let died_at = Instant::now();
    let taken = take(&two, "erp").await;
    let elapsed = died_at.elapsed();
    println!("taken after {elapsed:?} while a server is away");
    assert!(elapsed > Duration::from_secs(10), "{elapsed:?}");
    taken.release().await;
    two.close().await;
}

/// Its acknowledgement was lost after the wish was taken back: nothing here knows of the record.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_nothing_knows_of_is_given_back() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let info = format!("STREAM.INFO.FW_{}_MEMBERS", site.name);
    let info = api(&site.nats, &info, r#"{"subjects_filter":">"}"#).await;
    let subjects = info["state"]["subjects"].as_object().unwrap();
    let own = subjects.keys().find(|it| it.contains(".gw-1.")).unwrap();
    let incarnation = own.rsplit('.').next().unwrap();
    let record =
        format!(r#"{{"v":1,"incarnation":"{incarnation}","gateway":"gw-1","since":0,"call":1}}"#);
    let client = async_nats::connect(site.nats.urls()).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(
        "Fw-Crc",
        format!("{:08x}", crc32c::crc32c(record.as_bytes())),
    );
    let subject = format!("fw.{}.state.duty.lane.erp", site.name);
    let request = async_nats::Request::new()
        .headers(headers)
        .payload(record.into());
    client.send_request(subject, request).await.unwrap();
    assert_eq!(owner(&two, "erp").await, "gw-1");
    take(&two, "erp").await.release().await;
    one.close().await;
    two.close().await;
}

/// Whatever becomes of a wish, another gateway gets the duty.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_is_taken_back_leaves_nothing() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    for n in 0..30 {
        let wish = one.take(lane("erp"));
        // It ends before, while and after the record is written.
        let _ = timeout(Duration::from_millis(n), wish).await;
    }
    take(&two, "erp").await.release().await;
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_duty_is_asked() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let none = two.ask(&lane("erp"), "?".into()).await;
    assert!(matches!(none, Err(AskError::NoOwner)), "{none:?}");
    let held = take(&one, "erp").await;
    let own = one.ask(&lane("erp"), "?".into()).await;
    assert!(matches!(own, Err(AskError::NoOwner)), "{own:?}");
    let (answer, ()) = tokio::join!(two.ask(&lane("erp"), "try now".into()), async {
        let question = one.asked().await;
        assert_eq!(
            (question.duty, &question.text[..]),
            (lane("erp"), &b"try now"[..])
        );
        (question.answer)("done".into());
    });
    assert_eq!(&answer.unwrap()[..], b"done");
    // What the servers do not take is said in words, on both ways.
    let large = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let refused = two.ask(&lane("erp"), large.clone()).await;
    assert!(
        matches!(&refused, Err(AskError::Spool(it)) if it.0.contains("max_payload")),
        "{refused:?}"
    );
    let (refused, ()) = tokio::join!(two.ask(&lane("erp"), "all".into()), async {
        let question = one.asked().await;
        (question.answer)(large);
    });
    assert!(
        matches!(&refused, Err(AskError::Spool(it)) if it.0.contains("max_payload")),
        "{refused:?}"
    );
    held.release().await;
    let none = two.ask(&lane("erp"), "?".into()).await;
    assert!(matches!(none, Err(AskError::NoOwner)), "{none:?}");
    // An owner that has died says nothing, and was not told.
    let _held = take(&one, "erp").await;
    drop(one);
    let silent = two.ask(&lane("erp"), "?".into()).await;
    assert!(matches!(silent, Err(AskError::Silent)), "{silent:?}");
    two.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_has_a_name() {
    let site = Site::new().await;
    let one = site.open("gw-1").await;
    let again = open(site.settings("gw-1")).await;
    match again {
        Err(OpenError::Refused(text)) => {
            assert!(
                text.contains("\"gw-1\"") && text.contains("spool.jetstream.gateway"),
                "{text}"
            );
        }
        other => panic!("{:?}", other.err()),
    }
    // The first one goes on, and so does the next one when it has died.
    take(&one, "erp").await.release().await;
    drop(one);
    site.open("gw-1").await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_seen_from_each_gateway() {
    let site = Site::new().await;
    let (one, two) = (site.open("gw-1").await, site.open("gw-2").await);
    let held = take(&one, "erp").await;
    for (spool, here) in [(&one, "gw-1"), (&two, "gw-2")] {
        assert_eq!(owner(spool, "erp").await, "gw-1");
        let owners = spool.owners().await.unwrap();
        let erp = owners.iter().find(|it| it.duty == lane("erp")).unwrap();
        assert_eq!(erp.is_here, here == "gw-1");
        assert_eq!(owner_of(&owners, &Duty::Janitor), 1);
        let seen = spool.site().await.unwrap().expect("a site");
        assert_eq!(
            (seen.name.as_str(), seen.durability),
            (site.name.as_str(), "synced")
        );
        let members: Vec<_> = seen
            .members
            .iter()
            .map(|it| (it.gateway.as_str(), it.is_here))
            .collect();
        assert_eq!(
            members,
            [("gw-1", here == "gw-1"), ("gw-2", here == "gw-2")]
        );
        assert!(
            seen.members
                .iter()
                .all(|it| it.public_url == "http://gate.example")
        );
        let servers: Vec<_> = seen
            .servers
            .iter()
            .map(|it| (it.name.clone(), it.is_synced))
            .collect();
        let expected: Vec<_> = site
            .nats
            .names()
            .into_iter()
            .map(|it| (it, Some(true)))
            .collect();
        assert_eq!(servers, expected);
        assert!(seen.servers.iter().all(|it| it.version.starts_with("2.")));
        assert_eq!(seen.streams.len(), 7);
        assert!(seen.streams.iter().all(|it| it.leader.is_some()));
        let all_seen = async {
            while spool.health().unwrap().members != 2 {
                moment().await;
            }
        };
        timeout(PATIENCE, all_seen).await.expect("both are seen");
        let health = spool.health().unwrap();
        let janitor = owners.iter().find(|it| it.duty == Duty::Janitor).unwrap();
        assert_eq!(health.is_janitor, janitor.is_here);
        assert!(health.is_connected && health.is_synced, "{health:?}");
    }
    held.release().await;
    one.close().await;
    two.close().await;
}

fn owner_of(owners: &[faceway_core::Owner], duty: &Duty) -> usize {
    owners.iter().filter(|owner| owner.duty == *duty).count()
}

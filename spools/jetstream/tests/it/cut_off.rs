//! Gateways that are cut off from the servers, or frozen. One server, as the library would find a way around a proxy by others.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{AskError, Duties as _, Duty, Log as _};
use faceway_spool_jetstream::JetStreamSpool;
use faceway_testkit::broker::nats::{Nats, Options};
use faceway_testkit::receiver::{FaultProxy, Traffic};
use tokio::time::{Instant, timeout};

use crate::common::{PATIENCE, Site, api, is_lost, moment, open, take};

/// A site on one server, a gateway that reaches it by a proxy, and one that does not need it.
async fn behind_a_proxy() -> (Site, FaultProxy, JetStreamSpool, JetStreamSpool) {
    let site = Site::on(Arc::new(Nats::start(Options::single()).await));
    let url = site.nats.urls().remove(0);
    let address = url.strip_prefix("nats://").unwrap().parse().unwrap();
    let proxy = FaultProxy::start(address).await;
    let mut settings = site.settings("gw-1");
    settings.servers = vec![format!("nats://{}", proxy.address())];
    let one = open(settings).await.unwrap();
    let two = site.open("gw-2").await;
    (site, proxy, one, two)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            moment().await;
        }
    };
    timeout(PATIENCE, wait).await.expect(what);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_cut_off_loses_every_duty_and_takes_them_again() {
    let (_site, proxy, one, two) = behind_a_proxy().await;
    let [erp, crm] = [take(&one, "erp").await, take(&one, "crm").await];
    let began = Instant::now();
    proxy.set(Traffic::Stall);
    for held in [&erp, &crm] {
        timeout(PATIENCE, held.lost()).await.expect("it ends");
    }
    let elapsed = began.elapsed();
    println!("duties lost {elapsed:?} after the cut");
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    assert!(!one.health().unwrap().is_connected);
    // Nothing can be given back now, so nothing waits for it; and its record stays for the time after the cut.
    let released = timeout(Duration::from_millis(500), erp.release()).await;
    assert!(
        released.is_ok(),
        "a release waits for servers that do not answer"
    );
    let next = two.take(Duty::Lane("erp".into()));
    tokio::pin!(next);
    let early = timeout(Duration::from_secs(1), &mut next).await;
    assert!(early.is_err(), "its record is still valid");
    proxy.set(Traffic::Pass);
    until("it hears itself", || one.health().unwrap().is_connected).await;
    // Its record stands, and it does not work: nothing waits for an answer of it.
    let none = two.ask(&Duty::Lane("erp".into()), "?".into()).await;
    assert!(matches!(none, Err(AskError::NoOwner)), "{none:?}");
    // The same incarnation has it again, so no other one takes it.
    let again = tokio::select! {
        again = take(&one, "erp") => again,
        _ = &mut next => panic!("the duty moves"),
    };
    // What was lost stays lost. What is not wanted again goes to others.
    assert!(is_lost(&*crm));
    assert!(!is_lost(&*again));
    drop(crm);
    take(&two, "crm").await.release().await;
    one.close().await;
    two.close().await;
}

/// Its connection stays open, so nothing but the age of its record says that it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn duties_of_a_frozen_gateway_are_taken_when_its_record_is_gone() {
    let (_site, proxy, one, two) = behind_a_proxy().await;
    let held = take(&one, "erp").await;
    let began = Instant::now();
    proxy.set(Traffic::Stall);
    let lost = async {
        held.lost().await;
        began.elapsed()
    };
    let taken = async {
        let next = take(&two, "erp").await;
        (next, began.elapsed())
    };
    let (lost, (next, taken)) = tokio::join!(lost, taken);
    println!("a frozen gateway lost its duty after {lost:?}, another one took it after {taken:?}");
    assert!(lost < Duration::from_secs(3), "{lost:?}");
    assert!(taken > Duration::from_secs(12), "{taken:?}");
    assert!(taken < Duration::from_secs(22), "{taken:?}");
    until("its incarnation is over", || {
        two.health().unwrap().members == 1
    })
    .await;
    proxy.set(Traffic::Pass);
    // It begins anew, and does not get back what another one has.
    until("it is a member again", || {
        two.health().unwrap().members == 2
    })
    .await;
    until("it hears itself", || one.health().unwrap().is_connected).await;
    assert!(is_lost(&*held));
    assert!(!is_lost(&*next));
    let late = timeout(Duration::from_secs(2), one.take(Duty::Lane("erp".into()))).await;
    assert!(late.is_err(), "two gateways have it");
    next.release().await;
    take(&one, "erp").await.release().await;
    one.close().await;
    two.close().await;
}

/// The library finds another server, and the record of the gateway is still valid: it takes its duty again itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_at_a_frozen_server_goes_on_at_another() {
    let site = Site::on(Arc::new(Nats::start(Options::cluster()).await));
    let two = site.open("gw-2").await;
    let info = format!("STREAM.INFO.FW_{}_MEMBERS", site.name);
    let info = api(&site.nats, &info, "").await;
    let leader = info["cluster"]["leader"].as_str().unwrap();
    let names = site.nats.names();
    let follower = names.iter().position(|name| name != leader).unwrap();
    two.close().await;
    let at = |servers: Vec<String>, gateway: &str| {
        let mut settings = site.settings(gateway);
        settings.servers = servers;
        open(settings)
    };
    let mut others = site.nats.urls();
    let its = others.remove(follower);
    let (one, two) = tokio::join!(at(vec![its], "gw-1"), at(others, "gw-2"));
    let (one, two) = (one.unwrap(), two.unwrap());
    let held = take(&one, "erp").await;
    let next = two.take(Duty::Lane("erp".into()));
    tokio::pin!(next);
    let began = Instant::now();
    site.nats.freeze(follower);
    timeout(PATIENCE, held.lost()).await.expect("it is cut off");
    assert!(began.elapsed() < Duration::from_secs(3));
    held.release().await;
    let again = tokio::select! {
        again = take(&one, "erp") => again,
        _ = &mut next => panic!("the duty moves after {:?}", began.elapsed()),
    };
    println!("taken again {:?} after its server froze", began.elapsed());
    assert!(!is_lost(&*again));
    site.nats.thaw(follower);
    one.close().await;
    two.close().await;
}

//! Lanes at work over a real spool, with a destination that waits for the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faceway_core::{
    Batch, BoxFuture, Clock, Code, Message, NewEvent, Outbound, Private, Spool as _, Verdict,
};
use faceway_rules::OutboundPlan;
use faceway_spool_disk::{DiskSettings, DiskSpool};
use faceway_testkit::clock::TestClock;
use faceway_testkit::spool::{Watched, event};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{Common, Dispatch, InForce, RuleBook, Rules};
use crate::link::Links;

const PATIENCE: Duration = Duration::from_secs(60);

const FILE: &str = "[outbound.stdout.erp]\n[[route]]\nname = \"all\"\nto = [\"erp\"]\n";

/// Confirms as many messages as it is allowed to.
struct Gate {
    open: Semaphore,
    confirmed: AtomicUsize,
}

impl Outbound for Gate {
    fn deliver<'a>(&'a self, _: &'a Message) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            self.open.acquire().await.unwrap().forget();
            self.confirmed.fetch_add(1, Ordering::SeqCst);
            Verdict::Delivered {
                code: Code::word("ok"),
            }
        })
    }
}

fn canonical(event: &NewEvent) -> String {
    json!({
        "schema": "faceway.event/1", "id": event.id.to_string(), "kind": "other", "received_at": event.received_at.to_string(),
        "inbound": "lobby", "adapter": "nebula",
    })
    .to_string()
}

async fn spool(dir: &std::path::Path, clock: &TestClock) -> Arc<Watched> {
    let age = Duration::from_secs(86_400);
    let settings = DiskSettings {
        dir: dir.to_owned(),
        bytes_max: 1 << 30,
        free_min: 0,
        history: age,
        images: age,
        quarantine: age,
    };
    let disk = DiskSpool::open(settings, Arc::new(clock.clone())).await;
    Arc::new(Watched::new(Arc::new(disk.unwrap())))
}

fn plan() -> (OutboundPlan, Rules) {
    let routes = faceway_rules::parse(FILE, "routes.toml", &[]).unwrap();
    let plan = routes.outbounds[0].clone();
    let (text, set) = (routes.text, routes.routes);
    (plan, Rules { text, set })
}

/// What was kept before the clock was set back has not left because it seems to be of the future.
#[tokio::test]
async fn a_lane_that_leaves_delivers_what_it_was_given_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::default();
    let spool = spool(dir.path(), &clock).await;
    let (plan, rules) = plan();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let hour = Duration::from_secs(3600);
    let common = Common {
        spool: Arc::clone(&spool) as _,
        rules: InForce::new(RuleBook::new(clock.now(), rules)),
        links: Arc::new(Links::new("http://x", &[0; 32], hour, Arc::clone(&shared))),
        clock: shared,
        grace: PATIENCE,
    };
    let mut dispatch = Dispatch::new(common);
    let gate = Arc::new(Gate {
        open: Semaphore::new(0),
        confirmed: 0.into(),
    });
    let lane = dispatch.open(&plan).await.unwrap();
    dispatch.add(plan, Arc::clone(&gate) as _, lane);
    let mut events: Vec<_> = (0..3).map(|n| event(n, 1)).collect();
    for event in &mut events {
        event.received_at = clock.now().plus(hour);
        event.body = Private::new(canonical(event).into());
    }
    let batch = Batch {
        events,
        ..Batch::default()
    };
    spool.append(batch).await.unwrap();
    dispatch.leave("erp", spool.newest());
    // It has looked whether it is through.
    tokio::time::timeout(PATIENCE, spool.surveyed(2))
        .await
        .unwrap();
    assert!(dispatch.left().is_empty());
    gate.open.add_permits(3);
    let left = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while dispatch.left().is_empty() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.unwrap();
    assert_eq!(gate.confirmed.load(Ordering::SeqCst), 3);
}

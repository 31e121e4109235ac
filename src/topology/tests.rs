//! A topology over a disk that fails.

mod site;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faceway_core::{Batch, Clock, LaneStore as _, Log, Start};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool};
use faceway_testkit::clock::TestClock;
use faceway_testkit::spool::event;

use super::open::Opened;
use super::rules_history::{ActiveRules, Rules, RulesHistory};
use super::{Desired, Topology, rules_store};
use crate::context::Context;

/// Says so many times that a group failed which is there, or that it failed and is not there.
#[derive(Default)]
struct Failing {
    before: AtomicUsize,
    after: AtomicUsize,
}

fn fail(times: &AtomicUsize) -> std::io::Result<()> {
    let left = times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    match left {
        Ok(_) => Err(std::io::Error::other("the test wants it")),
        Err(_) => Ok(()),
    }
}

impl Disk for Failing {
    fn before_commit(&self) -> std::io::Result<()> {
        fail(&self.before)
    }

    fn after_commit(&self) -> std::io::Result<()> {
        fail(&self.after)
    }
}

struct Bench {
    topology: Topology,
    spool: Arc<DiskSpool>,
    rules: ActiveRules,
    disk: Arc<Failing>,
    dir: tempfile::TempDir,
}

const AGE: Duration = Duration::from_secs(86_400);

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
        let settings = DiskSettings {
            dir: dir.path().join("data"),
            bytes_max: 1 << 30,
            free_min: 0,
            history: AGE,
            images: AGE,
            quarantine: AGE,
            quarantine_bytes_max: 1 << 27,
        };
        let disk = Arc::new(Failing::default());
        let spool = DiskSpool::open_on(settings, Arc::clone(&clock), Arc::clone(&disk) as _);
        let spool = Arc::new(spool.await.unwrap());
        let rules = ActiveRules::new(RulesHistory::new(clock.now(), Rules::default()));
        let context = Context::for_tests(&spool, clock);
        let topology = Topology::new(context, rules.clone(), "routes.toml".into());
        Self {
            topology: topology.await.unwrap(),
            spool,
            rules,
            disk,
            dir,
        }
    }

    /// Applies a file that sends everything to one of two.
    async fn apply(&mut self, to: &str) -> anyhow::Result<()> {
        let opened = self.open(to, "").await?;
        self.topology.apply(opened).await.map(drop)
    }

    /// The same, with more in the file, and only opened.
    async fn open(&self, to: &str, more: &str) -> anyhow::Result<Opened> {
        let outbound = |name| format!("[outbound.webhook.{name}]\nurl = \"http://127.0.0.1:1\"\n");
        let route = format!("[[route]]\nname = \"all\"\nto = [\"{to}\"]\n");
        let text = outbound("a") + &outbound("b") + &route + more;
        let routes = faceway_rules::parse(&text, "routes.toml", &crate::config::grammar()).unwrap();
        self.topology.open(Desired::new(routes)?).await
    }

    async fn lanes(&self) -> Vec<String> {
        let mut lanes = self.spool.list().await.unwrap();
        lanes.sort();
        lanes
    }

    /// Keeps an event. Gives the text of the rules by which it goes, and by which it would go after a crash.
    async fn keep(&self, n: u64) -> (String, String) {
        let batch = Batch {
            events: vec![event(n, 1)],
            ..Batch::default()
        };
        Log::append(&*self.spool, batch).await.unwrap();
        let seq = self.spool.tail().unwrap();
        let now = self.rules.current().await.rules_for("a", seq).text.clone();
        let kept = rules_store::load(&*self.spool, false, Path::new("routes.toml")).await;
        let kept = kept.unwrap().1.unwrap().history;
        (now, kept.rules_for("a", seq).text.clone())
    }
}

#[tokio::test]
async fn rules_that_could_not_be_written_down_and_are_there_become_active() {
    let mut bench = Bench::new().await;
    bench.apply("a").await.unwrap();
    bench.keep(1).await;
    bench.disk.after.store(1, Ordering::SeqCst);
    bench.apply("b").await.unwrap();
    let (now, after_a_crash) = bench.keep(2).await;
    assert!(now.contains("to = [\"b\"]"), "{now}");
    assert_eq!(now, after_a_crash);
}

#[tokio::test]
async fn rules_that_cannot_be_written_down_do_not_become_active() {
    let mut bench = Bench::new().await;
    bench.apply("a").await.unwrap();
    bench.keep(1).await;
    // Each group: also those that ask what became of it.
    bench.disk.before.store(usize::MAX, Ordering::SeqCst);
    let refused = bench.apply("b").await.unwrap_err().to_string();
    assert!(refused.contains("cannot be written down"), "{refused}");
    bench.disk.before.store(0, Ordering::SeqCst);
    // The file is put back, or taken over after all: what counts now counts after a crash.
    for to in ["a", "b"] {
        bench.apply(to).await.unwrap();
        let (now, after_a_crash) = bench.keep(if to == "a" { 2 } else { 3 }).await;
        assert!(now.contains(&format!("to = [\"{to}\"]")), "{now}");
        assert_eq!(now, after_a_crash);
    }
}

#[tokio::test]
async fn the_first_rules_are_active_on_a_full_disk_and_written_down_later() {
    let mut bench = Bench::new().await;
    for lane in ["a", "b"] {
        bench.spool.claim(lane, Start::Now).await.unwrap();
    }
    bench.disk.before.store(4, Ordering::SeqCst);
    bench.apply("a").await.unwrap();
    bench.topology.write_rules_down().await;
    let (now, after_a_crash) = bench.keep(1).await;
    assert!(now.contains("to = [\"a\"]"), "{now}");
    assert_eq!(now, after_a_crash);
}

/// The last of what a file names cannot be had: all before it was opened for nothing.
#[tokio::test]
async fn what_cannot_be_opened_changes_nothing() {
    let mut bench = Bench::new().await;
    bench.apply("a").await.unwrap();
    let (endpoints, snapshots) = (bench.topology.endpoints(), bench.topology.snapshots());
    let before = (
        Arc::clone(&endpoints.borrow()),
        Arc::clone(&snapshots.borrow()),
        bench.rules.current().await,
    );
    let ca = bench.dir.path().join("ca.pem");
    std::fs::write(&ca, "no certificate").unwrap();
    let good = "[outbound.webhook.c]\nurl = \"http://127.0.0.1:1\"\n";
    let secret = "sign = [{ env = \"FACEWAY_TEST_THAT_IS_NOT_SET\" }]\n";
    for (bad, why) in [
        (
            format!("url = \"https://127.0.0.1:1\"\ntls = {{ ca = {ca:?} }}\n"),
            "cannot open the outbound d",
        ),
        (
            format!("url = \"http://127.0.0.1:1\"\n{secret}"),
            "cannot open the outbound d",
        ),
    ] {
        let more = format!("{good}[outbound.webhook.d]\n{bad}");
        let refused = bench.open("b", &more).await.err().unwrap().to_string();
        assert!(refused.contains(why), "{refused}");
        assert_eq!(bench.lanes().await, ["a", "b"]);
        assert!(Arc::ptr_eq(&before.0, &endpoints.borrow()));
        assert!(Arc::ptr_eq(&before.1, &snapshots.borrow()));
        assert!(Arc::ptr_eq(&before.2, &bench.rules.current().await));
    }
}

#[tokio::test]
async fn a_lane_that_was_made_in_vain_is_removed() {
    let mut bench = Bench::new().await;
    bench.apply("a").await.unwrap();
    let more = "[outbound.webhook.c]\nurl = \"http://127.0.0.1:1\"\n";
    let opened = bench.open("c", more).await.unwrap();
    assert_eq!(bench.lanes().await, ["a", "b", "c"]);
    bench.topology.discard(&opened).await;
    assert_eq!(bench.lanes().await, ["a", "b"], "and none that is at work");
}

//! A site over a disk that fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use faceway_core::{Batch, Clock, Spool, Start};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool};
use faceway_testkit::clock::TestClock;
use faceway_testkit::spool::event;

use super::{Grounds, Site, book};
use crate::dispatch::{Common, InForce, RuleBook, Rules};
use crate::inbound::BodyMemory;
use crate::link::Links;
use crate::open::Base;

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
    site: Site,
    spool: Arc<DiskSpool>,
    rules: InForce,
    disk: Arc<Failing>,
    _dir: tempfile::TempDir,
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
        let rules = InForce::new(RuleBook::new(clock.now(), Rules::default()));
        let common = Common {
            spool: Arc::clone(&spool) as _,
            rules: rules.clone(),
            links: Arc::new(Links::new("http://x", &[0; 32], AGE, Arc::clone(&clock))),
            clock: Arc::clone(&clock),
            grace: AGE,
        };
        let (config, _) = crate::config::gateway::parse("", "gateway.toml", &[]).unwrap();
        let base = Base {
            config,
            gateway_id: "x".into(),
            memory: BodyMemory::new(1 << 20, 1 << 20),
            intake: Arc::clone(&spool) as _,
            clock,
        };
        let site = Site::new(Grounds {
            base,
            common,
            repair: Arc::clone(&spool) as _,
            file: "routes.toml".into(),
        });
        Self {
            site: site.await.unwrap(),
            spool,
            rules,
            disk,
            _dir: dir,
        }
    }

    /// Takes over a file that sends everything to one of two.
    async fn take_over(&mut self, to: &str) -> anyhow::Result<()> {
        let outbound = |name| format!("[outbound.webhook.{name}]\nurl = \"http://127.0.0.1:1\"\n");
        let route = format!("[[route]]\nname = \"all\"\nto = [\"{to}\"]\n");
        let text = outbound("a") + &outbound("b") + &route;
        let routes = faceway_rules::parse(&text, "routes.toml", &[]).unwrap();
        let prepared = self.site.prepare(routes).await?;
        self.site.adopt(prepared).await.map(drop)
    }

    /// Keeps an event. Gives the text of the rules by which it goes, and by which it would go after a crash.
    async fn keep(&self, n: u64) -> (String, String) {
        let batch = Batch {
            events: vec![event(n, 1)],
            ..Batch::default()
        };
        self.spool.append(batch).await.unwrap();
        let seq = self.spool.newest();
        let now = self.rules.look().await.rules_for("a", seq).text.clone();
        let kept = book::load(&*self.spool, Path::new("routes.toml")).await;
        let kept = kept.unwrap().unwrap().book;
        (now, kept.rules_for("a", seq).text.clone())
    }
}

#[tokio::test]
async fn rules_that_could_not_be_written_down_and_are_there_come_into_force() {
    let mut bench = Bench::new().await;
    bench.take_over("a").await.unwrap();
    bench.keep(1).await;
    bench.disk.after.store(1, Ordering::SeqCst);
    bench.take_over("b").await.unwrap();
    let (now, after_a_crash) = bench.keep(2).await;
    assert!(now.contains("to = [\"b\"]"), "{now}");
    assert_eq!(now, after_a_crash);
}

#[tokio::test]
async fn rules_that_cannot_be_written_down_do_not_come_into_force() {
    let mut bench = Bench::new().await;
    bench.take_over("a").await.unwrap();
    bench.keep(1).await;
    // Each group: also those that ask what became of it.
    bench.disk.before.store(usize::MAX, Ordering::SeqCst);
    let refused = bench.take_over("b").await.unwrap_err().to_string();
    assert!(refused.contains("cannot be written down"), "{refused}");
    bench.disk.before.store(0, Ordering::SeqCst);
    // The file is put back, or taken over after all: what counts now counts after a crash.
    for to in ["a", "b"] {
        bench.take_over(to).await.unwrap();
        let (now, after_a_crash) = bench.keep(if to == "a" { 2 } else { 3 }).await;
        assert!(now.contains(&format!("to = [\"{to}\"]")), "{now}");
        assert_eq!(now, after_a_crash);
    }
}

#[tokio::test]
async fn the_first_rules_are_in_force_on_a_full_disk_and_written_down_later() {
    let mut bench = Bench::new().await;
    for lane in ["a", "b"] {
        bench.spool.open_lane(lane, Start::Now).await.unwrap();
    }
    bench.disk.before.store(4, Ordering::SeqCst);
    bench.take_over("a").await.unwrap();
    bench.site.write_down().await;
    let (now, after_a_crash) = bench.keep(1).await;
    assert!(now.contains("to = [\"a\"]"), "{now}");
    assert_eq!(now, after_a_crash);
}

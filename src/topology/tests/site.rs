//! Two gateways that put rules in force at one log.

use std::sync::Arc;

use faceway_core::{Batch, Clock, Duties as _, LaneChange, LaneStore as _, Log as _, Start};
use faceway_testkit::clock::TestClock;
use faceway_testkit::memory::{MemoryDisk, MemorySpool};
use faceway_testkit::spool::event;

use super::super::rules_history::{ActiveRules, Rules, RulesHistory};
use super::super::{Desired, Topology, rules_store};
use crate::context::Context;

struct Gateway {
    topology: Topology,
    spool: Arc<MemorySpool>,
    rules: ActiveRules,
}

impl Gateway {
    async fn at(disk: &MemoryDisk) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
        let spool = disk.open();
        let rules = ActiveRules::new(RulesHistory::new(clock.now(), Rules::default()));
        let context = Context::for_tests(&spool, clock);
        let topology = Topology::new(context, rules.clone(), "routes.toml".into());
        Self {
            topology: topology.await.unwrap(),
            spool,
            rules,
        }
    }

    async fn apply(&mut self, text: &str) {
        let routes = faceway_rules::parse(text, "routes.toml", &crate::config::grammar()).unwrap();
        let opened = self.topology.open(Desired::new(routes).unwrap());
        let opened = opened.await.unwrap();
        self.topology.apply(opened).await.unwrap();
    }

    async fn append(&self, n: u64) {
        let batch = Batch {
            events: vec![event(n, 1)],
            ..Batch::default()
        };
        self.spool.append(batch).await.unwrap();
    }

    /// The texts by which these events go.
    async fn texts(&self, seqs: &[u64]) -> Vec<String> {
        let history = self.rules.current().await;
        let text = |seq: &u64| history.version(*seq).rules.text.clone();
        seqs.iter().map(text).collect()
    }

    fn lanes(&self) -> Vec<String> {
        let lanes = self.topology.dispatch.lanes();
        let mut names: Vec<String> = lanes.iter().map(|lane| lane.name().to_owned()).collect();
        names.sort();
        names
    }
}

/// Rules that send everything to one outbound.
fn to(name: &str) -> String {
    format!("[outbound.stdout.{name}]\n[[route]]\nname = \"all\"\nto = [\"{name}\"]\n")
}

/// The second one did not know of the first: its rules come behind, and what was kept between goes by the first, at both.
#[tokio::test(start_paused = true)]
async fn rules_of_two_gateways_come_one_after_the_other() {
    let disk = MemoryDisk::default();
    disk.share();
    let (mut first, mut second) = (Gateway::at(&disk).await, Gateway::at(&disk).await);
    let texts = ["a", "b", "c"].map(to);
    first.apply(&texts[0]).await;
    first.append(1).await;
    second.apply(&texts[1]).await;
    second.append(2).await;
    // Nor does the first one know of the second.
    first.apply(&texts[2]).await;
    first.append(3).await;
    assert!(second.topology.follow().await.unwrap().is_some());
    assert!(second.topology.follow().await.unwrap().is_none());
    for gateway in [&first, &second] {
        assert_eq!(gateway.texts(&[1, 2, 3]).await, texts);
        assert_eq!(gateway.lanes(), ["a", "b", "c"], "retired ones go on");
    }
    let (_, stored) = rules_store::load(&*first.spool, true, "routes.toml".as_ref())
        .await
        .unwrap();
    let history = stored.unwrap().history;
    let after: Vec<u64> = (history.versions().iter())
        .map(|version| version.after_seq)
        .collect();
    assert_eq!(after, [0, 1, 2]);
}

/// A gateway where something is missing goes by the rules of the site, leaves all lanes to others, and goes on when it is there.
#[tokio::test(start_paused = true)]
async fn a_gateway_that_lacks_a_secret_leaves_its_lanes_to_others() {
    let disk = MemoryDisk::default();
    disk.share();
    let (mut first, mut second) = (Gateway::at(&disk).await, Gateway::at(&disk).await);
    first.apply(&to("a")).await;
    second.apply(&to("a")).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let more = format!(
        "{}[outbound.webhook.b]\nurl = \"http://127.0.0.1:1\"\nsign = [{{ file = {secret:?} }}]\n",
        to("a")
    );
    first.apply(&more).await;
    std::fs::rename(&secret, dir.path().join("away")).unwrap();
    let lacks = second.topology.follow().await.unwrap_err();
    assert!(
        format!("{lacks:#}").contains("another gateway"),
        "{lacks:#}"
    );
    assert_eq!(second.lanes(), [""; 0]);
    assert_eq!(second.texts(&[1]).await, first.texts(&[1]).await);
    // Both lanes are the first one's.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let owners = first.spool.owners().await.unwrap();
    assert!(
        owners.iter().all(|owner| owner.is_here) && owners.len() == 2,
        "{owners:?}"
    );
    std::fs::rename(dir.path().join("away"), &secret).unwrap();
    assert!(second.topology.follow().await.unwrap().is_some());
    assert_eq!(second.lanes(), ["a", "b"]);
    assert_eq!(first.spool.list().await.unwrap().len(), 2);
}

/// Its file was in force at the site once: it goes by what is in force now, and so does one that starts with the same file.
#[tokio::test(start_paused = true)]
async fn a_file_that_was_in_force_before_does_not_come_back_by_a_start() {
    let disk = MemoryDisk::default();
    disk.share();
    let mut first = Gateway::at(&disk).await;
    first.apply(&to("a")).await;
    first.append(1).await;
    first.apply(&to("b")).await;
    let grammar = crate::config::grammar();
    for (file, in_force) in [("a", "b"), ("b", "b"), ("c", "c")] {
        let second = Gateway::at(&disk).await;
        let routes = faceway_rules::parse(&to(file), "routes.toml", &grammar).unwrap();
        let started = second.topology.first(Ok(routes)).unwrap();
        assert_eq!(started.in_force.text, to(in_force), "{file}");
        assert_eq!(started.file.text, to(file));
    }
    // Where one gateway has the log to itself, its file counts.
    let alone = MemoryDisk::default();
    let mut only = Gateway::at(&alone).await;
    only.apply(&to("a")).await;
    only.append(1).await;
    only.apply(&to("b")).await;
    let again = Gateway::at(&alone).await;
    let routes = faceway_rules::parse(&to("a"), "routes.toml", &grammar).unwrap();
    assert_eq!(
        again.topology.first(Ok(routes)).unwrap().in_force.text,
        to("a")
    );
}

/// A lane that no rules name may be one that another gateway has just made.
#[tokio::test(start_paused = true)]
async fn a_start_deletes_no_lane_that_another_gateway_has_just_made() {
    let disk = MemoryDisk::default();
    disk.share();
    let mut first = Gateway::at(&disk).await;
    first.apply(&to("a")).await;
    let second = Gateway::at(&disk).await;
    let (claim, _) = first.spool.claim("b", Start::Oldest).await.unwrap();
    let routes = faceway_rules::parse(&to("b"), "routes.toml", &crate::config::grammar());
    let desired = Desired::new(routes.unwrap()).unwrap();
    second.topology.open(desired).await.unwrap();
    let kept = first.spool.commit(&claim, LaneChange::default()).await;
    assert!(kept.is_ok(), "{kept:?}");
}

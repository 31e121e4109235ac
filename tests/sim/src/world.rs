//! What outlives a gateway, and the story that a seed tells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use faceway::topology::rules_history::{ActiveRules, Rules, RulesHistory};
use faceway_core::{Clock as _, DeviceKey, EventId, LaneStore as _, Log as _, waiting};
use faceway_rules::OutboundPlan;
use faceway_testkit::memory::MemoryDisk;
use rand::RngExt as _;

use crate::clock::WallClock;
use crate::life::{Life, seed_chance};
use crate::plan::{Plan, Push, RECEIVERS, Step};
use crate::receiver::{Mood, Nature, Receiver};

/// Names of the outbounds, by receiver.
pub(crate) const NAMES: [&str; RECEIVERS] = ["erp", "bus"];
/// Lives of a gateway in one story.
const LIVES_MAX: usize = 5;
/// How often a receiver that is well is waited for, with a guest each time.
const ROUNDS_MAX: usize = 200;

/// An event that was answered with success.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) id: EventId,
    pub(crate) device: DeviceKey,
    pub(crate) is_alarm: bool,
    pub(crate) nature: Nature,
}

/// A story and all that is known of it.
pub struct World {
    seed: u64,
    pub(crate) plan: Plan,
    disk: MemoryDisk,
    clock: WallClock,
    pub(crate) receivers: [Receiver; RECEIVERS],
    pub(crate) kept: BTreeMap<u64, Kept>,
    ids: BTreeMap<u64, u64>,
    /// From behind which sequence number which of the two rules counts.
    versions: Vec<(u64, bool)>,
    history: Option<RulesHistory>,
    /// By receiver: they were handed out once more, so their place in the order is another.
    pub(crate) again: [BTreeSet<EventId>; RECEIVERS],
    pub(crate) has_replayed: bool,
    /// By receiver: what waited when this life began, and how far the log was routed.
    pub(crate) before: [(BTreeSet<u64>, u64); RECEIVERS],
    trace: Vec<String>,
}

/// One of the two rules that a world has.
fn rules(is_swapped: bool) -> anyhow::Result<(Vec<OutboundPlan>, Rules)> {
    let retry = "retry = { backoff_min = \"1s\", backoff_max = \"30s\", attempts_max = 3 }";
    let (all, alarms) = if is_swapped {
        ("bus", "erp")
    } else {
        ("erp", "bus")
    };
    let text = format!(
        "[outbound.stdout.erp]\nconcurrency_max = 2\n{retry}\n[outbound.stdout.bus]\nconcurrency_max = 4\n{retry}\n\
         [[route]]\nname = \"all\"\nto = [\"{all}\"]\n\
         [[route]]\nname = \"alarms\"\nwhen = {{ kind = \"alarm\" }}\nto = [\"{alarms}\"]\n"
    );
    let routes = faceway_rules::parse(&text, "routes.toml", &faceway::config::grammar());
    let routes = routes.map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let set = routes.routes;
    Ok((routes.outbounds, Rules { text, set }))
}

impl World {
    /// The world of a seed, in which nothing has happened.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            plan: Plan::new(seed),
            disk: MemoryDisk::default(),
            clock: WallClock::new(),
            receivers: [Receiver::new(), Receiver::new()],
            kept: BTreeMap::new(),
            ids: BTreeMap::new(),
            versions: vec![(0, false)],
            history: None,
            again: [BTreeSet::new(), BTreeSet::new()],
            has_replayed: false,
            before: Default::default(),
            trace: Vec::new(),
        }
    }

    /// What happened, a line each.
    pub fn trace(&self) -> String {
        self.trace.join("\n")
    }

    fn note(&mut self, what: impl std::fmt::Debug) {
        let mut line = format!("{what:?}");
        line.truncate(300);
        self.trace.push(line);
    }

    /// Plays it to the end.
    ///
    /// # Errors
    /// The promise that does not hold.
    pub fn play(&mut self) -> anyhow::Result<()> {
        seed_chance(self.seed);
        let lives = self.plan.rng.random_range(1..=LIVES_MAX);
        for life in 0..lives {
            let steps = self.plan.steps();
            let is_last = life + 1 == lives;
            let is_killed = self.plan.rng.random_bool(0.7);
            self.note(format!("life {life}"));
            self.live(steps, is_last, is_killed)?;
        }
        self.check_all()
    }

    /// A runtime of its own: dropping it takes everything with it, as a kill does.
    fn live(&mut self, steps: Vec<Step>, is_last: bool, is_killed: bool) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        runtime.block_on(async {
            let life = self.begin().await?;
            for step in steps {
                self.note(&step);
                self.take(&life, step).await?;
            }
            if is_last {
                self.settle(&life).await?;
            }
            if is_last || !is_killed {
                self.note("stop");
                life.stop().await;
            } else {
                self.note("kill");
                std::mem::forget(life);
            }
            anyhow::Ok(())
        })?;
        self.clock.stop();
        drop(runtime);
        self.receivers.iter().for_each(Receiver::cut);
        self.check_order()
    }

    async fn begin(&mut self) -> anyhow::Result<Life> {
        let (plans, first) = rules(false)?;
        let history = self.history.take();
        let history = history.unwrap_or_else(|| RulesHistory::new(self.clock.now(), first));
        self.history = Some(history.clone());
        for (receiver, name) in NAMES.into_iter().enumerate() {
            self.before[receiver] = self.look(name).await?;
        }
        let outbounds: Vec<_> = plans
            .into_iter()
            .zip(self.receivers.iter().cloned())
            .collect();
        let active = ActiveRules::new(history);
        Life::begin(self.disk.open(), active, self.clock.clone(), &outbounds).await
    }

    async fn take(&mut self, life: &Life, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Push(pushes) => {
                for push in pushes {
                    self.push(life, push).await;
                }
            }
            Step::Pass(pause) => {
                tokio::time::sleep(pause).await;
                self.check_backlogs(life).await?;
            }
            Step::Mood(receiver, mood) => self.receivers[receiver].feel(mood),
            Step::Latency(receiver, latency) => self.receivers[receiver].answer_after(latency),
            Step::Jump(millis) => self.clock.jump(millis),
            Step::FailCommits(count) => self.disk.fail_commits(count),
            Step::Full(is_full) => self.disk.set_full(is_full),
            Step::Probe(receiver) => life.probe(NAMES[receiver]),
            Step::Replay(receiver) => self.replay(life, receiver).await?,
            Step::Revive(receiver) => self.revive(life, receiver).await?,
            Step::Rules(is_swapped) => self.change_rules(life, is_swapped).await?,
        }
        Ok(())
    }

    async fn push(&mut self, life: &Life, push: Push) {
        let Push {
            number,
            device,
            is_alarm,
            nature,
        } = push;
        if self.ids.contains_key(&number) {
            return self.resend(life, number).await;
        }
        let id = EventId::from_bytes((u128::from(number) << 64 | 0x5eed).to_be_bytes());
        let device = DeviceKey(device);
        let kept = Kept {
            id,
            device,
            is_alarm,
            nature,
        };
        self.receivers
            .iter()
            .for_each(|receiver| receiver.expect(id, nature));
        if let Ok(Some(seq)) = life.append(id, device, self.body(&kept)).await {
            self.kept.insert(seq, kept);
            self.ids.insert(number, seq);
        }
    }

    async fn resend(&mut self, life: &Life, number: u64) {
        let seq = self.ids[&number];
        let kept = self.kept[&seq];
        let receipt = life.append(kept.id, kept.device, self.body(&kept)).await;
        assert!(
            !matches!(receipt, Ok(Some(_))),
            "a resend is kept once more"
        );
    }

    fn body(&self, kept: &Kept) -> Vec<u8> {
        let kind = if kept.is_alarm {
            "alarm"
        } else {
            "recognition"
        };
        let event = serde_json::json!({
            "schema": "faceway.event/1", "id": kept.id.to_string(), "kind": kind,
            "received_at": self.clock.now().to_string(), "inbound": "lobby", "adapter": "nebula",
        });
        event.to_string().into_bytes()
    }

    async fn replay(&mut self, life: &Life, receiver: usize) -> anyhow::Result<()> {
        self.has_replayed = true;
        let all = self.kept.values().map(|kept| kept.id);
        self.again[receiver].extend(all);
        let answered = life.replay(NAMES[receiver]).await;
        self.forgive_failing_commits(answered)
    }

    async fn revive(&mut self, life: &Life, receiver: usize) -> anyhow::Result<()> {
        let buried = self.disk.buried(NAMES[receiver]);
        self.again[receiver].extend(buried.iter().map(|(_, id)| *id));
        let place = |(seq, _): (u64, EventId)| Some((seq, self.kept.get(&seq)?.device));
        let places: Vec<_> = buried.into_iter().filter_map(place).collect();
        if places.is_empty() {
            return Ok(());
        }
        self.has_replayed = true;
        let answered = life.revive(NAMES[receiver], places).await;
        self.forgive_failing_commits(answered)
    }

    /// A command whose commit fails for long is not answered in time; it is carried out all the same, or not.
    fn forgive_failing_commits(&mut self, answered: anyhow::Result<()>) -> anyhow::Result<()> {
        if let Err(error) = answered {
            self.note(format!("not answered: {error}"));
        }
        Ok(())
    }

    async fn change_rules(&mut self, life: &Life, is_swapped: bool) -> anyhow::Result<()> {
        let (_, rules) = rules(is_swapped)?;
        let mut active = life.rules.hold().await;
        let after_seq = life.log.tail();
        let history = active
            .as_ref()
            .clone()
            .with(after_seq, self.clock.now(), rules);
        self.history = Some(history.clone());
        *active = std::sync::Arc::new(history);
        self.versions.push((after_seq, is_swapped));
        Ok(())
    }

    /// Whether an event is for a receiver, by the naive reading of the rules.
    pub(crate) fn is_for(&self, seq: u64, receiver: usize) -> bool {
        let mut versions = self.versions.iter().rev();
        let version = versions.find(|(after_seq, _)| *after_seq < seq);
        let is_swapped = version.is_some_and(|(_, is_swapped)| *is_swapped);
        let gets_all = (receiver == 0) != is_swapped;
        gets_all || self.kept.get(&seq).is_some_and(|kept| kept.is_alarm)
    }

    pub(crate) fn buried(&self, receiver: usize) -> BTreeSet<u64> {
        let buried = self.disk.buried(NAMES[receiver]);
        buried.into_iter().map(|(seq, _)| seq).collect()
    }

    /// Everything is well again: what waits is delivered, with guests now and then, as a site has them.
    async fn settle(&mut self, life: &Life) -> anyhow::Result<()> {
        self.note("settle");
        self.disk.set_full(false);
        self.disk.fail_commits(0);
        for receiver in &self.receivers {
            receiver.feel(Mood::Well);
            receiver.answer_after(Duration::from_millis(1));
        }
        for _ in 0..ROUNDS_MAX {
            tokio::time::sleep(Duration::from_secs(45)).await;
            let tail = life.log.tail();
            let is_through = |name| {
                let survey = life.survey(name);
                survey.is_some_and(|it| {
                    it.backlog == 0 && it.routed_through == tail && it.replays == 0
                })
            };
            if NAMES.into_iter().all(is_through) {
                // The last commits are on their way.
                tokio::time::sleep(Duration::from_secs(5)).await;
                return Ok(());
            }
            let guest = self.plan.guest();
            self.push(life, guest).await;
        }
        let stands = NAMES.map(|name| life.survey(name));
        anyhow::bail!("a lane stalls although its receiver is well: {stands:?}")
    }

    /// What a lane begins this life with.
    async fn look(&self, name: &str) -> anyhow::Result<(BTreeSet<u64>, u64)> {
        let state = self.disk.open().look(name).await?.unwrap_or_default();
        let waiting = state.waiting.iter();
        let waiting = waiting.filter_map(|(range, bytes)| waiting::decode(*range, bytes));
        let waiting = waiting.flatten().map(|(seq, _)| seq).collect();
        Ok((waiting, state.routed_through))
    }

    fn check_all(&mut self) -> anyhow::Result<()> {
        self.check_order()?;
        self.check_delivered()?;
        ensure!(
            !self.receivers.iter().any(Receiver::was_crowded),
            "two messages of one device were in flight"
        );
        Ok(())
    }
}

//! What outlives a gateway, and the story that a seed tells.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{bail, ensure};
use bytes::Bytes;
use faceway::dispatch::BuriedChange;
use faceway::topology::rules_history::{ActiveRules, Rules, RulesHistory};
use faceway_core::{Clock as _, DeviceKey, EventId, Log as _, Sha256};
use faceway_rules::OutboundPlan;
use faceway_testkit::memory::MemoryDisk;
use rand::RngExt as _;
use tokio::task::JoinHandle;

use crate::clock::WallClock;
use crate::life::{Life, seed_chance};
use crate::plan::{Plan, Push, RECEIVERS, Step};
use crate::receiver::{Mood, Nature, Receiver};

/// Names of the outbounds, by receiver. The first gets pictures inline, the other one by link.
pub(crate) const NAMES: [&str; RECEIVERS] = ["erp", "bus"];
/// Lives of a gateway in one story.
const LIVES_MAX: usize = 5;
/// How often a receiver that is well is waited for, with a guest each time.
const ROUNDS_MAX: usize = 200;
/// Bytes of a line of the trace.
const TRACE_LINE_MAX: usize = 1_000;
/// A gateway stops within its grace period and what comes after it.
const STOP_MAX: Duration = Duration::from_secs(30);

/// An event that is in the log, or was.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) id: EventId,
    pub(crate) device: DeviceKey,
    pub(crate) is_alarm: bool,
    pub(crate) nature: Nature,
    pub(crate) body: Bytes,
    pub(crate) pictures: Vec<Sha256>,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// Which of the two receivers gets everything, and which one alarms only.
    pub(crate) is_swapped: bool,
    /// Which outbounds they name.
    pub(crate) names: [bool; RECEIVERS],
}

impl Shape {
    /// Whether an event goes to a receiver.
    fn admits(&self, receiver: usize, kept: Option<&Kept>) -> bool {
        let gets_all = (receiver == 0) != self.is_swapped;
        self.names[receiver] && (gets_all || kept.is_some_and(|kept| kept.is_alarm))
    }
}

/// The gateways that work now. The last one claimed its lanes last.
pub(crate) struct Site {
    pub(crate) rules: ActiveRules,
    pub(crate) lives: Vec<Life>,
    /// Those that end while another one has taken their lanes.
    pub(crate) stopping: Vec<JoinHandle<()>>,
}

impl Site {
    pub(crate) fn current(&mut self) -> anyhow::Result<&mut Life> {
        let current = self.lives.last_mut();
        current.ok_or_else(|| anyhow::anyhow!("no gateway works"))
    }
}

/// A story and all that is known of it.
pub struct World {
    seed: u64,
    pub(crate) plan: Plan,
    pub(crate) disk: MemoryDisk,
    pub(crate) clock: WallClock,
    pub(crate) receivers: [Receiver; RECEIVERS],
    pub(crate) outbounds: Vec<OutboundPlan>,
    pub(crate) kept: BTreeMap<u64, Kept>,
    pub(crate) ids: BTreeMap<u64, u64>,
    /// By receiver: what is for it, and did not come when that was last looked at.
    pub(crate) pending: [BTreeSet<u64>; RECEIVERS],
    pub(crate) checks: u64,
    /// What devices keep, as it was not answered with success.
    pub(crate) refused: VecDeque<Push>,
    /// From behind which sequence number which rules count.
    pub(crate) versions: Vec<(u64, Shape)>,
    pub(crate) history: Option<RulesHistory>,
    /// By receiver: they were handed out once more, so their place in the order is another.
    pub(crate) again: [BTreeSet<EventId>; RECEIVERS],
    pub(crate) has_replayed: bool,
    /// By receiver: they waited, or were buried, in a lane that was dropped, or were dropped by themselves.
    pub(crate) forgotten: [BTreeSet<u64>; RECEIVERS],
    pub(crate) is_full: bool,
    gateways: u64,
    trace: Vec<String>,
}

/// The outbounds and rules of a shape. Each is parsed once.
pub(crate) fn rules(shape: Shape) -> anyhow::Result<(Vec<OutboundPlan>, Rules)> {
    static PARSED: Mutex<BTreeMap<Shape, Parsed>> = Mutex::new(BTreeMap::new());
    let mut parsed = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    match parsed.get(&shape) {
        Some(parsed) => Ok(parsed.clone()),
        None => Ok(parsed
            .entry(shape)
            .insert_entry(parse(shape)?)
            .get()
            .clone()),
    }
}

type Parsed = (Vec<OutboundPlan>, Rules);

fn parse(shape: Shape) -> anyhow::Result<Parsed> {
    let retry = "retry = { backoff_min = \"1s\", backoff_max = \"30s\", attempts_max = 3 }";
    let outbounds = [
        format!("[outbound.stdout.erp]\nconcurrency_max = 2\nimages = \"inline\"\n{retry}\n"),
        format!("[outbound.stdout.bus]\nconcurrency_max = 4\nimages = \"url\"\n{retry}\n"),
    ];
    let (all, alarms) = if shape.is_swapped { (1, 0) } else { (0, 1) };
    let mut text = String::new();
    for (receiver, outbound) in outbounds.iter().enumerate() {
        if shape.names[receiver] {
            text.push_str(outbound);
        }
    }
    for (receiver, name, when) in [
        (all, "all", ""),
        (alarms, "alarms", "when = { kind = \"alarm\" }\n"),
    ] {
        if shape.names[receiver] {
            let to = NAMES[receiver];
            text.push_str(&format!(
                "[[route]]\nname = \"{name}\"\n{when}to = [\"{to}\"]\n"
            ));
        }
    }
    let routes = faceway_rules::parse(&text, "routes.toml", &faceway::config::grammar());
    let routes = routes.map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let set = routes.routes;
    Ok((routes.outbounds, Rules { text, set }))
}

impl World {
    /// The world of a seed, in which nothing has happened.
    pub fn new(seed: u64) -> Self {
        let plan = Plan::new(seed);
        let shape = Shape {
            is_swapped: false,
            names: [true; RECEIVERS],
        };
        Self {
            seed,
            disk: MemoryDisk::with_limits(plan.limits),
            plan,
            clock: WallClock::new(),
            receivers: [Receiver::new(true), Receiver::new(false)],
            outbounds: Vec::new(),
            kept: BTreeMap::new(),
            ids: BTreeMap::new(),
            pending: [BTreeSet::new(), BTreeSet::new()],
            checks: 0,
            refused: VecDeque::new(),
            versions: vec![(0, shape)],
            history: None,
            again: [BTreeSet::new(), BTreeSet::new()],
            has_replayed: false,
            forgotten: [BTreeSet::new(), BTreeSet::new()],
            is_full: false,
            gateways: 0,
            trace: Vec::new(),
        }
    }

    /// What happened, a line each.
    pub fn trace(&self) -> String {
        self.trace.join("\n")
    }

    pub(crate) fn note(&mut self, what: impl std::fmt::Debug) {
        let mut line = format!("{what:?}");
        line.truncate(TRACE_LINE_MAX);
        self.trace.push(line);
    }

    /// The rules of now.
    pub(crate) fn shape(&self) -> Shape {
        // There is always a version.
        self.versions[self.versions.len() - 1].1
    }

    /// Plays it to the end.
    ///
    /// # Errors
    /// The promise that does not hold.
    pub fn play(&mut self) -> anyhow::Result<()> {
        seed_chance(self.seed);
        let (outbounds, first) = rules(self.shape())?;
        self.outbounds = outbounds;
        self.history = Some(RulesHistory::new(self.clock.now(), first));
        let lives = self.plan.rng.random_range(1..=LIVES_MAX);
        for life in 0..lives {
            let steps = self.plan.steps();
            let is_last = life + 1 == lives;
            let is_killed = self.plan.rng.random_bool(0.7);
            self.note(format!("life {life}"));
            self.live(steps, is_last, is_killed)?;
        }
        self.check_order()?;
        self.check_delivered()
    }

    /// A runtime of its own: dropping it takes everything with it, as a kill does.
    fn live(&mut self, steps: Vec<Step>, is_last: bool, is_killed: bool) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let Some(history) = self.history.clone() else {
            bail!("there are no rules");
        };
        let mut site = Site {
            rules: ActiveRules::new(history),
            lives: Vec::new(),
            stopping: Vec::new(),
        };
        let played = runtime.block_on(async {
            self.clock.begin();
            self.begin_gateway(&mut site).await?;
            for step in steps {
                self.note(&step);
                self.take(&mut site, step).await?;
                self.check(&mut site).await?;
            }
            if is_last {
                self.settle(&mut site).await?;
            }
            if is_last || !is_killed {
                self.note("stop");
                // One that is frozen does not hear it, and is killed.
                for life in site.lives.extract_if(.., |life| !life.is_frozen) {
                    let stopped = tokio::time::timeout(STOP_MAX, life.stop()).await;
                    ensure!(stopped.is_ok(), "a gateway does not stop");
                }
            }
            if is_last {
                for stopping in std::mem::take(&mut site.stopping) {
                    let stopped = tokio::time::timeout(STOP_MAX, stopping).await;
                    ensure!(
                        stopped.is_ok(),
                        "a gateway that lost its lanes does not stop"
                    );
                }
            }
            self.check_breaches()
        });
        if played.is_err() {
            let receivers = NAMES.into_iter().zip(&self.receivers);
            let stories = receivers.flat_map(|(name, receiver)| receiver.story(name));
            self.trace.extend(stories);
        }
        self.clock.stop();
        drop(runtime);
        drop(site);
        self.receivers.iter().for_each(Receiver::cut);
        played?;
        self.check_order()
    }

    /// Another gateway claims the lanes.
    pub(crate) async fn begin_gateway(&mut self, site: &mut Site) -> anyhow::Result<()> {
        self.gateways += 1;
        let log = self.disk.open();
        let rules = site.rules.clone();
        let mut life = Life::begin(self.gateways, log, rules, &self.clock)?;
        for receiver in 0..RECEIVERS {
            self.begin_lane(site, &mut life, receiver).await?;
        }
        site.lives.push(life);
        self.disturb(site);
        Ok(())
    }

    /// What is measured of waiting begins anew.
    pub(crate) fn disturb(&self, site: &Site) {
        let current = site.lives.last();
        let gateways = match current {
            Some(life) if !life.is_frozen => site.lives.len(),
            _ => 0,
        };
        for (receiver, to) in self.receivers.iter().enumerate() {
            let open = self.undelivered(receiver, &self.buried(receiver));
            let devices = open.iter().map(|seq| self.kept[seq].device);
            to.disturb(gateways, devices.collect());
        }
    }

    /// Whether an event is for a receiver, by the naive reading of the rules.
    pub(crate) fn is_for(&self, seq: u64, receiver: usize) -> bool {
        let mut versions = self.versions.iter().rev();
        let version = versions.find(|(after_seq, _)| *after_seq < seq);
        version.is_some_and(|(_, shape)| shape.admits(receiver, self.kept.get(&seq)))
    }

    pub(crate) fn buried(&self, receiver: usize) -> BTreeSet<u64> {
        let buried = self.disk.buried(NAMES[receiver]);
        buried.into_iter().map(|(seq, _)| seq).collect()
    }

    /// Everything is well again: what waits is delivered, with guests now and then, as a site has them.
    async fn settle(&mut self, site: &mut Site) -> anyhow::Result<()> {
        self.note("settle");
        self.disk.set_full(false);
        self.is_full = false;
        self.disk.fail_commits(0);
        self.disk.fail_appends(0);
        self.thaw(site);
        for receiver in 0..RECEIVERS {
            self.return_outbound(site, receiver).await?;
            self.receivers[receiver].feel(Mood::Well);
            self.receivers[receiver].answer_after(Duration::from_millis(1));
        }
        self.disturb(site);
        for _ in 0..ROUNDS_MAX {
            let guest = self.plan.guest();
            self.push(site, vec![guest]).await?;
            tokio::time::sleep(Duration::from_secs(45)).await;
            self.check(site).await?;
            let life = site.current()?;
            let tail = life.log.tail()?;
            let is_through = |name| {
                let survey = life.survey(name);
                survey.is_some_and(|it| {
                    it.backlog == 0 && it.routed_through == tail && it.replays == 0
                })
            };
            if NAMES.into_iter().all(is_through) && self.refused.is_empty() {
                // The last commits are on their way.
                tokio::time::sleep(Duration::from_secs(5)).await;
                self.check(site).await?;
                return self.check_fenced(site);
            }
            if !self.refused.is_empty() {
                // Nothing can be freed but what an operator drops.
                self.drop_buried(site).await?;
            }
        }
        let life = site.current()?;
        let stands = NAMES.map(|name| life.survey(name));
        let refused = self.refused.len();
        bail!(
            "a lane stalls although its receiver is well, or an inbound: {stands:?}, {refused} refused"
        )
    }

    /// The operator drops what is buried.
    async fn drop_buried(&mut self, site: &mut Site) -> anyhow::Result<()> {
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let places = self.buried_places(receiver);
            let seqs = places.iter().map(|(seq, _)| *seq);
            self.forgotten[receiver].extend(seqs);
            if !places.is_empty() {
                let life = site.current()?;
                life.change_buried(name, BuriedChange::Drop, &places)
                    .await?;
            }
        }
        Ok(())
    }
}

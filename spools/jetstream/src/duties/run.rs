//! The loop that takes duties, watches those that this gateway has, and gives back what it does not want any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::Duty;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::{Failure, Headers, Kept, Reply, pause};
use crate::lock;
use crate::members::{Life, Look, TICK, publish};
use crate::names::StreamKind;
use crate::shared::Shared;

use super::decide::{Sight, Step};
use super::held::{Grant, HeldDuty};
use super::pings::{Heard, Pings};
use super::record::{DutyRecord, Standing, given_back};

/// Requests on their way at once.
const AT_ONCE: usize = 64;
/// One read. The next one comes soon.
const READ: Duration = Duration::from_secs(1);
/// One ping of an owner.
const PING: Duration = Duration::from_millis(400);
/// How long a release is tried before it is left to the next sweep.
pub(super) const GIVE_BACK: Duration = Duration::from_secs(5);
/// How often records of this gateway are looked for that nothing here knows of.
const SWEEP: Duration = Duration::from_secs(5);

/// Serves all duties until the engine is closed.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut pings, mut swept_at) = (Pings::default(), Instant::now());
    let mut urls = BTreeSet::new();
    loop {
        let round = async {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shared.duties.woken.notified() => {}
            }
            let life = shared.members.life();
            if life.time(Instant::now()).is_none() {
                return;
            }
            shared.serve(&life, &mut pings, &mut urls).await;
            if swept_at.elapsed() >= SWEEP {
                swept_at = Instant::now();
                shared.sweep(&life).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = round => {}
        }
    }
}

/// Gives back what is still held, and removes the member record: the gateway ends in order.
pub(crate) async fn leave(shared: &Shared) {
    let life = shared.members.life();
    let grants = shared.duties.grants();
    grants.iter().for_each(|grant| grant.lose());
    let given = grants.iter().map(|grant| shared.give_back(grant));
    let leaves = async {
        futures_util::future::join_all(given).await;
        let record = shared
            .client
            .names
            .member(&shared.settings.gateway, &life.incarnation);
        shared
            .client
            .purge(StreamKind::Members, &record, None)
            .await
    };
    let left = timeout(GIVE_BACK, leaves).await;
    life.end();
    if !matches!(left, Ok(Ok(()))) {
        tracing::warn!(
            "the gateway could not remove its member record: other gateways notice that it is gone"
        );
    }
}

impl Shared {
    /// One look at everything that this gateway wants and has.
    async fn serve(
        self: &Arc<Self>,
        life: &Arc<Life>,
        pings: &mut Pings,
        urls: &mut BTreeSet<String>,
    ) {
        let (look, standings) = tokio::join!(self.look_at_members(), self.standings());
        self.check_held(life, &standings);
        let mut look = match look {
            Ok(look) => look,
            Err(failure) => {
                self.warn("members", || {
                    format!("the gateway does not know which others live: {failure}")
                });
                return;
            }
        };
        self.compare_urls(&look, urls).await;
        let is_suspicious = self.ping_owners(&look, &standings, life, pings).await;
        let mut steps = self.steps(life, &look, pings, &standings);
        if steps.iter().any(|(_, step)| *step == Step::Prove) {
            // A leader that keeps this has kept all that owners have published before.
            let proved = match publish(self, life).await {
                Ok(_) => self.look_at_members().await,
                Err(failure) => Err(failure),
            };
            if let Ok(proved) = proved {
                look = proved;
                steps = self.steps(life, &look, pings, &standings);
            }
        }
        let steps = steps.into_iter();
        let steps = steps.map(|(wish, step)| self.act(life, wish, step));
        stream::iter(steps)
            .for_each_concurrent(AT_ONCE, |act| act)
            .await;
        if is_suspicious {
            // The leader hears of every server with each write, so that the next look tells whether it sees them all.
            let _ = publish(self, life).await;
        }
    }

    /// How the duties stand, at the leader, that this gateway wants or has. Those are left out that cannot be read now.
    async fn standings(&self) -> BTreeMap<Duty, Standing> {
        let duties: BTreeSet<Duty> = {
            let slots = lock(&self.duties.slots);
            let wanted = slots.wishes.values().map(|wished| wished.duty.clone());
            let held = slots.grants.values().map(|grant| grant.duty.clone());
            wanted.chain(held).collect()
        };
        let reads = duties.into_iter().map(|duty| async move {
            let standing = self.standing(&duty).await.ok()?;
            Some((duty, standing))
        });
        let reads = stream::iter(reads).buffer_unordered(AT_ONCE);
        reads.filter_map(std::future::ready).collect().await
    }

    async fn standing(&self, duty: &Duty) -> Result<Standing, Failure> {
        let subject = self.client.names.duty(duty);
        let read = self.client.last_at_leader_once(StreamKind::State, &subject);
        let kept: Option<Kept> = timeout(READ, read).await.map_err(Failure::unavailable)??;
        Ok(Standing::of(kept.as_ref()))
    }

    /// Loses what is another's.
    fn check_held(&self, life: &Life, standings: &BTreeMap<Duty, Standing>) {
        for grant in self.duties.grants() {
            let standing = standings.get(&grant.duty);
            let is_anothers =
                |it: &Standing| it.is_anothers(&life.incarnation, grant.call, grant.number);
            if standing.is_some_and(is_anothers) {
                tracing::warn!(
                    "the duty {} {:?} is another gateway's now",
                    grant.duty.kind(),
                    grant.duty.name()
                );
                grant.lose();
            }
        }
    }

    /// Asks the owners of wanted duties whether they are there. Gives whether one has no subscription.
    async fn ping_owners(
        &self,
        look: &Look,
        standings: &BTreeMap<Duty, Standing>,
        life: &Life,
        pings: &mut Pings,
    ) -> bool {
        let owners: BTreeSet<(String, String)> = {
            let slots = lock(&self.duties.slots);
            let wanted = slots.wishes.values();
            let owner = |standing: &Standing| match standing {
                Standing::Owned { record, .. } => {
                    let gateway = look.living.get(&record.incarnation)?;
                    let is_other = record.incarnation != life.incarnation;
                    is_other.then(|| (gateway.clone(), record.incarnation.clone()))
                }
                _ => None,
            };
            let owners = wanted.filter_map(|wished| owner(standings.get(&wished.duty)?));
            owners.collect()
        };
        let asked = owners.into_iter().map(|(gateway, incarnation)| async move {
            let heard = self.ping_owner(&gateway, &incarnation, look).await;
            (incarnation, heard)
        });
        let mut asked = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut is_suspicious = false;
        while let Some((incarnation, heard)) = asked.next().await {
            is_suspicious |= heard.no_responders;
            pings.hear(&incarnation, heard, Instant::now());
        }
        pings.forget(Instant::now());
        is_suspicious
    }

    async fn ping_owner(&self, gateway: &str, incarnation: &str, look: &Look) -> Heard {
        let subject = self.client.names.ping(incarnation);
        let asked = self
            .client
            .ask(subject, Headers::default(), Bytes::new(), PING);
        let no_responders = matches!(asked.await, Ok(Reply::NoResponders));
        let mut heard = Heard {
            no_responders,
            servers: false,
            number: 0,
        };
        if no_responders {
            let record = timeout(READ, self.member(gateway, incarnation)).await;
            if let Ok(Ok(Some((number, record)))) = record {
                let has_server = look.peers.names.contains(&record.server);
                heard.servers = look.peers.are_all_there && has_server;
                heard.number = number;
            }
        }
        heard
    }

    /// What to do about each wish.
    fn steps(
        &self,
        life: &Life,
        look: &Look,
        pings: &Pings,
        standings: &BTreeMap<Duty, Standing>,
    ) -> Vec<(u64, Step)> {
        let sight = Sight {
            now: Instant::now(),
            timing: self.duties.timing,
            gateway: &self.settings.gateway,
            incarnation: &life.incarnation,
            began: life.began,
            members: look,
            pings,
        };
        let mut slots = lock(&self.duties.slots);
        let steps = slots.wishes.iter_mut().filter_map(|(id, wished)| {
            let standing = standings.get(&wished.duty)?;
            let step = wished.wish.step(&wished.duty, standing, &sight);
            Some((*id, step))
        });
        steps.collect()
    }

    async fn act(self: &Arc<Self>, life: &Arc<Life>, id: u64, step: Step) {
        let wished = {
            let slots = lock(&self.duties.slots);
            let wished = slots.wishes.get(&id);
            wished.map(|wished| (wished.duty.clone(), wished.wish.call))
        };
        let Some((duty, call)) = wished else {
            return;
        };
        match step {
            Step::Wait | Step::Prove => {}
            Step::Mine(number) => self.grant(life, (id, duty), (call, number)),
            Step::Ask(owner) => self.want(&owner, &duty).await,
            Step::Take(before) => {
                let (gateway, now) = (&self.settings.gateway, self.clock.now().as_millis());
                let record = DutyRecord::new(&life.incarnation, gateway, now, call);
                let message = record.message(self.client.names.duty(&duty), before);
                match self.client.publish_once(&message).await {
                    Ok(ack) => self.grant(life, (id, duty), (call, ack.seq)),
                    // Another one was first, or the answer was lost: the next look tells.
                    Err(failure) if failure == Failure::Moved || failure.passes() => {}
                    Err(failure) => self.warn("take", || {
                        format!("the gateway cannot take a duty: {failure}")
                    }),
                }
            }
        }
    }

    /// The record is there: the gateway has the duty, unless it was cut off meanwhile.
    fn grant(self: &Arc<Self>, life: &Arc<Life>, (id, duty): (u64, Duty), place: (u64, u64)) {
        let Some(time) = life.time(Instant::now()) else {
            return;
        };
        let wished = lock(&self.duties.slots).wishes.remove(&id);
        let grant = Grant::new((id, duty), place, (Arc::clone(life), time));
        let held = HeldDuty::new(self, Arc::new(grant));
        if let Some(wished) = wished {
            // Where it is not wanted any more it is dropped, and so given back.
            let _ = wished.give.send(held);
        }
    }

    /// Gives a duty back, unless its record is another's already.
    pub(super) async fn give_back(&self, grant: &Grant) {
        if !grant.is_of_the_living() {
            // Others take it as they take everything of an incarnation that is over.
            return;
        }
        self.give_back_record(&grant.duty, grant.number).await;
    }

    async fn give_back_record(&self, duty: &Duty, number: u64) {
        let deadline = Instant::now() + GIVE_BACK;
        let subject = self.client.names.duty(duty);
        let message = given_back(subject, number, &self.settings.gateway);
        while Instant::now() < deadline {
            if self.client.publish_once(&message).await.is_ok() {
                return;
            }
            // The answer may be lost, and a compare-and-set fails at times without a cause.
            let standing = self.standing(duty).await;
            let is_there =
                matches!(&standing, Ok(Standing::Owned { number: there, .. }) if *there == number);
            if standing.is_ok() && !is_there {
                return;
            }
            pause().await;
        }
    }

    /// Gives back records of this incarnation that nothing here knows of: of wishes that were taken back while their record was
    /// written, and of releases that failed.
    async fn sweep(&self, life: &Life) {
        let all = self.client.names.all_duties();
        let records = timeout(READ, self.present(&all)).await;
        let Ok(Ok(records)) = records else {
            return;
        };
        for kept in records {
            let (Some(duty), Standing::Owned { number, record }) = (
                crate::names::duty_of(&kept.subject),
                Standing::of(Some(&kept)),
            ) else {
                continue;
            };
            if record.incarnation == life.incarnation && !self.knows(record.call) {
                self.give_back_record(&duty, number).await;
            }
        }
    }

    fn knows(&self, call: u64) -> bool {
        let slots = lock(&self.duties.slots);
        let wanted = slots.wishes.values().any(|it| it.wish.call == call);
        wanted || slots.grants.values().any(|grant| grant.call == call)
    }

    /// Links to pictures lead to one address, whichever gateway wrote them.
    async fn compare_urls(&self, look: &Look, compared: &mut BTreeSet<String>) {
        compared.retain(|incarnation| look.living.contains_key(incarnation));
        for (incarnation, gateway) in &look.living {
            if compared.contains(incarnation) {
                continue;
            }
            if let Ok(Some((_, record))) = self.member(gateway, incarnation).await {
                compared.insert(incarnation.clone());
                let mine = &self.settings.public_url;
                if record.public_url != *mine {
                    tracing::warn!(
                        "listen.public_url is {mine:?} here, and {:?} at the gateway {gateway:?}: give both the address \
                         that all gateways answer",
                        record.public_url
                    );
                }
            }
        }
    }
}

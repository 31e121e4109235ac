//! The promises, each by a naive count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use faceway::dispatch::LaneState;
use faceway_core::{
    DeviceKey, EventId, LaneState as KeptLane, LaneStore as _, Log as _, Sha256, waiting,
};

use crate::World;
use crate::life::Life;
use crate::picture::Painted;
use crate::plan::RECEIVERS;
use crate::receiver::Nature;
use crate::world::{Kept, NAMES, Site};

/// What a lane holds, as it is kept.
struct Holds {
    waiting: BTreeSet<u64>,
    state: KeptLane,
}

impl Holds {
    /// What waits for the lane, or is still to be routed.
    fn waits(&self, seq: u64) -> bool {
        seq > self.state.routed_through || self.waiting.contains(&seq)
    }

    /// What the log must keep for it.
    fn needs(&self, seq: u64) -> bool {
        let mut replays = self.state.replays.iter();
        self.waits(seq) || replays.any(|job| seq > job.routed_through && seq <= job.through_seq)
    }
}

fn waiting_of(state: &KeptLane) -> BTreeSet<u64> {
    let ranges = state.waiting.iter();
    let events = ranges.filter_map(|(range, bytes)| waiting::decode(*range, bytes));
    events.flatten().map(|(seq, _)| seq).collect()
}

impl World {
    /// What holds after every step.
    pub(crate) async fn check(&mut self, site: &mut Site) -> anyhow::Result<()> {
        self.check_breaches()?;
        self.forget_taken();
        let holds = self.holds().await?;
        self.check_held(&holds).await?;
        self.checks += 1;
        // It costs more than all the others.
        if self.checks.is_multiple_of(4) {
            self.check_trimmed(&holds)?;
        }
        self.check_waits(site.current()?)
    }

    /// What receivers have seen.
    pub(crate) fn check_breaches(&self) -> anyhow::Result<()> {
        let breaches = self.receivers.iter().flat_map(|it| it.breaches());
        let breaches: Vec<String> = breaches.take(3).collect();
        ensure!(breaches.is_empty(), "{}", breaches.join("; "));
        Ok(())
    }

    async fn holds(&self) -> anyhow::Result<[Option<Holds>; RECEIVERS]> {
        let log = self.disk.open();
        let mut holds = [None, None];
        for (name, holds) in NAMES.into_iter().zip(&mut holds) {
            let state = log.look(name).await?;
            *holds = state.map(|state| Holds {
                waiting: waiting_of(&state),
                state,
            });
        }
        Ok(holds)
    }

    /// An event that is not delivered to all that it is for is held by their lanes, with its body and its pictures. One that
    /// is buried has its body.
    async fn check_held(&self, holds: &[Option<Holds>; RECEIVERS]) -> anyhow::Result<()> {
        let mut open = BTreeSet::new();
        let mut with_pictures = BTreeSet::new();
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let buried = self.buried(receiver);
            let copies = holds[receiver].as_ref().map_or(0, |it| it.state.buried);
            ensure!(
                copies == buried.len() as u64,
                "{name} has buried {copies} events, and {} of their bodies",
                buried.len()
            );
            for seq in self.undelivered(receiver, &buried) {
                let is_held = holds[receiver].as_ref().is_some_and(|it| it.waits(seq));
                ensure!(
                    is_held,
                    "{seq} is not delivered to {name}, whose lane does not hold it"
                );
                open.insert(seq);
                if !self.again[receiver].contains(&self.kept[&seq].id) {
                    with_pictures.insert(seq);
                }
            }
        }
        let pictures = self.disk.pictures();
        let entries = self
            .disk
            .open()
            .fetch(open.iter().copied().collect())
            .await?;
        for (seq, entry) in open.iter().zip(entries) {
            let kept = &self.kept[seq];
            let entry = entry.with_context(|| format!("{seq} waits and has left the log"))?;
            ensure!(*entry.body.reveal() == kept.body, "{seq} has another body");
            let mut named = kept.pictures.iter();
            let has_all = named.all(|picture| pictures.contains(picture));
            ensure!(
                has_all || !with_pictures.contains(seq),
                "{seq} waits, and a picture of it has left"
            );
        }
        Ok(())
    }

    /// What is for a receiver and did not come, and is neither buried nor forgotten.
    pub(crate) fn undelivered(&self, receiver: usize, buried: &BTreeSet<u64>) -> Vec<u64> {
        let to = &self.receivers[receiver];
        let forgotten = &self.forgotten[receiver];
        let pending = self.pending[receiver].iter().copied();
        let is_open = |seq: &u64| {
            !buried.contains(seq) && !forgotten.contains(seq) && !to.has(self.kept[seq].id)
        };
        pending.filter(is_open).collect()
    }

    /// What came is pending no longer.
    fn forget_taken(&mut self) {
        for (receiver, pending) in self.receivers.iter().zip(&mut self.pending) {
            pending.retain(|seq| !receiver.has(self.kept[seq].id));
        }
    }

    /// Nothing behind the trim point is kept without a holder, and no picture without an event.
    fn check_trimmed(&self, holds: &[Option<Holds>; RECEIVERS]) -> anyhow::Result<()> {
        let trimmed_through = self.disk.trimmed_through();
        let seqs = self.disk.seqs();
        for seq in seqs.iter().take_while(|seq| **seq <= trimmed_through) {
            let is_held = holds.iter().flatten().any(|lane| lane.needs(*seq));
            ensure!(
                is_held,
                "{seq} is behind the trim point, and no lane needs it"
            );
        }
        let named = seqs.iter().filter_map(|seq| self.kept.get(seq));
        let named: BTreeSet<Sha256> = named.flat_map(|it| it.pictures.iter().copied()).collect();
        let mut pictures = self.disk.pictures().into_iter();
        let lone = pictures.find(|picture| !named.contains(picture));
        ensure!(lone.is_none(), "{lone:?} is kept, and no event names it");
        Ok(())
    }

    /// An event is refused for want of capacity only where nothing can be freed.
    pub(crate) async fn check_full(&self, kept: &Kept) -> anyhow::Result<()> {
        if self.is_full {
            return Ok(());
        }
        let holds = self.holds().await?;
        let needs = |seq: &u64| holds.iter().flatten().any(|lane| lane.needs(*seq));
        let needed = self.disk.seqs().into_iter().filter(needs);
        let needed: Vec<&Kept> = needed.filter_map(|seq| self.kept.get(&seq)).collect();
        let bodies: usize = needed.iter().map(|kept| kept.body.len()).sum();
        let copies = (0..RECEIVERS).flat_map(|receiver| self.buried(receiver));
        let copies: usize = copies.map(|seq| self.kept[&seq].body.len()).sum();
        let named = needed.iter().flat_map(|it| it.pictures.iter().copied());
        let named: BTreeSet<Sha256> = named.chain(kept.pictures.iter().copied()).collect();
        let pictures = named.into_iter().filter_map(Painted::named);
        let pictures: usize = pictures.map(|painted| painted.bytes.len()).sum();
        let wanted = (bodies + copies + pictures + kept.body.len()) as u64;
        let limits = self.plan.limits;
        let most = limits.bytes_max - limits.quarantine_bytes_max;
        ensure!(
            wanted > most,
            "{} is refused although {wanted} of {most} bytes are needed",
            kept.id
        );
        Ok(())
    }

    /// No event that may leave waits for long while its receiver is well.
    fn check_waits(&self, life: &Life) -> anyhow::Result<()> {
        if life.is_frozen {
            return Ok(());
        }
        for (receiver, name) in NAMES.into_iter().enumerate() {
            if !life.has(name) {
                continue;
            }
            let mut devices = BTreeSet::new();
            for seq in self.undelivered(receiver, &self.buried(receiver)) {
                let kept = &self.kept[&seq];
                if !devices.insert(kept.device) || kept.nature != Nature::Good {
                    continue;
                }
                let late = self.receivers[receiver].late(kept.device, kept.id);
                ensure!(
                    late.is_none(),
                    "{seq}, for {name}: {}",
                    late.unwrap_or_default()
                );
            }
        }
        Ok(())
    }

    /// A gateway that lost a lane has learned it, as events came in since.
    pub(crate) fn check_fenced(&self, site: &Site) -> anyhow::Result<()> {
        for life in &site.lives {
            for name in NAMES {
                let is_lost = life.log.claimed(name).is_some() && !life.log.owns(name);
                // One that is through with a retired outbound works no more.
                let works = life
                    .state(name)
                    .is_some_and(|state| state != LaneState::Stopped);
                let number = life.number;
                ensure!(
                    !is_lost || life.log.fenced_at(name).is_some() || !works,
                    "gateway {number} never learns that it lost {name}"
                );
            }
        }
        Ok(())
    }

    /// Each receiver gets the events of one device in the order in which they were kept; but for one that was refused when its
    /// gateway died. Whether later ones passed it is then not known: buried, a good event would be lost in a night of 401.
    pub(crate) fn check_order(&self) -> anyhow::Result<()> {
        let seqs: BTreeMap<EventId, u64> = self
            .kept
            .iter()
            .map(|(seq, kept)| (kept.id, *seq))
            .collect();
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let mut last: BTreeMap<DeviceKey, u64> = BTreeMap::new();
            for (device, id) in self.receivers[receiver].taken() {
                let seq = seqs.get(&id).copied().unwrap_or_default();
                let before = last.entry(device).or_default();
                let is_again = self.again[receiver].contains(&id);
                let is_in_order =
                    seq > *before || is_again || self.receivers[receiver].outlived(id);
                ensure!(
                    is_in_order,
                    "{name} gets {seq} of {device:?} behind {before}"
                );
                *before = seq.max(*before);
            }
        }
        Ok(())
    }

    /// Everything that was answered with success is delivered to all it was routed to, or buried.
    pub(crate) fn check_delivered(&self) -> anyhow::Result<()> {
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let buried = self.buried(receiver);
            let open = self.undelivered(receiver, &buried);
            ensure!(open.is_empty(), "{name} never gets {open:?}");
            for (seq, kept) in &self.kept {
                let is_taken = self.receivers[receiver].has(kept.id);
                ensure!(
                    self.is_for(*seq, receiver) || !is_taken || self.has_replayed,
                    "{name} gets {seq}, which is not for it"
                );
                let is_good = kept.nature == Nature::Good;
                ensure!(
                    !buried.contains(seq) || !is_good || self.plan.is_harsh || self.has_replayed,
                    "{seq} is good, and {name} has it buried"
                );
            }
        }
        Ok(())
    }

    /// The backlog that a lane shows is the number of events that are routed to it and not acknowledged.
    pub(crate) async fn check_backlogs(&self, life: &Life) -> anyhow::Result<()> {
        // What was just acknowledged is on its way into the status.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let tail = life.log.tail()?;
        for (receiver, name) in NAMES.into_iter().enumerate() {
            let to = &self.receivers[receiver];
            let survey = life.survey(name);
            let claimed = life.log.claimed(name).filter(|_| life.log.owns(name));
            let (Some(survey), Some((epoch, state))) = (survey, claimed) else {
                continue;
            };
            let is_behind = survey.routed_through != tail;
            if is_behind || self.has_replayed || to.in_flight(life.number) > 0 {
                continue;
            }
            let (buried, waited) = (self.buried(receiver), waiting_of(&state));
            let taken = to.taken_by(epoch);
            let is_open = |seq: &&u64| {
                let is_new = **seq > state.routed_through && self.is_for(**seq, receiver);
                let is_routed = waited.contains(*seq) || is_new;
                is_routed && !taken.contains(&self.kept[*seq].id) && !buried.contains(*seq)
            };
            // Burials that are not written yet.
            let unwritten = survey.buried.saturating_sub(buried.len() as u64);
            let open = self.kept.keys().filter(is_open).count() as u64;
            let open = open.saturating_sub(unwritten);
            let is_true = survey.backlog == open;
            ensure!(
                is_true,
                "{name} shows a backlog of {}, and {open} are open",
                survey.backlog
            );
        }
        Ok(())
    }
}

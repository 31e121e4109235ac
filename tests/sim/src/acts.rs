//! What happens in a story: each step, done.

use anyhow::ensure;
use faceway::dispatch::BuriedChange;
use faceway_core::{
    AppendError, Batch, Clock as _, DeviceKey, EventId, LaneStore as _, Log as _, NewEvent,
    NewUnreadable, Picture, Private, Receipt, Timestamp,
};

use crate::World;
use crate::life::Life;
use crate::picture::Painted;
use crate::plan::{Before, Push, RECEIVERS, Step};
use crate::receiver::{Expected, Nature};
use crate::world::{Kept, NAMES, Shape, Site};

impl World {
    pub(crate) async fn take(&mut self, site: &mut Site, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Push(pushes) => self.push(site, pushes).await?,
            Step::Pass(pause) => self.pass(site, pause).await?,
            Step::Mood(receiver, mood) => {
                self.receivers[receiver].feel(mood);
                self.disturb(site);
            }
            Step::Latency(receiver, latency) => self.receivers[receiver].answer_after(latency),
            Step::Jump(millis) => self.clock.jump(millis),
            Step::FailCommits(count) => {
                self.disk.fail_commits(count);
                self.disturb(site);
            }
            Step::FailAppends(count) => self.disk.fail_appends(count),
            Step::Full(is_full) => {
                self.is_full = is_full;
                self.disk.set_full(is_full);
            }
            Step::Unreadable(bytes) => self.push_unreadable(site, bytes).await?,
            Step::AgeEvents(hundredths) => {
                let tail = site.current()?.log.tail()?;
                self.disk.age_events(tail * hundredths / 100);
            }
            Step::AgePictures => {
                self.disk.age_pictures();
                self.disk.age_quarantine();
            }
            Step::Probe(receiver) => site.current()?.probe(NAMES[receiver]),
            Step::Replay(receiver) => self.replay(site, receiver).await?,
            Step::Revive(receiver) => self.revive(site, receiver).await?,
            Step::Rules(is_swapped) => {
                let shape = self.shape();
                let shape = Shape {
                    is_swapped,
                    ..shape
                };
                self.change_rules(site, shape).await?;
            }
            Step::Retire(receiver) => self.retire(site, receiver).await?,
            Step::Return(receiver) => self.return_outbound(site, receiver).await?,
            Step::Drop(receiver) => self.drop_lane(site, receiver).await?,
            Step::TakeOver(before) => self.take_over(site, before).await?,
            Step::Freeze => self.freeze(site).await?,
            Step::Thaw => self.thaw(site),
        }
        Ok(())
    }

    async fn pass(&mut self, site: &mut Site, pause: std::time::Duration) -> anyhow::Result<()> {
        tokio::time::sleep(pause).await;
        if !site.current()?.is_frozen {
            self.forget_finished(site).await?;
            self.check_backlogs(site.current()?).await?;
        }
        Ok(())
    }

    async fn take_over(&mut self, site: &mut Site, before: Before) -> anyhow::Result<()> {
        let life = site.current()?;
        if !life.is_frozen && !life.has_claimed().await {
            return Ok(());
        }
        match before {
            Before::IsFrozen => life.freeze(true),
            Before::Stops if !life.is_frozen => {
                // Its deliveries are in flight while the other one claims.
                let stopping = site.lives.pop().map(Life::stop);
                site.stopping.extend(stopping.map(tokio::spawn));
                tokio::task::yield_now().await;
            }
            Before::Stops | Before::Works => {}
        }
        self.begin_gateway(site).await
    }

    async fn freeze(&mut self, site: &mut Site) -> anyhow::Result<()> {
        let life = site.current()?;
        if !life.is_frozen && life.has_claimed().await {
            life.freeze(true);
            self.disturb(site);
        }
        Ok(())
    }

    pub(crate) fn thaw(&mut self, site: &mut Site) {
        site.lives.iter_mut().for_each(|life| life.freeze(false));
        self.disturb(site);
    }

    /// What devices send, behind what they have to send once more.
    pub(crate) async fn push(&mut self, site: &mut Site, pushes: Vec<Push>) -> anyhow::Result<()> {
        let refused = std::mem::take(&mut self.refused);
        for push in refused.into_iter().chain(pushes) {
            self.push_one(site, push).await?;
        }
        Ok(())
    }

    async fn push_one(&mut self, site: &mut Site, push: Push) -> anyhow::Result<()> {
        if let Some(seq) = self.ids.get(&push.number) {
            return self.resend(site, *seq).await;
        }
        let Push {
            number,
            device,
            is_alarm,
            nature,
            pictures,
        } = push;
        let id = EventId::from_bytes((u128::from(number) << 64 | 0x5eed).to_be_bytes());
        let pictures = pictures.into_iter().flatten().filter_map(Painted::of);
        let painted: Vec<&'static Painted> = pictures.collect();
        let kept = Kept {
            id,
            device: DeviceKey(device),
            is_alarm,
            nature,
            body: self.body(id, is_alarm, &painted),
            pictures: painted.iter().map(|painted| painted.sha256).collect(),
        };
        self.expect(id, nature, &painted);
        let batch = self.batch(&kept, &painted);
        let life = gateway_for(site, number)?;
        // A gateway that is frozen answers no device; one look at it is enough.
        let answer = if life.is_frozen {
            None
        } else {
            life.append(batch).await
        };
        match &answer {
            Some(Ok(receipts)) => {
                let is_known = receipts.first() == Some(&Receipt::Duplicate);
                ensure!(!is_known, "{id} is new, and taken for known");
            }
            Some(Err(AppendError::Full)) => self.check_full(&kept).await?,
            Some(Err(error)) => ensure!(
                *error == AppendError::Failing,
                "{id} is refused: {error}, and nothing of it is unreadable"
            ),
            None => {}
        }
        let is_answered = matches!(answer, Some(Ok(_)));
        match self.disk.seq_of(id) {
            Some(seq) => self.appended(number, seq, kept),
            None => ensure!(!is_answered, "{id} is answered with success, and not kept"),
        }
        if !is_answered {
            self.refused.push_back(push);
        }
        Ok(())
    }

    fn appended(&mut self, number: u64, seq: u64, kept: Kept) {
        let (device, id) = (kept.device, kept.id);
        self.ids.insert(number, seq);
        self.kept.insert(seq, kept);
        for receiver in 0..RECEIVERS {
            if self.is_for(seq, receiver) {
                self.receivers[receiver].waits(device, id);
                self.pending[receiver].insert(seq);
            }
        }
    }

    /// A device sends again what is known.
    async fn resend(&mut self, site: &mut Site, seq: u64) -> anyhow::Result<()> {
        let kept = self.kept[&seq].clone();
        let batch = self.batch(&kept, &[]);
        let life = site.current()?;
        if life.is_frozen {
            return Ok(());
        }
        let answer = life.append(batch).await;
        if let Some(Ok(receipts)) = answer {
            let is_known = receipts.first() == Some(&Receipt::Duplicate);
            ensure!(is_known, "a resend of {seq} is kept once more");
        }
        Ok(())
    }

    fn expect(&self, id: EventId, nature: Nature, painted: &[&'static Painted]) {
        for receiver in &self.receivers {
            let expected = Expected {
                nature,
                pictures: painted.to_vec(),
            };
            receiver.expect(id, expected);
        }
    }

    fn batch(&self, kept: &Kept, painted: &[&'static Painted]) -> Batch {
        let event = NewEvent {
            id: kept.id,
            device: kept.device,
            received_at: self.clock.now(),
            images: kept.pictures.clone(),
            trace_context: None,
            body: Private::new(kept.body.clone()),
        };
        let picture = |painted: &&Painted| Picture {
            sha256: painted.sha256,
            media_type: Some("image/jpeg"),
            bytes: Private::new(painted.bytes.clone()),
        };
        Batch {
            events: vec![event],
            pictures: painted.iter().map(picture).collect(),
            unreadable: Vec::new(),
        }
    }

    fn body(&self, id: EventId, is_alarm: bool, painted: &[&'static Painted]) -> bytes::Bytes {
        let kind = if is_alarm { "alarm" } else { "recognition" };
        let at = self.clock.now();
        let images: Vec<&str> = painted.iter().map(|it| it.named.as_str()).collect();
        let images = match images.join(",") {
            none if none.is_empty() => none,
            images => format!(r#","images":[{images}]"#),
        };
        let event = format!(
            r#"{{"schema":"faceway.event/1","id":"{id}","kind":"{kind}","received_at":"{at}","inbound":"lobby","adapter":"nebula"{images}}}"#
        );
        event.into()
    }

    /// What cannot be read goes into quarantine, or is refused when that is full. It takes nothing from events.
    async fn push_unreadable(&mut self, site: &mut Site, bytes: usize) -> anyhow::Result<()> {
        let life = site.current()?;
        if life.is_frozen {
            return Ok(());
        }
        let inbound = if bytes.is_multiple_of(2) {
            "lobby"
        } else {
            "yard"
        };
        let before = life.log.capacity().await?.bytes;
        let unreadable = NewUnreadable {
            inbound: inbound.into(),
            received_at: Timestamp::EPOCH,
            reason: "it is no JSON".into(),
            headers: Private::new("{}".into()),
            body: Private::new(vec![b'x'; bytes].into()),
        };
        let batch = Batch {
            unreadable: vec![unreadable],
            ..Batch::default()
        };
        let answer = life.append(batch).await;
        let capacity = life.log.capacity().await?;
        let is_full = answer == Some(Err(AppendError::Full));
        ensure!(!is_full || self.is_full, "unreadable bodies fill the log");
        ensure!(
            capacity.bytes == before,
            "an unreadable body takes from events"
        );
        let most = self.plan.limits.quarantine_bytes_max;
        ensure!(
            capacity.quarantine_bytes <= most,
            "quarantine is over its limit"
        );
        Ok(())
    }

    async fn replay(&mut self, site: &mut Site, receiver: usize) -> anyhow::Result<()> {
        let life = site.current()?;
        if life.is_frozen || self.disk.open().look(NAMES[receiver]).await?.is_none() {
            return Ok(());
        }
        self.has_replayed = true;
        let all: Vec<EventId> = self.kept.values().map(|kept| kept.id).collect();
        self.receivers[receiver].forgive(&all);
        self.again[receiver].extend(all);
        let answered = life.replay(NAMES[receiver]).await;
        self.forgive_failing_commits(answered);
        self.disturb(site);
        Ok(())
    }

    async fn revive(&mut self, site: &mut Site, receiver: usize) -> anyhow::Result<()> {
        let places = self.buried_places(receiver);
        let life = site.current()?;
        if life.is_frozen || places.is_empty() {
            return Ok(());
        }
        self.has_replayed = true;
        let ids = places.iter().map(|(seq, _)| self.kept[seq].id);
        let ids: Vec<EventId> = ids.collect();
        // Buried events keep no pictures.
        self.receivers[receiver].forgive(&ids);
        self.again[receiver].extend(ids);
        let revived = life.change_buried(NAMES[receiver], BuriedChange::Revive, &places);
        let answered = revived.await;
        self.forgive_failing_commits(answered);
        self.disturb(site);
        Ok(())
    }

    pub(crate) fn buried_places(&self, receiver: usize) -> Vec<(u64, DeviceKey)> {
        let buried = self.disk.buried(NAMES[receiver]).into_iter();
        let place = |(seq, _): (u64, EventId)| Some((seq, self.kept.get(&seq)?.device));
        buried.filter_map(place).collect()
    }

    /// A command whose commit fails for long is not answered in time; it is carried out all the same, or not.
    fn forgive_failing_commits(&mut self, answered: anyhow::Result<()>) {
        if let Err(error) = answered {
            self.note(format!("not answered: {error}"));
        }
    }
}

/// Any gateway that works takes in any event.
fn gateway_for(site: &Site, number: u64) -> anyhow::Result<&Life> {
    let working: Vec<&Life> = site.lives.iter().filter(|life| !life.is_frozen).collect();
    let at = number.checked_rem(working.len() as u64).unwrap_or_default();
    let life = working.get(at as usize).copied();
    life.or(site.lives.last())
        .ok_or_else(|| anyhow::anyhow!("no gateway works"))
}

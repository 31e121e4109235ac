//! Outbounds that come, go and return, with their lanes, as the topology does it.

use bytes::Bytes;
use faceway_core::{Clock as _, LaneStore as _, Log as _};
use rand::RngExt as _;

use crate::World;
use crate::life::Life;
use crate::plan::RECEIVERS;
use crate::world::{NAMES, Shape, Site, rules};

impl World {
    /// Gives the newest event that goes by the rules before.
    pub(crate) async fn change_rules(
        &mut self,
        site: &mut Site,
        shape: Shape,
    ) -> anyhow::Result<u64> {
        let (_, rules) = rules(shape)?;
        let mut active = site.rules.hold().await;
        let log = self.disk.open();
        let known = log.rules().await?.map_or(0, |known| known.mark.version);
        let mark = log.append_rules(Bytes::new(), known).await?;
        let after_seq = mark.after_seq;
        let history = active
            .as_ref()
            .clone()
            .with(after_seq, self.clock.now(), rules);
        self.history = Some(history.clone());
        *active = std::sync::Arc::new(history);
        self.versions.push((after_seq, shape));
        Ok(after_seq)
    }

    /// As a start does: what the rules name is set to work, and what they named before where that can be opened.
    pub(crate) async fn begin_lane(
        &mut self,
        site: &Site,
        life: &mut Life,
        receiver: usize,
    ) -> anyhow::Result<()> {
        let (plan, to) = (&self.outbounds[receiver], &self.receivers[receiver]);
        let name = NAMES[receiver];
        if self.shape().names[receiver] {
            life.open(plan).await?;
            life.deliver(plan, to);
            return Ok(());
        }
        let history = site.rules.current().await;
        let has_lane = life.log.look(name).await?.is_some();
        let can_be_opened = self.plan.rng.random_bool(0.5);
        if let Some(retired) = history
            .retired()
            .get(name)
            .filter(|_| has_lane && can_be_opened)
        {
            life.deliver(plan, to);
            life.retire(name, retired.through_seq);
        }
        Ok(())
    }

    pub(crate) async fn retire(&mut self, site: &mut Site, receiver: usize) -> anyhow::Result<()> {
        let mut shape = self.shape();
        // One is left, so that there are rules.
        if shape.names != [true; RECEIVERS] {
            return Ok(());
        }
        shape.names[receiver] = false;
        let through_seq = self.change_rules(site, shape).await?;
        site.current()?.retire(NAMES[receiver], through_seq);
        Ok(())
    }

    pub(crate) async fn return_outbound(
        &mut self,
        site: &mut Site,
        receiver: usize,
    ) -> anyhow::Result<()> {
        let mut shape = self.shape();
        if shape.names[receiver] || site.current()?.is_frozen {
            return Ok(());
        }
        shape.names[receiver] = true;
        let life = site.current()?;
        if !life.has(NAMES[receiver]) {
            life.open(&self.outbounds[receiver]).await?;
        }
        self.change_rules(site, shape).await?;
        let to = &self.receivers[receiver];
        site.current()?.deliver(&self.outbounds[receiver], to);
        self.disturb(site);
        Ok(())
    }

    pub(crate) async fn drop_lane(
        &mut self,
        site: &mut Site,
        receiver: usize,
    ) -> anyhow::Result<()> {
        let life = site.current()?;
        if self.shape().names[receiver] || life.is_frozen {
            return Ok(());
        }
        life.drop_lane(NAMES[receiver]).await?;
        self.forgotten[receiver].extend(self.kept.keys());
        Ok(())
    }

    /// A retired lane that is through has delivered everything that was for it.
    pub(crate) async fn forget_finished(&mut self, site: &mut Site) -> anyhow::Result<()> {
        for name in site.current()?.forget_finished().await? {
            self.note(format!("{name} is through"));
        }
        Ok(())
    }
}

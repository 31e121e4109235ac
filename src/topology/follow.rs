//! Becoming what another gateway of the site has put in force.
//!
//! **Invariant.** Every gateway goes by the same rules about an event. A lane waits at a mark that its gateway does not know
//! yet (`ActiveRules::until`), so what is learned late is learned in time.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::rules_store::{self, Stored};
use super::{Changes, Desired, Topology};
use crate::config;

impl Topology {
    /// The newest version of the log that this gateway knows.
    pub(crate) const fn rules_version(&self) -> u64 {
        self.store.version
    }

    /// Becomes what another gateway has put in force, where that is not so yet. `None` when it is so already.
    ///
    /// # Errors
    /// When this gateway cannot: something is missing here that the rules name, or they cannot be read. It goes on taking events
    /// in and leaves all lanes to other gateways; events go by the rules all the same. It is tried again.
    pub(crate) async fn follow(&mut self) -> anyhow::Result<Option<Changes>> {
        let is_new = self.context.log.rules_version() > self.store.version;
        if !self.is_shared() || !is_new && self.lacks.is_none() {
            return Ok(None);
        }
        let followed = self.follow_newest().await;
        match &followed {
            Ok(_) => self.lacks = None,
            Err(error) => {
                self.lacks = Some(format!("{error:#}"));
                // Another gateway can deliver what this one cannot.
                self.dispatch.set_aside().await;
                if let Some(applied) = &mut self.applied {
                    applied.outbounds.clear();
                }
                self.publish_snapshot().await;
            }
        }
        followed
    }

    async fn follow_newest(&mut self) -> anyhow::Result<Option<Changes>> {
        let (store, stored) = rules_store::load(&*self.context.log, true, &self.file).await?;
        let stored = stored.filter(|stored| stored.unread_after.is_none());
        let stored = stored.context(
            "another gateway has put rules in force that this release cannot read: update this gateway",
        )?;
        let text = &stored.history.active().rules.text;
        let name = self.file.display().to_string();
        let opened = match config::parse_routes(text, &name) {
            Ok(loaded) => match Desired::new(loaded.value) {
                Ok(desired) => self.open(desired).await,
                Err(error) => Err(error),
            },
            Err(errors) => Err(anyhow::anyhow!("{errors}")),
        };
        self.store = store;
        let after_seq = self.go_by(stored).await;
        match opened {
            Ok(opened) => Ok(Some(self.switch(opened, after_seq).await)),
            Err(error) => bail!(
                "another gateway has put a routes.toml in force that this one cannot go by: {error:#}"
            ),
        }
    }

    /// Events go by these rules from their mark on. Gives the mark.
    async fn go_by(&mut self, stored: Stored) -> u64 {
        let after_seq = stored.history.active().after_seq;
        let rules = self.rules.clone();
        let mut active = rules.hold().await;
        *active = Arc::new(stored.history);
        rules.knows(self.store.version);
        after_seq
    }
}

//! Putting rules in force: written down first, so that every lane goes by the same ones about an event, also after a crash.

use std::sync::Arc;

use super::book::{self, Kept};
use super::{Prepared, Site};
use crate::dispatch::{LaneHandle, RuleBook, Rules};

impl Site {
    /// Puts the rules in force, for what is kept from now on. Gives the newest event that they are not for.
    pub(super) async fn publish(&self, prepared: &Prepared) -> anyhow::Result<u64> {
        let needed = self.needed().await?;
        let kept = match self.adopted {
            true => None,
            false => book::load(&*self.common.spool, &self.file).await?,
        };
        // From here on nobody decides about an event until the book is written: who decides about one that is kept from
        // now on, does so by the new rules, and so does everybody after a crash.
        let mut in_force = self.rules.hold().await;
        let behind = self.common.spool.newest();
        let before = match self.adopted {
            true => Some(Kept::from((**in_force).clone())),
            false => kept,
        };
        let book = self.next_book(before.as_ref(), prepared, (behind, needed));
        let before = before.map(|kept| kept.book);
        self.put_in_force(&mut in_force, book, before).await?;
        Ok(behind)
    }

    fn next_book(
        &self,
        before: Option<&Kept>,
        prepared: &Prepared,
        (behind, needed): (u64, u64),
    ) -> RuleBook {
        let now = self.base.clock.now();
        let rules = Rules {
            text: prepared.routes.text.clone(),
            set: prepared.routes.routes.clone(),
        };
        let Some(Kept {
            book,
            unread_behind,
        }) = before
        else {
            return RuleBook::new(now, rules);
        };
        let next = match *book.newest().rules == rules {
            true => book.clone(),
            false => book
                .clone()
                .with(unread_behind.unwrap_or(behind).min(behind), now, rules),
        };
        // New lanes wait for more than was needed before, by the rules of now.
        let anew = prepared.anew(book);
        let next = next.without_needless(needed);
        anew.fold(next, |next, name| next.with_anew(name, behind))
    }

    /// Writes a book down, and then lets everybody see it.
    async fn put_in_force(
        &self,
        in_force: &mut Arc<RuleBook>,
        book: RuleBook,
        before: Option<RuleBook>,
    ) -> anyhow::Result<()> {
        book.check()?;
        if before.as_ref() != Some(&book) {
            book::keep(&*self.common.spool, &book).await?;
        }
        *in_force = Arc::new(book);
        Ok(())
    }

    /// No lane waits for an event with a lower sequence number.
    async fn needed(&self) -> anyhow::Result<u64> {
        if !self.adopted {
            return Ok(0);
        }
        let at_work = self.dispatch.lanes();
        let removed = self.view.borrow().removed.clone();
        let lanes = at_work
            .iter()
            .map(LaneHandle::lane)
            .chain(removed.into_values());
        let mut needed = u64::MAX;
        for lane in lanes {
            let survey = self
                .common
                .spool
                .survey(lane, self.base.clock.now())
                .await?;
            needed = needed.min(survey.first.unwrap_or(u64::MAX));
        }
        Ok(needed)
    }

    /// What is handed to an outbound once more goes by the rules of now, where nothing older waits in its lane. What waits
    /// goes by those of when it was kept: the rules of now may not know the outbound any more, and it would reach nobody.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub(crate) async fn ask_anew(&self, outbound: &str) -> anyhow::Result<()> {
        let lanes = self.dispatch.lanes();
        let named = |lane: &&LaneHandle| lane.name() == outbound && !lane.leaving();
        let Some(lane) = lanes.iter().find(named) else {
            return Ok(());
        };
        let mut in_force = self.rules.hold().await;
        let spool = &self.common.spool;
        let newest = spool.newest();
        let survey = spool.survey(lane.lane(), self.base.clock.now()).await?;
        let first = survey.first.unwrap_or(u64::MAX);
        let known = in_force.anew().get(outbound).map_or(0, |anew| anew.upto);
        if first <= known {
            return Ok(());
        }
        let book = in_force.as_ref().clone();
        let upto = newest.min(first.saturating_sub(1));
        let anew = book.clone().with_anew(outbound, upto);
        self.put_in_force(&mut in_force, anew, Some(book)).await
    }
}

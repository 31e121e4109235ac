//! Putting rules in force: written down first, so that every lane goes by the same ones about an event, also after a crash.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::bail;
use faceway_core::Start;

use super::book::{self, Kept, Outcome};
use super::{Prepared, Site};
use crate::dispatch::{LaneHandle, RuleBook, Rules};

impl Site {
    /// Puts the rules in force, for what is kept from now on. Gives the newest event that they are not for.
    ///
    /// # Errors
    /// When they cannot be written down. The first ones come into force all the same: a gateway has to deliver.
    pub(super) async fn publish(&mut self, prepared: &Prepared) -> anyhow::Result<u64> {
        let lanes: HashSet<String> = self.repair.lanes().await?.into_iter().collect();
        let needed = self.needed(prepared, &lanes).await?;
        let rules = self.rules.clone();
        // From here on nobody decides about an event until the book is written: who decides about one that is kept from
        // now on, does so by the new rules, and so does everybody after a crash.
        let mut in_force = rules.hold().await;
        let behind = self.common.spool.newest();
        let before = match self.adopted {
            true => Some(Kept::from((**in_force).clone())),
            false => self.kept.take(),
        };
        let mut book = self
            .next_book(before.as_ref(), prepared, (behind, needed), &lanes)
            .without_gone(|name| lanes.contains(name));
        while !self.adopted
            && let Err(error) = book.check()
        {
            tracing::error!(%error, "the oldest of these rules are forgotten: their events go by the next");
            book = book.without_oldest();
        }
        let before = before.map(|kept| kept.book);
        self.put_in_force(&mut in_force, book, before.as_ref())
            .await?;
        Ok(behind)
    }

    fn next_book(
        &self,
        before: Option<&Kept>,
        prepared: &Prepared,
        (behind, needed): (u64, u64),
        lanes: &HashSet<String>,
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
            return with_lanes_of_before(RuleBook::new(now, rules), lanes, behind);
        };
        let next = match *book.newest().rules == rules {
            true => book.clone(),
            false => book
                .clone()
                .with(unread_behind.unwrap_or(behind).min(behind), now, rules),
        };
        // New lanes wait for more than was needed before, by the rules of now.
        let mut next = next.without_needless(needed);
        for (name, upto) in come_back(book, prepared) {
            next = next.with_anew(&name, upto);
        }
        for name in prepared.with_history() {
            next = next.with_anew(name, behind);
        }
        next
    }

    /// Writes a book down, and then lets everybody see it.
    async fn put_in_force(
        &mut self,
        in_force: &mut Arc<RuleBook>,
        book: RuleBook,
        before: Option<&RuleBook>,
    ) -> anyhow::Result<()> {
        book.check()?;
        if self.written && before == Some(&book) {
            *in_force = Arc::new(book);
            return Ok(());
        }
        let outcome = book::keep(&*self.common.spool, &book).await?;
        // What is unknown is written again at the next occasion.
        self.written = outcome != Outcome::Unknown;
        if outcome == Outcome::Kept {
            *in_force = Arc::new(book);
            return Ok(());
        }
        if !self.adopted {
            tracing::error!(
                "the rules are in force without being written down; that is tried again"
            );
            self.written = false;
            *in_force = Arc::new(book);
            return Ok(());
        }
        bail!(
            "the rules cannot be written down in the spool, and so do not come into force; that is tried again"
        )
    }

    /// Writes down what is in force, where that failed.
    pub(crate) async fn write_down(&mut self) {
        if self.written {
            return;
        }
        let book = self.rules.look().await;
        let outcome = book::keep(&*self.common.spool, &book).await;
        self.written = matches!(outcome, Ok(Outcome::Kept));
    }

    /// No lane waits for an event with a lower sequence number, but for those that are made just now.
    async fn needed(&self, prepared: &Prepared, lanes: &HashSet<String>) -> anyhow::Result<u64> {
        let at_work = self.dispatch.lanes();
        let fresh: HashSet<&str> = prepared.fresh().collect();
        let mut needed = u64::MAX;
        for name in lanes.iter().filter(|name| !fresh.contains(name.as_str())) {
            let named = |lane: &&LaneHandle| lane.name() == name;
            let lane = match at_work.iter().find(named) {
                Some(handle) => handle.lane(),
                // Nobody works there, so nothing is given back; where it begins does not count, as it is there.
                None => self.common.spool.open_lane(name, Start::Now).await?,
            };
            let now = self.base.clock.now();
            let survey = self.common.spool.survey(lane, now).await?;
            needed = needed.min(survey.first.unwrap_or(u64::MAX));
        }
        Ok(needed)
    }

    /// What is handed to an outbound once more goes by the rules of now, as far as nothing older waits in its lane. What
    /// waits goes by those of when it was kept: the rules of now may not know the outbound any more, and it would reach
    /// nobody.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub(crate) async fn ask_anew(&mut self, outbound: &str) -> anyhow::Result<()> {
        let lanes = self.dispatch.lanes();
        let named = |lane: &&LaneHandle| lane.name() == outbound && !lane.leaving();
        let Some(lane) = lanes.iter().find(named) else {
            return Ok(());
        };
        let rules = self.rules.clone();
        let mut in_force = rules.hold().await;
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
        self.put_in_force(&mut in_force, anew, Some(&book)).await
    }
}

/// Of lanes that are there before the first book nobody knows by which rules their events were kept for them.
fn with_lanes_of_before(book: RuleBook, lanes: &HashSet<String>, upto: u64) -> RuleBook {
    let named: HashSet<&String> = book.newest().rules.set.outbounds().iter().collect();
    let gone = lanes.iter().filter(|name| !named.contains(name));
    gone.fold(book.clone(), |book, name| book.with_gone(name, upto))
}

/// Outbounds that come back of which nobody knows the rules with which they left, and up to which event they were there:
/// these go by the rules of now.
fn come_back(book: &RuleBook, prepared: &Prepared) -> Vec<(String, u64)> {
    let names = prepared.routes.outbounds.iter().map(|plan| &plan.name);
    let unknown = names.filter_map(|name| {
        let gone = book.gone().get(name).filter(|gone| gone.rules.is_none());
        gone.map(|gone| (name.clone(), gone.upto))
    });
    unknown.collect()
}

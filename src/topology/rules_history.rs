//! The versions of the rules, by the events that go by them: pure, but for the lock in [`ActiveRules`].
//!
//! **Invariant:** the rules by which an event goes depend on its sequence number alone, in every lane, however late it comes
//! to it. If every lane went by the newest rules, an event that a reload moves from one outbound to another could reach
//! neither: the quick lane has skipped it under the old rules, the slow one skips it under the new ones. So a reload opens
//! a version that counts for the events behind its place in the log. The log says where that is and keeps the history
//! (`src/topology/rules_store.rs`), so a restart changes nothing of this.
//!
//! Lanes, the counters of routes and the admin listener ask this file too. It knows no other room, nor the rest of this one.

mod matches;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use faceway_core::{Private, Timestamp};
use faceway_rules::RouteSet;
use tokio::sync::{RwLock, RwLockWriteGuard, watch};

use matches::Matches;

/// Versions that are kept although no lane needs them any more, to answer why an event went where it did.
const KEPT_FOR_QUESTIONS: usize = 32;
/// Versions that lanes may need at a time.
const VERSIONS_MAX: usize = 1024;
/// Bytes of all their texts.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Stands for the place of a history that is not in the log yet: only the log knows which events come before it. Nothing lies
/// behind it.
pub const UNPLACED: u64 = u64::MAX;

/// All rules versions that may still be needed, the oldest first; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesHistory {
    versions: Vec<RulesVersion>,
    /// Outbounds that go through what came before them, or once more.
    backfills: BTreeMap<String, Backfill>,
    /// Outbounds that were taken out of the file.
    retired: BTreeMap<String, Retired>,
}

/// An outbound was taken out of the file, and its lane may still have to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct Retired {
    /// It delivers what was kept up to and with this sequence number.
    pub through_seq: u64,
    /// The last rules that name it; `None` where it was taken out before there was a history.
    pub rules: Option<Arc<Rules>>,
}

/// An outbound goes through earlier events by later rules: it is newer than the events, or was asked to replay them.
#[derive(Clone, Debug, PartialEq)]
pub struct Backfill {
    /// For events up to and with this sequence number.
    pub through_seq: u64,
    /// The rules: those that were active when the backfill began.
    pub rules: Arc<Rules>,
}

/// One reading of `routes.toml`: rules, and for which events.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesVersion {
    /// For events with a higher sequence number than this.
    pub after_seq: u64,
    /// When the version became the active one.
    pub since: Timestamp,
    /// The rules.
    pub rules: Arc<Rules>,
}

/// The rules of one text of `routes.toml`.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What they were read from.
    pub text: String,
    /// The rules.
    pub set: RouteSet,
}

/// The same text means the same rules.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// More versions are needed at a time than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "events still wait that go by the rules of {0} earlier readings of routes.toml, and no more are kept; look at \
     `faceway lanes` for the outbound that holds them up"
)]
pub struct TooMany(usize);

impl RulesHistory {
    /// One version, for every event.
    pub fn new(since: Timestamp, rules: Rules) -> Self {
        let rules = Arc::new(rules);
        Self {
            versions: vec![RulesVersion {
                after_seq: 0,
                since,
                rules,
            }],
            backfills: BTreeMap::new(),
            retired: BTreeMap::new(),
        }
    }

    /// A history as it was written down. `None` when no version is left of it.
    pub fn of(
        mut versions: Vec<RulesVersion>,
        backfills: BTreeMap<String, Backfill>,
        retired: BTreeMap<String, Retired>,
    ) -> Option<Self> {
        versions.sort_by_key(|version| version.after_seq);
        (!versions.is_empty()).then_some(Self {
            versions,
            backfills,
            retired,
        })
    }

    /// The versions, the oldest first.
    pub fn versions(&self) -> &[RulesVersion] {
        &self.versions
    }

    /// The outbounds that go through earlier events by later rules.
    pub const fn backfills(&self) -> &BTreeMap<String, Backfill> {
        &self.backfills
    }

    /// The outbounds that were taken out of the file.
    pub const fn retired(&self) -> &BTreeMap<String, Retired> {
        &self.retired
    }

    /// The version for what comes in now.
    pub fn active(&self) -> &RulesVersion {
        // It is never empty, so the last one is there.
        &self.versions[self.versions.len() - 1]
    }

    /// The version for an event. What is older than the oldest version goes by that.
    pub fn version(&self, seq: u64) -> &RulesVersion {
        let is_earlier = |version: &RulesVersion| version.after_seq < seq;
        let later = self.versions.partition_point(is_earlier);
        &self.versions[later.saturating_sub(1)]
    }

    /// The rules by which an outbound takes an event.
    pub fn rules_for(&self, outbound: &str, seq: u64) -> &Arc<Rules> {
        match self.backfills.get(outbound) {
            Some(backfill) if seq <= backfill.through_seq => &backfill.rules,
            _ => &self.version(seq).rules,
        }
    }

    /// Whether a version names an outbound, or it is known as retired.
    pub fn knows(&self, outbound: &str) -> bool {
        let mut versions = self.versions.iter();
        self.retired.contains_key(outbound) || versions.any(|version| version.rules.names(outbound))
    }

    /// With another version, for events after `after_seq`, or behind the place that the history gets ([`UNPLACED`]). Outbounds
    /// that it no longer names are retired.
    #[must_use]
    pub fn with(mut self, after_seq: u64, since: Timestamp, rules: Rules) -> Self {
        let before = Arc::clone(&self.active().rules);
        let known = self
            .versions
            .iter()
            .find(|version| *version.rules == rules)
            .map(|version| Arc::clone(&version.rules));
        // Nothing came between: no event will go by the version before.
        self.versions
            .retain(|version| version.after_seq < after_seq);
        let is_first = self.versions.is_empty();
        self.versions.push(RulesVersion {
            after_seq: if is_first { 0 } else { after_seq },
            since,
            rules: known.unwrap_or_else(|| Arc::new(rules)),
        });
        let now = Arc::clone(&self.active().rules);
        self.retired.retain(|name, _| !now.names(name));
        for name in before.set.outbounds() {
            if !now.names(name) {
                let retired = Retired {
                    through_seq: after_seq,
                    rules: Some(Arc::clone(&before)),
                };
                self.retired.insert(name.clone(), retired);
            }
        }
        self
    }

    /// With the place that the log gave it.
    #[must_use]
    pub fn placed(mut self, after_seq: u64) -> Self {
        let open = self.versions.iter_mut();
        let open = open.map(|version| &mut version.after_seq);
        let backfills = self.backfills.values_mut();
        let open = open.chain(backfills.map(|backfill| &mut backfill.through_seq));
        let retired = self.retired.values_mut();
        for place in open.chain(retired.map(|retired| &mut retired.through_seq)) {
            *place = after_seq.min(*place);
        }
        // Nothing came between: no event goes by the version before.
        let is_empty = |pair: &[RulesVersion]| pair[1].after_seq <= pair[0].after_seq;
        let empty = self.versions.windows(2).map(is_empty).collect::<Vec<_>>();
        let mut empty = empty.into_iter();
        self.versions.retain(|_| !empty.next().unwrap_or(false));
        self
    }

    /// With an outbound that was taken out before there was a history: its lane is all that is known.
    #[must_use]
    pub fn with_retired(mut self, outbound: &str, through_seq: u64) -> Self {
        let retired = Retired {
            through_seq,
            rules: None,
        };
        self.retired.insert(outbound.to_owned(), retired);
        self
    }

    /// Without retired outbounds that have no lane any more.
    #[must_use]
    pub fn without_retired(mut self, has_lane: impl Fn(&str) -> bool) -> Self {
        self.retired.retain(|name, _| has_lane(name));
        self
    }

    /// With an outbound that goes by the active rules up to and with that event.
    #[must_use]
    pub fn with_backfill(mut self, outbound: &str, through_seq: u64) -> Self {
        let rules = Arc::clone(&self.active().rules);
        let backfill = Backfill { through_seq, rules };
        self.backfills.insert(outbound.to_owned(), backfill);
        self
    }

    /// Without what no lane needs when none of them waits for an event before `first`, but for some versions that are kept
    /// for questions.
    #[must_use]
    pub fn without_unneeded(mut self, first: u64) -> Self {
        self.backfills
            .retain(|_, backfill| backfill.through_seq >= first);
        let mut unneeded = self
            .versions
            .iter()
            .skip(1)
            .take_while(|next| next.after_seq < first)
            .count();
        let spare = self.versions.len().saturating_sub(KEPT_FOR_QUESTIONS);
        let away = unneeded.min(spare);
        self.versions.drain(..away);
        unneeded -= away;
        while unneeded > 0 && self.check().is_err() {
            self.versions.remove(0);
            unneeded -= 1;
        }
        self
    }

    /// Without the oldest version: its events go by the next. For a start that must not fail.
    #[must_use]
    pub fn without_oldest(mut self) -> Self {
        if self.versions.len() > 1 {
            self.versions.remove(0);
        }
        self
    }

    /// Whether it is small enough to be kept.
    ///
    /// # Errors
    /// When lanes need more versions than are kept.
    pub fn check(&self) -> Result<(), TooMany> {
        let texts = self.texts().into_iter().map(|rules| rules.text.len());
        if self.versions.len() > VERSIONS_MAX || texts.sum::<usize>() > TEXT_BYTES_MAX {
            return Err(TooMany(self.versions.len() - 1));
        }
        Ok(())
    }

    /// The different rules of it, each once.
    pub fn texts(&self) -> Vec<&Arc<Rules>> {
        let versions = self.versions.iter().map(|version| &version.rules);
        let backfills = self.backfills.values().map(|backfill| &backfill.rules);
        let retired = self.retired.values();
        let retired = retired.filter_map(|retired| retired.rules.as_ref());
        let mut texts: Vec<&Arc<Rules>> = Vec::new();
        for rules in versions.chain(backfills).chain(retired) {
            if !texts.iter().any(|known| Arc::ptr_eq(known, rules)) {
                texts.push(rules);
            }
        }
        texts
    }
}

impl Rules {
    /// Whether there is an outbound of this name.
    fn names(&self, outbound: &str) -> bool {
        self.set.outbound(outbound).is_some()
    }
}

/// The history with the active rules, for all that ask. While an apply changes it, they wait: no lane decides by an older
/// version about an event that was kept after the mark of the new one.
#[derive(Clone, Debug)]
pub struct ActiveRules {
    history: Arc<RwLock<Arc<RulesHistory>>>,
    /// The newest version of the log that the history has: [`faceway_core::Mark::version`].
    known: watch::Sender<u64>,
    matches: Arc<Matches>,
}

impl ActiveRules {
    /// With this history.
    pub fn new(history: RulesHistory) -> Self {
        Self {
            history: Arc::new(RwLock::new(Arc::new(history))),
            known: watch::Sender::default(),
            matches: Arc::default(),
        }
    }

    /// The history has this version of the log from now on.
    pub fn knows(&self, version: u64) {
        self.known.send_modify(|known| *known = version.max(*known));
    }

    /// Waits until the history has this version of the log: another gateway has put it in force, and this one is about to learn
    /// of it. An event behind its mark that was decided by the version before would go elsewhere than at other gateways.
    pub async fn until(&self, version: u64) {
        let mut known = self.known.subscribe();
        // The sender is part of this.
        let _ = known.wait_for(|known| *known >= version).await;
    }

    /// The history as it is now.
    pub async fn current(&self) -> Arc<RulesHistory> {
        // A copy, not the guard: a lane that held the lock while it works would hold up every apply.
        Arc::clone(&*self.history.read().await)
    }

    /// Lets everything that asks wait until the guard is dropped, whether the history was changed or not.
    pub async fn hold(&self) -> RwLockWriteGuard<'_, Arc<RulesHistory>> {
        self.history.write().await
    }

    /// Indices of the routes by which some rules match an event; `None` when the event cannot be read. The newest events are
    /// asked about once, for all lanes.
    pub fn matched(
        &self,
        rules: &Arc<Rules>,
        seq: u64,
        body: &Private<Bytes>,
    ) -> Option<Arc<[usize]>> {
        self.matches.of(rules, seq, body)
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::Timestamp;

    use super::{KEPT_FOR_QUESTIONS, Rules, RulesHistory, VERSIONS_MAX};

    fn rules(text: &str) -> Rules {
        let outbound = format!("[outbound.stdout.{text}]\n");
        Rules {
            set: faceway_rules::parse(&outbound, "routes.toml", &crate::config::grammar())
                .unwrap()
                .routes,
            text: text.into(),
        }
    }

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).unwrap()
    }

    fn history(text: &str) -> RulesHistory {
        RulesHistory::new(at(), rules(text))
    }

    fn texts(history: &RulesHistory) -> Vec<&str> {
        let texts = history.versions().iter();
        texts.map(|version| version.rules.text.as_str()).collect()
    }

    #[test]
    fn an_event_goes_by_the_rules_that_were_in_force() {
        let history = history("a")
            .with(10, at(), rules("b"))
            .with(20, at(), rules("c"));
        let texts =
            [1, 10, 11, 20, 21, u64::MAX].map(|seq| history.version(seq).rules.text.as_str());
        assert_eq!(texts, ["a", "a", "b", "b", "c", "c"]);
    }

    #[test]
    fn a_backfill_goes_by_the_rules_that_were_active_when_it_began() {
        let history = history("a")
            .with(10, at(), rules("b"))
            .with_backfill("x", 10)
            // Nothing came between, and yet x goes by what there was.
            .with(10, at(), rules("c"))
            .with(20, at(), rules("d"));
        let texts =
            |name: &str| [1, 10, 11, 21].map(|seq| history.rules_for(name, seq).text.as_str());
        assert_eq!(texts("x"), ["b", "b", "c", "d"]);
        assert_eq!(texts("y"), ["a", "a", "c", "d"]);
        assert_eq!(history.texts().len(), 4);
    }

    #[test]
    fn versions_for_no_event_are_forgotten() {
        let history = history("a")
            .with(10, at(), rules("b"))
            .with(10, at(), rules("c"));
        assert_eq!(texts(&history), ["a", "c"]);
        assert_eq!(
            history.version(10).rules.text,
            "a",
            "what was kept before goes by what was in force"
        );
        // Before the first event was kept there is nothing to go by the first.
        let history = self::history("a").with(0, at(), rules("b"));
        assert_eq!(
            (texts(&history), history.versions()[0].after_seq),
            (vec!["b"], 0)
        );
    }

    #[test]
    fn versions_that_a_lane_needs_stay() {
        let mut history = history("a");
        for newest in 1..=100 {
            history = history.with(newest, at(), rules(["b", "c"][newest as usize % 2]));
        }
        assert_eq!(history.texts().len(), 3, "texts are kept once");
        let needed = history.clone().without_unneeded(5);
        assert_eq!(needed.versions()[0].after_seq, 4, "event 5 goes by that");
        assert_eq!(needed.version(5).after_seq, 4);
        let done = history.clone().without_unneeded(u64::MAX);
        assert_eq!(done.versions().len(), KEPT_FOR_QUESTIONS);
        assert_eq!(done.active(), history.active());
        let backfilled = history.with_backfill("x", 7).with_backfill("y", 3);
        let names = |first| {
            let left = backfilled.clone().without_unneeded(first);
            left.backfills().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            (names(3), names(4)),
            (vec!["x".into(), "y".into()], vec!["x".into()])
        );
    }

    #[test]
    fn too_many_versions_are_reported_instead_of_forgotten() {
        let mut history = history("a");
        for newest in 1..VERSIONS_MAX as u64 {
            history = history.with(newest, at(), rules(["b", "c"][newest as usize % 2]));
        }
        assert_eq!(history.check(), Ok(()));
        let history = history.with(u64::MAX, at(), rules("d"));
        let told = history.check().unwrap_err().to_string();
        assert!(told.contains("1024 earlier readings"), "{told}");
    }

    #[test]
    fn a_retired_outbound_is_kept_with_the_rules_that_it_left_with() {
        let retired = |history: &RulesHistory, name: &str| {
            let retired = history.retired().get(name)?;
            let rules = retired.rules.as_ref().map(|rules| rules.text.clone());
            Some((rules, retired.through_seq))
        };
        let history = history("a")
            .with(10, at(), rules("b"))
            .with(20, at(), rules("a"))
            .with(30, at(), rules("c"));
        assert_eq!(retired(&history, "a"), Some((Some("a".into()), 30)));
        assert_eq!(retired(&history, "b"), Some((Some("b".into()), 20)));
        assert_eq!(retired(&history, "c"), None);
        assert!(history.knows("b") && !history.knows("d"));
        // It came and went with nothing in between, for what was kept before.
        let history = self::history("a")
            .with(10, at(), rules("x"))
            .with_backfill("x", 10)
            .with(10, at(), rules("b"));
        assert_eq!(retired(&history, "x"), Some((Some("x".into()), 10)));
        assert_eq!(history.rules_for("x", 5).text, "x");
        // It has come back; another one's lane is retired; of a third only the lane is known.
        let history = history.with(11, at(), rules("x")).with_retired("z", 11);
        let history = history.without_retired(|name| name != "b");
        let names: Vec<_> = history.retired().keys().cloned().collect();
        assert_eq!(names, ["a", "z"]);
        assert_eq!(retired(&history, "z"), Some((None, 11)));
    }

    #[test]
    fn versions_that_no_lane_needs_make_room_for_needed_ones() {
        let large = |n: u64| Rules {
            text: format!("{n}{}", "x".repeat(super::TEXT_BYTES_MAX / 4)),
            set: rules("a").set,
        };
        let mut history = RulesHistory::new(at(), large(0));
        for newest in 1..20 {
            history = history
                .with(newest, at(), large(newest))
                .without_unneeded(u64::MAX);
            assert_eq!(history.check(), Ok(()));
        }
        for newest in 20..30 {
            history = history
                .with(newest, at(), large(newest))
                .without_unneeded(19);
        }
        assert!(history.check().is_err(), "all of them are needed");
        assert_eq!(history.version(19).after_seq, 18);
        while history.check().is_err() {
            history = history.without_oldest();
        }
        assert_eq!(history.active().after_seq, 29);
    }
}

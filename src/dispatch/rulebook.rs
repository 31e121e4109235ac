//! The rules, edition by edition: an event goes by those that were in force when it was kept.
//!
//! If every lane went by the newest rules, an event that a reload moves from one outbound to another could reach neither:
//! the quick lane has passed it by under the old rules, the slow one passes it by under the new. So a reload opens an
//! edition that counts for the events behind the newest of that moment, in every lane alike, however late it comes to them.
//! The spool keeps the book (`src/site/book.rs`), so that a restart changes nothing of this.

use std::collections::BTreeMap;
use std::sync::Arc;

use faceway_core::Timestamp;
use faceway_rules::RouteSet;
use tokio::sync::{RwLock, RwLockWriteGuard};

/// Editions that are kept although no lane needs them any more, for those who ask why an event went where it did.
const KEPT_FOR_QUESTIONS: usize = 32;
/// Editions that lanes may need at a time.
const EDITIONS_MAX: usize = 1024;
/// Bytes of all their texts.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// All editions that may still be needed, the oldest first; never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleBook {
    editions: Vec<Edition>,
    /// Outbounds that go through what came before them, or once more.
    anew: BTreeMap<String, Anew>,
    /// Outbounds that are no longer in the file.
    gone: BTreeMap<String, Gone>,
}

/// An outbound was taken out of the file, and its lane may still have to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct Gone {
    /// What was kept up to this sequence number.
    pub upto: u64,
    /// The last rules that name it; `None` where it was gone before there was a book, and nobody knows.
    pub rules: Option<Arc<Rules>>,
}

/// An outbound goes through what was kept before by rules of later: it is newer than the events, or was asked to.
#[derive(Clone, Debug, PartialEq)]
pub struct Anew {
    /// For events up to this sequence number.
    pub upto: u64,
    /// The rules: those that were in force when it was asked to.
    pub rules: Arc<Rules>,
}

/// Rules, and for which events.
#[derive(Clone, Debug, PartialEq)]
pub struct Edition {
    /// For events with a higher sequence number than this.
    pub behind: u64,
    /// When they came into force.
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

/// More editions are needed at a time than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "events still wait that go by the rules of {0} earlier readings of routes.toml, and no more are remembered; look at \
     `faceway lanes` for the outbound that holds them up"
)]
pub struct TooMany(usize);

impl RuleBook {
    /// One edition, for every event.
    pub fn new(since: Timestamp, rules: Rules) -> Self {
        let rules = Arc::new(rules);
        Self {
            editions: vec![Edition {
                behind: 0,
                since,
                rules,
            }],
            anew: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }

    /// A book as it was written down. `None` when no edition is left of it.
    pub fn of(
        mut editions: Vec<Edition>,
        anew: BTreeMap<String, Anew>,
        gone: BTreeMap<String, Gone>,
    ) -> Option<Self> {
        editions.sort_by_key(|edition| edition.behind);
        (!editions.is_empty()).then_some(Self {
            editions,
            anew,
            gone,
        })
    }

    /// The editions, the oldest first.
    pub fn editions(&self) -> &[Edition] {
        &self.editions
    }

    /// The outbounds that go through earlier events by later rules.
    pub const fn anew(&self) -> &BTreeMap<String, Anew> {
        &self.anew
    }

    /// The outbounds that are no longer in the file.
    pub const fn gone(&self) -> &BTreeMap<String, Gone> {
        &self.gone
    }

    /// The edition for what comes in now.
    pub fn newest(&self) -> &Edition {
        // It is never empty, so the last one is there.
        &self.editions[self.editions.len() - 1]
    }

    /// The edition for an event. What is older than the oldest edition goes by that.
    pub fn edition(&self, seq: u64) -> &Edition {
        let behind = |edition: &Edition| edition.behind < seq;
        let later = self.editions.partition_point(behind);
        &self.editions[later.saturating_sub(1)]
    }

    /// The rules by which an outbound takes an event.
    pub fn rules_for(&self, outbound: &str, seq: u64) -> &Arc<Rules> {
        match self.anew.get(outbound) {
            Some(anew) if seq <= anew.upto => &anew.rules,
            _ => &self.edition(seq).rules,
        }
    }

    /// Whether it has a word about an outbound.
    pub fn knows(&self, outbound: &str) -> bool {
        let mut editions = self.editions.iter();
        self.gone.contains_key(outbound) || editions.any(|edition| edition.rules.names(outbound))
    }

    /// With another edition, for events behind `newest`, the highest sequence number of now.
    #[must_use]
    pub fn with(mut self, newest: u64, since: Timestamp, rules: Rules) -> Self {
        let behind = newest;
        let before = Arc::clone(&self.newest().rules);
        let known = self
            .editions
            .iter()
            .find(|edition| *edition.rules == rules)
            .map(|edition| Arc::clone(&edition.rules));
        // Nothing came between: nothing will go by the edition before.
        self.editions.retain(|edition| edition.behind < behind);
        self.editions.push(Edition {
            behind: if self.editions.is_empty() { 0 } else { behind },
            since,
            rules: known.unwrap_or_else(|| Arc::new(rules)),
        });
        let now = Arc::clone(&self.newest().rules);
        self.gone.retain(|name, _| !now.names(name));
        for name in before.set.outbounds() {
            if !now.names(name) {
                let rules = Some(Arc::clone(&before));
                self.gone.insert(
                    name.clone(),
                    Gone {
                        upto: newest,
                        rules,
                    },
                );
            }
        }
        self
    }

    /// With an outbound that was gone before there was a book: its lane is all that is known.
    #[must_use]
    pub fn with_gone(mut self, outbound: &str, upto: u64) -> Self {
        self.gone
            .insert(outbound.to_owned(), Gone { upto, rules: None });
        self
    }

    /// Without a word about outbounds that are gone and have no lane any more.
    #[must_use]
    pub fn without_gone(mut self, has_lane: impl Fn(&str) -> bool) -> Self {
        self.gone.retain(|name, _| has_lane(name));
        self
    }

    /// With an outbound that goes by the newest rules up to there.
    #[must_use]
    pub fn with_anew(mut self, outbound: &str, upto: u64) -> Self {
        let rules = Arc::clone(&self.newest().rules);
        self.anew.insert(outbound.to_owned(), Anew { upto, rules });
        self
    }

    /// Without what no lane needs that waits for nothing before `first`, but for some that are kept for questions.
    #[must_use]
    pub fn without_needless(mut self, first: u64) -> Self {
        self.anew.retain(|_, anew| anew.upto >= first);
        let mut needless = self
            .editions
            .iter()
            .skip(1)
            .take_while(|next| next.behind < first)
            .count();
        let spare = self.editions.len().saturating_sub(KEPT_FOR_QUESTIONS);
        let away = needless.min(spare);
        self.editions.drain(..away);
        needless -= away;
        while needless > 0 && self.check().is_err() {
            self.editions.remove(0);
            needless -= 1;
        }
        self
    }

    /// Without the oldest edition: its events go by the next. For a start that must not fail.
    #[must_use]
    pub fn without_oldest(mut self) -> Self {
        if self.editions.len() > 1 {
            self.editions.remove(0);
        }
        self
    }

    /// Whether it is small enough to be kept.
    ///
    /// # Errors
    /// When lanes need more editions than are remembered.
    pub fn check(&self) -> Result<(), TooMany> {
        let texts = self.texts().into_iter().map(|rules| rules.text.len());
        match self.editions.len() > EDITIONS_MAX || texts.sum::<usize>() > TEXT_BYTES_MAX {
            true => Err(TooMany(self.editions.len() - 1)),
            false => Ok(()),
        }
    }

    /// The different rules of it, each once.
    pub fn texts(&self) -> Vec<&Arc<Rules>> {
        let editions = self.editions.iter().map(|edition| &edition.rules);
        let anew = self.anew.values().map(|anew| &anew.rules);
        let gone = self.gone.values().filter_map(|gone| gone.rules.as_ref());
        let mut texts: Vec<&Arc<Rules>> = Vec::new();
        for rules in editions.chain(anew).chain(gone) {
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

/// The book in force, for all who ask. While it is being changed they wait: what is kept behind the mark of a new edition
/// is not decided by an older one.
#[derive(Clone, Debug)]
pub struct InForce(Arc<RwLock<Arc<RuleBook>>>);

impl InForce {
    /// With this book.
    pub fn new(book: RuleBook) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(book))))
    }

    /// The book of now.
    pub async fn look(&self) -> Arc<RuleBook> {
        Arc::clone(&*self.0.read().await)
    }

    /// Holds everybody up until the book is changed or stays as it was.
    pub async fn hold(&self) -> RwLockWriteGuard<'_, Arc<RuleBook>> {
        self.0.write().await
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::Timestamp;

    use super::{EDITIONS_MAX, KEPT_FOR_QUESTIONS, RuleBook, Rules};

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

    fn book(text: &str) -> RuleBook {
        RuleBook::new(at(), rules(text))
    }

    fn texts(book: &RuleBook) -> Vec<&str> {
        let texts = book.editions().iter();
        texts.map(|edition| edition.rules.text.as_str()).collect()
    }

    #[test]
    fn an_event_goes_by_the_rules_that_were_in_force() {
        let book = book("a")
            .with(10, at(), rules("b"))
            .with(20, at(), rules("c"));
        let texts = [1, 10, 11, 20, 21, u64::MAX].map(|seq| book.edition(seq).rules.text.as_str());
        assert_eq!(texts, ["a", "a", "b", "b", "c", "c"]);
    }

    #[test]
    fn an_outbound_that_is_asked_anew_goes_by_the_rules_of_then() {
        let book = book("a")
            .with(10, at(), rules("b"))
            .with_anew("x", 10)
            // Nothing came between, and yet x goes by what there was.
            .with(10, at(), rules("c"))
            .with(20, at(), rules("d"));
        let texts = |name: &str| [1, 10, 11, 21].map(|seq| book.rules_for(name, seq).text.as_str());
        assert_eq!(texts("x"), ["b", "b", "c", "d"]);
        assert_eq!(texts("y"), ["a", "a", "c", "d"]);
        assert_eq!(book.texts().len(), 4);
    }

    #[test]
    fn editions_for_no_event_are_forgotten() {
        let book = book("a")
            .with(10, at(), rules("b"))
            .with(10, at(), rules("c"));
        assert_eq!(texts(&book), ["a", "c"]);
        assert_eq!(
            book.edition(10).rules.text,
            "a",
            "what was kept before goes by what was in force"
        );
        // Before the first event was kept there is nothing to go by the first.
        let book = self::book("a").with(0, at(), rules("b"));
        assert_eq!((texts(&book), book.editions()[0].behind), (vec!["b"], 0));
    }

    #[test]
    fn editions_that_a_lane_needs_stay() {
        let mut book = book("a");
        for newest in 1..=100 {
            book = book.with(newest, at(), rules(["b", "c"][newest as usize % 2]));
        }
        assert_eq!(book.texts().len(), 3, "texts are kept once");
        let needed = book.clone().without_needless(5);
        assert_eq!(needed.editions()[0].behind, 4, "event 5 goes by that");
        assert_eq!(needed.edition(5).behind, 4);
        let done = book.clone().without_needless(u64::MAX);
        assert_eq!(done.editions().len(), KEPT_FOR_QUESTIONS);
        assert_eq!(done.newest(), book.newest());
        let anew = book.with_anew("x", 7).with_anew("y", 3);
        let names = |first| {
            let left = anew.clone().without_needless(first);
            left.anew().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            (names(3), names(4)),
            (vec!["x".into(), "y".into()], vec!["x".into()])
        );
    }

    #[test]
    fn too_many_editions_are_told_instead_of_forgotten() {
        let mut book = book("a");
        for newest in 1..EDITIONS_MAX as u64 {
            book = book.with(newest, at(), rules(["b", "c"][newest as usize % 2]));
        }
        assert_eq!(book.check(), Ok(()));
        let book = book.with(u64::MAX, at(), rules("d"));
        let told = book.check().unwrap_err().to_string();
        assert!(told.contains("1024 earlier readings"), "{told}");
    }

    #[test]
    fn an_outbound_that_is_gone_is_remembered_with_the_rules_that_it_left_with() {
        let gone = |book: &RuleBook, name: &str| {
            let gone = book.gone().get(name)?;
            let rules = gone.rules.as_ref().map(|rules| rules.text.clone());
            Some((rules, gone.upto))
        };
        let book = book("a")
            .with(10, at(), rules("b"))
            .with(20, at(), rules("a"))
            .with(30, at(), rules("c"));
        assert_eq!(gone(&book, "a"), Some((Some("a".into()), 30)));
        assert_eq!(gone(&book, "b"), Some((Some("b".into()), 20)));
        assert_eq!(gone(&book, "c"), None);
        assert!(book.knows("b") && !book.knows("d"));
        // It came and went with nothing in between, for what was kept before.
        let book = self::book("a")
            .with(10, at(), rules("x"))
            .with_anew("x", 10)
            .with(10, at(), rules("b"));
        assert_eq!(gone(&book, "x"), Some((Some("x".into()), 10)));
        assert_eq!(book.rules_for("x", 5).text, "x");
        // It has come back; another one's lane is gone; of a third only the lane is known.
        let book = book.with(11, at(), rules("x")).with_gone("z", 11);
        let book = book.without_gone(|name| name != "b");
        let names: Vec<_> = book.gone().keys().cloned().collect();
        assert_eq!(names, ["a", "z"]);
        assert_eq!(gone(&book, "z"), Some((None, 11)));
    }

    #[test]
    fn what_nobody_needs_makes_room_for_what_somebody_does() {
        let large = |n: u64| Rules {
            text: format!("{n}{}", "x".repeat(super::TEXT_BYTES_MAX / 4)),
            set: rules("a").set,
        };
        let mut book = RuleBook::new(at(), large(0));
        for newest in 1..20 {
            book = book
                .with(newest, at(), large(newest))
                .without_needless(u64::MAX);
            assert_eq!(book.check(), Ok(()));
        }
        for newest in 20..30 {
            book = book.with(newest, at(), large(newest)).without_needless(19);
        }
        assert!(book.check().is_err(), "all of them are needed");
        assert_eq!(book.edition(19).behind, 18);
        while book.check().is_err() {
            book = book.without_oldest();
        }
        assert_eq!(book.newest().behind, 29);
    }
}

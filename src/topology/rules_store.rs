//! The history of the rules as the log keeps it, so that what waits goes by the same rules after a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use faceway_core::{Log, Mark, RulesEntry, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::rules_history::{Backfill, Retired, Rules, RulesHistory, RulesVersion, UNPLACED};
use crate::config;

/// How often writing it down is tried.
const TRIES_MAX: usize = 2;
/// A spool that fails is asked again after this, for so long.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(5);

/// The text of an entry. The names of its members in JSON never change: a later program reads what an earlier one wrote.
#[derive(Debug, Deserialize, Serialize)]
struct Note {
    /// Texts of `routes.toml`. They name secrets and hold none.
    texts: Vec<String>,
    #[serde(rename = "editions")]
    versions: Vec<NotedVersion>,
    #[serde(rename = "anew")]
    backfills: BTreeMap<String, NotedOutbound>,
    #[serde(rename = "gone")]
    retired: BTreeMap<String, NotedOutbound>,
    /// An earlier entry that could not be read. It may be of a later program, to which the operator goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct NotedVersion {
    /// `None` for the place of the entry itself.
    #[serde(rename = "behind")]
    after_seq: Option<u64>,
    since: Timestamp,
    /// Which of the texts.
    text: usize,
}

/// A backfill, which always has a text, or a retired outbound, whose last rules may be unknown.
#[derive(Debug, Deserialize, Serialize)]
struct NotedOutbound {
    /// `None` for the place of the entry itself.
    #[serde(rename = "upto")]
    through_seq: Option<u64>,
    text: Option<usize>,
}

/// What came of writing the history down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is durable. Its place: what it begins counts for events with a higher sequence number.
    Written(u64),
    /// The one before is there.
    NotThere,
    /// One of the two is there, and the log does not say which.
    Unknown,
    /// Another gateway was first, with another one.
    Conflict,
}

/// What is known of the rules in the log.
#[derive(Debug, Default)]
pub(super) struct RulesStore {
    /// The version of the newest entry; 0 when there is none.
    pub(super) version: u64,
    /// Whether other gateways write it too.
    is_shared: bool,
    /// The text of an entry that could not be read.
    unreadable: Option<String>,
    /// Whether the active rules are not in the log.
    pub(super) is_behind: bool,
}

impl RulesStore {
    /// Writes the history down, and finds out what came of it when the log says that it failed: it may be there all the same.
    pub(super) async fn write(
        &mut self,
        log: &dyn Log,
        history: &RulesHistory,
    ) -> Result<Outcome, serde_json::Error> {
        let mut note = noted(history);
        note.unreadable.clone_from(&self.unreadable);
        let text = Bytes::from(serde_json::to_vec(&note)?);
        for _ in 0..TRIES_MAX {
            match log.append_rules(text.clone(), self.version).await {
                Ok(mark) => {
                    self.version = mark.version;
                    return Ok(Outcome::Written(mark.after_seq));
                }
                Err(error) => tracing::error!(%error, "the rules cannot be written down"),
            }
            // A full disk has given up its reserve by now, and a disk that failed is asked again after a while.
            let Some(entry) = found(log).await else {
                return Ok(Outcome::Unknown);
            };
            let is_moved = entry.mark.version != self.version;
            if entry.text == text {
                self.version = entry.mark.version;
                return Ok(Outcome::Written(entry.mark.after_seq));
            }
            if is_moved && self.is_shared {
                return Ok(Outcome::Conflict);
            }
            // An earlier try of this gateway came late. It is superseded, else the next one would be refused for the same
            // reason.
            self.version = entry.mark.version;
        }
        Ok(Outcome::NotThere)
    }
}

/// What is there, once the log answers again.
async fn found(log: &dyn Log) -> Option<RulesEntry> {
    let none = RulesEntry {
        mark: Mark::default(),
        text: Bytes::new(),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match log.rules().await {
            Ok(entry) => return Some(entry.unwrap_or(none)),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(_) => return None,
        }
    }
}

/// What was written down.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    /// The history.
    pub(super) history: RulesHistory,
    /// Events with a higher sequence number had rules that cannot be read any more.
    pub(super) unread_after: Option<u64>,
}

impl From<RulesHistory> for Stored {
    fn from(history: RulesHistory) -> Self {
        Self {
            history,
            unread_after: None,
        }
    }
}

/// The history as it was last written down; `None` when there is none, or nothing of it can be read.
///
/// # Errors
/// When the log cannot be read.
pub(super) async fn load(
    log: &dyn Log,
    is_shared: bool,
    file: &Path,
) -> anyhow::Result<(RulesStore, Option<Stored>)> {
    let entry = log.rules().await;
    let Some(entry) = entry.context("the rules that were kept cannot be read")? else {
        let store = RulesStore {
            is_shared,
            ..RulesStore::default()
        };
        return Ok((store, None));
    };
    let mut store = RulesStore {
        version: entry.mark.version,
        is_shared,
        ..RulesStore::default()
    };
    match serde_json::from_slice::<Note>(&entry.text) {
        Ok(mut noted) => {
            store.unreadable = noted.unreadable.take();
            Ok((store, read(noted, file, entry.mark)))
        }
        Err(error) => {
            tracing::error!(%error, "the rules that were kept cannot be read: what waits goes by routes.toml as it is now");
            store.unreadable = Some(String::from_utf8_lossy(&entry.text).into_owned());
            Ok((store, None))
        }
    }
}

fn noted(history: &RulesHistory) -> Note {
    let texts = history.texts();
    // All rules of a history are among its texts.
    let place = |rules: &Arc<Rules>| {
        let mut texts = texts.iter();
        texts
            .position(|known| Arc::ptr_eq(known, rules))
            .unwrap_or(0)
    };
    let version = |version: &RulesVersion| NotedVersion {
        after_seq: written(version.after_seq),
        since: version.since,
        text: place(&version.rules),
    };
    let backfill = |(name, backfill): (&String, &Backfill)| {
        let text = Some(place(&backfill.rules));
        let through_seq = written(backfill.through_seq);
        (name.clone(), NotedOutbound { through_seq, text })
    };
    let retired = |(name, retired): (&String, &Retired)| {
        let text = retired.rules.as_ref().map(place);
        let through_seq = written(retired.through_seq);
        (name.clone(), NotedOutbound { through_seq, text })
    };
    Note {
        retired: history.retired().iter().map(retired).collect(),
        versions: history.versions().iter().map(version).collect(),
        backfills: history.backfills().iter().map(backfill).collect(),
        texts: texts.iter().map(|rules| rules.text.clone()).collect(),
        unreadable: None,
    }
}

/// A place as it is written down.
fn written(seq: u64) -> Option<u64> {
    Some(seq).filter(|seq| *seq != UNPLACED)
}

/// Rules that cannot be read any more, by a program that knows another grammar, leave their events to those after them.
fn read(noted: Note, file: &Path, mark: Mark) -> Option<Stored> {
    // Where the places of a whole history are written down, the mark is that of an earlier program, which had none.
    let placed = |seq: Option<u64>| seq.unwrap_or(mark.after_seq);
    let texts: Vec<Option<Arc<Rules>>> = noted
        .texts
        .into_iter()
        .map(|text| rules(text, file).map(Arc::new))
        .collect();
    let text = |number: usize| texts.get(number).cloned().flatten();
    let mut versions: Vec<RulesVersion> = Vec::new();
    let mut unread_after = None;
    for version in noted.versions {
        let after_seq = *unread_after.get_or_insert(placed(version.after_seq));
        if let Some(rules) = text(version.text) {
            versions.push(RulesVersion {
                after_seq,
                since: version.since,
                rules,
            });
            unread_after = None;
        }
    }
    let last = Arc::clone(&versions.last()?.rules);
    let backfills = noted.backfills.into_iter().map(|(name, backfill)| {
        let rules = backfill.text.and_then(&text);
        let rules = rules.unwrap_or_else(|| Arc::clone(&last));
        let through_seq = placed(backfill.through_seq);
        (name, Backfill { through_seq, rules })
    });
    let retired = noted.retired.into_iter().map(|(name, retired)| {
        let rules = retired.text.and_then(&text);
        let through_seq = placed(retired.through_seq);
        (name, Retired { through_seq, rules })
    });
    let history = RulesHistory::of(versions, backfills.collect(), retired.collect())?;
    Some(Stored {
        // As when it was written: a version of no event is none.
        history: history.placed(u64::MAX),
        unread_after,
    })
}

fn rules(text: String, file: &Path) -> Option<Rules> {
    match config::parse_rules(&text, &file.display().to_string()) {
        Ok(set) => Some(Rules { text, set }),
        Err(errors) => {
            tracing::warn!(
                "rules that were active before the start cannot be read any more; what waits for them goes by those after \
                 them:\n{errors}"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use faceway_core::{Mark, Timestamp};

    use super::{Note, Stored, noted, rules};
    use crate::topology::rules_history::{Rules, RulesHistory, UNPLACED};

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).unwrap()
    }

    fn of(name: &str) -> Rules {
        let text = format!("[outbound.stdout.{name}]\n");
        rules(text, Path::new("routes.toml")).unwrap()
    }

    fn history() -> RulesHistory {
        RulesHistory::new(at(), of("a"))
            .with(10, at(), of("b"))
            .with_backfill("b", 7)
            .with(20, at(), of("a"))
    }

    fn read(written: Note) -> Option<Stored> {
        let mark = Mark {
            version: 3,
            after_seq: 30,
        };
        super::read(written, Path::new("routes.toml"), mark)
    }

    fn through_json(written: &Note) -> Note {
        serde_json::from_slice(&serde_json::to_vec(written).unwrap()).unwrap()
    }

    #[test]
    fn a_history_is_read_as_it_was_written() {
        let noted = noted(&history());
        assert_eq!(noted.texts.len(), 2, "each text once");
        let kept = read(through_json(&noted)).unwrap();
        assert_eq!((kept.history, kept.unread_after), (history(), None));
    }

    /// What an entry begins counts from the place that the log gave it.
    #[test]
    fn a_history_without_a_place_gets_that_of_its_entry() {
        let unplaced = history()
            .with(UNPLACED, at(), of("c"))
            .with_backfill("c", UNPLACED);
        let kept = read(through_json(&noted(&unplaced))).unwrap();
        assert_eq!(kept.history, unplaced.clone().placed(30));
        assert_eq!(kept.history.active().after_seq, 30);
        assert_eq!(kept.history.backfills()["c"].through_seq, 30);
        assert_eq!(kept.history.retired()["a"].through_seq, 30);
        // Nothing came since the version before: no event goes by it.
        let again = unplaced.placed(20);
        let after: Vec<_> = (again.versions().iter())
            .map(|version| version.after_seq)
            .collect();
        assert_eq!(after, [0, 10, 20]);
        assert_eq!(*again.active().rules, of("c"));
    }

    /// A gateway of before these words wrote this.
    #[test]
    fn the_names_in_an_entry_never_change() {
        let text = r#"{
            "texts": ["[outbound.stdout.a]\n", "[outbound.stdout.b]\n"],
            "editions": [
                {"behind": 0, "since": "2027-01-15T08:00:00Z", "text": 0},
                {"behind": 10, "since": "2027-01-15T08:00:00Z", "text": 1},
                {"behind": 20, "since": "2027-01-15T08:00:00Z", "text": 0}
            ],
            "anew": {"b": {"upto": 7, "text": 1}},
            "gone": {"b": {"upto": 20, "text": 1}}
        }"#;
        let written: Note = serde_json::from_str(text).unwrap();
        let kept = read(written).unwrap();
        assert_eq!(kept.history, history());
        let text = serde_json::to_string(&noted(&history())).unwrap();
        for name in [
            "texts", "editions", "behind", "since", "text", "anew", "gone", "upto",
        ] {
            assert!(text.contains(&format!("\"{name}\":")), "{name}: {text}");
        }
    }

    #[test]
    fn what_cannot_be_read_any_more_leaves_its_events_to_what_came_after() {
        let read = |written: &Note| read(through_json(written));
        let mut first = noted(&history());
        first.texts[0] = "[outbound.pigeon.a]\n".into();
        let kept = read(&first).unwrap();
        let after: Vec<_> = (kept.history.versions().iter())
            .map(|version| version.after_seq)
            .collect();
        assert_eq!(after, [0], "events from the first on go by the second");
        assert_eq!(kept.unread_after, Some(20), "the third is like the first");
        let mut none = first;
        none.texts[1] = "?".into();
        assert_eq!(read(&none), None);
    }
}

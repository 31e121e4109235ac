//! The rule book as the spool keeps it: a note, so that what waits goes by the same rules after a restart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use faceway_core::{Spool, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::config;
use crate::dispatch::{Anew, Edition, Gone, RuleBook, Rules};

/// The note's name.
const NOTE: &str = "rules";
/// Where a note goes that cannot be read, so that it is not written over.
const UNREADABLE: &str = "rules, unreadable";
/// How often writing it down is tried.
const TRIES_MAX: usize = 2;
/// A spool that fails is asked again after this, for so long.
const PAUSE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(5);

/// The note. Its members are never renamed: a later program reads what an earlier one wrote.
#[derive(Debug, Deserialize, Serialize)]
struct Written {
    /// Texts of `routes.toml`. They name secrets and hold none.
    texts: Vec<String>,
    editions: Vec<WrittenEdition>,
    anew: BTreeMap<String, WrittenAnew>,
    gone: BTreeMap<String, WrittenGone>,
}

#[derive(Debug, Deserialize, Serialize)]
struct WrittenEdition {
    behind: u64,
    since: Timestamp,
    /// Which of the texts.
    text: usize,
}

#[derive(Debug, Deserialize, Serialize)]
struct WrittenAnew {
    upto: u64,
    text: usize,
}

#[derive(Debug, Deserialize, Serialize)]
struct WrittenGone {
    upto: u64,
    text: Option<usize>,
}

/// What came of writing the book down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is durable.
    Kept,
    /// The one before is there.
    NotThere,
    /// One of the two is there, and the spool does not say which.
    Unknown,
}

/// Writes the book down, and finds out what came of it when the spool says that it failed: it may be there all the same.
pub(super) async fn keep(spool: &dyn Spool, book: &RuleBook) -> Result<Outcome, serde_json::Error> {
    let note = Bytes::from(serde_json::to_vec(&written(book))?);
    for _ in 0..TRIES_MAX {
        match spool.keep_note(NOTE, note.clone()).await {
            Ok(()) => return Ok(Outcome::Kept),
            Err(error) => tracing::error!(%error, "the rules cannot be written down"),
        }
        // A full disk has given up its reserve by now, and a disk that failed is asked again after a while.
        match found(spool).await {
            Some(found) if found == note => return Ok(Outcome::Kept),
            Some(_) => {}
            None => return Ok(Outcome::Unknown),
        }
    }
    Ok(Outcome::NotThere)
}

/// What is there, once the spool answers again.
async fn found(spool: &dyn Spool) -> Option<Bytes> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match spool.note(NOTE).await {
            Ok(note) => return Some(note.unwrap_or_default()),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Err(_) => return None,
        }
    }
}

/// What was written down.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    /// The book.
    pub(super) book: RuleBook,
    /// Events with a higher sequence number had rules that cannot be read any more.
    pub(super) unread_behind: Option<u64>,
}

impl From<RuleBook> for Kept {
    fn from(book: RuleBook) -> Self {
        Self {
            book,
            unread_behind: None,
        }
    }
}

/// The book as it was last written down; `None` when there is none, or nothing of it can be read.
///
/// # Errors
/// When the spool cannot be read.
pub(super) async fn load(spool: &dyn Spool, file: &Path) -> anyhow::Result<Option<Kept>> {
    let note = spool.note(NOTE).await;
    let Some(note) = note.context("the rules that were kept cannot be read")? else {
        return Ok(None);
    };
    match serde_json::from_slice(&note) {
        Ok(written) => Ok(read(written, file)),
        Err(error) => {
            tracing::error!(%error, "the rules that were kept cannot be read: what waits goes by routes.toml as it is now");
            spool.keep_note(UNREADABLE, note).await?;
            Ok(None)
        }
    }
}

fn written(book: &RuleBook) -> Written {
    let texts = book.texts();
    // Each of the book's rules is among its texts.
    let place = |rules: &Arc<Rules>| {
        let mut texts = texts.iter();
        texts
            .position(|known| Arc::ptr_eq(known, rules))
            .unwrap_or(0)
    };
    let edition = |edition: &Edition| WrittenEdition {
        behind: edition.behind,
        since: edition.since,
        text: place(&edition.rules),
    };
    let anew = |(name, anew): (&String, &Anew)| {
        let (upto, text) = (anew.upto, place(&anew.rules));
        (name.clone(), WrittenAnew { upto, text })
    };
    let gone = |(name, gone): (&String, &Gone)| {
        let (upto, text) = (gone.upto, gone.rules.as_ref().map(place));
        (name.clone(), WrittenGone { upto, text })
    };
    Written {
        gone: book.gone().iter().map(gone).collect(),
        editions: book.editions().iter().map(edition).collect(),
        anew: book.anew().iter().map(anew).collect(),
        texts: texts.iter().map(|rules| rules.text.clone()).collect(),
    }
}

/// Rules that cannot be read any more, by a program that knows another grammar, leave their events to those after them.
fn read(written: Written, file: &Path) -> Option<Kept> {
    let texts: Vec<Option<Arc<Rules>>> = written
        .texts
        .into_iter()
        .map(|text| rules(text, file).map(Arc::new))
        .collect();
    let text = |number: usize| texts.get(number).cloned().flatten();
    let mut editions: Vec<Edition> = Vec::new();
    let mut unread_behind = None;
    for edition in written.editions {
        let behind = *unread_behind.get_or_insert(edition.behind);
        if let Some(rules) = text(edition.text) {
            editions.push(Edition {
                behind,
                since: edition.since,
                rules,
            });
            unread_behind = None;
        }
    }
    let newest = Arc::clone(&editions.last()?.rules);
    let anew = written.anew.into_iter().map(|(name, anew)| {
        let rules = text(anew.text).unwrap_or_else(|| Arc::clone(&newest));
        (
            name,
            Anew {
                upto: anew.upto,
                rules,
            },
        )
    });
    let gone = written.gone.into_iter().map(|(name, gone)| {
        let (upto, rules) = (gone.upto, gone.text.and_then(text));
        (name, Gone { upto, rules })
    });
    let book = RuleBook::of(editions, anew.collect(), gone.collect())?;
    Some(Kept {
        book,
        unread_behind,
    })
}

fn rules(text: String, file: &Path) -> Option<Rules> {
    match config::parse_rules(&text, &file.display().to_string()) {
        Ok(set) => Some(Rules { text, set }),
        Err(errors) => {
            tracing::warn!(
                "rules that were in force before the start cannot be read any more; what waits for them goes by those after \
                 them:\n{errors}"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use faceway_core::Timestamp;

    use super::{Written, read, rules, written};
    use crate::dispatch::{RuleBook, Rules};

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).unwrap()
    }

    fn of(name: &str) -> Rules {
        let text = format!("[outbound.stdout.{name}]\n");
        rules(text, Path::new("routes.toml")).unwrap()
    }

    fn book() -> RuleBook {
        RuleBook::new(at(), of("a"))
            .with(10, at(), of("b"))
            .with_anew("b", 7)
            .with(20, at(), of("a"))
    }

    fn through_json(written: &Written) -> Written {
        serde_json::from_slice(&serde_json::to_vec(written).unwrap()).unwrap()
    }

    #[test]
    fn a_book_is_read_as_it_was_written() {
        let written = written(&book());
        assert_eq!(written.texts.len(), 2, "each text once");
        let kept = read(through_json(&written), Path::new("routes.toml")).unwrap();
        assert_eq!((kept.book, kept.unread_behind), (book(), None));
    }

    #[test]
    fn what_cannot_be_read_any_more_leaves_its_events_to_what_came_after() {
        let read = |written: &Written| read(through_json(written), Path::new("routes.toml"));
        let mut first = written(&book());
        first.texts[0] = "[outbound.pigeon.a]\n".into();
        let kept = read(&first).unwrap();
        let behinds: Vec<_> = (kept.book.editions().iter())
            .map(|edition| edition.behind)
            .collect();
        assert_eq!(behinds, [0], "events from the first on go by the second");
        assert_eq!(kept.unread_behind, Some(20), "the third is like the first");
        let mut none = first;
        none.texts[1] = "?".into();
        assert_eq!(read(&none), None);
    }
}

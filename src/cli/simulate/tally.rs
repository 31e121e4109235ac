//! What a simulated source has done, added up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cli::words::{counted, grouped, span};

/// How records leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Posted, and answered.
    Pushed,
    /// Written to a websocket, which nobody answers.
    Streamed,
}

/// Counts of one way out of a source.
#[derive(Debug)]
pub(crate) struct Tally {
    way: Way,
    /// Why the source loses records, for the summary.
    why_lost: String,
    made: AtomicU64,
    taken: AtomicU64,
    lost: AtomicU64,
    twice: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl Tally {
    /// Of a source that posts, and loses records because of `why_lost`.
    pub(crate) fn pushed(why_lost: impl Into<String>) -> Self {
        Self::new(Way::Pushed, why_lost.into())
    }

    /// Of a source that somebody listens to, or nobody.
    pub(super) fn streamed() -> Self {
        Self::new(Way::Streamed, String::new())
    }

    fn new(way: Way, why_lost: String) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            way,
            why_lost,
            made: zero(),
            taken: zero(),
            lost: zero(),
            twice: zero(),
            dropped: zero(),
            failed: zero(),
            last_failure: Mutex::new(None),
        }
    }

    /// Records that happened.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Records that were answered with success, or written to at least one client.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Records that are gone for good and nobody has.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Records that were sent once more although they had been taken.
    pub(crate) fn twice(&self) -> u64 {
        self.twice.load(Ordering::Relaxed)
    }

    /// Messages that a client did not get because it did not read.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Attempts that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// What the last failed attempt was told.
    pub(crate) fn last_failure(&self) -> Option<String> {
        let last = self.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn saw_made(&self, count: u64) {
        self.made.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn saw_taken(&self, count: u64) {
        self.taken.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn saw_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn saw_twice(&self) {
        self.twice.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saw_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn saw_failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let last = self.last_failure.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    fn waiting(&self) -> u64 {
        self.made().saturating_sub(self.taken() + self.lost())
    }

    /// All of it in a line.
    pub(super) fn line(&self) -> String {
        let (made, taken, lost) = (self.made(), self.taken(), self.lost());
        let mut line = match self.way {
            Way::Pushed => format!(
                "{} made, {} taken, {} waiting",
                grouped(made),
                grouped(taken),
                grouped(self.waiting())
            ),
            Way::Streamed => format!("{} made, {} sent", grouped(made), grouped(taken)),
        };
        let further = [
            (lost, self.word_lost()),
            (self.dropped(), "dropped at slow clients"),
        ];
        for (count, word) in further.into_iter().filter(|(count, _)| *count > 0) {
            line.push_str(&format!(", {} {word}", grouped(count)));
        }
        if let Some(last) = self.last_failure() {
            let failed = counted(self.failed(), self.word_failure());
            line.push_str(&format!(", {failed} (last: {last})"));
        }
        line
    }

    /// What is told at the end, in lines.
    pub(super) fn summary(&self, took: Duration) -> String {
        let (records, took) = (counted(self.made(), "record"), span(took));
        let taken = grouped(self.taken());
        let mut told = match self.way {
            Way::Pushed => format!("{records} in {took}: {taken} taken\n"),
            Way::Streamed => {
                let unheard = format!("{} {}", grouped(self.lost()), self.word_lost());
                format!("{records} in {took} by websocket: {taken} sent, {unheard}\n")
            }
        };
        if self.twice() > 0 {
            told.push_str(&format!("{} of them sent twice\n", grouped(self.twice())));
        }
        if self.dropped() > 0 {
            let dropped = counted(self.dropped(), "message");
            told.push_str(&format!("{dropped} dropped: the client did not read\n"));
        }
        if let Some(last) = self.last_failure() {
            let failed = counted(self.failed(), self.word_failure());
            told.push_str(&format!("{failed}, the last with {last}\n"));
        }
        told
    }

    /// What was not delivered although somebody waited for it. Who streams owes nobody anything.
    pub(super) fn trouble(&self) -> Option<String> {
        let (waiting, lost) = (self.waiting(), self.lost());
        if self.way == Way::Streamed || waiting + lost == 0 {
            return None;
        }
        let mut text = format!("{} still waiting", grouped(waiting));
        if lost > 0 {
            text.push_str(&format!(", {} lost: {}", grouped(lost), self.why_lost));
        }
        Some(text)
    }

    const fn word_lost(&self) -> &'static str {
        match self.way {
            Way::Pushed => "lost",
            Way::Streamed => "sent to nobody",
        }
    }

    const fn word_failure(&self) -> &'static str {
        match self.way {
            Way::Pushed => "failed attempt",
            Way::Streamed => "refusal",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Tally;

    #[test]
    fn what_was_not_taken_is_told_and_is_trouble() {
        let tally = Tally::pushed("a terminal keeps 50,000");
        tally.saw_made(3);
        tally.saw_taken(3);
        let took = Duration::from_secs(90);
        assert_eq!(tally.summary(took), "3 records in 1m: 3 taken\n");
        assert_eq!(tally.trouble(), None);
        tally.saw_made(3);
        tally.saw_lost(1);
        tally.saw_failed("refused".into());
        let told = tally.summary(took);
        assert!(
            told.contains("1 failed attempt, the last with refused"),
            "{told}"
        );
        assert_eq!(
            tally.trouble().as_deref(),
            Some("2 still waiting, 1 lost: a terminal keeps 50,000")
        );
    }

    #[test]
    fn who_streams_tells_who_heard_nothing() {
        let tally = Tally::streamed();
        tally.saw_made(5);
        tally.saw_taken(3);
        tally.saw_lost(2);
        tally.saw_dropped();
        assert_eq!(
            tally.summary(Duration::from_secs(2)),
            "5 records in 2s by websocket: 3 sent, 2 sent to nobody\n1 message dropped: the client did not read\n"
        );
        assert_eq!(
            tally.line(),
            "5 made, 3 sent, 2 sent to nobody, 1 dropped at slow clients"
        );
        assert_eq!(tally.trouble(), None);
    }
}

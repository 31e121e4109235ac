//! What of a lane has to be written, as rows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use faceway_core::{Attempt, AttemptResult, Code, Parked, Passed, Timestamp};

use crate::row::Row;

/// The event's state when it has one beyond "handed out": a row of `held`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldRow {
    pub(crate) device: u64,
    pub(crate) at: i64,
    pub(crate) failures: u32,
    pub(crate) routed: bool,
    /// When and why it is parked; `None`: it waits behind another or is ready.
    pub(crate) parked: Option<(i64, Parked)>,
}

/// A row of `buried`, without what is copied from the event.
#[derive(Clone, Debug)]
pub(crate) struct BuryRow {
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) code: Code,
    pub(crate) failures: u32,
}

/// A row of `attempt`.
#[derive(Clone, Debug)]
pub(crate) struct AttemptRow {
    pub(crate) seq: u64,
    pub(crate) number: i64,
    pub(crate) attempt: Attempt,
}

/// A stretch of the log that is handed out once more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Range {
    pub(crate) number: i64,
    /// The next to read.
    pub(crate) next: u64,
    /// The first that is not in it.
    pub(crate) end: u64,
    pub(crate) since: i64,
    pub(crate) until: i64,
    /// Events of it that have not been handed out.
    pub(crate) remaining: u64,
    /// Read and not handed out.
    pub(crate) buffer: VecDeque<Row>,
}

impl Range {
    /// The first that is not handed out.
    pub(crate) fn position(&self) -> u64 {
        self.buffer.front().map_or(self.next, |row| row.seq)
    }

    pub(crate) fn is_through(&self) -> bool {
        self.buffer.is_empty() && self.next >= self.end
    }
}

/// What changed since the last group.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) touched: bool,
    /// Rows of `held` to write (`Some`) or to remove (`None`).
    pub(crate) rows: BTreeMap<u64, Option<HeldRow>>,
    /// Events that are through (delivered, dropped, buried).
    pub(crate) buries: Vec<BuryRow>,
    pub(crate) attempts: VecDeque<AttemptRow>,
    pub(crate) passed: VecDeque<Passed>,
}

/// Attempts that wait for a store that fails. The oldest give way: they are for stories only.
const ATTEMPTS_WAITING_MAX: usize = 65_536;
/// The same of what `once` has let pass: what gives way may pass again after a restart.
const PASSED_WAITING_MAX: usize = 65_536;

impl Pending {
    /// Notes an attempt. `tick` tells two of the same millisecond apart and keeps their order.
    pub(crate) fn attempt(&mut self, seq: u64, attempt: Attempt, tick: u64) {
        let number = (attempt.at.as_millis() << 12) | (tick & 0xfff) as i64;
        self.attempts.push_back(AttemptRow {
            seq,
            number,
            attempt,
        });
        if self.attempts.len() > ATTEMPTS_WAITING_MAX {
            self.attempts.pop_front();
        }
    }

    /// Notes what `once` has let pass.
    pub(crate) fn remember(&mut self, passed: Vec<Passed>) {
        self.touched = true;
        self.passed.extend(passed);
        let over = self.passed.len().saturating_sub(PASSED_WAITING_MAX);
        self.passed.drain(..over);
    }

    /// Takes back what could not be written; what happened since counts more.
    pub(crate) fn restore(&mut self, older: Self) {
        self.touched = true;
        for (seq, row) in older.rows {
            self.rows.entry(seq).or_insert(row);
        }
        let newer = std::mem::replace(&mut self.buries, older.buries);
        self.buries.extend(newer);
        let newer = std::mem::replace(&mut self.passed, older.passed);
        self.remember(newer.into());
        for attempt in older.attempts.into_iter().rev() {
            if self.attempts.len() < ATTEMPTS_WAITING_MAX {
                self.attempts.push_front(attempt);
            }
        }
    }
}

/// A lane at one moment, to be written in one group.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) position: u64,
    pub(crate) read: u64,
    /// Handed out, not settled, and without a row: ascending numbers.
    pub(crate) outstanding: Vec<u8>,
    pub(crate) ranges: Vec<Range>,
    pub(crate) pending: Pending,
    /// Nothing at or above this may be trimmed for this lane, but what `held` names below it neither.
    pub(crate) need: u64,
}

/// A parked row's reason as a number.
pub(crate) fn parked_number(parked: Option<(i64, Parked)>) -> (Option<i64>, i64) {
    match parked {
        None => (None, 0),
        Some((due, Parked::Alone)) => (Some(due), 1),
        Some((due, Parked::Probe)) => (Some(due), 2),
    }
}

/// The reverse of [`parked_number`].
pub(crate) fn parked_of(due: Option<i64>, number: i64) -> Option<(i64, Parked)> {
    match number {
        1 => Some((due.unwrap_or(0), Parked::Alone)),
        2 => Some((due.unwrap_or(0), Parked::Probe)),
        _ => None,
    }
}

/// An attempt's result as a number.
pub(crate) fn result_number(result: AttemptResult) -> i64 {
    match result {
        AttemptResult::Delivered => 0,
        AttemptResult::Retry => 1,
        AttemptResult::Buried => 2,
    }
}

/// An attempt as it was stored.
pub(crate) fn stored_attempt(at: Timestamp, took_ms: i64, result: i64, code: String) -> Attempt {
    Attempt {
        at,
        took: Duration::from_millis(took_ms.unsigned_abs()),
        result: match result {
            0 => AttemptResult::Delivered,
            1 => AttemptResult::Retry,
            _ => AttemptResult::Buried,
        },
        code: Code::stored(code),
    }
}

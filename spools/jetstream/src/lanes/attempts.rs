//! Attempts: `att.<range>.<lane>`, by the range of the log in which their events stand, so that a trace reads little.
//!
//! `Fw-Born` says which lane of the name it was. The payload: for each attempt the event's number, when it ended, how long it
//! took in nanoseconds, 0 delivered | 1 retry | 2 buried, the code.

use std::collections::BTreeMap;
use std::time::Duration;

use faceway_core::{Attempt, AttemptResult, Code, Timestamp, waiting};
use tokio::time::Instant;

use crate::client::{Failure, Kept, Outgoing};
use crate::codec::{Reader, Writer};
use crate::names::{StreamKind, name, token_of};
use crate::shared::Shared;

const BORN: &str = "Fw-Born";
/// A commit does not wait for its attempts longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// An attempt with the lane that made it.
pub(crate) struct AttemptRow {
    pub(crate) lane: String,
    /// Which lane of this name.
    pub(crate) born: u64,
    pub(crate) attempt: Attempt,
}

impl Shared {
    /// A lost one costs a line of a trace, so a failure is no failure of the commit.
    pub(super) async fn write_attempts(&self, lane: &str, born: u64, attempts: &[(u64, Attempt)]) {
        let mut ranges: BTreeMap<u64, Writer> = BTreeMap::new();
        for (seq, attempt) in attempts {
            let writer = ranges.entry(waiting::range_of(*seq)).or_default();
            write(writer, *seq, attempt);
        }
        let deadline = Instant::now() + PATIENCE;
        for (range, writer) in ranges {
            let subject = self.client.names.attempts(range, lane);
            let message = Outgoing::new(subject, writer.into_bytes().into()).with(BORN, born);
            if let Err(failure) = self.client.publish(&message, deadline).await {
                self.warn("attempts", || {
                    format!("attempts are not kept for traces: {failure}")
                });
            }
        }
    }
}

/// Every attempt at an event that is kept.
pub(crate) async fn attempts_of(shared: &Shared, seq: u64) -> Result<Vec<AttemptRow>, Failure> {
    let filter = shared
        .client
        .names
        .attempts_of_range(waiting::range_of(seq));
    let messages = shared
        .client
        .collect(StreamKind::Attempts, 1, &filter, false)
        .await?;
    let mut found = Vec::new();
    for kept in messages.iter().filter(|kept| kept.is_whole()) {
        let lane = token_of(&kept.subject, 0).and_then(name);
        let (Some(lane), Some(born)) = (lane, kept.headers.number(BORN)) else {
            continue;
        };
        let of_event = read(kept).into_iter().filter(|(of, _)| *of == seq);
        found.extend(of_event.map(|(_, attempt)| AttemptRow {
            lane: lane.clone(),
            born,
            attempt,
        }));
    }
    Ok(found)
}

fn write(writer: &mut Writer, seq: u64, attempt: &Attempt) {
    writer.number(seq);
    writer.signed(attempt.at.as_millis());
    writer.number(u64::try_from(attempt.took.as_nanos()).unwrap_or(u64::MAX));
    writer.number(match attempt.result {
        AttemptResult::Delivered => 0,
        AttemptResult::Retry => 1,
        AttemptResult::Buried => 2,
    });
    writer.text(attempt.code.as_str());
}

fn read(kept: &Kept) -> Vec<(u64, Attempt)> {
    let (mut reader, mut attempts) = (Reader::new(&kept.payload), Vec::new());
    while !reader.is_at_end() {
        let Some(attempt) = read_one(&mut reader) else {
            break;
        };
        attempts.push(attempt);
    }
    attempts
}

fn read_one(reader: &mut Reader<'_>) -> Option<(u64, Attempt)> {
    let seq = reader.number()?;
    let attempt = Attempt {
        at: Timestamp::from_millis(reader.signed()?).ok()?,
        took: Duration::from_nanos(reader.number()?),
        result: match reader.number()? {
            0 => AttemptResult::Delivered,
            1 => AttemptResult::Retry,
            2 => AttemptResult::Buried,
            _ => return None,
        },
        code: Code::stored(reader.text()?.to_owned()),
    };
    Some((seq, attempt))
}

//! What a simulated source has done, in words.

use std::time::Duration;

use faceway_simulators::{Counts, Way};

use crate::cli::words::{counted, grouped, span};

/// All of it in a line.
pub(super) fn line(counts: &Counts) -> String {
    let (made, taken) = (grouped(counts.made), grouped(counts.taken));
    let mut line = match counts.way {
        Way::Pushed => {
            let waiting = grouped(counts.waiting());
            format!("{made} made, {taken} taken, {waiting} waiting")
        }
        Way::Streamed => format!("{made} made, {taken} sent"),
    };
    let further = [
        (counts.lost, word_lost(counts.way)),
        (counts.dropped, "dropped at slow clients"),
    ];
    for (count, word) in further.into_iter().filter(|(count, _)| *count > 0) {
        line.push_str(&format!(", {} {word}", grouped(count)));
    }
    if let Some(last) = &counts.last_failure {
        let failed = counted(counts.failed, word_failure(counts.way));
        line.push_str(&format!(", {failed} (last: {last})"));
    }
    line
}

/// What is told at the end, in lines.
pub(super) fn summary(counts: &Counts, took: Duration) -> String {
    let (records, took) = (counted(counts.made, "record"), span(took));
    let taken = grouped(counts.taken);
    let mut told = match counts.way {
        Way::Pushed => format!("{records} in {took}: {taken} taken\n"),
        Way::Streamed => {
            let unheard = format!("{} {}", grouped(counts.lost), word_lost(counts.way));
            format!("{records} in {took} by websocket: {taken} sent, {unheard}\n")
        }
    };
    if counts.twice > 0 {
        told.push_str(&format!("{} of them sent twice\n", grouped(counts.twice)));
    }
    if counts.dropped > 0 {
        let dropped = counted(counts.dropped, "message");
        told.push_str(&format!("{dropped} dropped: the client did not read\n"));
    }
    if let Some(last) = &counts.last_failure {
        let failed = counted(counts.failed, word_failure(counts.way));
        told.push_str(&format!("{failed}, the last with {last}\n"));
    }
    told
}

/// What was posted and did not arrive. A stream owes its clients nothing.
pub(super) fn trouble(counts: &Counts) -> Option<String> {
    let waiting = counts.waiting();
    if counts.way == Way::Streamed || waiting + counts.lost == 0 {
        return None;
    }
    let mut text = format!("{} still waiting", grouped(waiting));
    if counts.lost > 0 {
        let lost = grouped(counts.lost);
        text.push_str(&format!(", {lost} lost: {}", counts.why_lost));
    }
    Some(text)
}

const fn word_lost(way: Way) -> &'static str {
    match way {
        Way::Pushed => "lost",
        Way::Streamed => "without a client",
    }
}

const fn word_failure(way: Way) -> &'static str {
    match way {
        Way::Pushed => "failed attempt",
        Way::Streamed => "refusal",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_simulators::{Counts, Way};

    use super::{line, summary, trouble};

    fn counts(way: Way, made: u64, taken: u64, lost: u64) -> Counts {
        Counts {
            way,
            why_lost: "a terminal keeps 50,000".into(),
            made,
            taken,
            lost,
            twice: 0,
            dropped: 0,
            failed: 0,
            last_failure: None,
        }
    }

    #[test]
    fn what_was_not_taken_is_told_and_is_trouble() {
        let took = Duration::from_secs(90);
        let good = counts(Way::Pushed, 3, 3, 0);
        assert_eq!(summary(&good, took), "3 records in 1m: 3 taken\n");
        assert_eq!(trouble(&good), None);
        let bad = Counts {
            failed: 1,
            last_failure: Some("refused".into()),
            ..counts(Way::Pushed, 6, 3, 1)
        };
        let told = summary(&bad, took);
        assert!(
            told.contains("1 failed attempt, the last with refused"),
            "{told}"
        );
        assert_eq!(
            trouble(&bad).as_deref(),
            Some("2 still waiting, 1 lost: a terminal keeps 50,000")
        );
    }

    #[test]
    fn a_stream_tells_what_no_client_heard() {
        let counts = Counts {
            dropped: 1,
            ..counts(Way::Streamed, 5, 3, 2)
        };
        assert_eq!(
            summary(&counts, Duration::from_secs(2)),
            "5 records in 2s by websocket: 3 sent, 2 without a client\n1 message dropped: the client did not read\n"
        );
        assert_eq!(
            line(&counts),
            "5 made, 3 sent, 2 without a client, 1 dropped at slow clients"
        );
        assert_eq!(trouble(&counts), None);
    }
}

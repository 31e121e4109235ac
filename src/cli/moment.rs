//! Times and spans as people write them on the command line, in the zone of their machine (`TZ`).

use std::time::Duration;

use faceway_core::Timestamp;
use jiff::civil::{Date, Time};
use jiff::fmt::friendly::SpanParser;
use jiff::fmt::temporal::{DateTimeParser, Pieces};
use jiff::tz::{Disambiguation, TimeZone};
use jiff::{SpanRelativeTo, ZonedDateTime};

/// What may be written, for `--help` of the commands that take a time.
pub(crate) const TIMES: &str = "\
TIME is a local time (9:00, yesterday 18:30, 2026-11-29 09:00), today, yesterday or a date (from midnight on), how long ago \
(90s, 2h, 7d, 1h30m), or RFC 3339 (2026-11-29T09:00:00+01:00). Local is the zone of this machine, or that of TZ.";

/// What may be written, for errors.
const HELP: &str = "write a local time such as 9:00, `yesterday 18:30` or `2026-11-29 09:00`, today, yesterday, how long ago such as 2h or 7d, or RFC 3339 such as 2026-11-29T09:00:00Z";

/// Which of two moments is meant, where the clocks are set back and a local time comes twice, or forward and it is left out.
/// What begins takes the earlier and what ends the later one, so that nothing is left out that could have been meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Of `--since`.
    Begin,
    /// Of `--until`.
    End,
}

impl Edge {
    const fn choice(self) -> Disambiguation {
        match self {
            Self::Begin => Disambiguation::Earlier,
            Self::End => Disambiguation::Later,
        }
    }
}

/// For clap: a time as written, since what it means depends on now and on the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment(String);

impl Moment {
    /// The moment as seen from `now`, in its zone.
    ///
    /// # Errors
    /// What to write instead.
    pub(crate) fn at(&self, now: &ZonedDateTime, edge: Edge) -> Result<ZonedDateTime, String> {
        moment(&self.0, now, edge)
    }
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Whether a text is a time at all depends on neither.
        let any = jiff::Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
        moment(text, &any, Edge::Begin).map(|_| Self(text.to_owned()))
    }
}

/// A moment in the zone of this machine.
///
/// # Errors
/// When `TZ` names none.
pub(crate) fn local(time: Timestamp) -> Result<ZonedDateTime, String> {
    let zone = match std::env::var_os("TZ") {
        Some(named) => TimeZone::try_system().map_err(|_| {
            let named = named.to_string_lossy();
            format!("TZ={named} is no time zone: write one such as TZ=Europe/Berlin or TZ=UTC")
        })?,
        // A container without /etc/localtime lives in UTC.
        None => TimeZone::try_system().unwrap_or(TimeZone::UTC),
    };
    let time = jiff::Timestamp::from_millisecond(time.as_millis());
    let time = time.map_err(|_| "the clock of this machine is far off".to_owned())?;
    Ok(time.to_zoned_datetime(zone))
}

/// A moment as it is kept. It ends where RFC 3339 ends.
pub(crate) fn timestamp(time: &ZonedDateTime) -> Timestamp {
    Timestamp::EPOCH.plus_millis(time.timestamp().as_millisecond())
}

fn moment(text: &str, now: &ZonedDateTime, edge: Edge) -> Result<ZonedDateTime, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(now.clone());
    }
    let read = match Pieces::parse(text) {
        Ok(pieces) => complete(text, &pieces, now, edge),
        Err(_) => day_and_time(text, now, edge).or_else(|| ago(text, now)),
    };
    read.ok_or_else(|| format!("`{text}` is no time: {HELP}"))
}

/// A date, with or without the rest of RFC 3339, and with the name of a zone behind it, as we print it ourselves.
fn complete(
    text: &str,
    pieces: &Pieces<'_>,
    now: &ZonedDateTime,
    edge: Edge,
) -> Option<ZonedDateTime> {
    if pieces.time_zone_annotation().is_some() {
        let parser = DateTimeParser::new().disambiguation(edge.choice());
        parser.parse_zoned_datetime(text).ok()
    } else if pieces.offset().is_some() {
        let time: jiff::Timestamp = text.parse().ok()?;
        Some(time.to_zoned_datetime(now.time_zone().clone()))
    } else {
        in_zone(pieces.date(), pieces.time(), now, edge)
    }
}

/// `9:00`, `yesterday`, `yesterday 18:30`, `2026-11-29 9:00`.
fn day_and_time(text: &str, now: &ZonedDateTime, edge: Edge) -> Option<ZonedDateTime> {
    let (day, time) = match text.split_once(char::is_whitespace) {
        Some((day, time)) => (day, Some(clock(time.trim_start())?)),
        None => match clock(text) {
            Some(time) => return in_zone(now.date(), Some(time), now, edge),
            None => (text, None),
        },
    };
    let date = if day.eq_ignore_ascii_case("today") {
        now.date()
    } else if day.eq_ignore_ascii_case("yesterday") {
        now.date().yesterday().ok()?
    } else {
        day.parse().ok()?
    };
    in_zone(date, time, now, edge)
}

/// `9:00`, `09:00:30`.
fn clock(text: &str) -> Option<Time> {
    // 9:5 could be meant as 9:05 or as 9:50.
    let whole = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (hour, rest) = text.split_once(':')?;
    let is_time =
        hour.starts_with(|first: char| first.is_ascii_digit()) && rest.split(':').all(whole);
    let format = if rest.contains(':') {
        "%H:%M:%S"
    } else {
        "%H:%M"
    };
    is_time.then(|| Time::strptime(format, text).ok()).flatten()
}

fn in_zone(
    date: Date,
    time: Option<Time>,
    now: &ZonedDateTime,
    edge: Edge,
) -> Option<ZonedDateTime> {
    let zone = now.time_zone().clone();
    match time {
        Some(time) => {
            let time = zone.into_ambiguous_zoned_datetime(date.to_datetime(time));
            time.disambiguate(edge.choice()).ok()
        }
        // Where the clocks are set forward at midnight, a day begins later.
        None => date.to_zoned_datetime(zone).ok(),
    }
}

/// How long ago. Days and longer are those of the calendar: `1d` is the same time of the day before, whatever the clocks did.
fn ago(text: &str, now: &ZonedDateTime) -> Option<ZonedDateTime> {
    // Is `-2h` before or after? Who means it says it without.
    if text.starts_with(['-', '+']) {
        return None;
    }
    // Of `2h ago` the parser makes less than nothing.
    let span = SpanParser::new().parse_span(text).ok()?.abs();
    Some(now.saturating_sub(span))
}

/// Reads a span: `30s`, `5m`, `1h30m`. Zero is one too, and a day has 24 hours.
///
/// # Errors
/// What to write instead.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let read = || {
        let span = SpanParser::new().parse_span(text).ok()?;
        let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Duration::try_from(span).ok()
    };
    let wrong = || format!("`{text}` is no span of time: write for example 30s, 5m or 1h30m");
    read()
        .filter(|_| !text.starts_with(['-', '+']))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::ZonedDateTime;

    use super::{Edge, Moment, duration, moment, timestamp};

    /// A Sunday in winter.
    fn now() -> ZonedDateTime {
        "2026-11-29T12:00:00+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn read(text: &str) -> Option<String> {
        let read = moment(text, &now(), Edge::Begin).ok();
        read.map(|time| time.timestamp().to_string())
    }

    #[test]
    fn reads_local_times() {
        for (text, expected) in [
            ("9:00", "2026-11-29T08:00:00Z"),
            ("09:00", "2026-11-29T08:00:00Z"),
            (" 09:00:30 ", "2026-11-29T08:00:30Z"),
            ("0:00", "2026-11-28T23:00:00Z"),
            ("23:59", "2026-11-29T22:59:00Z"),
            ("today", "2026-11-28T23:00:00Z"),
            ("Yesterday", "2026-11-27T23:00:00Z"),
            ("today 9:00", "2026-11-29T08:00:00Z"),
            ("yesterday  18:30", "2026-11-28T17:30:00Z"),
            ("2026-11-29 09:00", "2026-11-29T08:00:00Z"),
            ("2026-11-29 9:00", "2026-11-29T08:00:00Z"),
            ("2026-07-29 9:00:15", "2026-07-29T07:00:15Z"),
            ("2026-07-29T09:00", "2026-07-29T07:00:00Z"),
            ("2026-07-29", "2026-07-28T22:00:00Z"),
            ("now", "2026-11-29T11:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn reads_rfc_3339_whatever_the_zone() {
        for (text, expected) in [
            ("2026-11-22T08:00:00+08:00", "2026-11-22T00:00:00Z"),
            ("2026-11-22 08:00:00Z", "2026-11-22T08:00:00Z"),
            ("2026-11-22T08:00:00.250Z", "2026-11-22T08:00:00.25Z"),
            ("2026-11-22T08:00-00:00", "2026-11-22T08:00:00Z"),
            (
                "2026-11-22T08:00:00+08:00[Asia/Shanghai]",
                "2026-11-22T00:00:00Z",
            ),
            ("2026-11-22T08:00[Asia/Shanghai]", "2026-11-22T00:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn reads_how_long_ago() {
        for (text, expected) in [
            ("2h", "2026-11-29T09:00:00Z"),
            (" 2h ago ", "2026-11-29T09:00:00Z"),
            ("2 hours ago", "2026-11-29T09:00:00Z"),
            ("1h30m", "2026-11-29T09:30:00Z"),
            ("1h 30m", "2026-11-29T09:30:00Z"),
            ("1.5h", "2026-11-29T09:30:00Z"),
            ("90m", "2026-11-29T09:30:00Z"),
            ("7d", "2026-11-22T11:00:00Z"),
            ("1w", "2026-11-22T11:00:00Z"),
            ("1mo", "2026-10-29T11:00:00Z"),
            ("0s", "2026-11-29T11:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_day_ago_is_the_same_time_of_the_day_before_and_an_hour_is_an_hour() {
        // The clocks were set back in the night before, so that day had 25 hours.
        let now = "2026-10-25T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        for (text, expected) in [
            ("1d", "2026-10-24T12:00:00+02:00[Europe/Berlin]"),
            ("24h", "2026-10-24T13:00:00+02:00[Europe/Berlin]"),
            (
                "yesterday 12:00",
                "2026-10-24T12:00:00+02:00[Europe/Berlin]",
            ),
        ] {
            let read = moment(text, &now, Edge::Begin).unwrap();
            assert_eq!(read.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_time_that_comes_twice_or_never_leaves_nothing_out() {
        for (text, begin, end) in [
            // Set back from 3:00 to 2:00: 2:30 came twice.
            (
                "2026-10-25 2:30",
                "2026-10-25T02:30:00+02:00[Europe/Berlin]",
                "2026-10-25T02:30:00+01:00[Europe/Berlin]",
            ),
            // Set forward from 2:00 to 3:00: 2:30 never came.
            (
                "2026-03-29T02:30",
                "2026-03-29T01:30:00+01:00[Europe/Berlin]",
                "2026-03-29T03:30:00+02:00[Europe/Berlin]",
            ),
            (
                "2026-03-29T02:30[Europe/Berlin]",
                "2026-03-29T01:30:00+01:00[Europe/Berlin]",
                "2026-03-29T03:30:00+02:00[Europe/Berlin]",
            ),
        ] {
            let read = |edge| moment(text, &now(), edge).unwrap().to_string();
            assert_eq!(
                (read(Edge::Begin).as_str(), read(Edge::End).as_str()),
                (begin, end),
                "{text}"
            );
        }
        // Set forward at midnight: the day begins at 1:00, for both.
        let now = "2026-09-07T12:00:00-03:00[America/Santiago]"
            .parse()
            .unwrap();
        for edge in [Edge::Begin, Edge::End] {
            let read = moment("2026-09-06", &now, edge).unwrap().to_string();
            assert_eq!(read, "2026-09-06T01:00:00-03:00[America/Santiago]");
        }
    }

    #[test]
    fn what_is_printed_can_be_written() {
        for time in [
            "2026-11-29T12:00:00+01:00[Europe/Berlin]",
            "2026-10-25T02:30:00+02:00[Europe/Berlin]",
            "2026-10-25T02:30:00+01:00[Europe/Berlin]",
            "2026-11-29T11:00:00+00:00[UTC]",
            "2026-11-29T11:00:00+05:30[+05:30]",
        ] {
            for edge in [Edge::Begin, Edge::End] {
                assert_eq!(moment(time, &now(), edge).unwrap().to_string(), time);
            }
        }
    }

    #[test]
    fn says_what_may_be_written() {
        for text in [
            "",
            " ",
            "ago",
            "2",
            "h",
            "2x",
            "2M",
            "-2h",
            "+2h",
            "2h30",
            "٣h",
            "9",
            "9:0",
            "9:00am",
            "25:00",
            "24:00",
            "9:60",
            ":30",
            "+9:00",
            "9:00:00:00",
            "tomorrow",
            "yesterday 25:00",
            "yesterday yesterday",
            "9:00 yesterday",
            "2026-13-01",
            "2026-02-30 09:00",
            "2026-13-01T00:00:00Z",
            "2026-11-29T09:00+05:00[Europe/Berlin]",
            "2026-11-29T09:00[Europe/Berlni]",
            "99999999999999999999d",
        ] {
            let told = moment(text, &now(), Edge::Begin).unwrap_err();
            for expected in [text.trim(), "9:00", "yesterday", "2h", "RFC 3339"] {
                assert!(told.contains(expected), "{text}: {told}");
            }
        }
    }

    #[test]
    fn the_far_past_is_held_at_the_year_zero() {
        let read = moment("7000000d", &now(), Edge::Begin).unwrap();
        assert_eq!(timestamp(&read).to_string(), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_moment_is_as_seen_from_now() {
        let moment: Moment = "2h".parse().unwrap();
        let at = moment.at(&now(), Edge::Begin).unwrap();
        assert_eq!(timestamp(&at).to_string(), "2026-11-29T09:00:00.000Z");
        assert!("2x".parse::<Moment>().is_err());
    }

    #[test]
    fn spans() {
        for (text, seconds) in [
            ("30s", 30),
            ("1m30s", 90),
            ("1m 30s", 90),
            ("1.5m", 90),
            ("0s", 0),
            ("1d", 86_400),
            ("1w", 604_800),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "30",
            "-30s",
            "+30s",
            "30s ago",
            "1mo",
            "soon",
            "9999999999999999h",
        ] {
            let told = duration(text).unwrap_err();
            assert!(told.contains("1h30m"), "{text}: {told}");
        }
    }
}

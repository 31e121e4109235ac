//! Times and spans as people write them on the command line.

use std::time::Duration;

use faceway_core::Timestamp;

/// Units of a span, with their seconds.
const UNITS: [(char, u64); 5] = [
    ('s', 1),
    ('m', 60),
    ('h', 3_600),
    ('d', 86_400),
    ('w', 604_800),
];

/// Reads a moment: RFC 3339, `now`, or how long ago it was (`2h`, `1h30m`, `7d ago`).
///
/// # Errors
/// What to write instead.
pub(crate) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let back = text.strip_suffix("ago").map_or(text, str::trim_end);
    let back = span(back).ok_or("not a time: write RFC 3339 such as 2026-11-22T08:00:00Z, or how long ago, such as 2h or 7d")?;
    let millis = i64::try_from(back.as_millis()).unwrap_or(i64::MAX);
    Ok(now.plus_millis(millis.saturating_neg()))
}

/// For clap: the moment when it is first asked for, because `now` is only known then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment(String);

impl Moment {
    /// The moment, as seen from `now`.
    pub(crate) fn at(&self, now: Timestamp) -> Timestamp {
        // It was checked when it was made, and whether a text is a moment does not depend on `now`.
        moment(&self.0, now).unwrap_or(now)
    }
}

impl std::str::FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let any = Timestamp::from_seconds(0).map_err(|error| error.to_string())?;
        moment(text, any).map(|_| Self(text.to_owned()))
    }
}

/// Reads a span: `30s`, `5m`, `1h30m`, `7d`. Zero is one too.
///
/// # Errors
/// What to write instead.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    span(text.trim()).ok_or_else(|| "not a span of time: write for example 30s, 5m or 1h30m".into())
}

fn span(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].chars().next()?;
        let (_, each) = UNITS.iter().find(|(letter, _)| *letter == unit)?;
        seconds = seconds.checked_add(number.checked_mul(*each)?)?;
        rest = &rest[digits + unit.len_utf8()..];
    }
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faceway_core::Timestamp;

    use super::{Moment, duration, moment};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn reads_times_and_how_long_ago() {
        let read = |text: &str| moment(text, now()).map(|time| time.to_string()).ok();
        for (text, expected) in [
            ("2026-11-22T08:00:00+08:00", "2026-11-22T00:00:00.000Z"),
            ("2026-11-22 08:00:00Z", "2026-11-22T08:00:00.000Z"),
            ("now", "2026-11-22T12:00:00.000Z"),
            ("2h", "2026-11-22T10:00:00.000Z"),
            (" 2h ago ", "2026-11-22T10:00:00.000Z"),
            ("1h30m", "2026-11-22T10:30:00.000Z"),
            ("90m", "2026-11-22T10:30:00.000Z"),
            ("7d", "2026-11-15T12:00:00.000Z"),
            ("1w", "2026-11-15T12:00:00.000Z"),
            ("0s", "2026-11-22T12:00:00.000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_neither() {
        for text in [
            "",
            " ",
            "ago",
            "2",
            "h",
            "2y",
            "-2h",
            "2 h",
            "2h30",
            "1.5h",
            "yesterday",
            "٣h",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(moment(text, now()).is_err(), "{text}");
        }
        assert!(moment("99999999999999999999d", now()).is_err());
        assert!(moment("9999999999999999d", now()).is_err());
    }

    #[test]
    fn the_far_past_is_held_at_the_year_zero() {
        assert_eq!(
            moment("99999999999d", now()).unwrap().to_string(),
            "0000-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn a_moment_is_as_seen_from_now() {
        let moment: Moment = "2h".parse().unwrap();
        assert_eq!(moment.at(now()).to_string(), "2026-11-22T10:00:00.000Z");
        assert!("2x".parse::<Moment>().is_err());
    }

    #[test]
    fn spans() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("30").is_err());
    }
}

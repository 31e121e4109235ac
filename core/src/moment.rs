//! A moment that a device writes as a number: of which unit it is, its size tells.

use crate::lenient::{has, text};
use crate::{Raw, Timestamp};

/// The unit of a number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// What a member says about a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing: a zero or a blank text.
    Nothing,
    /// A time; with a warning when it is not written as documented.
    At(Timestamp, Option<String>),
    /// Something that is no time, and why.
    Wrong(&'static str),
}

const NO_TIME: Moment = Moment::Wrong("not a time");
const OTHER_TYPE: Moment = Moment::Wrong("not of the documented type");

/// Reads a moment whose documented unit is `documented`. A number whose size says otherwise is read by its size, and a text
/// is read as the number or as the time with its zone that it holds: both with a warning. Seconds may have a fraction.
pub fn moment(raw: Raw<'_>, documented: Unit) -> Moment {
    let unescaped = text(raw);
    let written = unescaped.as_deref().map_or(raw.get(), str::trim);
    if written.is_empty() {
        return Moment::Nothing;
    }
    let is_text = unescaped.is_some();
    let Some((whole, thousandths)) = decimal(written) else {
        return match written.parse() {
            Ok(time) if is_text => Moment::At(
                time,
                Some(format!("a text where {} are documented", documented.name())),
            ),
            _ => OTHER_TYPE,
        };
    };
    if whole == 0 {
        return Moment::Nothing;
    }
    let unit = documented.or_by_size(whole);
    let Some(time) = unit.time(whole, thousandths) else {
        return NO_TIME;
    };
    let sent = match (is_text, unit == documented) {
        (false, true) => return Moment::At(time, None),
        (false, false) => unit.name().to_owned(),
        (true, true) => "a text".to_owned(),
        (true, false) => format!("a text of {}", unit.name()),
    };
    let warning = format!("{sent} where {} are documented", documented.name());
    Moment::At(time, Some(warning))
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    /// From 12 digits on a number is too large for seconds (year 5138), from 15 on for milliseconds, from 18 on for
    /// microseconds; and one of 10 or 11 digits is too small for the milliseconds of any device's life (before 1973).
    const fn or_by_size(self, number: i64) -> Self {
        match (number, self) {
            (100_000_000_000_000_000.., _) => Self::Nanoseconds,
            (100_000_000_000_000.., _) => Self::Microseconds,
            (100_000_000_000.., Self::Seconds) => Self::Milliseconds,
            (1_000_000_000..100_000_000_000, Self::Milliseconds) => Self::Seconds,
            (_, documented) => documented,
        }
    }

    fn time(self, number: i64, thousandths: i64) -> Option<Timestamp> {
        let ms = match self {
            Self::Seconds => number.checked_mul(1000)?.checked_add(thousandths)?,
            Self::Milliseconds => number,
            Self::Microseconds => number / 1000,
            Self::Nanoseconds => number / 1_000_000,
        };
        // No vendor documents these two, so only what a device's clock can show is taken for one: a counter, or the
        // largest number, is none.
        let guessed = matches!(self, Self::Microseconds | Self::Nanoseconds);
        let time = Timestamp::from_millis(ms).ok().filter(|_| number > 0)?;
        (!guessed || GUESSED_MS.contains(&ms)).then_some(time)
    }
}

/// The years 2000 to 2099.
const GUESSED_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// The whole part and the thousandths of a number that is written without an exponent.
fn decimal(written: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = match has(written, b'.') {
        true => written.split_once('.').unwrap_or((written, "")),
        false => (written, ""),
    };
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let are_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if digits.is_empty() || !are_digits(digits) || !are_digits(fraction) {
        return None;
    }
    let digits = fraction.bytes().chain(*b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    // More digits than a number has are of no time.
    Some((whole.parse().unwrap_or(i64::MAX), thousandths))
}

#[cfg(test)]
mod tests {
    use super::{Moment, Unit, moment};
    use crate::Raw;

    fn read(
        json: &str,
        documented: Unit,
    ) -> Result<(String, Option<String>), Option<&'static str>> {
        let raw = Raw::parse(json).unwrap();
        match moment(raw, documented) {
            Moment::Nothing => Err(None),
            Moment::At(time, warning) => Ok((time.to_string(), warning)),
            Moment::Wrong(why) => Err(Some(why)),
        }
    }

    #[test]
    fn times_are_read_by_their_size() {
        let whole = "2026-01-01T07:00:00.000Z";
        let split = "2026-01-01T07:00:00.123Z";
        for (json, time, in_seconds, in_ms) in [
            ("1767250800", whole, "", "seconds"),
            ("1767250800.1239", split, "", "seconds"),
            ("1767250800123", split, "milliseconds", ""),
            ("1767250800123456", split, "microseconds", "microseconds"),
            ("1767250800123456789", split, "nanoseconds", "nanoseconds"),
            ("\"1767250800\"", whole, "a text", "a text of seconds"),
            (
                "\" 1767250800123 \"",
                split,
                "a text of milliseconds",
                "a text",
            ),
            (
                "\"1767250800123456\"",
                split,
                "a text of microseconds",
                "a text of microseconds",
            ),
            (
                "\"2026-01-01T15:00:00.123+08:00\"",
                split,
                "a text",
                "a text",
            ),
        ] {
            for (unit, sent, name) in [
                (Unit::Seconds, in_seconds, "seconds"),
                (Unit::Milliseconds, in_ms, "milliseconds"),
            ] {
                let warning =
                    (!sent.is_empty()).then(|| format!("{sent} where {name} are documented"));
                assert_eq!(read(json, unit), Ok((time.to_owned(), warning)), "{json}");
            }
        }
    }

    #[test]
    fn what_is_no_time_is_not_made_one() {
        for nothing in ["0", "0.0", "\"0\"", "\"\"", "\" \""] {
            assert_eq!(read(nothing, Unit::Seconds), Err(None), "{nothing}");
        }
        for no_time in [
            "-1",
            "\"-1\"",
            "9223372036854775807",
            "123456789012345678901234567890",
            // The year 1973 in nanoseconds: a counter.
            "100000000000000000",
        ] {
            let expected = Err(Some("not a time"));
            assert_eq!(read(no_time, Unit::Milliseconds), expected, "{no_time}");
        }
        for wrong in [
            "1e400",
            "1.5e9",
            "{}",
            "true",
            "\"yesterday\"",
            "\"2026-01-01 07:00:00\"",
            "\".5\"",
            "\"+1\"",
        ] {
            let expected = Err(Some("not of the documented type"));
            assert_eq!(read(wrong, Unit::Milliseconds), expected, "{wrong}");
        }
    }
}

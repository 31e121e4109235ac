//! Wall-clock time: milliseconds since 1970 in UTC, written as RFC 3339 with milliseconds and `Z`.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, to the millisecond. Its text is RFC 3339 in UTC: `2026-11-22T08:15:30.250Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is no RFC 3339 time, or a number outside the years 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time: expected RFC 3339 such as 2026-11-22T08:15:30Z, in the years 0 to 9999")]
pub struct TimestampError;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 0000-01-01T00:00:00Z, the earliest moment that RFC 3339 can write.
    const MIN_MS: i64 = -62_167_219_200_000;
    /// 9999-12-30T22:00:00Z, the latest that every time zone can still write with four digits of year.
    const MAX_MS: i64 = 253_402_207_200_000;

    /// From milliseconds since 1970.
    ///
    /// # Errors
    /// When RFC 3339 cannot write that moment.
    pub const fn from_millis(ms: i64) -> Result<Self, TimestampError> {
        if ms < Self::MIN_MS || ms > Self::MAX_MS {
            return Err(TimestampError);
        }
        Ok(Self(ms))
    }

    /// From seconds since 1970.
    ///
    /// # Errors
    /// When RFC 3339 cannot write that moment.
    pub const fn from_seconds(s: i64) -> Result<Self, TimestampError> {
        match s.checked_mul(1000) {
            Some(ms) => Self::from_millis(ms),
            None => Err(TimestampError),
        }
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since 1970 with their fraction, as metrics count.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of the years 0 to 9999 are exact"
    )]
    pub const fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// This moment and `ms` milliseconds (which may be negative), held inside what RFC 3339 can write.
    #[must_use]
    pub const fn plus_millis(self, ms: i64) -> Self {
        let sum = self.0.saturating_add(ms);
        if sum > Self::MAX_MS {
            Self(Self::MAX_MS)
        } else if sum < Self::MIN_MS {
            Self(Self::MIN_MS)
        } else {
            Self(sum)
        }
    }

    /// This moment and `duration`, held at the latest that RFC 3339 can write.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }

    /// How long after `earlier` this is; zero when it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        let ms = self.0 - earlier.0;
        Duration::from_millis(if ms > 0 { ms.unsigned_abs() } else { 0 })
    }
}

impl Timestamp {
    /// As RFC 3339 writes it. Every event has two of them, so they are written without a calendar's other needs: the days by
    /// eras of 400 years, each of which begins in March and ends with its leap day.
    fn written(self) -> [u8; 24] {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let (days, ms) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let days = days + DAYS_TO_1970;
        let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let of_month = day - (153 * month + 2) / 5 + 1;
        let (month, turn) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let mut put = |at: usize, digits: usize, mut number: i64| {
            for place in (at..at + digits).rev() {
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0, 4, era * 400 + year + turn);
        put(5, 2, month);
        put(8, 2, of_month);
        put(11, 2, ms / 3_600_000);
        put(14, 2, ms / 60_000 % 60);
        put(17, 2, ms / 1000 % 60);
        put(20, 3, ms % 1000);
        text
    }
}

const DAY_MS: i64 = 86_400_000;
/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// Digits and signs are ASCII.
fn text_of(written: &[u8; 24]) -> &str {
    std::str::from_utf8(written).unwrap_or_default()
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    /// Reads RFC 3339; a blank instead of `T` is accepted, as several vendors write it. Finer than milliseconds is cut off.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Self::from_millis(time.as_millisecond())
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(text_of(&self.written()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text_of(&self.written()))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// The clocks, as an argument, so that a failure can be repeated.
pub trait Clock: Send + Sync {
    /// What the wall clock shows. It may be set at any time, forward and back: it is data, never a timer.
    fn now(&self) -> Timestamp;

    /// The time since a fixed moment of this process. It only goes forward, and no one sets it.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine"
    )]
    fn now(&self) -> Timestamp {
        let now = jiff::Timestamp::now().as_millisecond();
        Timestamp::from_millis(now).unwrap_or(Timestamp::EPOCH)
    }

    fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Timestamp;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn times_are_written_as_a_calendar_writes_them(
            ms in Timestamp::MIN_MS..=Timestamp::MAX_MS,
            day in -719_528..2_932_896_i64,
        ) {
            for ms in [ms, day * super::DAY_MS, day * super::DAY_MS - 1] {
                let Ok(time) = Timestamp::from_millis(ms) else {
                    continue;
                };
                let calendar = jiff::Timestamp::from_millisecond(ms).unwrap();
                prop_assert_eq!(time.to_string(), format!("{calendar:.3}"));
            }
        }
    }

    #[test]
    fn every_wall_clock_is_banned() {
        // A name in clippy.toml that a library has given up bans nothing, and then this is no violation.
        #[expect(clippy::disallowed_methods, reason = "the ban is what is tested")]
        let std = std::time::SystemTime::now();
        #[expect(clippy::disallowed_methods, reason = "the ban is what is tested")]
        let moment = jiff::Timestamp::now();
        #[expect(clippy::disallowed_methods, reason = "the ban is what is tested")]
        let local = jiff::ZonedDateTime::now();
        assert!(local.timestamp() >= moment && std > std::time::UNIX_EPOCH);
    }

    #[test]
    fn text_has_milliseconds_and_z() {
        let time = Timestamp::from_seconds(1_685_343_715).unwrap();
        assert_eq!(time.to_string(), "2023-05-29T07:01:55.000Z");
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }

    #[test]
    fn reads_offsets_and_blanks() {
        let read = |text: &str| text.parse::<Timestamp>().map(|time| time.to_string()).ok();
        assert_eq!(
            read("2024-05-29 10:48:27.364999+00:00").as_deref(),
            Some("2024-05-29T10:48:27.364Z")
        );
        assert_eq!(
            read("2024-05-29T10:48:27+08:00").as_deref(),
            Some("2024-05-29T02:48:27.000Z")
        );
        assert_eq!(read("yesterday"), None);
    }

    #[test]
    fn refuses_what_rfc_3339_cannot_write() {
        assert!(Timestamp::from_seconds(i64::MAX).is_err());
        assert!(Timestamp::from_millis(Timestamp::MAX_MS + 1).is_err());
        assert_eq!(
            Timestamp::from_millis(Timestamp::MAX_MS)
                .unwrap()
                .to_string(),
            "9999-12-30T22:00:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(Timestamp::MIN_MS)
                .unwrap()
                .to_string(),
            "0000-01-01T00:00:00.000Z"
        );
    }
}

//! `hours`, `days` and `zone`: wall-clock tests of a time.

use faceway_core::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// A window of hours on days of the week, in a time zone.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) hours: Option<Hours>,
    pub(crate) days: Option<Vec<Weekday>>,
    pub(crate) zone: TimeZone,
}

/// From `begin` (inclusive) to `end` (exclusive), in minutes of the day. Past midnight when `end` is not after `begin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hours {
    begin: u32,
    end: u32,
}

pub(crate) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Hours {
    /// Reads `22:00-06:00`. `24:00` may end it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (begin, end) = text.split_once('-')?;
        let (begin, end) = (minutes(begin.trim())?, minutes(end.trim())?);
        (begin != end && begin < MIDNIGHT).then_some(Self { begin, end })
    }
}

const MIDNIGHT: u32 = 24 * 60;

fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= MIDNIGHT).then_some(hours * 60 + minutes)
}

impl Clock {
    pub(crate) fn covers(&self, time: Timestamp) -> bool {
        let Ok(time) = jiff::Timestamp::from_millisecond(time.as_millis()) else {
            return false;
        };
        let local = self.zone.to_datetime(time);
        let minute = u32::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute()));
        let Ok(minute) = minute else {
            return false;
        };
        let today = local.weekday();
        match self.hours {
            None => self.on(today),
            Some(Hours { begin, end }) if begin < end => {
                (begin..end).contains(&minute) && self.on(today)
            }
            // Past midnight: what is left of the night belongs to the day on which it began.
            Some(Hours { begin, .. }) if minute >= begin => self.on(today),
            Some(Hours { end, .. }) => minute < end && self.on(today.previous()),
        }
    }

    fn on(&self, day: Weekday) -> bool {
        self.days.as_ref().is_none_or(|days| days.contains(&day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(hours: &str, days: &[&str], zone: &str) -> Clock {
        let day = |name: &&str| DAYS.iter().find(|(known, _)| known == name).unwrap().1;
        Clock {
            hours: (!hours.is_empty()).then(|| Hours::parse(hours).unwrap()),
            days: (!days.is_empty()).then(|| days.iter().map(day).collect()),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        // 2026-11-20 is a Friday.
        for (hours, days, zone, time, covers) in [
            (
                "22:00-06:00",
                &["fri"][..],
                "UTC",
                "2026-11-20T22:00:00Z",
                true,
            ),
            (
                "22:00-06:00",
                &["fri"],
                "UTC",
                "2026-11-21T05:59:59.999Z",
                true,
            ),
            (
                "22:00-06:00",
                &["fri"],
                "UTC",
                "2026-11-21T06:00:00Z",
                false,
            ),
            (
                "22:00-06:00",
                &["fri"],
                "UTC",
                "2026-11-20T03:00:00Z",
                false,
            ),
            (
                "22:00-06:00",
                &["fri"],
                "UTC",
                "2026-11-21T23:00:00Z",
                false,
            ),
            ("22:00-06:00", &["sun"], "UTC", "2026-11-23T01:00:00Z", true),
            ("08:00-18:00", &[], "UTC", "2026-11-20T08:00:00Z", true),
            ("08:00-18:00", &[], "UTC", "2026-11-20T18:00:00Z", false),
            (
                "08:00-18:00",
                &[],
                "Asia/Shanghai",
                "2026-11-20T00:30:00Z",
                true,
            ),
            ("", &["sat"], "Asia/Shanghai", "2026-11-20T16:00:00Z", true),
            ("", &["sat"], "UTC", "2026-11-20T16:00:00Z", false),
            ("00:00-24:00", &["fri"], "UTC", "2026-11-20T23:59:59Z", true),
            (
                "18:00-24:00",
                &["fri"],
                "UTC",
                "2026-11-21T00:00:00Z",
                false,
            ),
            ("22:00-00:00", &["fri"], "UTC", "2026-11-20T23:30:00Z", true),
            // Summer time: 07:30 UTC is 08:30 in Berlin in winter and 09:30 in summer.
            (
                "08:00-09:00",
                &[],
                "Europe/Berlin",
                "2026-01-15T07:30:00Z",
                true,
            ),
            (
                "08:00-09:00",
                &[],
                "Europe/Berlin",
                "2026-07-15T07:30:00Z",
                false,
            ),
        ] {
            let clock = clock(hours, days, zone);
            assert_eq!(
                clock.covers(time.parse().unwrap()),
                covers,
                "{hours} {days:?} {zone} {time}"
            );
        }
    }

    #[test]
    fn bad_hours_are_refused() {
        for bad in [
            "",
            "8-18",
            "08:00",
            "08:00-08:00",
            "24:00-06:00",
            "08:60-09:00",
            "25:00-26:00",
            "+8:00-09:00",
        ] {
            assert_eq!(Hours::parse(bad), None, "{bad}");
        }
    }
}

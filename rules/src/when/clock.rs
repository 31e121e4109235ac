//! `hours`, `days` and `zone`: wall-clock tests of a time.

use faceway_core::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::suggest;

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

/// What to write in place of a name that no time zone has.
pub(crate) fn zone_help(text: &str) -> String {
    const CITY: &str = "write the zone of a city, such as \"Asia/Shanghai\" or \"Europe/Berlin\"";
    if let Some(offset) = offset(text) {
        // Etc counts from Greenwich the other way round.
        let sign = if offset < 0 { '+' } else { '-' };
        return format!(
            "{CITY}; for a fixed offset, `Etc/GMT{sign}{}`",
            offset.abs()
        );
    }
    let names: Vec<_> = jiff::tz::db()
        .available()
        .map(|name| name.to_string())
        .collect();
    let city = |name: &&str| name.contains('/') && !name.starts_with("Etc/");
    let cities = || names.iter().map(String::as_str).filter(city);
    let last = |name: &'_ str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
    let wanted = text.trim().to_lowercase().replace([' ', '-'], "_");
    let same = cities().find(|name| last(name) == last(&wanted));
    // An abbreviation is near to another one, of another continent.
    let near = || match wanted.chars().count() {
        0..=4 => None,
        _ => nearest_city(&wanted, cities()),
    };
    match same.or_else(near) {
        Some(name) => format!("did you mean `{name}`?"),
        None => CITY.to_owned(),
    }
}

/// The zone whose name, or the city in it, is nearest.
fn nearest_city<'a>(wanted: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if let Some(near) = suggest::nearest(wanted, names.clone()) {
        return Some(near);
    }
    let city = |name: &'a str| (name.rsplit('/').next().unwrap_or_default(), name);
    let cities: Vec<_> = names.map(city).collect();
    let near = suggest::nearest(wanted, cities.iter().map(|(city, _)| *city))?;
    let found = cities.iter().find(|(city, _)| *city == near);
    found.map(|(_, name)| *name)
}

/// The hours of `+05:00`, `UTC+5`, `GMT-3`; nothing where there are minutes, which no zone of Etc has.
fn offset(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_uppercase();
    let rest = text
        .strip_prefix("UTC")
        .or_else(|| text.strip_prefix("GMT"));
    let rest = rest.unwrap_or(&text).trim();
    let rest = rest.strip_suffix(":00").unwrap_or(rest);
    if !rest.starts_with(['+', '-']) {
        return None;
    }
    let hours = rest.parse::<i32>().ok()?;
    (-12..=14).contains(&hours).then_some(hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_is_none_is_told_which_is_meant() {
        for (text, help) in [
            ("Moscow", "did you mean `Europe/Moscow`?"),
            ("moscow", "did you mean `Europe/Moscow`?"),
            ("Moskow", "did you mean `Europe/Moscow`?"),
            ("New York", "did you mean `America/New_York`?"),
            ("Asia/Moscow", "did you mean `Europe/Moscow`?"),
            ("Asia/Tashkant", "did you mean `Asia/Tashkent`?"),
            ("Asia/Shangai", "did you mean `Asia/Shanghai`?"),
            ("Ho-Chi-Minh", "did you mean `Asia/Ho_Chi_Minh`?"),
            ("+05:00", "`Etc/GMT-5`"),
            ("UTC+5", "`Etc/GMT-5`"),
            ("GMT -3", "write the zone of a city"),
            ("gmt-3", "`Etc/GMT+3`"),
            ("+05:30", "write the zone of a city"),
            // Four letters from `MST`, which is ten hours away.
            ("MSK", "write the zone of a city"),
            ("local", "write the zone of a city"),
            ("Москва", "write the zone of a city"),
        ] {
            assert!(TimeZone::get(text).is_err(), "{text}");
            assert!(
                zone_help(text).contains(help),
                "{text}: {}",
                zone_help(text)
            );
        }
        for hours in -12..=14 {
            let name = zone_help(&format!("UTC{hours:+}"));
            let name = name.rsplit('`').nth(1).unwrap();
            let zone = TimeZone::get(name).unwrap();
            let there = zone.to_offset(jiff::Timestamp::UNIX_EPOCH);
            assert_eq!(there.seconds(), hours * 3600, "{name}");
        }
    }

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

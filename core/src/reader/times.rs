//! Times: as numbers, and as texts.

use super::Reader;
use crate::Timestamp;
use crate::lenient::{self, Moment, Unit};

/// How a time is read that names no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Not at all: the vendor writes the zone, and guessing it could be wrong by hours.
    Named,
    /// As UTC, with a warning: that is what the vendor's times are.
    Utc,
}

impl Reader<'_> {
    /// A time that is a number; `0` and a blank text are none. Its unit is documented, but a number whose size says
    /// otherwise is read by its size. What is no time stays.
    pub fn time(&mut self, name: &str, unit: Unit) -> Option<Timestamp> {
        let raw = self.told(name)?;
        match lenient::moment(raw, unit) {
            Moment::Nothing => self.members.drop(name),
            Moment::At(time, warning) => {
                self.members.drop(name);
                if let Some(warning) = warning {
                    self.warn(name, warning);
                }
                return Some(time);
            }
            Moment::Wrong(why) => self.warn(name, why),
        }
        None
    }

    /// A time that is a text: ISO 8601 with a `T` or a blank, with or without a fraction. What is no time stays.
    pub fn written_time(&mut self, name: &str, zone: Zone) -> Option<Timestamp> {
        let written = self.read(name, lenient::text)?;
        let written = written.trim();
        if written.is_empty() {
            self.members.drop(name);
            return None;
        }
        let time = written.parse().ok();
        let time = time.or_else(|| match zone {
            Zone::Named => {
                self.warn(name, "not a time with its zone");
                None
            }
            Zone::Utc => self.read_as_utc(name, written),
        })?;
        self.members.drop(name);
        Some(time)
    }

    fn read_as_utc(&mut self, name: &str, written: &str) -> Option<Timestamp> {
        let time = format!("{written}Z").parse().ok();
        self.warn(
            name,
            match time {
                Some(_) => "without a zone, read as UTC",
                None => "not a time",
            },
        );
        time
    }
}

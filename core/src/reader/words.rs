//! Members with a table of values: numbers and words that stand for something.

use super::{Reader, WRONG_TYPE, whole};
use crate::lenient::{self, is_told};

/// A code of a vendor has at most so many digits. A longer number may be a person's, in the wrong place.
const CODE_MAX: u64 = 99_999;

/// What a member with a table of values says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<T> {
    /// It is absent, `null` or blank.
    Nothing,
    /// A value of the table.
    Word(T),
    /// Something, but not what the table knows.
    Unknown,
}

impl Reader<'_> {
    /// The word for a number, by the vendor's table. A number that is not in it stays.
    pub fn code<T>(&mut self, name: &str, table: impl FnOnce(i64) -> Option<T>) -> Told<T> {
        match self.told(name) {
            Some(raw) => self.by_code(name, whole(raw.get()), table),
            None => Told::Nothing,
        }
    }

    /// The word for a number that may be sent as its text, by the vendor's table. A number that is not in it stays.
    pub fn code_or_text<T>(&mut self, name: &str, table: impl FnOnce(i64) -> Option<T>) -> Told<T> {
        match self.told_not_blank(name) {
            Some(raw) => self.by_code(name, whole(raw.get().trim_matches('"').trim()), table),
            None => Told::Nothing,
        }
    }

    fn by_code<T>(
        &mut self,
        name: &str,
        number: Option<i64>,
        table: impl FnOnce(i64) -> Option<T>,
    ) -> Told<T> {
        let Some(number) = number else {
            self.warn(name, WRONG_TYPE);
            return Told::Unknown;
        };
        match table(number) {
            Some(word) => {
                self.members.drop(name);
                return Told::Word(word);
            }
            None if number.unsigned_abs() > CODE_MAX => self.warn(name, "unknown value"),
            None => self.warn(name, format_args!("unknown value {number}")),
        }
        Told::Unknown
    }

    /// The canonical word for the vendor's, which `table` gets without blanks around it. One that is not in it stays.
    pub fn word<T>(&mut self, name: &str, table: impl FnOnce(&str) -> Option<T>) -> Told<T> {
        self.word_or_warn(name, table, "unknown value")
    }

    /// As [`Self::word`], with the words of the warning about one that is not in the table. Receivers have seen those words,
    /// so an adapter keeps its own.
    pub fn word_or_warn<T>(
        &mut self,
        name: &str,
        table: impl FnOnce(&str) -> Option<T>,
        unknown: &str,
    ) -> Told<T> {
        let Some(raw) = self.told(name) else {
            return Told::Nothing;
        };
        let Some(sent) = lenient::text(raw) else {
            self.warn(name, WRONG_TYPE);
            return Told::Unknown;
        };
        if !is_told(&sent) {
            self.members.drop(name);
            return Told::Nothing;
        }
        match table(sent.trim()) {
            Some(word) => {
                self.members.drop(name);
                Told::Word(word)
            }
            None => {
                self.warn(name, unknown);
                Told::Unknown
            }
        }
    }
}

impl<T> Told<T> {
    /// The value of the table, if it is one.
    pub fn word(self) -> Option<T> {
        match self {
            Self::Word(word) => Some(word),
            Self::Nothing | Self::Unknown => None,
        }
    }

    /// What another member says, where this one says nothing.
    #[must_use]
    pub fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Nothing => other(),
            told => told,
        }
    }
}

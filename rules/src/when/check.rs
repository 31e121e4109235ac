//! Tests of one value.

use faceway_core::Timestamp;
use regex::Regex;
use serde_json::Value;

use super::Clock;

/// One test of one value.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    /// Equal to any of these.
    Equals(Literals),
    /// A number, at least.
    Min(f64),
    /// A number, at most.
    Max(f64),
    /// The whole text fits.
    Like(Glob),
    /// The expression is found in the text.
    Matches(Regex),
    /// The time is in the window.
    Clock(Clock),
}

impl Check {
    pub(crate) fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equals(literals) => literals.contain(value),
            Self::Min(min) => value.as_f64().is_some_and(|number| number >= *min),
            Self::Max(max) => value.as_f64().is_some_and(|number| number <= *max),
            Self::Like(glob) => value.as_str().is_some_and(|text| glob.covers(text)),
            Self::Matches(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Self::Clock(clock) => time(value).is_some_and(|time| clock.covers(time)),
        }
    }
}

/// Values to compare with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Literals {
    texts: Vec<String>,
    numbers: Vec<f64>,
    bools: Vec<bool>,
    times: Vec<Timestamp>,
}

impl Literals {
    pub(crate) fn add_text(&mut self, text: &str) {
        // Sorted, because lists of hundreds of persons are usual.
        if let Err(at) = self
            .texts
            .binary_search_by(|known| known.as_str().cmp(text))
        {
            self.texts.insert(at, text.into());
        }
    }

    pub(crate) fn add_number(&mut self, number: f64) {
        self.numbers.push(number);
    }

    pub(crate) fn add_bool(&mut self, bool: bool) {
        self.bools.push(bool);
    }

    pub(crate) fn add_time(&mut self, time: Timestamp) {
        self.times.push(time);
    }

    /// The texts, where nothing else is among the values.
    pub(crate) fn only_texts(&self) -> Option<&[String]> {
        let others = self.numbers.len() + self.bools.len() + self.times.len();
        (others == 0 && !self.texts.is_empty()).then_some(&self.texts)
    }

    pub(crate) fn contain(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => {
                let known = |known: &String| known.as_str().cmp(text);
                self.texts.binary_search_by(known).is_ok()
                    || (!self.times.is_empty()
                        && time(value).is_some_and(|time| self.times.contains(&time)))
            }
            Value::Number(number) => {
                !self.numbers.is_empty()
                    && number
                        .as_f64()
                        .is_some_and(|number| self.numbers.contains(&number))
            }
            Value::Bool(bool) => self.bools.contains(bool),
            _ => false,
        }
    }
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// A pattern that covers the whole text; `*` stands for any text, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob {
    first: String,
    middle: Vec<String>,
    /// `None` when there is no `*` at all.
    last: Option<String>,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut parts: Vec<_> = pattern.split('*').map(str::to_owned).collect();
        let last = (parts.len() > 1).then(|| parts.pop()).flatten();
        let first = parts.remove(0);
        parts.retain(|part| !part.is_empty());
        Self {
            first,
            middle: parts,
            last,
        }
    }

    pub(crate) fn covers(&self, text: &str) -> bool {
        let Some(last) = &self.last else {
            return text == self.first;
        };
        let inner = text
            .strip_prefix(self.first.as_str())
            .and_then(|rest| rest.strip_suffix(last.as_str()));
        let Some(mut rest) = inner else {
            return false;
        };
        // The leftmost find of each part leaves the most for the others, so nothing has to be tried twice.
        self.middle
            .iter()
            .all(|part| match rest.split_once(part.as_str()) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn globs_cover_the_whole_text() {
        for (pattern, text, covers) in [
            ("lobby", "lobby", true),
            ("lobby", "lobby2", false),
            ("lobby*", "lobby2", true),
            ("*", "", true),
            ("**", "x", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*b*", "abc", true),
            ("Lobby*", "lobby", false),
            ("a?c", "abc", false),
            ("*é*", "café au lait", true),
        ] {
            assert_eq!(Glob::new(pattern).covers(text), covers, "{pattern} {text}");
        }
    }
}

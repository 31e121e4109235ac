//! `{ min = 0.8, not = …, hours = … }`: the tests that a table can ask of a field.

use faceway_core::schema::FieldKind;
use jiff::tz::TimeZone;
use regex::RegexBuilder;

use crate::diagnostic::Reporter;
use crate::read::{Entry, Node, Value};
use crate::when::clock::{DAYS, Hours, zone_help};
use crate::when::{Check, Clock, Glob, Test, kind_name};
use crate::{Field, suggest};

use super::values;

pub(crate) const OPERATORS: [&str; 9] = [
    "min", "max", "not", "like", "matches", "present", "hours", "days", "zone",
];

/// Reads the tests of one field.
pub(super) fn operators(
    reporter: &Reporter,
    field: Field,
    text: String,
    entry: &Entry,
    tests: &[&Entry],
) -> Option<Test> {
    let errors = reporter.errors();
    let reader = Reader {
        reporter,
        field: &field,
        entry,
        tests,
    };
    let present = reader.present();
    let checks = reader.checks();
    let not = reader.get("not").and_then(|not| {
        reader.warn_of_globs(&not.node);
        values::literals(reporter, &field, &not.node)
    });
    (reporter.errors() == errors).then_some(Test {
        field,
        text,
        present,
        checks,
        not,
    })
}

struct Reader<'a> {
    reporter: &'a Reporter,
    field: &'a Field,
    entry: &'a Entry,
    tests: &'a [&'a Entry],
}

impl<'a> Reader<'a> {
    fn get(&self, operator: &str) -> Option<&'a Entry> {
        let test = self.tests.iter().find(|test| test.key == operator)?;
        if suits(operator, &self.field.kind) {
            return Some(test);
        }
        let allowed = tests_of(&self.field.kind);
        let message = format!(
            "`{operator}` cannot test `{}`, which is {}",
            self.field.path,
            kind_name(&self.field.kind)
        );
        let help = format!("tests of it: {}", suggest::listing(&allowed));
        self.reporter.error(test.span, message, help);
        None
    }

    fn present(&self) -> Option<bool> {
        let test = self.get("present")?;
        let Value::Bool(present) = test.node.value else {
            let help = "write true or false";
            self.error(&test.node, "`present` is true or false", help);
            return None;
        };
        if !present && self.tests.len() > 1 {
            let message = "an absent field can hold no other test";
            self.error(&test.node, message, "let `present = false` stand alone");
        }
        Some(present)
    }

    fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let min = self.bound("min");
        let max = self.bound("max");
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let message = format!("`min` {min} is above `max` {max}, so it could never hold");
            self.error(&self.entry.node, &message, "exchange them");
        }
        checks.extend(min.map(Check::Min));
        checks.extend(max.map(Check::Max));
        checks.extend(self.like().map(Check::Like));
        checks.extend(self.matches().map(Check::Matches));
        checks.extend(self.clock().map(Check::Clock));
        checks
    }

    fn bound(&self, operator: &str) -> Option<f64> {
        let test = self.get(operator)?;
        if !matches!(test.node.value, Value::Number { .. }) {
            let message = format!(
                "`{operator}` must be a number, not {}",
                test.node.value.kind()
            );
            self.error(&test.node, &message, "");
            return None;
        }
        values::number(self.reporter, self.field, &test.node)
    }

    fn text(&self, operator: &str) -> Option<(&'a Entry, &'a str)> {
        let test = self.get(operator)?;
        match test.node.text() {
            Some("") => self.error(&test.node, &format!("`{operator}` is empty"), ""),
            Some(text) => return Some((test, text)),
            None => {
                let message = format!("`{operator}` must be text, not {}", test.node.value.kind());
                self.error(&test.node, &message, "");
            }
        }
        None
    }

    fn like(&self) -> Option<Glob> {
        let (test, text) = self.text("like")?;
        let glob = Glob::new(text);
        self.some_word(test, |word| glob.covers(word));
        Some(glob)
    }

    fn matches(&self) -> Option<regex::Regex> {
        let (test, text) = self.text("matches")?;
        match RegexBuilder::new(text).size_limit(1 << 20).build() {
            Ok(regex) => {
                self.some_word(test, |word| regex.is_match(word));
                Some(regex)
            }
            Err(error) => {
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                let message = format!("`matches` is no regular expression: {reason}");
                let help = "in TOML a text in single quotes keeps its backslashes: '^A\\d+$'";
                self.error(&test.node, &message, help);
                None
            }
        }
    }

    /// A pattern that none of the field's words fits can never hold.
    fn some_word(&self, test: &Entry, fits: impl Fn(&str) -> bool) {
        if let FieldKind::Word(words) = &self.field.kind
            && !words.iter().any(|word| fits(word))
        {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let message = format!("no word of `{}` fits", self.field.path);
            let help = format!("its words: {}", suggest::listing(&words));
            self.error(&test.node, &message, &help);
        }
    }

    fn clock(&self) -> Option<Clock> {
        let (hours, days, zone) = (self.hours(), self.days(), self.zone());
        if let Some((test, _)) = &zone
            && !self
                .tests
                .iter()
                .any(|test| ["hours", "days"].contains(&test.key.as_str()))
        {
            let message = "`zone` alone tests nothing";
            self.error(&test.node, message, "add `hours` or `days`");
        }
        self.warn_of_zone();
        (hours.is_some() || days.is_some()).then(|| Clock {
            hours,
            days,
            zone: zone.map_or(TimeZone::UTC, |(_, zone)| zone),
        })
    }

    fn hours(&self) -> Option<Hours> {
        let (test, text) = self.text("hours")?;
        let hours = Hours::parse(text);
        if hours.is_none() {
            let help = "write it like \"08:00-18:00\" or, past midnight, \"22:00-06:00\"";
            self.error(&test.node, &format!("`{text}` are no hours"), help);
        }
        hours
    }

    fn days(&self) -> Option<Vec<jiff::civil::Weekday>> {
        let test = self.get("days")?;
        let names: Vec<_> = DAYS.iter().map(|(name, _)| *name).collect();
        let Value::List(items) = &test.node.value else {
            let help = "write it like [\"mon\", \"fri\"]";
            self.error(&test.node, "`days` must be a list of days", help);
            return None;
        };
        if items.is_empty() {
            let help = format!("name some of: {}", names.join(", "));
            self.error(&test.node, "`days` is empty, so it could never hold", &help);
        }
        let day = |item: &Node| {
            let text = item.text().unwrap_or_default();
            let day = DAYS.iter().find(|(name, _)| *name == text);
            if day.is_none() {
                let what = item.text().unwrap_or(item.value.kind());
                let help = suggest::help(text, "one of", &names);
                self.error(item, &format!("`{what}` is no day"), &help);
            }
            day.map(|(_, day)| *day)
        };
        Some(items.iter().filter_map(day).collect())
    }

    fn zone(&self) -> Option<(&'a Entry, TimeZone)> {
        let (test, text) = self.text("zone")?;
        let zone = TimeZone::get(text);
        if zone.is_err() {
            self.error(
                &test.node,
                &format!("`{text}` is no time zone"),
                &zone_help(text),
            );
        }
        Some((test, zone.ok()?))
    }

    fn warn_of_globs(&self, not: &Node) {
        let items = match &not.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(not),
        };
        let path = &self.field.path;
        for item in items {
            let instead =
                |text: &str| format!("`none = [{{ \"{path}\" = {{ like = \"{text}\" }} }}]`");
            super::warn_of_glob(self.reporter, self.field, item, instead);
        }
    }

    /// UTC counts where no zone is named, and hardly any site lives by it: the rule would hold at other hours than its writer
    /// means, without an error anywhere.
    fn warn_of_zone(&self) {
        let tests = |name: &str| self.tests.iter().find(|test| test.key == name);
        let (Some(test), None) = (tests("hours").or_else(|| tests("days")), tests("zone")) else {
            return;
        };
        let message = format!("`{}` without `zone` are those of UTC", test.key);
        let help = "add the zone of the place, such as `zone = \"Asia/Tashkent\"`; where UTC is meant, `zone = \"UTC\"`";
        self.reporter.warning(test.span, message, help);
    }

    fn error(&self, node: &Node, message: &str, help: &str) {
        self.reporter.error(node.span, message, help);
    }
}

/// The tests that suit a field of this kind, beside a value and a list of values.
pub fn tests_of(kind: &FieldKind) -> Vec<&'static str> {
    let suiting = OPERATORS.iter().filter(|name| suits(name, kind));
    suiting.copied().collect()
}

/// Whether a field of this kind can be tested so.
fn suits(operator: &str, kind: &FieldKind) -> bool {
    match (operator, kind) {
        ("present", _) | (_, FieldKind::Any) => true,
        (_, FieldKind::Object) => false,
        ("not", _) => true,
        ("min" | "max", kind) => *kind == FieldKind::Number,
        ("like" | "matches", kind) => matches!(kind, FieldKind::Text | FieldKind::Word(_)),
        ("hours" | "days" | "zone", kind) => *kind == FieldKind::Time,
        _ => false,
    }
}

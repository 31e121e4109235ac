//! The tests of a rule: compiled once, asked for every event.

mod check;
mod clock;
mod compile;

use faceway_core::schema::FieldKind;
use serde_json::Value;

pub(crate) use check::{Check, Glob, Literals};
pub(crate) use clock::Clock;
pub use compile::tests_of;
pub(crate) use compile::{Seen, compile, mistyped, time, word};

use crate::Field;

/// What must hold of an event.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// All of these. None at all: always.
    All(Vec<Condition>),
    /// `any`, with its text.
    Any(Vec<Condition>, String),
    /// `none`: each with its text.
    None(Vec<(Condition, String)>),
    /// A test of a field.
    Test(Box<Test>),
}

/// Everything that is asked of one field.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) field: Field,
    /// As the operator wrote it.
    pub(crate) text: String,
    /// `present`.
    pub(crate) present: Option<bool>,
    /// What one value must satisfy, all at once.
    pub(crate) checks: Vec<Check>,
    /// `not`: what no value may be.
    pub(crate) not: Option<Literals>,
}

/// The first thing that did not hold.
pub(crate) enum Unmet<'c> {
    /// No alternative of an `any`.
    Any(&'c str),
    /// This one of a `none` held.
    None(&'c str),
    /// This test.
    Test(&'c Test),
}

impl Condition {
    pub(crate) fn holds(&self, event: &Value) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.holds(event)),
            Self::Any(any, _) => any.iter().any(|condition| condition.holds(event)),
            Self::None(none) => !none.iter().any(|(condition, _)| condition.holds(event)),
            Self::Test(test) => test.holds(event),
        }
    }

    /// Why it does not hold; `None` when it does.
    pub(crate) fn unmet(&self, event: &Value) -> Option<Unmet<'_>> {
        match self {
            Self::All(all) => all.iter().find_map(|condition| condition.unmet(event)),
            Self::Any(_, text) => (!self.holds(event)).then_some(Unmet::Any(text)),
            Self::None(none) => none
                .iter()
                .find(|(condition, _)| condition.holds(event))
                .map(|(_, text)| Unmet::None(text)),
            Self::Test(test) => (!test.holds(event)).then_some(Unmet::Test(test)),
        }
    }

    /// Whether it holds of every event.
    pub(crate) fn is_always(&self) -> bool {
        matches!(self, Self::All(all) if all.is_empty())
    }

    /// Every field that is asked.
    pub(crate) fn fields<'c>(&'c self, fields: &mut Vec<&'c Field>) {
        match self {
            Self::All(all) | Self::Any(all, _) => {
                all.iter().for_each(|condition| condition.fields(fields));
            }
            Self::None(none) => none
                .iter()
                .for_each(|(condition, _)| condition.fields(fields)),
            Self::Test(test) => fields.push(&test.field),
        }
    }
}

impl Test {
    fn holds(&self, event: &Value) -> bool {
        let present = || self.field.any(event, |_| true);
        let checked = || {
            self.field.any(event, |value| {
                self.checks.iter().all(|check| check.holds(value))
            })
        };
        let denied = |not: &Literals| self.field.any(event, |value| not.contain(value));
        self.present.is_none_or(|wanted| present() == wanted)
            && (self.checks.is_empty() || checked())
            && !self.not.as_ref().is_some_and(denied)
    }
}

/// What a field holds, in words.
pub(crate) fn kind_name(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Word(_) => "a word",
        FieldKind::Number => "a number",
        FieldKind::Bool => "true or false",
        FieldKind::Time => "a time",
        FieldKind::Object => "a group of fields",
        FieldKind::Any => "whatever the vendor sent",
    }
}

//! Values with their places, in the order of the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Span;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is written. Of a table with a header: the header.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number; `whole` when it is an integer of 64 bits.
    Number {
        /// As a float.
        float: f64,
        /// As an integer.
        whole: Option<i64>,
    },
    /// `true` or `false`.
    Bool(bool),
    /// A TOML date or time, as text.
    Time(String),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<Entry>),
}

/// A key of a table and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub span: Span,
    /// Its value.
    pub node: Node,
}

impl Value {
    /// What it is, for errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number { .. } => "a number",
            Self::Bool(_) => "true or false",
            Self::Time(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Value {
    /// Whether it is `[]`.
    pub fn is_empty_list(&self) -> bool {
        matches!(self, Self::List(items) if items.is_empty())
    }
}

impl Node {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries, if it is a table.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// Moves all places.
    pub(super) fn move_to(&mut self, to: &impl Fn(usize) -> usize) {
        self.span.move_to(to);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.move_to(to)),
            Value::Table(entries) => {
                for entry in entries {
                    entry.span.move_to(to);
                    entry.node.move_to(to);
                }
            }
            _ => {}
        }
    }
}

pub(super) fn root(source: usize, table: &DeTable<'_>) -> Node {
    Node {
        span: Span {
            source,
            start: 0,
            end: 0,
        },
        value: Value::Table(entries(source, table)),
    }
}

fn entries(source: usize, table: &DeTable<'_>) -> Vec<Entry> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            span: span(source, key),
            node: node(source, value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.span);
    entries
}

/// The parser bounds the depth, so this recursion is bounded too.
fn node(source: usize, value: &Spanned<DeValue<'_>>) -> Node {
    let meaning = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let whole = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
            let float = integer.as_str().parse().unwrap_or(f64::NAN);
            // A number of 64 bits may lose its last digits as a float; tests compare floats anyway.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let float = whole.map_or(float, |whole| whole as f64);
            Value::Number { float, whole }
        }
        DeValue::Float(float) => Value::Number {
            float: float.as_str().parse().unwrap_or(f64::NAN),
            whole: None,
        },
        DeValue::Boolean(bool) => Value::Bool(*bool),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(source, item)).collect()),
        DeValue::Table(table) => Value::Table(entries(source, table)),
    };
    Node {
        span: span(source, value),
        value: meaning,
    }
}

fn span<T>(source: usize, spanned: &Spanned<T>) -> Span {
    let span = spanned.span();
    Span {
        source,
        start: span.start,
        end: span.end,
    }
}

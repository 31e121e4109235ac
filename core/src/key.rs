//! What a table of a file may hold. One list serves the reader, its errors and the JSON Schema, so that they cannot part
//! ways.

use serde_json::Value;

/// A key that a table may have.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What it may be.
    pub shape: Shape,
    /// One line for the schema.
    pub about: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What counts where it is left out, as the file would say it; the schema and the pages tell it. `None` where the
    /// reader of the key knows.
    pub default: Option<&'static str>,
}

impl Key {
    /// A key that may be left out.
    pub const fn new(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self {
            name,
            shape,
            about,
            required: false,
            default: None,
        }
    }

    /// What counts where the key is left out.
    pub const fn or(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    /// The default as a value of the key's kind.
    pub fn default_value(&self) -> Option<Value> {
        let text = self.default?;
        Some(match (self.shape, text.parse::<i64>()) {
            (Shape::Whole { .. } | Shape::Numbers(_), Ok(number)) => number.into(),
            _ => text.into(),
        })
    }

    /// A key that must be there.
    pub const fn required(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self {
            required: true,
            ..Self::new(name, shape, about)
        }
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text that is not blank.
    Text,
    /// Text whose empty one has a meaning too.
    TextOrEmpty,
    /// Text that is not blank, with fields of the event as placeholders.
    Template,
    /// Path of a file or directory.
    Path,
    /// A URL with one of these schemes.
    Url(&'static [&'static str]),
    /// A URL with one of these schemes, or a table with these keys, which has more to say.
    UrlOrTable(&'static [&'static str], &'static [Key]),
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Whole {
        /// Smallest.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// One of these whole numbers.
    Numbers(&'static [i64]),
    /// A number and a unit of time: `250ms`, `30s`, `5m`, `12h`, `7d`.
    Duration {
        /// Shortest, in milliseconds.
        min_ms: u64,
        /// Longest, in milliseconds.
        max_ms: u64,
    },
    /// A number and a binary unit: `512B`, `256KiB`, `64MiB`, `10GiB`, `1TiB`.
    Bytes {
        /// Smallest, in bytes.
        min: u64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words; the others are known, but come in a later version.
    WordSoFar {
        /// What works.
        words: &'static [&'static str],
        /// What comes later.
        later: &'static [&'static str],
    },
    /// A list of texts.
    Texts,
    /// A list of these words.
    Words(&'static [&'static str]),
    /// The name of a secret.
    Secret,
    /// A list of names of secrets.
    Secrets,
    /// What goes beside each message, by name: texts with fields of the event as placeholders.
    Headers {
        /// Whether a value may be the name of a secret.
        secrets: bool,
    },
    /// A table with the PEM files of [`TLS`].
    Tls,
    /// A table with these keys.
    Table(&'static [Key]),
    /// Read by its owner, who also gives the JSON Schema.
    Own(fn() -> Value),
}

impl Shape {
    /// Any duration, zero included.
    pub const DURATION: Self = Self::Duration {
        min_ms: 0,
        max_ms: Self::DURATION_MAX_MS,
    };
    /// Any duration longer than zero.
    pub const TIMEOUT: Self = Self::Duration {
        min_ms: 1,
        max_ms: Self::DURATION_MAX_MS,
    };
    /// A hundred years: longer is a slip of the pen.
    const DURATION_MAX_MS: u64 = 36_525 * 24 * 60 * 60 * 1000;

    /// The keys of the table that it is or may be.
    pub const fn keys(&self) -> Option<&'static [Key]> {
        match self {
            Self::Table(keys) | Self::UrlOrTable(_, keys) => Some(keys),
            Self::Tls => Some(TLS),
            _ => None,
        }
    }
}

/// The keys of every `tls`.
pub const TLS: &[Key] = &[
    Key::new(
        "ca",
        Shape::Path,
        "PEM file of the authorities to trust in place of the usual ones.",
    ),
    Key::new(
        "cert",
        Shape::Path,
        "PEM file of the client's certificate chain.",
    ),
    Key::new("key", Shape::Path, "PEM file of the client's key."),
];

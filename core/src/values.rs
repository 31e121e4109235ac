//! The values of a table of `routes.toml`, as they were read, each valid for the shape of its key.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a secret is found. The gateway reads it; a table holds its name alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Secret {
    /// `{ env = "NAME" }`: the value of an environment variable.
    Env(String),
    /// `{ file = "/run/secrets/x" }`: what the file holds.
    File(PathBuf),
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust in place of the usual ones.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(client).map(PathBuf::as_path)
    }
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, a word, a URL, a path.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// A duration.
    Duration(Duration),
    /// A size in bytes.
    Bytes(u64),
    /// A list of texts or words.
    Texts(Vec<String>),
    /// The name of a secret.
    Secret(Secret),
    /// Names of secrets.
    Secrets(Vec<Secret>),
    /// PEM files.
    Tls(TlsFiles),
    /// A table.
    Table(Values),
}

/// The values of one table, in the order of its keys. Two are equal when they say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(Vec<(&'static str, Option<Value>)>);

impl Values {
    /// Adds what is written for a key; `None` where it is wrong, which has been reported, or read elsewhere.
    pub fn add(&mut self, key: &'static str, value: Option<Value>) {
        self.0.push((key, value));
    }

    /// Whether the key is written, rightly or wrongly.
    pub fn is_written(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == key)
    }

    /// Every key that is written, with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<&Value>)> {
        self.0.iter().map(|(key, value)| (*key, value.as_ref()))
    }

    /// The value of a key; `None` when it is absent, and also when it is wrong.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| *known == key);
        found.and_then(|(_, value)| value.as_ref())
    }

    /// A text, a word, a URL or a path.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// A whole number.
    pub fn whole(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Value::Whole(whole) => Some(*whole),
            _ => None,
        }
    }

    /// A duration.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.get(key)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    /// A size in bytes.
    pub fn bytes(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Bytes(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// A list of texts or words.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.get(key)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    /// The name of a secret.
    pub fn secret(&self, key: &str) -> Option<&Secret> {
        match self.get(key)? {
            Value::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// Names of secrets.
    pub fn secrets(&self, key: &str) -> Option<&[Secret]> {
        match self.get(key)? {
            Value::Secrets(secrets) => Some(secrets),
            _ => None,
        }
    }

    /// PEM files.
    pub fn tls(&self, key: &str) -> Option<&TlsFiles> {
        match self.get(key)? {
            Value::Tls(files) => Some(files),
            _ => None,
        }
    }

    /// A table within.
    pub fn table(&self, key: &str) -> Option<&Self> {
        match self.get(key)? {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }
}

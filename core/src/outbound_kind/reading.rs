//! What a protocol reads its settings with.

use std::cell::RefCell;
use std::time::Duration;

use crate::{Key, Secret, Shape, TlsFiles, Values};

/// A table of one outbound while its protocol reads it. Each value is valid for its key's shape; `None` stands for one that
/// is absent and for one that is wrong, which has been reported: go on with the default, to find further mistakes.
pub struct Reading<'r> {
    keys: &'static [Key],
    values: &'r Values,
    path: Vec<&'static str>,
    shared: &'r Shared<'r>,
    asked: RefCell<Vec<&'static str>>,
}

/// What all tables of one outbound share.
struct Shared<'r> {
    format: &'static str,
    shows: &'r dyn Fn(&str) -> bool,
    found: RefCell<Vec<Finding>>,
}

/// Something that is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The names of the tables that lead to it, from the outbound's own table on.
    pub path: Vec<&'static str>,
    /// Where in the last of them.
    pub at: At,
    /// How bad it is.
    pub weight: Weight,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// A place in a table. What is not written has the table's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The value of a key.
    Value(&'static str),
    /// A key itself: it should not be there, or something beside it should.
    Key(&'static str),
    /// The whole table.
    Table,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The file cannot be used.
    Error,
    /// The file cannot be used, as something is missing; kept to itself where a part of the file was left out, because
    /// then it may only be an echo of that.
    Absent,
    /// The file can be used, but hardly means what it says.
    Warning,
}

impl Reading<'_> {
    /// Lets a protocol read `values`, which were read by `keys`. `format` is the outbound's, and `shows` says of a field of
    /// the event whether this outbound may see it. Gives what was read, and everything that is wrong.
    pub fn of<T>(
        (keys, values): (&'static [Key], &Values),
        format: &'static str,
        shows: &dyn Fn(&str) -> bool,
        read: impl FnOnce(&Reading<'_>) -> T,
    ) -> (T, Vec<Finding>) {
        let shared = Shared {
            format,
            shows,
            found: RefCell::default(),
        };
        let reading = Reading {
            keys,
            values,
            path: Vec::new(),
            shared: &shared,
            asked: RefCell::default(),
        };
        let made = read(&reading);
        reading.finish();
        (made, shared.found.into_inner())
    }

    /// Whether a key is written, rightly or wrongly.
    pub fn is_written(&self, key: &'static str) -> bool {
        self.ask(key);
        self.values.is_written(key)
    }

    /// A text, a word, a URL or a path.
    pub fn text(&self, key: &'static str) -> Option<&str> {
        self.ask(key);
        self.values.text(key)
    }

    /// `true` or `false`.
    pub fn bool(&self, key: &'static str) -> Option<bool> {
        self.ask(key);
        self.values.bool(key)
    }

    /// A whole number.
    pub fn whole(&self, key: &'static str) -> Option<i64> {
        self.ask(key);
        self.values.whole(key)
    }

    /// A duration.
    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        self.ask(key);
        self.values.duration(key)
    }

    /// A size in bytes.
    pub fn bytes(&self, key: &'static str) -> Option<u64> {
        self.ask(key);
        self.values.bytes(key)
    }

    /// A list of texts or words.
    pub fn texts(&self, key: &'static str) -> Option<&[String]> {
        self.ask(key);
        self.values.texts(key)
    }

    /// The name of a secret.
    pub fn secret(&self, key: &'static str) -> Option<Secret> {
        self.ask(key);
        self.values.secret(key).cloned()
    }

    /// Names of secrets.
    pub fn secrets(&self, key: &'static str) -> Option<Vec<Secret>> {
        self.ask(key);
        self.values.secrets(key).map(<[Secret]>::to_vec)
    }

    /// The PEM files of the key `tls`, which has a use only where `url` asks for TLS: `plain` and `secure` are its schemes.
    pub fn tls(&self, url: &str, (plain, secure): (&str, &str)) -> Option<TlsFiles> {
        if self.is_written("tls") && url.starts_with(&format!("{plain}://")) {
            let message = format!("`tls` has no use with a URL that begins with {plain}://");
            self.error(At::Key("tls"), message, format!("write {secure}://"));
        }
        self.values.tls("tls").cloned()
    }

    /// Reads a table within.
    pub fn table<T>(&self, key: &'static str, read: impl FnOnce(&Reading<'_>) -> T) -> Option<T> {
        self.ask(key);
        let shape = self.keys.iter().find(|known| known.name == key)?.shape;
        let mut path = self.path.clone();
        path.push(key);
        let within = Reading {
            keys: shape.keys()?,
            values: self.values.table(key)?,
            path,
            shared: self.shared,
            asked: RefCell::default(),
        };
        let made = read(&within);
        within.finish();
        Some(made)
    }

    /// The outbound's `format`, as it is written; `canonical` when left out.
    pub fn format(&self) -> &'static str {
        self.shared.format
    }

    /// Whether this outbound may see a field of the event, by `omit` and `only`.
    pub fn shows(&self, field: &str) -> bool {
        (self.shared.shows)(field)
    }

    /// An error, with what to write instead as `help`.
    pub fn error(&self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.find(at, Weight::Error, message.into(), help.into());
    }

    /// An error that says that something is missing.
    pub fn absent(&self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.find(at, Weight::Absent, message.into(), help.into());
    }

    /// A warning.
    pub fn warning(&self, at: At, message: impl Into<String>, help: impl Into<String>) {
        self.find(at, Weight::Warning, message.into(), help.into());
    }

    fn find(&self, at: At, weight: Weight, message: String, help: String) {
        self.shared.found.borrow_mut().push(Finding {
            path: self.path.clone(),
            at,
            weight,
            message,
            help,
        });
    }

    fn ask(&self, key: &'static str) {
        debug_assert!(
            self.keys.iter().any(|known| known.name == key),
            "`{key}` is not among the declared keys"
        );
        self.asked.borrow_mut().push(key);
    }

    /// What is declared and never read is a promise that is not kept.
    fn finish(&self) {
        let read_elsewhere =
            |key: &&Key| !matches!(key.shape, Shape::Template | Shape::Headers { .. });
        for key in self.keys.iter().filter(read_elsewhere) {
            debug_assert!(
                self.asked.borrow().contains(&key.name),
                "`{}` is declared but never read",
                key.name
            );
        }
    }
}

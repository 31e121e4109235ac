//! Walking one table.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::{Reporter, Span};
use crate::{Secret, secret, suggest};

use super::{Document, Entry, Key, Node, Shape, Value, elsewhere, scalar};

/// A table of the file that is being read. Each reader returns `None` when the key is absent, and also when its value
/// is wrong: then the error has been told, and the caller goes on with its default to find further ones.
#[derive(Debug)]
pub struct Table<'d> {
    reporter: &'d Reporter,
    title: String,
    span: Span,
    entries: &'d [Entry],
    keys: Vec<Key>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Table<'d> {
    /// The whole file.
    pub fn root(document: &'d Document, keys: &[Key]) -> Self {
        let entries = document.root().entries().unwrap_or_default();
        let title = "this file".to_owned();
        Self::new(
            document.reporter(),
            title,
            document.root().span,
            entries,
            keys,
        )
    }

    /// A table within; `title` is what errors call it, such as `[spool]`.
    pub fn open(
        reporter: &'d Reporter,
        title: impl Into<String>,
        node: &'d Node,
        keys: &[Key],
    ) -> Option<Self> {
        let title = title.into();
        let Some(entries) = node.entries() else {
            scalar::wrong(reporter, &title, node, "a table");
            return None;
        };
        Some(Self::new(reporter, title, node.span, entries, keys))
    }

    fn new(
        reporter: &'d Reporter,
        title: String,
        span: Span,
        entries: &'d [Entry],
        keys: &[Key],
    ) -> Self {
        Self {
            reporter,
            title,
            span,
            entries,
            keys: keys.to_vec(),
            asked: RefCell::default(),
        }
    }

    /// Where the table is written.
    pub fn span(&self) -> Span {
        self.span
    }

    pub(super) fn entries(&self) -> &'d [Entry] {
        self.entries
    }

    /// Where findings go.
    pub fn reporter(&self) -> &'d Reporter {
        self.reporter
    }

    /// The value of a key, unread.
    pub fn get(&self, key: &'static str) -> Option<&'d Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// A key with its value, unread.
    pub fn entry(&self, key: &'static str) -> Option<&'d Entry> {
        debug_assert!(
            self.keys.iter().any(|known| known.name == key),
            "`{key}` is not among the keys of {}",
            self.title
        );
        self.asked.borrow_mut().push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Text that is not blank ([`Shape::Text`], [`Shape::Path`]).
    pub fn text(&self, key: &'static str) -> Option<&'d str> {
        scalar::text(self.reporter, key, self.get(key)?)
    }

    /// A path ([`Shape::Path`]).
    pub fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// A URL ([`Shape::Url`], [`Shape::UrlOrTable`]).
    pub fn url(&self, key: &'static str) -> Option<String> {
        let (Shape::Url(schemes) | Shape::UrlOrTable(schemes, _)) = self.shape(key) else {
            return None;
        };
        let has = |key: &&Key| matches!(key.shape, Shape::Template);
        let templates: Vec<_> = self.keys.iter().filter(has).map(|key| key.name).collect();
        scalar::url(self.reporter, key, self.get(key)?, schemes, &templates)
    }

    /// `true` or `false` ([`Shape::Bool`]).
    pub fn bool(&self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        if let Value::Bool(bool) = node.value {
            return Some(bool);
        }
        match node.text() {
            Some(text @ ("true" | "false")) => {
                let message = format!("`{key}` must be true or false, not text");
                let help = format!("write it without quotes: {text}");
                self.reporter.error(node.span, message, help);
            }
            _ => scalar::wrong(self.reporter, key, node, "true or false"),
        }
        None
    }

    /// A whole number in its range ([`Shape::Whole`], [`Shape::Numbers`]).
    pub fn whole(&self, key: &'static str) -> Option<i64> {
        let node = self.get(key)?;
        match self.shape(key) {
            Shape::Whole { min, max } => scalar::whole(self.reporter, key, node, (min, max)),
            Shape::Numbers(allowed) => {
                let whole = scalar::whole(self.reporter, key, node, (i64::MIN, i64::MAX))?;
                if allowed.contains(&whole) {
                    return Some(whole);
                }
                let texts: Vec<_> = allowed.iter().map(i64::to_string).collect();
                let help = format!("allowed: {}", texts.join(", "));
                let message = format!("`{key}` cannot be {whole}");
                self.reporter.error(node.span, message, help);
                None
            }
            _ => None,
        }
    }

    /// A duration in its range ([`Shape::Duration`]).
    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        let Shape::Duration { min_ms, max_ms } = self.shape(key) else {
            return None;
        };
        scalar::duration(self.reporter, key, self.get(key)?, (min_ms, max_ms))
    }

    /// A size in bytes ([`Shape::Bytes`]).
    pub fn bytes(&self, key: &'static str) -> Option<u64> {
        let Shape::Bytes { min } = self.shape(key) else {
            return None;
        };
        scalar::bytes(self.reporter, key, self.get(key)?, min)
    }

    /// One of the words of the key ([`Shape::Word`], [`Shape::WordSoFar`]).
    pub fn word(&self, key: &'static str) -> Option<&'static str> {
        let (words, later) = match self.shape(key) {
            Shape::Word(words) => (words, &[] as &[&str]),
            Shape::WordSoFar { words, later } => (words, later),
            _ => return None,
        };
        scalar::word(self.reporter, key, self.get(key)?, words, later)
    }

    /// A list of texts, none blank and none twice, each with its place ([`Shape::Texts`]).
    pub fn texts(&self, key: &'static str) -> Option<Vec<(&'d str, Span)>> {
        let items = scalar::list(self.reporter, key, self.get(key)?, "texts")?;
        let texts = items
            .iter()
            .map(|item| Some((scalar::text(self.reporter, key, item)?, item.span)))
            .collect::<Vec<_>>();
        let texts: Vec<_> = texts.into_iter().flatten().collect();
        scalar::distinct(self.reporter, key, &texts);
        (texts.len() == items.len()).then_some(texts)
    }

    /// A list of the words of the key ([`Shape::Words`]).
    pub fn words(&self, key: &'static str) -> Option<Vec<String>> {
        let Shape::Words(words) = self.shape(key) else {
            return None;
        };
        let texts = self.texts(key)?;
        for (text, span) in texts.iter().filter(|(text, _)| !words.contains(text)) {
            let help = suggest::help(text, "allowed", words);
            self.reporter
                .error(*span, format!("`{key}` cannot be `{text}`"), help);
        }
        Some(texts.into_iter().map(|(text, _)| text.to_owned()).collect())
    }

    /// The name of a secret ([`Shape::Secret`]).
    pub fn secret(&self, key: &'static str) -> Option<Secret> {
        secret::read(self.reporter, key, self.get(key)?)
    }

    /// A list of names of secrets ([`Shape::Secrets`]).
    pub fn secrets(&self, key: &'static str) -> Option<Vec<Secret>> {
        let node = self.get(key)?;
        if !matches!(node.value, Value::List(_)) {
            secret::mask_all(self.reporter, node);
            let message = format!(
                "the secrets `{key}` must be a list, not {}",
                node.value.kind()
            );
            let help = "name them: `[{ env = \"NAME\" }]`; never write them into this file";
            self.reporter.error(node.span, message, help);
            return None;
        }
        let items = scalar::list(self.reporter, key, node, "secrets")?;
        let read = |item| secret::read(self.reporter, key, item);
        items
            .iter()
            .map(read)
            .collect::<Vec<_>>()
            .into_iter()
            .collect()
    }

    /// A table within ([`Shape::Table`], [`Shape::UrlOrTable`], [`Shape::Tls`]).
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        let keys = self.shape(key).keys()?;
        let above = self.title.trim_start_matches('[').trim_end_matches(']');
        let title = match self.title.starts_with('[') {
            true => format!("[{above}.{key}]"),
            false => format!("[{key}]"),
        };
        Self::open(self.reporter, title, self.get(key)?, keys)
    }

    /// Ends the reading: unknown keys and keys that are missing are told.
    pub fn finish(self) {
        for entry in self.entries {
            self.check(entry);
        }
        for key in &self.keys {
            self.require(key);
        }
    }

    fn check(&self, entry: &Entry) {
        if self.keys.iter().any(|key| key.name == entry.key) {
            return;
        }
        if !elsewhere::is_harmless(&self.title, entry) {
            self.mask_texts(&entry.node);
        }
        let allowed: Vec<_> = self.keys.iter().map(|key| key.name).collect();
        let places = self.reporter.places();
        let help = elsewhere::help(&self.title, &self.keys, entry, &places)
            .unwrap_or_else(|| suggest::help(&entry.key, "allowed here", &allowed));
        let message = format!("unknown key `{}` in {}", entry.key, self.title);
        self.reporter.error(entry.span, message, help);
    }

    /// Masks the texts of a key that nothing is known of: it may be that of a secret, misspelt. In a table each has a key of
    /// its own, and of a URL only the host is ever shown.
    fn mask_texts(&self, node: &Node) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| self.mask_texts(item)),
            Value::Text(text) if !text.contains("://") => self.reporter.mask(node.span),
            _ => {}
        }
    }

    fn require(&self, key: &Key) {
        let there = self.entries.iter().any(|entry| entry.key == key.name);
        if key.required && !there {
            let message = format!("`{}` is missing in {}", key.name, self.title);
            self.reporter.absent(self.span, message, key.about);
        }
        debug_assert!(
            self.asked.borrow().contains(&key.name),
            "`{}` of {} is declared but never read",
            key.name,
            self.title
        );
    }

    fn shape(&self, key: &'static str) -> Shape {
        let known = self.keys.iter().find(|known| known.name == key);
        debug_assert!(
            known.is_some(),
            "`{key}` is not among the keys of {}",
            self.title
        );
        known.map_or(Shape::Text, |known| known.shape)
    }
}

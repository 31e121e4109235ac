//! A TOML file as written: every value with its place, and [`Table`], which walks it and tells what is wrong.
//!
//! Used for `routes.toml` here and for `gateway.toml` by the gateway:
//!
//! ```
//! use std::time::Duration;
//! use faceway_rules::read::{Document, Key, Shape, Table};
//!
//! const SPOOL: &[Key] = &[
//!     Key::new("dir", Shape::Path, "Directory of the spool."),
//!     Key::new("history", Shape::DURATION, "How long delivered events are kept."),
//! ];
//! const ROOT: &[Key] = &[Key::new("spool", Shape::Table(SPOOL), "Where events are kept.")];
//!
//! let document = Document::parse("spool.histroy = '7d'\nspool.dir = '/data'", "gateway.toml");
//! let root = Table::root(&document, ROOT);
//! if let Some(spool) = root.table("spool") {
//!     assert_eq!(spool.text("dir"), Some("/data"));
//!     let _seven_days = spool.duration("history").unwrap_or(Duration::ZERO);
//!     spool.finish();
//! }
//! root.finish();
//! let (errors, _warnings) = document.finish();
//! assert!(errors.to_string().contains("did you mean `history`?"));
//! ```

mod elsewhere;
mod scalar;
mod syntax;
mod table;
mod tree;
mod unclosed;
mod values;

pub(crate) use elsewhere::Place;
pub use elsewhere::{GATEWAY, Places};
pub use faceway_core::{Key, Shape};
pub use table::Table;
pub use tree::{Entry, Node, Value};

use crate::diagnostic::{Diagnostics, Reporter, Span};

/// A file that has been parsed, and everything that is found in it while it is read.
#[derive(Debug)]
pub struct Document {
    reporter: Reporter,
    root: Node,
}

impl Document {
    /// Parses `text`. Where it is no TOML, [`Document::finish`] tells that alone: whatever is found in the
    /// rest may only follow from it.
    pub fn parse(text: &str, file: &str) -> Self {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let reporter = Reporter::new(file, text);
        let (root, errors) = toml::de::DeTable::parse_recoverable(text);
        let root = tree::root(0, root.get_ref());
        let root = syntax::tell(&reporter, text, root, errors);
        Self { reporter, root }
    }

    /// Takes a text from elsewhere, such as that of an environment variable, whose name then stands in errors in place of
    /// the file's; gives the place of all of it.
    pub fn add_source(&self, origin: &str, text: &str) -> Span {
        Span {
            source: self.reporter.add_source(origin, text),
            start: 0,
            end: text.len(),
        }
    }

    /// Reads these values in place of those that the file holds: what came of it and of other sources.
    pub fn replace(&mut self, root: Node) {
        self.root = root;
    }

    /// Says where the keys of both files belong, for those that stand elsewhere.
    pub fn know(&self, places: Places) {
        self.reporter.know(places);
    }

    /// Where findings go.
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// The whole file.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Where the key at `path` is written, or as much of the path as there is.
    pub fn place(&self, path: &[&str]) -> Span {
        let (mut node, mut span) = (&self.root, self.root.span);
        for name in path {
            let mut entries = node.entries().unwrap_or_default().iter();
            let Some(entry) = entries.find(|entry| entry.key == *name) else {
                break;
            };
            (node, span) = (&entry.node, entry.span);
        }
        span
    }

    /// The errors and the warnings, each in the order of the file.
    pub fn finish(self) -> (Diagnostics, Diagnostics) {
        self.reporter.finish()
    }
}

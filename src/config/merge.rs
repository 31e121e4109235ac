//! What `gateway.toml` says in the end. figment lays the file over the defaults and the environment over both; where the
//! value that wins is written, the document knows. Nothing else in the program knows figment.

use std::collections::BTreeMap;

use faceway_rules::diagnostic::Span;
use faceway_rules::read::{Document, Entry, Key, Node, Shape, Value};
use figment::value::{Dict, Map, Tag, Value as Merged};
use figment::{Figment, Metadata, Profile, Provider, Source};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is not set.
    Default,
    /// The file.
    File {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// An environment variable.
    Variable {
        /// Which.
        name: String,
        /// The line of the file that says something else.
        over: Option<usize>,
    },
}

/// Where each value comes from, by the path of its key: `listen.devices`.
pub(super) type Origins = BTreeMap<String, Origin>;

/// Puts into `document`, which is a file as written, what holds in the end.
pub(super) fn merge(
    document: &mut Document,
    keys: &[Key],
    environment: &[(String, String)],
) -> Origins {
    let mut figment = Figment::new();
    for (path, default) in defaults("", keys) {
        figment = figment.merge(Overlay::of_default(&path, &default));
    }
    let written = usable(document, keys);
    figment = figment.merge(File(&written));
    let variables = environment.iter().filter_map(Overlay::of_variable);
    let variables: Vec<_> = variables.collect();
    for variable in &variables {
        figment = figment.merge(variable);
    }
    let merged = figment.extract::<Dict>();
    let mut back = Back {
        figment: &figment,
        document,
        spans: BTreeMap::new(),
        environment,
        origins: Origins::new(),
    };
    let root = match &merged {
        Ok(merged) => back.table(merged, Some(&written), written.span, "", keys),
        Err(error) => {
            // No provider here fails; were it swallowed, a gateway would run on its defaults.
            let reporter = document.reporter();
            reporter.error(written.span, error.to_string(), "");
            return Origins::new();
        }
    };
    let origins = back.origins;
    document.replace(Node {
        span: written.span,
        value: Value::Table(root),
    });
    origins
}

/// What the file holds, without what stands where a table belongs: that would take the table's defaults with it.
fn usable(document: &Document, keys: &[Key]) -> Node {
    let is_table = |entry: &Entry| {
        let mut known = keys.iter().filter(|key| key.name == entry.key);
        !known.any(|key| matches!(key.shape, Shape::Table(_))) || entry.node.entries().is_some()
    };
    let entries = document.root().entries().unwrap_or_default();
    let (entries, wrong): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(is_table);
    for Entry { key, node, .. } in wrong {
        let message = format!("[{key}] must be a table, not {}", node.value.kind());
        document.reporter().error(node.span, message, "");
    }
    Node {
        span: document.root().span,
        value: Value::Table(entries),
    }
}

/// Every default, by its path.
fn defaults(above: &str, keys: &[Key]) -> Vec<(String, Merged)> {
    let mut found = Vec::new();
    for key in keys {
        let path = format!("{above}{}", key.name);
        match (key.shape, key.default_value()) {
            (Shape::Table(keys), _) => found.extend(defaults(&format!("{path}."), keys)),
            (_, Some(default)) => found.push((path, scalar(&default))),
            (_, None) => {}
        }
    }
    found
}

fn scalar(default: &serde_json::Value) -> Merged {
    match (default.as_i64(), default.as_str()) {
        (Some(number), _) => number.into(),
        (None, text) => text.unwrap_or_default().into(),
    }
}

/// The key that stands in no table, as a variable names it.
const SITE: &str = "SITE";

/// One value at its path: a default, or what an environment variable sets.
struct Overlay {
    path: Vec<String>,
    value: Merged,
    metadata: Metadata,
}

impl Overlay {
    fn of_default(path: &str, value: &Merged) -> Self {
        Self {
            path: path.split('.').map(str::to_owned).collect(),
            value: value.clone(),
            metadata: Metadata::named("default"),
        }
    }

    /// `FACEWAY_LISTEN__DEVICES` is `listen.devices`. Variables without `__` are not configuration (`FACEWAY_LOG`), but for
    /// the one key that stands in no table.
    fn of_variable((name, text): &(String, String)) -> Option<Self> {
        let path = name.strip_prefix("FACEWAY_")?;
        (path.contains("__") || path == SITE).then(|| Self {
            path: path.split("__").map(str::to_ascii_lowercase).collect(),
            value: meaning(text),
            metadata: Metadata::from("environment", Source::Custom(name.clone())),
        })
    }
}

/// What a variable's text means, by figment's rule. It knows no single quotes, which files of variables often have around
/// a text, and which are none of it.
fn meaning(text: &str) -> Merged {
    let quoted = text.trim().strip_prefix('\'');
    match quoted.and_then(|rest| rest.strip_suffix('\'')) {
        Some(text) => text.into(),
        None => text.parse().unwrap_or_else(|never| match never {}),
    }
}

impl Provider for Overlay {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let value = self.value.clone();
        let nested = self.path.iter().rev().fold(value, |value, key| {
            Merged::from(Dict::from([(key.clone(), value)]))
        });
        Ok(Profile::Default.collect(nested.into_dict().unwrap_or_default()))
    }
}

/// The file as figment sees it. Only which keys it has matters: the values come back from the document, with every digit.
struct File<'d>(&'d Node);

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("file", Source::File("gateway.toml".into()))
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(dict(self.0.entries().unwrap_or_default())))
    }
}

fn dict(entries: &[Entry]) -> Dict {
    let value = |entry: &Entry| match entry.node.entries() {
        Some(entries) => Merged::from(dict(entries)),
        None => Merged::from(entry.node.text().unwrap_or_default()),
    };
    let pair = |entry: &Entry| (entry.key.clone(), value(entry));
    entries.iter().map(pair).collect()
}

/// The way back from figment's values to those with a place.
struct Back<'a> {
    figment: &'a Figment,
    document: &'a Document,
    /// Where the variables that were met are shown in errors.
    spans: BTreeMap<String, Span>,
    environment: &'a [(String, String)],
    origins: Origins,
}

impl Back<'_> {
    /// The entries of a table; `written` is what stands at its place in the file, `span` where errors about it point.
    fn table(
        &mut self,
        merged: &Dict,
        written: Option<&Node>,
        span: Span,
        above: &str,
        keys: &[Key],
    ) -> Vec<Entry> {
        let written = written.and_then(Node::entries).unwrap_or_default();
        let mut entries = Vec::with_capacity(merged.len());
        for (name, value) in merged {
            let written = written.iter().find(|entry| entry.key == *name);
            let key = keys.iter().find(|key| key.name == name);
            entries.push(self.entry(name, value, written, span, above, key));
        }
        entries.sort_by_key(|entry| entry.span);
        entries
    }

    fn entry(
        &mut self,
        name: &str,
        value: &Merged,
        written: Option<&Entry>,
        span: Span,
        above: &str,
        key: Option<&Key>,
    ) -> Entry {
        let path = format!("{above}{name}");
        if let Merged::Dict(tag, merged) = value {
            let written = written.filter(|entry| entry.node.entries().is_some());
            let key_span = match (written, self.variable(*tag)) {
                (Some(entry), _) => entry.span,
                (None, Some(variable)) => self.span(&variable),
                (None, None) => span,
            };
            let span = written.map_or(key_span, |entry| entry.node.span);
            let keys = match key.map(|key| key.shape) {
                Some(Shape::Table(keys)) => keys,
                _ => &[],
            };
            let node = written.map(|entry| &entry.node);
            let mut entries = self.table(merged, node, span, &format!("{path}."), keys);
            if matches!(key.map(|key| key.shape), Some(Shape::Secret)) {
                self.keep_one_source(&path, &mut entries);
            }
            return Entry {
                key: name.to_owned(),
                span: key_span,
                node: Node {
                    span,
                    value: Value::Table(entries),
                },
            };
        }
        let (origin, entry) = match (self.variable(value.tag()), written) {
            (Some(variable), _) => {
                let span = self.span(&variable);
                let value = self.guessed(&variable, value, key);
                let over = written.map(|entry| self.document.reporter().position(entry.span).0);
                let origin = Origin::Variable {
                    name: variable,
                    over,
                };
                (origin, leaf(name, span, span, value))
            }
            (None, Some(entry)) if self.is_file(value.tag()) => {
                let (line, column) = self.document.reporter().position(entry.span);
                (Origin::File { line, column }, entry.clone())
            }
            // Errors about what follows from a default point to the table.
            _ => (Origin::Default, leaf(name, span, span, plain(value, span))),
        };
        self.origins.insert(path, origin);
        entry
    }

    /// A secret has one source. Where the file names one and a variable another, figment keeps both, and the variable's
    /// counts, as everywhere.
    fn keep_one_source(&mut self, path: &str, entries: &mut Vec<Entry>) {
        let is_set = |key: &str, origins: &Origins| {
            let origin = origins.get(&format!("{path}.{key}"));
            matches!(origin, Some(Origin::Variable { .. }))
        };
        if !entries
            .iter()
            .any(|entry| is_set(&entry.key, &self.origins))
        {
            return;
        }
        let mut written = None;
        entries.retain(|entry| {
            let keep = is_set(&entry.key, &self.origins);
            if !keep
                && let Some(Origin::File { line, .. }) =
                    self.origins.remove(&format!("{path}.{}", entry.key))
            {
                written = Some(line);
            }
            keep
        });
        for entry in entries {
            if let Some(Origin::Variable { over, .. }) =
                self.origins.get_mut(&format!("{path}.{}", entry.key))
            {
                *over = over.or(written);
            }
        }
    }

    fn is_file(&self, tag: Tag) -> bool {
        let source = self.figment.get_metadata(tag);
        let source = source.and_then(|metadata| metadata.source.as_ref());
        matches!(source, Some(Source::File(_)))
    }

    fn variable(&self, tag: Tag) -> Option<String> {
        match self.figment.get_metadata(tag)?.source.as_ref()? {
            Source::Custom(variable) => Some(variable.clone()),
            _ => None,
        }
    }

    fn span(&mut self, variable: &str) -> Span {
        if let Some(span) = self.spans.get(variable) {
            return *span;
        }
        let span = self.document.add_source(variable, self.text(variable));
        self.spans.insert(variable.to_owned(), span);
        span
    }

    fn text(&self, variable: &str) -> &str {
        let mut all = self.environment.iter();
        all.find(|(name, _)| name == variable)
            .map_or("", |(_, text)| text)
    }

    /// A variable's value. What looks like a number is text where the key wants text: a directory may be named `123`.
    fn guessed(&mut self, variable: &str, value: &Merged, key: Option<&Key>) -> Value {
        let wants_text = key.is_some_and(|key| {
            matches!(
                key.shape,
                Shape::Text
                    | Shape::Path
                    | Shape::Url(_)
                    | Shape::Word(_)
                    | Shape::WordSoFar { .. }
            )
        });
        match value {
            Merged::Num(..) | Merged::Bool(..) if wants_text => {
                Value::Text(self.text(variable).trim().to_owned())
            }
            _ => plain(value, self.span(variable)),
        }
    }
}

fn leaf(name: &str, key: Span, span: Span, value: Value) -> Entry {
    Entry {
        key: name.to_owned(),
        span: key,
        node: Node { span, value },
    }
}

/// A value all of whose parts have one place.
fn plain(value: &Merged, span: Span) -> Value {
    let node = |value: &Merged| Node {
        span,
        value: plain(value, span),
    };
    match value {
        Merged::String(_, text) => Value::Text(text.clone()),
        Merged::Char(_, char) => Value::Text(char.to_string()),
        Merged::Bool(_, bool) => Value::Bool(*bool),
        Merged::Num(_, number) => {
            // figment keeps signs apart.
            let positive = number.to_u128().and_then(|whole| i64::try_from(whole).ok());
            let signed = || number.to_i128().and_then(|whole| i64::try_from(whole).ok());
            let whole = positive.or_else(signed);
            // A number of 64 bits may lose its last digits as a float; no key of the file takes a float.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let float = whole.map_or(number.to_f64().unwrap_or(f64::NAN), |whole| whole as f64);
            Value::Number { float, whole }
        }
        Merged::Array(_, items) => Value::List(items.iter().map(node).collect()),
        Merged::Dict(_, entries) => {
            let entry =
                |(key, value): (&String, &Merged)| leaf(key, span, span, plain(value, span));
            Value::Table(entries.iter().map(entry).collect())
        }
        Merged::Empty(..) => Value::Text(String::new()),
    }
}

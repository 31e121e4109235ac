//! `routes.toml` as meant.

mod gateways;
mod groups;
mod inbound;
mod keys;
mod outbound;
mod route;
mod test;

use std::collections::HashMap;
use std::path::Path;

use faceway_core::{OutboundKind, Reach, Setting};

pub use inbound::{DialPlan, InboundPlan, TerminalPlan, Trust};
pub(crate) use keys::{ROOT, ROUTE, TERMINAL, TEST, inbound_keys, outbound_keys};
pub use outbound::{Common, HeaderValue, Images, OutboundPlan, Protocol, Retry, Since};
pub use test::{RouteTest, TestFailure};

use crate::diagnostic::{Diagnostics, Reporter, Span};
use crate::read::{Document, Entry, Node, Place, Places, Table, Value};
use crate::{RouteSet, Secret};

/// What an adapter lets an inbound of it say.
#[derive(Clone, Copy, Debug)]
pub struct AdapterGrammar {
    /// The adapter's name.
    pub name: &'static str,
    /// How its sources are reached.
    pub reach: &'static [Reach],
    /// The keys of its own.
    pub settings: &'static [Setting],
}

impl AdapterGrammar {
    /// That of an adapter.
    pub fn of(adapter: &dyn faceway_core::Adapter) -> Self {
        Self {
            name: adapter.name(),
            reach: adapter.reach(),
            settings: adapter.settings(),
        }
    }
}

/// What adapters and protocols let a file say.
#[derive(Clone, Debug, Default)]
pub struct Grammar {
    /// Adapters, in the order in which they are shown.
    pub adapters: Vec<AdapterGrammar>,
    /// Protocols, in the order in which they are shown.
    pub outbounds: Vec<&'static OutboundKind>,
}

impl Grammar {
    fn adapters(&self) -> Vec<&'static str> {
        self.adapters.iter().map(|adapter| adapter.name).collect()
    }

    fn protocols(&self) -> Vec<&'static str> {
        self.outbounds.iter().map(|kind| kind.name).collect()
    }

    /// What others call the protocols, with the names.
    fn aliases(&self) -> Vec<(&'static str, &'static str)> {
        let of = |kind: &&'static OutboundKind| {
            let aliases = kind.aliases.iter();
            aliases.map(|alias| (*alias, kind.name)).collect::<Vec<_>>()
        };
        self.outbounds.iter().flat_map(of).collect()
    }

    /// The protocols that take several events in one message, each between two texts.
    pub(crate) fn batching(&self, before: &str, behind: &str) -> String {
        let kinds = self.outbounds.iter();
        let kinds = kinds.filter(|kind| kind.batches.is_some());
        let names = kinds.map(|kind| format!("{before}{}{behind}", kind.name));
        names.collect::<Vec<_>>().join(" and ")
    }
}

/// The whole file, checked.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// What comes in, in the order of the file.
    pub inbounds: Vec<InboundPlan>,
    /// Where it goes, in the order of the file.
    pub outbounds: Vec<OutboundPlan>,
    /// The rules between.
    pub routes: RouteSet,
    /// The tests of the rules.
    pub tests: Vec<RouteTest>,
    /// What the file hardly means.
    pub warnings: Diagnostics,
    /// The file as written.
    pub text: String,
    /// What it is called in findings.
    pub file: String,
}

impl Routes {
    /// The file once more, to tell what is wrong with it beside `gateway.toml`.
    pub fn document(&self) -> Document {
        Document::parse(&self.text, &self.file)
    }

    /// Every secret that the file names, with the key that names it, such as `outbound.webhook.erp.sign`.
    pub fn secrets(&self) -> Vec<(String, &Secret)> {
        let inbounds = self.inbounds.iter().flat_map(InboundPlan::secrets);
        let outbounds = self.outbounds.iter().flat_map(OutboundPlan::secrets);
        inbounds.chain(outbounds).collect()
    }
}

/// Gives the text of a file that `routes.toml` names, by its path as written there; the error says why it cannot.
pub type ReadFile<'f> = &'f dyn Fn(&Path) -> Result<String, String>;

/// Reads a whole `routes.toml` that names no other file.
///
/// # Errors
/// Every mistake in it, in the order of the file.
pub fn parse(text: &str, file: &str, grammar: &Grammar) -> Result<Routes, Diagnostics> {
    parse_with(text, file, grammar, &|_| Err("is not at hand here".into()))
}

/// Reads a whole `routes.toml` with the templates that it names.
///
/// # Errors
/// Every mistake in it, in the order of the file, and then every mistake in the templates.
pub fn parse_with(
    text: &str,
    file: &str,
    grammar: &Grammar,
    files: ReadFile<'_>,
) -> Result<Routes, Diagnostics> {
    let document = Document::parse(text, file);
    let (mut routes, pending) = read(&document, grammar, files);
    let reporter = document.reporter();
    routes.tests = pending
        .into_iter()
        .map(|test| test.placed(reporter))
        .collect();
    let (errors, warnings) = document.finish();
    if !errors.is_empty() {
        return Err(errors);
    }
    routes.warnings = warnings;
    text.clone_into(&mut routes.text);
    file.clone_into(&mut routes.file);
    Ok(routes)
}

impl Places {
    /// Those of the reader of `gateway.toml`, beside a `routes.toml` of this grammar.
    pub fn of_gateway(grammar: &Grammar) -> Self {
        Self {
            in_gateway: true,
            ..Self::of_routes(grammar)
        }
    }

    /// Those of the reader of a `routes.toml` of this grammar.
    fn of_routes(grammar: &Grammar) -> Self {
        let adapters = grammar.adapters.iter();
        let inbounds =
            adapters.map(|adapter| Place::of("inbound", adapter.name, &inbound_keys(adapter)));
        let outbounds = grammar.outbounds.iter();
        let outbounds =
            outbounds.map(|kind| Place::of("outbound", kind.name, &outbound_keys(kind)));
        let meant = grammar.outbounds.iter();
        let meant = meant.flat_map(|kind| kind.meant.iter().map(|meant| (kind.name, *meant)));
        let routes = [Place::of("route", "", ROUTE), Place::of("test", "", TEST)];
        Self {
            in_gateway: false,
            meant: meant.collect(),
            of_routes: inbounds.chain(outbounds).chain(routes).flatten().collect(),
        }
    }
}

fn read(
    document: &Document,
    grammar: &Grammar,
    files: ReadFile<'_>,
) -> (Routes, Vec<test::Pending>) {
    let reporter = document.reporter();
    document.know(Places::of_routes(grammar));
    let root = Table::root(document, ROOT);
    let mut names = Names::default();
    let inbounds = inbound::all(reporter, root.get("inbound"), grammar, &mut names);
    let (outbounds, declared) = outbound::all(reporter, root.get("outbound"), grammar, files);
    if names.all.is_empty() && declared.all.is_empty() && reporter.errors() == 0 {
        tell_empty(document, &root, grammar);
    }
    let context = Context {
        reporter,
        inbounds: &names,
        outbounds: &declared,
        adapters: &grammar.adapters,
    };
    let routes = route::all(&context, root.get("route"));
    let tests = test::all(&context, root.get("test"));
    root.finish();
    let routes = Routes {
        inbounds,
        outbounds,
        routes: RouteSet::new(routes, declared.texts()),
        tests: Vec::new(),
        warnings: Diagnostics::default(),
        text: String::new(),
        file: String::new(),
    };
    (routes, tests)
}

/// No operator means a file without an inbound and an outbound: it is empty, or not written to its end yet, and to take it over
/// would take everything out.
fn tell_empty(document: &Document, root: &Table<'_>, grammar: &Grammar) {
    let known = |entry: &Entry| ROOT.iter().any(|key| key.name == entry.key);
    let entries = document.root().entries().unwrap_or_default();
    if !entries.iter().all(known) {
        // `[inbuond.nebula.lobby]` is told by its name.
        return;
    }
    let message = "there is no inbound and no outbound in this file";
    // One that needs no more than its name.
    let mut kinds = grammar.outbounds.iter();
    let bare = kinds.find(|kind| kind.keys.iter().all(|key| !key.required));
    let protocol = bare.map_or("<protocol>", |kind| kind.name);
    let help = format!(
        "one is enough: `[inbound.nebula.lobby]` or `[outbound.{protocol}.screen]`; README.md begins with ten lines that make a \
         whole file"
    );
    root.reporter().absent(root.span(), message, help);
}

/// What routes and tests are checked against.
struct Context<'d> {
    reporter: &'d Reporter,
    inbounds: &'d Names,
    outbounds: &'d Names,
    adapters: &'d [AdapterGrammar],
}

/// Names that must be unique, with their places, in the order of the file.
#[derive(Debug, Default)]
struct Names {
    all: Vec<(String, Span)>,
    /// The place of the first of each name: files with ten thousand routes are read at every reload.
    first: HashMap<String, Span>,
}

impl Names {
    /// Adds a name; says so when there is one already.
    fn add(&mut self, reporter: &Reporter, what: &str, name: &str, span: Span) {
        if let Some(first) = self.first.get(name) {
            let message = format!("there are two {what} of the name `{name}`");
            let help = format!("the other is at {}", reporter.place(*first));
            reporter.error(span, message, help);
        }
        self.first.entry(name.into()).or_insert(span);
        self.all.push((name.into(), span));
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|(known, _)| known == name)
    }

    fn texts(&self) -> Vec<String> {
        self.all.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Each once: those that are there twice are told as such.
    fn list(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.all {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

/// What a name may be whose writer has another script; only what people read may be in it.
pub(crate) const NAME_HELP: &str = "ASCII letters, digits, `-` and `_`, at most 64, as it is part of paths and metrics; what people read is the device's \
     own name (`device.name` in each event)";

/// A name becomes part of paths, metrics and ids.
fn check_name(reporter: &Reporter, what: &str, name: &str, span: Span) {
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let message = format!("`{name}` cannot be the name of an {what}");
        let help = match name.is_ascii() {
            true => "letters, digits, `-` and `_`, at most 64",
            false => NAME_HELP,
        };
        reporter.error(span, message, help);
    }
}

/// The tables of `[[route]]` and `[[test]]`.
fn tables<'d>(reporter: &Reporter, key: &str, node: Option<&'d Node>) -> &'d [Node] {
    match node.map(|node| (&node.value, node.span)) {
        Some((Value::List(items), _)) => items,
        Some((_, span)) => {
            let message = format!("`{key}` is a list of tables");
            reporter.error(span, message, format!("write `[[{key}]]`"));
            &[]
        }
        None => &[],
    }
}

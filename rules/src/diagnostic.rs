//! What is wrong with a file, where, and what to write instead: every mistake at once, in the order of the file.
//!
//! A [`Reporter`] collects while the file is read; [`Reporter::finish`] makes the [`Diagnostics`], and only then are
//! lines of the file shown, because only then is it known what in them must be masked.

mod mask;
mod render;
mod source;

use std::cell::RefCell;
use std::rc::Rc;

pub use mask::masked;
pub(crate) use mask::value_behind;
pub(crate) use source::Source;
pub use source::Span;

use crate::read::Places;

/// One finding, with everything that is needed to show it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Whether the file can be used nevertheless.
    pub severity: Severity,
    /// The file, or the environment variable.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters it is about; at least 1, and never beyond the line.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// More about it, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The line as it may be shown: secrets masked, tabs widened, control characters replaced, long lines cut.
    pub source: String,
    /// Where the caret stands under `source`: first column from 0 and width, in cells of a terminal.
    #[serde(skip)]
    caret: (usize, usize),
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but hardly means what it says.
    Warning,
}

/// Findings in the order of the file. `Display` is for people, `Serialize` for the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(found: I) -> Self {
        Self(found.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::error::Error for Diagnostics {}

/// Collects findings while a file is read. It is shared by reference, so that a table can be walked while another is
/// open.
#[derive(Debug)]
pub struct Reporter {
    sources: RefCell<Vec<Rc<Source>>>,
    found: RefCell<Found>,
    places: RefCell<Places>,
}

#[derive(Debug, Default)]
struct Found {
    findings: Vec<Finding>,
    masks: Vec<Span>,
}

#[derive(Debug)]
struct Finding {
    severity: Severity,
    span: Span,
    message: String,
    help: Option<String>,
    /// It says that something is missing, which where a part of the file was left out may be an echo.
    absence: bool,
    /// It says that the file is no TOML.
    syntax: Option<Syntax>,
}

/// What a file that is no TOML can still tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// The text itself is broken: whatever else is found may only follow from that.
    Broken,
    /// Something is there twice, and the second of it was left out.
    LeftOut,
}

impl Reporter {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self {
            sources: RefCell::new(vec![Rc::new(Source::new(file, text))]),
            found: RefCell::default(),
            places: RefCell::default(),
        }
    }

    pub(crate) fn add_source(&self, name: &str, text: &str) -> usize {
        let mut sources = self.sources.borrow_mut();
        sources.push(Rc::new(Source::new(name, text)));
        sources.len() - 1
    }

    pub(crate) fn know(&self, places: Places) {
        self.places.replace(places);
    }

    /// Where the keys of both files belong.
    pub(crate) fn places(&self) -> std::cell::Ref<'_, Places> {
        self.places.borrow()
    }

    fn source(&self, span: Span) -> Option<Rc<Source>> {
        self.sources.borrow().get(span.source).cloned()
    }

    /// An error, with what is allowed or meant as `help`.
    pub fn error(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), help.into(), false);
    }

    /// An error that says that something is missing or unknown. It is kept to itself where a part of the file was left
    /// out, because then it may only be an echo of that.
    pub fn absent(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Error, span, message.into(), help.into(), true);
    }

    /// A warning.
    pub fn warning(&self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.push(Severity::Warning, span, message.into(), help.into(), true);
    }

    /// The file is no TOML.
    pub(crate) fn syntax(&self, span: Span, message: &str, help: &str, syntax: Syntax) {
        self.push(Severity::Error, span, message.into(), help.into(), false);
        if let Some(last) = self.found.borrow_mut().findings.last_mut() {
            last.syntax = Some(syntax);
        }
    }

    /// What stands at `span` is not to be shown, whatever else is shown of its line.
    pub fn mask(&self, span: Span) {
        self.found.borrow_mut().masks.push(span);
    }

    /// How many errors there are by now.
    pub fn errors(&self) -> usize {
        let found = self.found.borrow();
        let errors = found
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        errors.count()
    }

    /// `file:line:column` of a span, to name another place.
    pub fn place(&self, span: Span) -> String {
        let Some(source) = self.source(span) else {
            return String::new();
        };
        let position = source.position(span);
        format!("{}:{}:{}", source.name, position.line, position.column)
    }

    /// Line and column of a span, both from 1.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let position = self.source(span).map(|source| source.position(span));
        position.map_or((1, 1), |position| (position.line, position.column))
    }

    /// The text at a span.
    pub(crate) fn slice(&self, span: Span) -> String {
        let source = self.source(span);
        source.map_or_else(String::new, |source| source.slice(span).to_owned())
    }

    /// A finding that is not (yet) one of the file's.
    pub(crate) fn show(&self, span: Span, severity: Severity, message: &str) -> Diagnostic {
        let found = self.found.borrow();
        let finding = Finding {
            severity,
            span,
            message: message.into(),
            help: None,
            absence: false,
            syntax: None,
        };
        self.shown(&finding, &found.masks)
    }

    /// The errors and the warnings, each in the order of the file.
    pub fn finish(self) -> (Diagnostics, Diagnostics) {
        let mut found = self.found.take();
        let is = |syntax| move |finding: &Finding| finding.syntax == Some(syntax);
        if found.findings.iter().any(is(Syntax::Broken)) {
            found.findings.retain(|finding| finding.syntax.is_some());
        } else if found.findings.iter().any(is(Syntax::LeftOut)) {
            found.findings.retain(|finding| !finding.absence);
        }
        found.findings.sort_by_key(|finding| finding.span);
        let (errors, warnings): (Vec<_>, Vec<_>) = found
            .findings
            .iter()
            .map(|finding| self.shown(finding, &found.masks))
            .partition(|diagnostic| diagnostic.severity == Severity::Error);
        (Diagnostics(errors), Diagnostics(warnings))
    }

    fn push(&self, severity: Severity, span: Span, message: String, help: String, absence: bool) {
        self.found.borrow_mut().findings.push(Finding {
            severity,
            span,
            message: source::printable(&message),
            help: (!help.is_empty()).then(|| source::printable(&help)),
            absence,
            syntax: None,
        });
    }

    fn shown(&self, finding: &Finding, masks: &[Span]) -> Diagnostic {
        let mut diagnostic = Diagnostic {
            severity: finding.severity,
            file: String::new(),
            line: 1,
            column: 1,
            length: 1,
            message: finding.message.clone(),
            help: finding.help.clone(),
            notes: Vec::new(),
            source: String::new(),
            caret: (0, 1),
        };
        if let Some(source) = self.source(finding.span) {
            source.place(finding.span, masks, &mut diagnostic);
        }
        diagnostic
    }
}

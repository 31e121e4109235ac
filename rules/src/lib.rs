//! `routes.toml`: as written, as meant, and the rules that run.
//!
//! * [`parse`] reads the whole file and tells every mistake in it at once, each with its place ([`Diagnostics`]).
//! * [`Routes`] is the file as meant: a value that exists is valid.
//! * [`RouteSet`] decides for every event which routes match, and [`RouteSet::explain`] says why.
//! * [`Format`] writes an event as an outbound wants it, and [`View`] reads what placeholders need of it.
//! * [`Projection`] takes out of an event what an outbound may not see, and [`Privacy`] says what it can see of persons.
//! * [`read`] and [`diagnostic`] serve `gateway.toml` as well.
//!
//! **Invariant:** this crate does no I/O, knows no clock and no runtime. Secrets are only named here; the gateway
//! resolves them.

mod decide;
pub mod diagnostic;
mod explain;
mod field;
mod format;
mod index;
mod once;
mod plan;
mod privacy;
mod projection;
pub mod read;
mod schema;
mod secret;
mod suggest;
mod template;
mod trie;
mod view;
mod when;

pub use faceway_core::Secret;

pub use decide::{Decision, OnceRule, Route, RouteChanges, RouteSet};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use explain::{Failed, RouteExplanation};
pub use field::Field;
pub use format::{Format, FormatError, TemplateFile, Written};
pub use once::{Asked, KEYS_MAX, OnceState};
pub(crate) use plan::NAME_HELP;
pub use plan::{
    AdapterGrammar, Common, DialPlan, Grammar, HeaderValue, Images, InboundPlan, OutboundPlan,
    Protocol, ReadFile, Retry, RouteTest, Routes, Since, TerminalPlan, TestFailure, Trust, parse,
    parse_with,
};
pub use privacy::{Privacy, Reaching};
pub use projection::{NotAnEvent, Projection, ProjectionError};
pub use schema::{schema, schema_of};
pub use suggest::nearest;
pub use template::{Template, TemplateError};
pub use view::View;
pub use when::tests_of;

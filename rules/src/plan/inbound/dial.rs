//! `url`: a source that Faceway dials.

use faceway_core::{Reach, SettingKind, Settings, TlsFiles, scrub_urls};

use crate::diagnostic::{Reporter, Span};
use crate::plan::AdapterGrammar;
use crate::read::Table;
use crate::{Secret, secret};

/// A websocket that is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialPlan {
    /// `ws://` or `wss://`, without the parameters that are secrets.
    pub url: String,
    /// Parameters of the URL that are secrets, by name.
    pub query: Vec<(String, Secret)>,
    /// The source's HTTP API.
    pub api_url: Option<String>,
    /// Own authorities, client certificate.
    pub tls: Option<TlsFiles>,
}

/// The URLs that are dialled: a source has one connection.
#[derive(Default)]
pub(super) struct Dials(Vec<(String, Span)>);

/// The settings in whose place the adapter's sources can be asked, when they can be dialled.
pub(super) fn dialled(grammar: &AdapterGrammar) -> Option<&'static [&'static str]> {
    grammar.reach.iter().find_map(|reach| match reach {
        Reach::Dialled { api_for } => Some(*api_for),
        Reach::Pushed | Reach::Subscribed => None,
    })
}

impl Dials {
    pub(super) fn read(
        &mut self,
        table: &Table<'_>,
        grammar: &AdapterGrammar,
        settings: &Settings,
    ) -> Option<DialPlan> {
        let api_for = dialled(grammar)?;
        let written = table.entry("url").is_some();
        let url = table.url("url");
        let plan = DialPlan {
            url: url.clone().unwrap_or_default(),
            query: query(table),
            api_url: (!api_for.is_empty())
                .then(|| table.url("api_url"))
                .flatten(),
            tls: table.tls("tls"),
        };
        if !written {
            check_not_dialled(table, grammar);
            return None;
        }
        let url = url?;
        let span = table.get("url").map_or(table.span(), |node| node.span);
        self.check_once(table.reporter(), &url, span);
        check_secrets(table.reporter(), &url, span);
        check_tls(table, &plan);
        if plan.api_url.is_none() {
            check_api(table, grammar, api_for, settings);
        }
        Some(plan)
    }

    fn check_once(&mut self, reporter: &Reporter, url: &str, span: Span) {
        if let Some((_, first)) = self.0.iter().find(|(known, _)| known == url) {
            let help = format!(
                "the other is at {}; a source has one connection",
                reporter.place(*first)
            );
            reporter.error(span, "two inbounds dial the same URL", help);
        }
        self.0.push((url.to_owned(), span));
    }
}

/// Keys that belong to a `url` which is not there.
fn check_not_dialled(table: &Table<'_>, grammar: &AdapterGrammar) {
    let api = dialled(grammar).is_some_and(|api_for| !api_for.is_empty());
    let keys = ["query", "tls"].into_iter().chain(api.then_some("api_url"));
    for key in keys {
        if let Some(entry) = table.entry(key) {
            let message = format!("`{key}` has no use without `url`");
            let help = "add the `url` that Faceway shall dial, or leave it out";
            table.reporter().error(entry.span, message, help);
        }
    }
}

fn check_secrets(reporter: &Reporter, url: &str, span: Span) {
    if scrub_urls(url) != url {
        reporter.mask(span);
        let message = "`url` carries a secret";
        let help = "a secret is named, never written: take the parameter out of the URL and write `query = { access = { env \
                    = \"NAME\" } }`, with the parameter's name";
        reporter.error(span, message, help);
    }
}

fn check_tls(table: &Table<'_>, plan: &DialPlan) {
    let encrypted = |url: &str| url.starts_with("wss://") || url.starts_with("https://");
    let used = encrypted(&plan.url) || plan.api_url.as_deref().is_some_and(encrypted);
    if let (Some(entry), false) = (table.entry("tls"), used) {
        let message = "`tls` has no use with a URL that begins with ws://";
        table.reporter().error(entry.span, message, "write wss://");
    }
}

/// Without an API to ask, everything that the source must be told has to be set.
fn check_api(
    table: &Table<'_>,
    grammar: &AdapterGrammar,
    api_for: &[&'static str],
    settings: &Settings,
) {
    for name in api_for {
        let set = settings.text(name).is_some()
            || settings.texts(name).is_some_and(|texts| !texts.is_empty());
        // What is there and cannot be read has been told.
        let broken = table.entry(name).is_some() && settings.texts(name).is_none();
        if set || broken {
            continue;
        }
        let kind = grammar.settings.iter().find(|own| own.name == *name);
        let example = match kind.map(|own| own.kind) {
            Some(SettingKind::Word(words)) => format!("`{name} = \"{}\"`", words.join("\" or \"")),
            _ => format!("`{name}`"),
        };
        let message = format!("`{name}` is missing, and there is no `api_url` to ask for it");
        let help = format!(
            "add {example}, or the address of the source's API, such as `api_url = \"http://192.168.1.180:5555\"`"
        );
        table.reporter().absent(table.span(), message, help);
    }
}

fn query(table: &Table<'_>) -> Vec<(String, Secret)> {
    let reporter = table.reporter();
    let Some(node) = table.get("query") else {
        return Vec::new();
    };
    let Some(entries) = node.entries() else {
        secret::mask_all(reporter, node);
        let help = "write it like `{ access = { env = \"OMNI_ACCESS\" } }`";
        let message = format!("`query` must be a table, not {}", node.value.kind());
        reporter.error(node.span, message, help);
        return Vec::new();
    };
    let mut query = Vec::with_capacity(entries.len());
    for entry in entries {
        let fits = |char: char| char.is_ascii_alphanumeric() || "-._~".contains(char);
        if entry.key.is_empty() || !entry.key.chars().all(fits) {
            let message = format!("`{}` is no name of a parameter", entry.key);
            reporter.error(entry.span, message, "letters, digits and - . _ ~");
        }
        let key = format!("query.{}", entry.key);
        query.extend(
            secret::read(reporter, &key, &entry.node).map(|secret| (entry.key.clone(), secret)),
        );
    }
    query
}

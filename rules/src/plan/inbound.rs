//! `[inbound.<adapter>.<name>]`.

mod dial;
mod terminal;

use std::path::Path;

use faceway_core::{Setting, SettingKind, SettingValue, Settings, TlsFiles};
use ipnet::IpNet;

use crate::Secret;
use crate::diagnostic::{Reporter, Span};
use crate::read::{Entry, Node, Table, Value};

use super::groups::Section;
use super::{AdapterGrammar, Grammar, Names, check_name, gateways, inbound_keys};

pub use dial::DialPlan;
pub use terminal::{TerminalPlan, Trust};

/// One way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundPlan {
    /// Its name, unique over all adapters.
    pub name: String,
    /// Which adapter reads what comes.
    pub adapter: &'static str,
    /// Where devices push to, unique in the file; none for one that is only dialled.
    pub path: Option<String>,
    /// What they must show.
    pub token: Option<Secret>,
    /// Who may push; every address when empty.
    pub allow: Vec<IpNet>,
    /// Names of the gateways of a site that may dial its source and ask its terminals; all when empty.
    pub gateways: Vec<String>,
    /// The adapter's own keys.
    pub settings: Settings,
    /// The websocket that it reads.
    pub dial: Option<DialPlan>,
    /// Devices whose subscription is kept pointing at it.
    pub terminals: Vec<TerminalPlan>,
}

impl InboundPlan {
    /// The files that it names, other than secrets.
    pub fn files(&self) -> Vec<&Path> {
        let tls = self.dial.as_ref().and_then(|dial| dial.tls.as_ref());
        let authorities = self
            .terminals
            .iter()
            .filter_map(|terminal| match &terminal.trust {
                Trust::Authorities(path) => Some(path.as_path()),
                Trust::System | Trust::Fingerprint(_) => None,
            });
        tls.into_iter()
            .flat_map(TlsFiles::files)
            .chain(authorities)
            .collect()
    }

    /// Every secret that it names, with the key that names it.
    pub fn secrets(&self) -> Vec<(String, &Secret)> {
        let key = |rest: &str| format!("inbound.{}.{}.{rest}", self.adapter, self.name);
        let token = self.token.iter().map(|token| (key("token"), token));
        let query = self.dial.iter().flat_map(|dial| &dial.query);
        let query = query.map(|(name, secret)| (key(&format!("query.{name}")), secret));
        let passwords = self.terminals.iter().map(|terminal| &terminal.password);
        let passwords = passwords.map(|password| (key("terminals.password"), password));
        token.chain(query).chain(passwords).collect()
    }
}

pub(super) fn all(
    reporter: &Reporter,
    node: Option<&Node>,
    grammar: &Grammar,
    names: &mut Names,
) -> Vec<InboundPlan> {
    let mut inbounds = Vec::new();
    let mut seen = Seen::default();
    let section = Section {
        key: "inbound",
        group: "adapter",
        known: &grammar.adapters(),
        others: &grammar.protocols(),
        aliases: &grammar.aliases(),
        example: "lobby",
    };
    for (adapter, table) in section.read(reporter, node) {
        let mut adapters = grammar.adapters.iter();
        let adapter = adapters.find(|known| known.name == adapter.key);
        for entry in table {
            check_name(reporter, "inbound", &entry.key, entry.span);
            names.add(reporter, "inbounds", &entry.key, entry.span);
            let plan = adapter.and_then(|adapter| one(reporter, adapter, entry, &mut seen));
            inbounds.extend(plan.map(|plan| (entry.span, plan)));
        }
    }
    names.all.sort_by_key(|(_, span)| *span);
    inbounds.sort_by_key(|(span, _)| *span);
    inbounds.into_iter().map(|(_, inbound)| inbound).collect()
}

fn one(
    reporter: &Reporter,
    grammar: &AdapterGrammar,
    entry: &Entry,
    seen: &mut Seen,
) -> Option<InboundPlan> {
    let title = format!("[inbound.{}.{}]", grammar.name, entry.key);
    let keys = inbound_keys(grammar);
    let table = Table::open(reporter, title, &entry.node, &keys)?;
    let settings = settings(&table, grammar.settings);
    let dial = seen.dials.read(&table, grammar, &settings);
    let plan = InboundPlan {
        name: entry.key.clone(),
        adapter: grammar.name,
        path: seen.paths.read(&table, grammar, entry),
        token: table.secret("token"),
        allow: allow(&table),
        gateways: gateways::read(&table),
        settings,
        dial,
        terminals: terminal::all(&table, grammar, &mut seen.terminals),
    };
    if plan.path.is_none() {
        check_nobody_pushes(&table);
    }
    table.finish();
    Some(plan)
}

/// What must be unique over all inbounds.
#[derive(Default)]
struct Seen {
    paths: Paths,
    dials: dial::Dials,
    terminals: terminal::Terminals,
}

/// Without a path no device can post, so what is said about who may is a slip.
fn check_nobody_pushes(table: &Table<'_>) {
    for key in ["token", "allow"] {
        if let Some(entry) = table.entry(key) {
            let message = format!("`{key}` has no use with a `url` alone");
            let help = "it is for posts: add `path` if the source also posts here, or leave it out";
            table.reporter().error(entry.span, message, help);
        }
    }
}

#[derive(Default)]
struct Paths(Vec<(String, Span)>);

impl Paths {
    fn read(
        &mut self,
        table: &Table<'_>,
        grammar: &AdapterGrammar,
        entry: &Entry,
    ) -> Option<String> {
        let reporter = table.reporter();
        let written = table.text("path");
        let is_dialled = dial::dialled(grammar).is_some() && table.entry("url").is_some();
        if is_dialled && table.entry("path").is_none() {
            return None;
        }
        let span = table.get("path").map_or(entry.span, |node| node.span);
        let path = written.map_or_else(|| format!("/in/{}", entry.key), str::to_owned);
        if written.is_some() {
            check_path(reporter, &path, span);
        }
        if let Some((_, first)) = self.0.iter().find(|(known, _)| *known == path) {
            let message = format!("two inbounds have the path `{path}`");
            let help = format!("the other is at {}", reporter.place(*first));
            reporter.error(span, message, help);
        }
        self.0.push((path.clone(), span));
        Some(path)
    }
}

fn check_path(reporter: &Reporter, path: &str, span: Span) {
    let fits = |char: char| char.is_ascii_alphanumeric() || "-._~".contains(char);
    let good = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(fits))
    });
    if !good {
        let message = format!("`{path}` is no path");
        let help = "write it like \"/in/lobby\": letters, digits and - . _ ~ between slashes";
        reporter.error(span, message, help);
    } else if path == "/images" || path.starts_with("/images/") {
        let message = "paths below /images belong to pictures";
        reporter.error(span, message, "write it like \"/in/lobby\"");
    }
}

fn allow(table: &Table<'_>) -> Vec<IpNet> {
    let reporter = table.reporter();
    let help = "write it like [\"10.1.0.0/16\", \"192.168.1.20\"]";
    let Some(node) = table.get("allow") else {
        return Vec::new();
    };
    let items = match &node.value {
        // An empty list could mean none or all, so it means nothing.
        Value::List(items) if !items.is_empty() => items,
        _ => {
            let message = "`allow` must be a list of addresses";
            reporter.error(node.span, message, help);
            return Vec::new();
        }
    };
    let network = |item: &Node| {
        let text = item.text().unwrap_or_default();
        let network: Option<IpNet> = text.parse().ok().or_else(|| {
            text.parse()
                .ok()
                .map(|address: std::net::IpAddr| address.into())
        });
        if let Some(IpNet::V6(mapped)) = network
            && let Some(v4) = mapped.addr().to_ipv4_mapped()
        {
            return of_mapped(reporter, item, text, v4, mapped.prefix_len());
        }
        if network.is_none() {
            let what = item.text().unwrap_or(item.value.kind());
            reporter.error(
                item.span,
                format!("`{what}` is no address or network"),
                help,
            );
        }
        network.map(|network| network.trunc())
    };
    items.iter().filter_map(network).collect()
}

/// Peers are compared by their IPv4 addresses, so a network of mapped ones is the network of these.
fn of_mapped(
    reporter: &Reporter,
    item: &Node,
    text: &str,
    address: std::net::Ipv4Addr,
    prefix: u8,
) -> Option<IpNet> {
    let network = prefix.checked_sub(96).and_then(|prefix| {
        let network = ipnet::Ipv4Net::new(address, prefix).ok()?;
        Some(IpNet::V4(network.trunc()))
    });
    if network.is_none() {
        let message = format!("`{text}` holds more than IPv4 addresses");
        let help = format!("for IPv4 addresses write it like \"{address}/24\"");
        reporter.error(item.span, message, help);
    }
    network
}

fn settings(table: &Table<'_>, declared: &'static [Setting]) -> Settings {
    let mut settings = Settings::default();
    for setting in declared {
        let value = match setting.kind {
            SettingKind::Text => table
                .text(setting.name)
                .map(str::to_owned)
                .map(SettingValue::Text),
            SettingKind::Word(_) => table
                .word(setting.name)
                .map(str::to_owned)
                .map(SettingValue::Text),
            SettingKind::Number(_) => table.whole(setting.name).map(SettingValue::Number),
            SettingKind::Texts => table.texts(setting.name).map(|texts| {
                SettingValue::Texts(texts.iter().map(|(text, _)| (*text).into()).collect())
            }),
            SettingKind::Words(_) => table.words(setting.name).map(SettingValue::Texts),
        };
        if let Some(value) = value {
            settings.set(setting.name, value);
        }
    }
    settings
}

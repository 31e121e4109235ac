//! `[outbound.<protocol>.<name>]`.

mod address;
mod batch;
mod common;
mod format;
mod headers;
mod protocol;

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use faceway_core::OutboundKind;

use crate::diagnostic::Reporter;
use crate::format::Format;
use crate::read::{Entry, Node, Table};
use crate::{Projection, ReadFile, Secret};

pub use headers::HeaderValue;
pub use protocol::Protocol;

use super::groups::Section;
use super::{Grammar, Names, check_name, outbound_keys};

/// One way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundPlan {
    /// Its name, unique over all protocols.
    pub name: String,
    /// What every outbound has.
    pub common: Common,
    /// How it delivers.
    pub protocol: Protocol,
}

/// What every outbound has, whatever its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// How an event is written.
    pub format: Format,
    /// Events in one message, at least 1. More only where the format has a way to write several.
    pub batch_max: u32,
    /// Pictures.
    pub images: Images,
    /// What it may see of an event.
    pub projection: Projection,
    /// Deliveries at the same time, at least 1.
    pub concurrency_max: u32,
    /// Where a new outbound begins.
    pub since: Since,
    /// Pauses and limits.
    pub retry: Retry,
    /// For one delivery.
    pub timeout: Duration,
    /// Names of the gateways of a site that may deliver; all when empty.
    pub gateways: Vec<String>,
}

/// What becomes of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Images {
    /// They are left out.
    #[default]
    None,
    /// As signed links.
    Url,
    /// Inside the event.
    Inline,
}

/// Where a new outbound begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// With new events.
    #[default]
    Now,
    /// With the history.
    Oldest,
}

/// Pauses and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// First pause.
    pub backoff_min: Duration,
    /// Longest pause, not shorter than the first.
    pub backoff_max: Duration,
    /// Attempts of one event that fails alone; `None` = without end.
    pub attempts_max: Option<NonZeroU32>,
    /// An older event is buried; `None` = without end.
    pub age_max: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            attempts_max: NonZeroU32::new(10),
            age_max: None,
        }
    }
}

impl OutboundPlan {
    /// Where its events go; none where the destination has no URL.
    pub fn address(&self) -> Option<&str> {
        self.protocol.settings().url()
    }

    /// The files that it names, other than secrets and its template, which is part of the plan.
    pub fn files(&self) -> Vec<&Path> {
        self.protocol.files()
    }

    /// Every secret that it names, with the key that names it.
    pub fn secrets(&self) -> Vec<(String, &Secret)> {
        let protocol = self.protocol.name();
        let key = |rest: String| format!("outbound.{protocol}.{}.{rest}", self.name);
        let secrets = self.protocol.secrets().into_iter();
        secrets.map(|(rest, secret)| (key(rest), secret)).collect()
    }
}

/// Reads every outbound, also the names of those that cannot be read, so that routes to them are not wrong as well.
pub(super) fn all(
    reporter: &Reporter,
    node: Option<&Node>,
    grammar: &Grammar,
    files: ReadFile<'_>,
) -> (Vec<OutboundPlan>, Names) {
    let mut outbounds = Vec::new();
    let mut names = Names::default();
    let section = Section {
        key: "outbound",
        group: "protocol",
        known: &grammar.protocols(),
        others: &grammar.adapters(),
        aliases: &grammar.aliases(),
        example: "erp",
    };
    for (protocol, table) in section.read(reporter, node) {
        let mut kinds = grammar.outbounds.iter();
        let kind = kinds.find(|kind| kind.name == protocol.key);
        for entry in table {
            check_name(reporter, "outbound", &entry.key, entry.span);
            names.add(reporter, "outbounds", &entry.key, entry.span);
            let plan = kind.and_then(|kind| one(reporter, kind, entry, grammar, files));
            outbounds.extend(plan.map(|plan| (entry.span, plan)));
        }
    }
    names.all.sort_by_key(|(_, span)| *span);
    outbounds.sort_by_key(|(span, _)| *span);
    let outbounds = outbounds.into_iter().map(|(_, outbound)| outbound);
    (outbounds.collect(), names)
}

fn one(
    reporter: &Reporter,
    kind: &'static OutboundKind,
    entry: &Entry,
    grammar: &Grammar,
    files: ReadFile<'_>,
) -> Option<OutboundPlan> {
    let title = format!("[outbound.{}.{}]", kind.name, entry.key);
    let table = Table::open(reporter, title, &entry.node, &outbound_keys(kind))?;
    let seen = common::seen(&table, files);
    let protocol = protocol::read(kind, &table, &seen.projection, &seen.format);
    format::check_binary(&table, &seen.format, &protocol);
    let plan = OutboundPlan {
        name: entry.key.clone(),
        common: common::read(&table, seen, &protocol, grammar),
        protocol,
    };
    table.finish();
    Some(plan)
}

//! `[inbound.<adapter>.<name>]` and `[outbound.<protocol>.<name>]`: tables of tables by name.

use crate::diagnostic::Reporter;
use crate::read::{Entry, Node};
use crate::suggest;

/// Other endpoints that an operator may look for.
const WAYS: [&str; 6] = ["websocket", "ws", "wss", "tcp", "push", "api"];

/// What such a section of the file is.
pub(super) struct Section<'s> {
    /// `inbound` or `outbound`.
    pub(super) key: &'static str,
    /// What stands between it and the name: `adapter` or `protocol`.
    pub(super) group: &'static str,
    /// What that may be.
    pub(super) known: &'s [&'s str],
    /// What stands there in the other section.
    pub(super) others: &'s [&'s str],
    /// What others call the protocols, with the names.
    pub(super) aliases: &'s [(&'static str, &'static str)],
    /// A name, to show how it is written.
    pub(super) example: &'static str,
}

impl Section<'_> {
    /// The groups that have names below them, also unknown ones: their names count nevertheless.
    pub(super) fn read<'d>(
        &self,
        reporter: &Reporter,
        node: Option<&'d Node>,
    ) -> Vec<(&'d Entry, &'d [Entry])> {
        let Some(node) = node else {
            return Vec::new();
        };
        let Some(entries) = node.entries() else {
            let (key, group) = (self.key, self.group);
            let help = format!("write `[{key}.<{group}>.<name>]`");
            reporter.error(node.span, format!("`{key}` is a table"), help);
            return Vec::new();
        };
        let named = |entry: &'d Entry| self.group(reporter, entry);
        entries.iter().filter_map(named).collect()
    }

    fn group<'d>(&self, reporter: &Reporter, entry: &'d Entry) -> Option<(&'d Entry, &'d [Entry])> {
        let is_table = |member: &Entry| member.node.entries().is_some();
        let members = entry.node.entries().unwrap_or_default();
        let has_names = if self.known.contains(&entry.key.as_str()) {
            let has_names = members.iter().any(is_table);
            if !has_names {
                self.tell_nameless(reporter, entry);
            }
            has_names
        } else {
            // Where there are keys of another type, it is an inbound itself.
            let has_names = !members.is_empty() && members.iter().all(is_table);
            self.tell_unknown(reporter, entry, has_names);
            has_names
        };
        has_names.then_some((entry, members))
    }

    /// `[inbound.nebular.lobby]` is a slip of the pen; `[inbound.lobby]` leaves out what stands between.
    fn tell_unknown(&self, reporter: &Reporter, entry: &Entry, has_names: bool) {
        let (key, group, name) = (self.key, self.group, &entry.key);
        let alias = self.aliases.iter().find(|(alias, _)| alias == name);
        let alias = alias.filter(|(_, known)| self.known.contains(known));
        if let Some((_, known)) = alias {
            let help = format!("it is called `{known}`: write `[{key}.{known}.<name>]`");
            reporter.error(entry.span, format!("there is no {group} `{name}`"), help);
            return;
        }
        let list = suggest::help(name, &format!("{group}s"), self.known);
        if let Some(help) = self.confused(name) {
            let message = format!("there is no {group} `{name}`");
            return reporter.error(entry.span, message, format!("{help}; {list}"));
        }
        let is_near = suggest::nearest(name, self.known.iter().copied()).is_some();
        let help = match has_names || is_near {
            true => list,
            false => format!(
                "if `{name}` is its name, the {group} is missing in between: write `[{key}.<{group}>.{name}]`; {list}"
            ),
        };
        reporter.error(entry.span, format!("there is no {group} `{name}`"), help);
    }

    /// `[inbound.http.gate]`: what comes in is named by its vendor, whichever way it comes. `[outbound.nebula.gate]`: a
    /// vendor's device is no destination.
    fn confused(&self, name: &str) -> Option<String> {
        if self.key == "outbound" {
            let is_adapter = self.others.contains(&name);
            return is_adapter.then(|| {
                format!("`{name}` is an adapter, and what comes in is `[inbound.{name}.<name>]`")
            });
        }
        let is_protocol = self.others.contains(&name)
            || WAYS.contains(&name)
            || self.aliases.iter().any(|(alias, _)| *alias == name);
        is_protocol.then(|| {
            "an inbound is named by the vendor whose words come in, whichever way they come: \
             `[inbound.<adapter>.<name>]`"
                .to_owned()
        })
    }

    /// `[inbound.nebula]` alone, which would be nothing.
    fn tell_nameless(&self, reporter: &Reporter, entry: &Entry) {
        let (key, group, example) = (self.key, &entry.key, self.example);
        let message = format!("an {key} needs a name");
        let help = format!("write `[{key}.{group}.{example}]`, or what else you call it");
        reporter.error(entry.span, message, help);
    }
}

//! `terminals`: devices whose subscription is kept pointing at an inbound.

use std::path::PathBuf;

use faceway_core::Reach;

use crate::Secret;
use crate::plan::{AdapterGrammar, TERMINAL};
use crate::read::{Node, Table, Value};

/// A device and who may change its subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalPlan {
    /// Its own API, `https://` or `http://`.
    pub url: String,
    /// A user of it.
    pub username: String,
    /// The user's password.
    pub password: Secret,
    /// Which certificate is trusted.
    pub trust: Trust,
}

/// Which certificate a device may show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// One of the usual authorities'.
    #[default]
    System,
    /// One of these authorities', or one of these certificates itself.
    Authorities(PathBuf),
    /// The one with this SHA-256.
    Fingerprint([u8; 32]),
}

/// How many one inbound may have.
const TERMINALS_MAX: usize = 10_000;

pub(super) fn all(table: &Table<'_>, grammar: &AdapterGrammar) -> Vec<TerminalPlan> {
    if !grammar.reach.contains(&Reach::Subscribed) {
        return Vec::new();
    }
    let reporter = table.reporter();
    let Some(node) = table.get("terminals") else {
        return Vec::new();
    };
    let items = match &node.value {
        Value::List(items) if !items.is_empty() && items.len() <= TERMINALS_MAX => items,
        _ => {
            let message = format!("`terminals` must be a list of 1 to {TERMINALS_MAX} tables");
            let help = "write it like `[{ url = \"https://10.1.0.20:8000\", username = \"admin\", password = { env = \
                        \"LOBBY_PASSWORD\" } }]`";
            reporter.error(node.span, message, help);
            return Vec::new();
        }
    };
    let terminals: Vec<_> = items.iter().map(|item| (item, one(table, item))).collect();
    for (at, (item, terminal)) in terminals.iter().enumerate() {
        let url = terminal.as_ref().map(|terminal| &terminal.url);
        let same = |(_, other): &(&Node, Option<TerminalPlan>)| {
            url.is_some() && other.as_ref().map(|other| &other.url) == url
        };
        if terminals[..at].iter().any(same) {
            let message = "this terminal is in the list twice";
            reporter.error(item.span, message, "keep one of them");
        }
    }
    terminals
        .into_iter()
        .filter_map(|(_, terminal)| terminal)
        .collect()
}

fn one(table: &Table<'_>, item: &Node) -> Option<TerminalPlan> {
    let title = "a terminal".to_owned();
    let table = Table::open(table.reporter(), title, item, TERMINAL)?;
    let (url, username) = (table.url("url"), table.text("username"));
    let (password, trust) = (table.secret("password"), trust(&table));
    if let (Some(url), Some(entry)) = (
        &url,
        table.entry("ca").or_else(|| table.entry("fingerprint")),
    ) && url.starts_with("http://")
    {
        let message = format!(
            "`{}` has no use with a URL that begins with http://",
            entry.key
        );
        table
            .reporter()
            .error(entry.span, message, "write https://");
    }
    table.finish();
    Some(TerminalPlan {
        url: url?,
        username: username?.to_owned(),
        password: password?,
        trust,
    })
}

fn trust(table: &Table<'_>) -> Trust {
    let reporter = table.reporter();
    let authorities = table.path("ca").map(Trust::Authorities);
    let fingerprint = table.text("fingerprint").and_then(|text| {
        let fingerprint = fingerprint(text);
        if fingerprint.is_none() {
            let span = table
                .get("fingerprint")
                .map_or(table.span(), |node| node.span);
            let message = "`fingerprint` is no SHA-256";
            let help = "64 hexadecimal digits, with or without colons, as told by `openssl s_client -connect \
                        10.1.0.20:8000 </dev/null | openssl x509 -noout -fingerprint -sha256`";
            reporter.error(span, message, help);
        }
        fingerprint.map(Trust::Fingerprint)
    });
    if let (Some(_), Some(entry)) = (&authorities, table.entry("fingerprint")) {
        let message = "`ca` and `fingerprint` exclude each other";
        reporter.error(entry.span, message, "keep one of them");
    }
    fingerprint.or(authorities).unwrap_or_default()
}

/// `AB:CD…` or `abcd…`, also with `sha256:` before it.
fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let text = text.strip_prefix("sha256:").unwrap_or(text);
    let digits: Vec<u8> = text
        .chars()
        .filter(|char| *char != ':')
        .map(|char| char.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] * 16 + pair[1])
        .collect();
    (digits.len() == 64)
        .then(|| bytes.try_into().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn a_fingerprint_may_be_written_as_tools_print_it() {
        let plain = "0aff".repeat(16);
        let colons = vec!["0A:FF"; 16].join(":");
        assert_eq!(fingerprint(&plain), fingerprint(&colons));
        assert_eq!(
            fingerprint(&format!("sha256:{plain}")),
            fingerprint(&colons)
        );
        assert_eq!(fingerprint(&plain).unwrap()[..2], [0x0a, 0xff]);
        for wrong in ["", "0a", &plain[1..], &format!("{plain}00"), "0g"] {
            assert_eq!(fingerprint(wrong), None, "{wrong}");
        }
    }
}

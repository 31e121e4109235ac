//! `headers`: of requests, and beside a broker's messages.

use faceway_core::outbound_kind::{HeaderStyle, Headers};
use http::header::{HeaderName, HeaderValue as Header};

use crate::diagnostic::Reporter;
use crate::read::{Entry, Node, Table};
use crate::{Projection, Secret, Template, secret};

use super::address;

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// As written, the same for every event.
    Text(String),
    /// With fields of the event in it.
    Template(Template),
    /// Named.
    Secret(Secret),
}

/// Parts of names of headers whose value is a secret.
const SECRET: [&str; 7] = [
    "auth", "token", "secret", "password", "cookie", "api-key", "apikey",
];

/// Reads the headers that a protocol declares to have a place for.
pub(super) fn read(
    table: &Table<'_>,
    declared: &Headers,
    projection: &Projection,
) -> Vec<(HeaderName, HeaderValue)> {
    match declared.style {
        HeaderStyle::Http => of_requests(table, declared.taken, projection),
        HeaderStyle::Text => of_messages(table, declared.taken, projection),
    }
}

fn of_requests(
    table: &Table<'_>,
    taken: &[&str],
    projection: &Projection,
) -> Vec<(HeaderName, HeaderValue)> {
    let help = "write it like `{ authorization = { env = \"ERP_AUTH\" }, x-site = \"lobby\" }`";
    let reporter = table.reporter();
    let format = table.get("format").and_then(Node::text);
    let is_cloud = format.is_some_and(|format| format.starts_with("cloudevents"));
    let value = |name: &HeaderName, node: &Node| {
        if name == "content-type" && is_cloud {
            let message = "a receiver of CloudEvents knows them by their `content-type`";
            let help = "leave it out, or write another `format`";
            reporter.error(node.span, message, help);
            return None;
        }
        value(reporter, name, node, projection)
    };
    each(table, help, taken, value)
}

/// Texts alone: a reader of the messages would read a secret with them.
fn of_messages(
    table: &Table<'_>,
    taken: &[&str],
    projection: &Projection,
) -> Vec<(HeaderName, HeaderValue)> {
    let help = "write it like `{ x-site = \"lobby\", x-device = \"{device.id}\" }`";
    let reporter = table.reporter();
    let value = |name: &HeaderName, node: &Node| {
        if is_secret(name) || node.entries().is_some() {
            secret::mask_all(reporter, node);
            let message = format!("header `{name}` is no place for a secret");
            let help = "every subscriber sees it; leave it out";
            reporter.error(node.span, message, help);
            return None;
        }
        text(reporter, name, node)?;
        let template = address::template(reporter, &format!("headers.{name}"), node, projection)?;
        Some(HeaderValue::Template(template))
    };
    each(table, help, taken, value)
}

fn each(
    table: &Table<'_>,
    help: &str,
    taken: &[&str],
    value: impl Fn(&HeaderName, &Node) -> Option<HeaderValue>,
) -> Vec<(HeaderName, HeaderValue)> {
    let reporter = table.reporter();
    let Some(node) = table.get("headers") else {
        return Vec::new();
    };
    let Some(entries) = node.entries() else {
        let message = format!("`headers` must be a table, not {}", node.value.kind());
        secret::mask_all(reporter, node);
        reporter.error(node.span, message, help);
        return Vec::new();
    };
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for entry in entries {
        // A secret behind a name that does not sound like one. What has a placeholder is shown, as its mistakes are.
        if entry
            .node
            .text()
            .is_some_and(|text| !text.contains(['{', '}']))
        {
            reporter.mask(entry.node.span);
        }
        let Some(name) = name(reporter, entry, taken) else {
            continue;
        };
        if headers.iter().any(|(known, _)| *known == name) {
            let message = format!("header `{name}` is set twice");
            reporter.error(entry.span, message, "upper and lower case are the same");
        }
        headers.extend(value(&name, &entry.node).map(|value| (name, value)));
    }
    headers
}

fn name(reporter: &Reporter, entry: &Entry, taken: &[&str]) -> Option<HeaderName> {
    let Ok(name) = entry.key.parse::<HeaderName>() else {
        secret::mask_all(reporter, &entry.node);
        let message = format!("`{}` is no name of a header", entry.key);
        reporter.error(entry.span, message, "write it like `x-site`");
        return None;
    };
    if taken.contains(&name.as_str()) {
        let message = format!("header `{name}` is set by Faceway");
        reporter.error(entry.span, message, "leave it out");
        return None;
    }
    Some(name)
}

fn is_secret(name: &HeaderName) -> bool {
    SECRET.iter().any(|part| name.as_str().contains(part))
}

fn value(
    reporter: &Reporter,
    name: &HeaderName,
    node: &Node,
    projection: &Projection,
) -> Option<HeaderValue> {
    let key = format!("headers.{name}");
    if is_secret(name) || node.entries().is_some() {
        return secret::read(reporter, &key, node).map(HeaderValue::Secret);
    }
    let text = text(reporter, name, node)?;
    if Header::from_str(text).is_err() {
        let message =
            format!("the value of header `{name}` has characters that no header may have");
        reporter.error(node.span, message, "only visible ASCII and blanks");
        return None;
    }
    // A brace that is no placeholder is a character like others.
    let placeholders =
        Template::parse(text).map_or_else(|error| error.meant, |text| text.has_fields());
    if !placeholders {
        return Some(HeaderValue::Text(text.into()));
    }
    address::template(reporter, &key, node, projection).map(HeaderValue::Template)
}

fn text<'n>(reporter: &Reporter, name: &HeaderName, node: &'n Node) -> Option<&'n str> {
    let text = node.text();
    if text.is_none() {
        let kind = node.value.kind();
        let message = format!("`headers.{name}` must be text or a secret, not {kind}");
        reporter.error(node.span, message, "write it in quotes");
    }
    text
}

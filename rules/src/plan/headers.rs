//! `headers` of a webhook.

use http::header::{HeaderName, HeaderValue as Header};

use crate::Template;
use crate::diagnostic::Reporter;
use crate::read::{Entry, Node, Table};
use crate::secret;

use super::HeaderValue;

/// Set by Faceway, or by the protocol.
const TAKEN: [&str; 11] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// Parts of names of headers whose value is a secret.
const SECRET: [&str; 7] = [
    "auth", "token", "secret", "password", "cookie", "api-key", "apikey",
];

pub(super) fn read(table: &Table<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let reporter = table.reporter();
    let Some(node) = table.get("headers") else {
        return Vec::new();
    };
    let Some(entries) = node.entries() else {
        let help = "write it like `{ authorization = { env = \"ERP_AUTH\" }, x-site = \"lobby\" }`";
        let message = format!("`headers` must be a table, not {}", node.value.kind());
        secret::mask_all(reporter, node);
        reporter.error(node.span, message, help);
        return Vec::new();
    };
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for entry in entries {
        let Some(name) = name(reporter, entry) else {
            continue;
        };
        if headers.iter().any(|(known, _)| *known == name) {
            let message = format!("header `{name}` is set twice");
            reporter.error(entry.span, message, "upper and lower case are the same");
        }
        headers.extend(value(reporter, &name, &entry.node).map(|value| (name, value)));
    }
    headers
}

fn name(reporter: &Reporter, entry: &Entry) -> Option<HeaderName> {
    let Ok(name) = entry.key.parse::<HeaderName>() else {
        secret::mask_all(reporter, &entry.node);
        let message = format!("`{}` is no name of a header", entry.key);
        reporter.error(entry.span, message, "write it like `x-site`");
        return None;
    };
    if TAKEN.contains(&name.as_str()) {
        let message = format!("header `{name}` is set by Faceway");
        reporter.error(entry.span, message, "leave it out");
        return None;
    }
    Some(name)
}

fn value(reporter: &Reporter, name: &HeaderName, node: &Node) -> Option<HeaderValue> {
    let key = format!("headers.{name}");
    let is_secret = SECRET.iter().any(|part| name.as_str().contains(part));
    if is_secret || node.entries().is_some() {
        return secret::read(reporter, &key, node).map(HeaderValue::Secret);
    }
    let Some(text) = node.text() else {
        let message = format!(
            "`{key}` must be text or a secret, not {}",
            node.value.kind()
        );
        reporter.error(node.span, message, "write it in quotes");
        return None;
    };
    if Header::from_str(text).is_err() {
        let message =
            format!("the value of header `{name}` has characters that no header may have");
        reporter.error(node.span, message, "only visible ASCII and blanks");
        return None;
    }
    match Template::parse(text) {
        Ok(template) if template.has_fields() => {
            let message = "placeholders in headers are not in this version yet";
            reporter.error(node.span, message, "write a fixed text");
            None
        }
        // A brace that is no placeholder is a character like others.
        _ => Some(HeaderValue::Text(text.into())),
    }
}

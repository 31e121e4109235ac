//! Secrets are named in files, never written.

use faceway_core::Secret;

use crate::diagnostic::Reporter;
use crate::read::{Entry, Node, Value};

const HELP: &str = "name it: `{ env = \"NAME\" }`, or `{ file = \"/run/secrets/name\" }`; never write it into this file";

/// Reads the name of a secret. Whatever else stands there is masked.
pub(crate) fn read(reporter: &Reporter, key: &str, node: &Node) -> Option<Secret> {
    let Value::Table(entries) = &node.value else {
        mask_all(reporter, node);
        reporter.error(
            node.span,
            format!("the secret `{key}` is written as {}", node.value.kind()),
            HELP,
        );
        return None;
    };
    let [entry] = entries.as_slice() else {
        mask_all(reporter, node);
        reporter.error(
            node.span,
            format!("the secret `{key}` must name one source"),
            HELP,
        );
        return None;
    };
    let secret = source(entry);
    if secret.is_none() {
        mask_all(reporter, &entry.node);
        reporter.error(entry.node.span, not_a_source(key, entry), HELP);
    }
    secret
}

fn source(entry: &Entry) -> Option<Secret> {
    let text = entry.node.text()?;
    match entry.key.as_str() {
        "env" if is_variable(text) => Some(Secret::Env(text.into())),
        "file" if !text.trim().is_empty() => Some(Secret::File(text.into())),
        _ => None,
    }
}

fn not_a_source(key: &str, entry: &Entry) -> String {
    match entry.key.as_str() {
        "env" => format!("the secret `{key}` must name an environment variable"),
        "file" => format!("the secret `{key}` must name a file"),
        other => format!("the secret `{key}` cannot come from `{other}`"),
    }
}

fn is_variable(text: &str) -> bool {
    let word = |char: char| char.is_ascii_alphanumeric() || char == '_';
    text.chars().all(word) && text.starts_with(|char: char| !char.is_ascii_digit())
}

/// Masks every scalar in it.
pub(crate) fn mask_all(reporter: &Reporter, node: &Node) {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                mask_all(reporter, &entry.node);
            }
        }
        Value::List(items) => items.iter().for_each(|item| mask_all(reporter, item)),
        _ => reporter.mask(node.span),
    }
}

//! Texts with placeholders: topics, routing keys, headers.

use faceway_core::outbound_kind::Address;

use crate::diagnostic::{Reporter, Span};
use crate::read::{Node, Table};
use crate::{Field, Projection, Template};

/// Reads the address that a protocol declares, or the one that counts when its key is left out.
pub(super) fn read(table: &Table<'_>, address: &Address, projection: &Projection) -> Template {
    let reporter = table.reporter();
    let (key, default) = (address.key, address.default);
    if let Some(node) = table.get(key) {
        let template = table
            .text(key)
            .and_then(|_| template(reporter, key, node, projection));
        let wrong = |template: &Template| {
            let parts: Vec<_> = template.literals().collect();
            (address.wrong)(&parts)
        };
        if let Some((message, help)) = template.as_ref().and_then(wrong) {
            reporter.error(node.span, format!("`{key}` {message}"), help);
        }
        return template.unwrap_or_default();
    }
    let template = Template::parse(default).unwrap_or_default();
    if let Some(field) = hidden(&template, projection) {
        let message = format!(
            "`{key}` is `{default}` when left out, and `{}` is not for this outbound",
            field.path
        );
        reporter.error(table.span(), message, format!("write a `{key}` without it"));
    }
    template
}

/// Reads a text whose placeholders this outbound may see.
pub(super) fn template(
    reporter: &Reporter,
    key: &str,
    node: &Node,
    projection: &Projection,
) -> Option<Template> {
    let text = node.text()?;
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => {
            let span = within(reporter, node, text, error.start..error.end);
            reporter.error(span, format!("`{key}`: {}", error.message), error.help);
            return None;
        }
    };
    if let Some(field) = hidden(&template, projection) {
        let at = text.find(&format!("{{{}}}", field.path)).unwrap_or(0) + 1;
        let span = within(reporter, node, text, at..at + field.path.len());
        let message = format!(
            "`{key}` names `{}`, which this outbound may not see by `omit` or `only`",
            field.path
        );
        reporter.error(span, message, "name another field, or let it see this one");
        return None;
    }
    Some(template)
}

fn hidden<'t>(template: &'t Template, projection: &Projection) -> Option<&'t Field> {
    template.fields().find(|field| projection.hides(field))
}

/// The place of a part of a text, where the file writes it without escapes; else that of the whole text.
fn within(reporter: &Reporter, node: &Node, text: &str, part: std::ops::Range<usize>) -> Span {
    match reporter.slice(node.span).find(text) {
        Some(at) => Span {
            start: node.span.start + at + part.start,
            end: node.span.start + at + part.end,
            ..node.span
        },
        None => node.span,
    }
}

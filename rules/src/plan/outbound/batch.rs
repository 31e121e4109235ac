//! `batch_max`: several events in one message.

use crate::diagnostic::Span;
use crate::read::Table;

use super::Protocol;
use crate::plan::Grammar;

/// Events in one message. More than one is an error where they cannot go together.
pub(super) fn read(table: &Table<'_>, protocol: &Protocol, grammar: &Grammar) -> u32 {
    let most = table.whole("batch_max").map(u32::try_from);
    let Some(Ok(most)) = most else {
        return 1;
    };
    if most > 1
        && let Some(node) = table.get("batch_max")
    {
        check(table, protocol, grammar, node.span);
    }
    most
}

fn check(table: &Table<'_>, protocol: &Protocol, grammar: &Grammar, span: Span) {
    let reporter = table.reporter();
    let Some(message_of_several) = protocol.kind().batches else {
        let name = protocol.name();
        let message = format!(
            "`batch_max` above 1 is for {}: {name} has one event a message",
            grammar.batching("", "s")
        );
        let help = "leave it out; `concurrency_max` says how many are on their way at once";
        reporter.error(span, message, help);
        return;
    };
    let alone = match table.get("format").and_then(|node| node.text()) {
        Some("template") => Some("a template writes one event"),
        Some("cloudevents-binary") => Some("CloudEvents has no batches in binary mode"),
        _ => None,
    };
    if let Some(why) = alone {
        let message = format!("`batch_max` above 1 is not for this format: {why}");
        let help = "write `format = \"canonical\"` or `\"cloudevents\"`, or leave `batch_max` out";
        reporter.error(span, message, help);
    }
    if let Some((name, _)) = protocol.headers().first() {
        let message = format!(
            "`batch_max` above 1 does not go with placeholders: the header `{name}` would be of one event, {message_of_several} has several"
        );
        let help = "take the placeholders out, as each event of the array has its fields, or leave `batch_max` out";
        reporter.error(span, message, help);
    }
}

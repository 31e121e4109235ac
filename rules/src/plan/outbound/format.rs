//! `format` and `template`.

use std::path::Path;

use crate::diagnostic::Span;
use crate::format::{Format, TemplateFile};
use crate::read::{Node, Table};
use crate::{Images, Projection, ReadFile};

use super::Protocol;

pub(super) fn read(
    table: &Table<'_>,
    projection: &Projection,
    images: Images,
    files: ReadFile<'_>,
) -> Format {
    let word = table.word("format");
    let path = table.text("template");
    let template = table.entry("template");
    let reporter = table.reporter();
    let span = table.get("format").map_or(table.span(), |node| node.span);
    match (word, template) {
        (Some("template"), Some(entry)) => path
            .and_then(|path| file(table, &entry.node, path, files, (projection, images)))
            .map_or(Format::Canonical, Format::Template),
        (Some("template"), None) => {
            let message = "`format = \"template\"` needs a file";
            reporter.absent(span, message, "name it: `template = \"erp.json.j2\"`");
            Format::Canonical
        }
        (word, template) => {
            if let Some(entry) = template {
                let message = "`template` has no use with this format";
                let help = "it is for `format = \"template\"`";
                reporter.warning(entry.span, message, help);
            }
            match word {
                Some("cloudevents") => Format::CloudEvents,
                Some("cloudevents-binary") => Format::CloudEventsBinary,
                _ => Format::Canonical,
            }
        }
    }
}

/// The binary mode is defined where something goes beside the body, and how it is written there.
pub(super) fn check_binary(table: &Table<'_>, format: &Format, protocol: &Protocol) {
    if *format == Format::CloudEventsBinary
        && let Some(lacks) = protocol.settings().lacks_attributes()
    {
        let span = table.get("format").map_or(table.span(), |node| node.span);
        let message = format!("`cloudevents-binary` is not for this outbound: {lacks}");
        let help = "write `format = \"cloudevents\"`";
        table.reporter().error(span, message, help);
    }
}

fn file(
    table: &Table<'_>,
    node: &Node,
    path: &str,
    files: ReadFile<'_>,
    (projection, images): (&Projection, Images),
) -> Option<TemplateFile> {
    let reporter = table.reporter();
    let text = match files(Path::new(path)) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("the template `{path}` {why}");
            let help = "it is looked for beside the file that names it";
            reporter.error(node.span, message, help);
            return None;
        }
    };
    let mistake = match TemplateFile::tried(path, &text, projection, images) {
        Ok(template) => return Some(template),
        Err(mistake) => mistake,
    };
    let span = match mistake.place {
        Some(place) => Span {
            source: reporter.add_source(path, &text),
            start: place.start,
            end: place.end,
        },
        None => node.span,
    };
    reporter.error(span, mistake.message, mistake.help);
    None
}

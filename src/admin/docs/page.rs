//! A document as a page: Markdown to HTML, with links that lead to other pages.

use std::collections::HashMap;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

use super::{Document, MAIN};

/// The page of a document.
pub(super) fn of(document: &Document) -> String {
    let mut title = None;
    let events = Parser::new_ext(document.text, Options::ENABLE_TABLES);
    let events = with_anchors(events.collect(), &mut title);
    let mut body = String::with_capacity(document.text.len() * 2);
    let mut showing = Showing {
        document,
        lost: false,
        comment: false,
    };
    let events = events.into_iter();
    html::push_html(&mut body, events.filter_map(|event| showing.show(event)));
    let title = escaped(title.as_deref().unwrap_or("Faceway"));
    [
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        &format!("<title>{title}</title>\n<style>\n"),
        include_str!("../../console/colours.css"),
        include_str!("style.css"),
        "</style>\n</head>\n<body>\n",
        &navigation(document),
        "<main>\n",
        &body,
        "</main>\n</body>\n</html>\n",
    ]
    .concat()
}

fn navigation(here: &Document) -> String {
    let mut nav = String::from("<nav aria-label=\"Documents\">\n<a href=\"/\">Console</a>\n");
    for (name, path) in MAIN {
        let Some(document) = Document::at(path) else {
            continue;
        };
        let current = match path == here.path {
            true => " aria-current=\"page\"",
            false => "",
        };
        nav += &format!("<a href=\"{}\"{current}>{name}</a>\n", document.url());
    }
    nav + "</nav>\n"
}

/// Gives each heading the anchor that the repository's host gives it, and finds the first one's text.
fn with_anchors<'d>(mut events: Vec<Event<'d>>, title: &mut Option<String>) -> Vec<Event<'d>> {
    let mut known = HashMap::<String, usize>::new();
    let mut heading = None;
    let mut text = String::new();
    for at in 0..events.len() {
        match &events[at] {
            Event::Start(Tag::Heading { .. }) => {
                heading = Some(at);
                text.clear();
            }
            Event::Text(part) | Event::Code(part) if heading.is_some() => text.push_str(part),
            Event::End(TagEnd::Heading(_)) => {
                let mut anchor = anchor(&text);
                let count = known.entry(anchor.clone()).or_default();
                if *count > 0 {
                    anchor = format!("{anchor}-{count}");
                }
                *count += 1;
                if let Some(Event::Start(Tag::Heading { id, .. })) =
                    heading.take().and_then(|at| events.get_mut(at))
                {
                    *id = Some(anchor.into());
                }
                title.get_or_insert_with(|| text.clone());
            }
            _ => {}
        }
    }
    events
}

/// Small letters, digits, `-` and `_`; blanks are `-`, all else is left out.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().chars().filter_map(|char| match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ if char.is_alphanumeric() => Some(char),
        _ => None,
    });
    letters.flat_map(char::to_lowercase).collect()
}

/// Goes through the parts of a document.
struct Showing<'p> {
    document: &'p Document,
    /// Within a link that leads nowhere: its text alone stays.
    lost: bool,
    /// Within a comment.
    comment: bool,
}

impl Showing<'_> {
    /// What is shown of a part.
    fn show<'d>(&mut self, event: Event<'d>) -> Option<Event<'d>> {
        match event {
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) => {
                let target = target(self.document, &dest_url);
                self.lost = target.is_none();
                Some(Event::Start(Tag::Link {
                    link_type,
                    dest_url: target?.into(),
                    title,
                    id,
                }))
            }
            Event::End(TagEnd::Link) if std::mem::take(&mut self.lost) => None,
            // A picture would be loaded from somewhere; its text stays.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
            // A comment is for who writes; `<name>` is meant as it stands.
            Event::Html(text) | Event::InlineHtml(text) => {
                let begins = self.comment || text.trim_start().starts_with("<!--");
                self.comment = begins && !text.contains("-->");
                (!begins).then_some(Event::Text(text))
            }
            event => Some(event),
        }
    }
}

/// Where a link leads; `None` when that is not served.
fn target(document: &Document, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with('#') {
        return Some(link.to_owned());
    }
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, format!("#{anchor}")),
        None => (link, String::new()),
    };
    let path = joined(document.path, file);
    let found = Document::at(&path).or_else(|| Document::at(&format!("{path}/README.md")));
    Some(found?.url() + &anchor)
}

/// A path that is written in a file of the repository, as one from its root.
fn joined(from: &str, to: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// The links of a document that lead to nothing that is served.
#[cfg(test)]
pub(super) fn dead_links(document: &Document) -> Vec<String> {
    let events = Parser::new_ext(document.text, Options::ENABLE_TABLES);
    let links = events.filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.into_string()),
        _ => None,
    });
    links
        .filter(|link| target(document, link).is_none())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &'static str) -> String {
        of(&Document {
            path: "docs/x.md",
            text,
        })
    }

    #[test]
    fn headings_have_the_anchors_that_links_name() {
        let html = page(
            "# A `b` & c\n\n## Alert FacewayDown\n\n## `[inbound.<adapter>.<name>]`\n\n## Same\n\n## Same\n",
        );
        for part in [
            "<title>A b &amp; c</title>",
            "<h1 id=\"a-b--c\">",
            "<h2 id=\"alert-facewaydown\">",
            "<h2 id=\"inboundadaptername\">",
            "<h2 id=\"same\">",
            "<h2 id=\"same-1\">",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn links_lead_to_pages_and_never_out_of_what_is_served() {
        let html = page(
            "[a](operating.md#alert-x) [b](../README.md) [c](schema/event.json) [d](../deploy/grafana/) [e](../Cargo.toml) [f](https://a.example/) [g](#h)",
        );
        for part in [
            "<a href=\"/docs/operating#alert-x\">a</a>",
            "<a href=\"/docs\">b</a>",
            "<a href=\"/docs/schema/event.json\">c</a>",
            "<a href=\"/docs/deploy/grafana\">d</a>",
            "</a> e <a href=\"https://a",
            "<a href=\"https://a.example/\">f</a>",
            "<a href=\"#h\">g</a>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
    }

    #[test]
    fn markup_of_a_document_is_text() {
        let html = page(
            "a <name> b\n\n<!-- for\nwho writes -->\n\n<script>alert(1)</script>\n\n![pic](https://a.example/p.png)\n",
        );
        assert!(html.contains("a &lt;name&gt; b"), "{html}");
        assert!(html.contains("&lt;script&gt;"), "{html}");
        assert!(
            !html.contains("who writes") && !html.contains("p.png"),
            "{html}"
        );
    }
}

//! The documents, built in, so that they are there without a network and are those of this version. They hold nothing of a
//! site, so they need no token.

mod page;

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};

use faceway_core::outbound_kind::Readme;

use super::problem::Problem;

/// A file of the repository that is served.
#[derive(Clone, Copy)]
struct Document {
    /// In the repository.
    path: &'static str,
    text: &'static str,
}

macro_rules! documents {
    ($($path:literal),* $(,)?) => {
        vec![$(Document {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)),
        }),*]
    };
}

/// All of them: README, every page of docs/, what these point to, and what protocols bring for authors of receivers.
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let readmes = faceway_outbounds::ALL.iter().filter_map(|kind| kind.readme);
    let readmes = readmes.map(|Readme { path, text }| Document { path, text });
    let mut documents = documents();
    documents.extend(readmes);
    documents
});

fn documents() -> Vec<Document> {
    documents![
        "README.md",
        "docs/operating.md",
        "docs/cluster.md",
        "docs/promises.md",
        "docs/inbounds.md",
        "docs/cookbook.md",
        "docs/routes.md",
        "docs/gateway.md",
        "docs/event.md",
        "docs/formats.md",
        "docs/glossary.md",
        "docs/sources.md",
        "docs/adding-an-adapter.md",
        "docs/adding-an-outbound.md",
        "docs/adding-an-engine.md",
        "docs/schema/event.json",
        "docs/schema/gateway.json",
        "docs/schema/routes.json",
        "adapters/example/README.md",
        "adapters/findface/README.md",
        "adapters/nebula/README.md",
        "adapters/omni/README.md",
        "adapters/se5/README.md",
        "segments/README.md",
        "spools/disk/README.md",
        "spools/jetstream/README.md",
        "benches/README.md",
        "deploy/grafana/README.md",
        "deploy/prometheus/faceway.rules.yml",
        "deploy/prometheus/prometheus.yml",
        "deploy/systemd/faceway.service",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
    ]
}

/// What every page has a link to: the name, and the path in the repository.
const MAIN: [(&str, &str); 9] = [
    ("Overview", "README.md"),
    ("Operating", "docs/operating.md"),
    ("Inbounds", "docs/inbounds.md"),
    ("Cookbook", "docs/cookbook.md"),
    ("routes.toml", "docs/routes.md"),
    ("gateway.toml", "docs/gateway.md"),
    ("Event", "docs/event.md"),
    ("Formats", "docs/formats.md"),
    ("Changes", "CHANGELOG.md"),
];

/// `GET /docs`.
pub(super) async fn overview() -> Response {
    answer("")
}

/// `GET /docs/…`.
pub(super) async fn document(Path(name): Path<String>) -> Response {
    answer(&name)
}

fn answer(name: &str) -> Response {
    // `/docs/operating.md` is what a reader writes who knows the file.
    let name = name.trim_end_matches('/');
    let name = name.strip_suffix(".md").unwrap_or(name);
    let mut documents = DOCUMENTS.iter();
    match documents.find(|document| document.name() == name) {
        Some(document) if document.is_page() => Html(page::of(document)).into_response(),
        Some(document) => {
            let media_type = match document.path.ends_with(".json") {
                true => "application/json",
                false => "text/plain; charset=utf-8",
            };
            ([(header::CONTENT_TYPE, media_type)], document.text).into_response()
        }
        None => Problem::not_found("no such document; /docs names them").into_response(),
    }
}

impl Document {
    fn at(path: &str) -> Option<&'static Self> {
        DOCUMENTS.iter().find(|document| document.path == path)
    }

    fn is_page(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Its name below `/docs`, without its ending; empty for the overview.
    fn name(&self) -> String {
        let path = self.path.strip_prefix("docs/").unwrap_or(self.path);
        let Some(page) = path.strip_suffix(".md") else {
            return path.to_owned();
        };
        match page.strip_suffix("README") {
            Some(folder) => folder.trim_end_matches('/').to_owned(),
            None => page.to_ascii_lowercase(),
        }
    }

    fn url(&self) -> String {
        match self.name().as_str() {
            "" => "/docs".to_owned(),
            name => format!("/docs/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use super::*;

    /// All that stands between `before` and the next quote.
    fn quoted<'h>(html: &'h str, before: &str) -> Vec<&'h str> {
        let parts = html.split(before).skip(1);
        parts.filter_map(|rest| rest.split('"').next()).collect()
    }

    fn pages() -> BTreeMap<String, String> {
        let pages = DOCUMENTS.iter().filter(|document| document.is_page());
        pages
            .map(|document| (document.url(), page::of(document)))
            .collect()
    }

    #[test]
    fn every_page_of_docs_and_every_reference_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(root.join("docs")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(page) = name.strip_suffix(".md") {
                assert!(
                    Document::at(&format!("docs/{page}.md")).is_some(),
                    "add \"docs/{name}\" to `documents` of src/admin/docs.rs"
                );
            }
        }
        let names: BTreeSet<_> = DOCUMENTS.iter().map(Document::url).collect();
        assert_eq!(names.len(), DOCUMENTS.len(), "two have one name");
        for (_, path) in MAIN {
            assert!(Document::at(path).is_some(), "{path}");
        }
    }

    /// What is no link in a page is one that leads out of what is served.
    #[test]
    fn every_link_leads_to_a_page_and_a_heading_that_are_there() {
        let pages = pages();
        let files: BTreeSet<_> = DOCUMENTS.iter().map(Document::url).collect();
        let mut checked = 0;
        for (url, html) in &pages {
            for link in quoted(html, "href=\"") {
                if link == "/" || link.contains("://") {
                    continue;
                }
                let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
                let to = if to.is_empty() { url } else { to };
                assert!(files.contains(to), "{url}: {link}");
                if !anchor.is_empty() {
                    let ids = quoted(&pages[to], "id=\"");
                    assert!(ids.contains(&anchor), "{url}: {link}");
                }
                checked += 1;
            }
        }
        assert!(checked > 200, "{checked}");
    }

    #[test]
    fn every_reference_of_a_document_is_a_link() {
        for document in DOCUMENTS.iter().filter(|document| document.is_page()) {
            let lost = page::dead_links(document);
            assert!(
                lost.is_empty(),
                "{} points to {lost:?}: add that to `documents` of src/admin/docs.rs, or take the link out",
                document.path
            );
        }
    }

    #[test]
    fn pages_load_nothing() {
        for (url, html) in pages() {
            for loads in [
                "src=", "url(", "@import", "<script", "<link", "<img", "<iframe",
            ] {
                assert!(!html.contains(loads), "{url} has {loads}");
            }
            assert!(
                html.contains("<title>") && html.ends_with("</html>\n"),
                "{url}"
            );
        }
    }
}

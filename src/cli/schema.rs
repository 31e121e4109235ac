//! `faceway schema`: what events and files look like, for machines and editors, and as pages for people.

mod markdown;
mod pages;

use clap::{Args, ValueEnum};
use faceway::config;
use serde_json::{Value, json};

use super::{Ended, Streams};

/// JSON Schema of the canonical event or of a file.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  faceway schema event > event.schema.json\n  faceway schema routes --markdown | less"
)]
pub(crate) struct Schema {
    /// Of what
    what: What,
    /// As a page for people: every key or field with what it is and means
    #[arg(long)]
    markdown: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// The canonical event, as receivers get it
    Event,
    /// routes.toml
    Routes,
    /// gateway.toml
    Gateway,
}

impl What {
    fn schema(self) -> Value {
        match self {
            Self::Event => faceway_core::schema::published(),
            Self::Routes => faceway_rules::schema(&config::grammar()),
            Self::Gateway => gateway(),
        }
    }

    fn page(self) -> String {
        match self {
            Self::Event => pages::event(),
            Self::Routes => pages::routes(&self.schema()),
            Self::Gateway => pages::gateway(&self.schema()),
        }
    }
}

impl Schema {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        if self.markdown {
            write!(streams.out, "{}", self.what.page())?;
            return Ok(());
        }
        serde_json::to_writer_pretty(&mut *streams.out, &self.what.schema())?;
        writeln!(streams.out)?;
        Ok(())
    }
}

fn gateway() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Faceway gateway",
    });
    if let (Some(schema), Value::Object(table)) = (
        schema.as_object_mut(),
        faceway_rules::schema_of(config::gateway::ROOT),
    ) {
        schema.extend(table);
    }
    schema
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::streams::Buffers;
    use crate::cli::{Words, obey};

    #[test]
    fn each_schema_names_what_it_is_of() {
        for (what, path) in [
            ("event", "/$defs/Person/properties/category"),
            ("routes", "/properties/inbound/properties/nebula"),
            ("gateway", "/properties/listen/properties/devices"),
        ] {
            let words = Words::try_parse_from(["faceway", "schema", what]).unwrap();
            let (ended, out, _) = Buffers::run("", |streams| obey(words, streams));
            ended.unwrap();
            let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert!(
                schema["$schema"].is_string() && schema["title"].is_string(),
                "{what}"
            );
            assert!(schema.pointer(path).is_some(), "{what} has no {path}");
        }
    }

    /// `docs/schema/*.json` and the reference pages are what the commands print. `FACEWAY_BLESS=1` writes them.
    #[test]
    fn the_documents_are_what_the_commands_print() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for (arguments, file) in [
            (&["event"][..], "schema/event.json"),
            (&["routes"], "schema/routes.json"),
            (&["gateway"], "schema/gateway.json"),
            (&["event", "--markdown"], "event.md"),
            (&["routes", "--markdown"], "routes.md"),
            (&["gateway", "--markdown"], "gateway.md"),
        ] {
            let words = ["faceway", "schema"].iter().chain(arguments);
            let words = Words::try_parse_from(words).unwrap();
            let (ended, out, _) = Buffers::run("", |streams| obey(words, streams));
            ended.unwrap();
            let file = docs.join(file);
            if std::env::var_os("FACEWAY_BLESS").is_some() {
                std::fs::write(&file, &out).unwrap();
            }
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                out == written,
                "{} is not what `faceway schema {}` prints: look at the difference, then FACEWAY_BLESS=1",
                file.display(),
                arguments.join(" ")
            );
        }
    }

    /// A key that no page tells of would be a secret.
    #[test]
    fn every_key_has_a_word_about_it() {
        for what in ["routes.md", "gateway.md"] {
            let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("docs")
                .join(what);
            for row in std::fs::read_to_string(page).unwrap().lines() {
                assert!(
                    !row.starts_with("| `") || !row.ends_with("|  |"),
                    "{what}: {row}"
                );
            }
        }
    }
}

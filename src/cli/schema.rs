//! `faceway schema`: what events and files look like, for machines.

use clap::{Args, ValueEnum};
use faceway::config;
use serde_json::{Value, json};

use super::{Ended, Streams};

/// JSON Schema of the canonical event or of a file.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway schema event > event.schema.json")]
pub(crate) struct Schema {
    /// Of what
    what: What,
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

impl Schema {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let schema = match self.what {
            What::Event => faceway_core::schema::event(),
            What::Routes => faceway_rules::schema(&config::grammar()),
            What::Gateway => gateway(),
        };
        serde_json::to_writer_pretty(&mut *streams.out, &schema)?;
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
            ("event", "/properties/person/properties/category"),
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
}

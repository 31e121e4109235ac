//! JSON Schema of `routes.toml`, made from the keys that the reader reads.

pub(crate) mod own;

use std::collections::BTreeMap;

use faceway_core::TLS;
use serde_json::{Map, Value, json};

use crate::plan::{self, Grammar};
use crate::read::{Key, Shape};

/// JSON Schema (2020-12) of `routes.toml` of this grammar.
pub fn schema(grammar: &Grammar) -> Value {
    let inbounds = grammar.adapters.iter().map(|adapter| {
        let keys = plan::inbound_keys(adapter);
        (adapter.name, named(schema_of(&keys)))
    });
    let outbounds = grammar.outbounds.iter().map(|kind| {
        let mut schema = schema_of(&plan::outbound_keys(kind));
        for (key, about) in [
            ("batch_max", batches(grammar)),
            ("concurrency_max", concurrency(grammar)),
        ] {
            schema["properties"][key]["description"] = about.into();
        }
        (kind.name, named(schema))
    });
    let mut root = schema_of(plan::ROOT);
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "Faceway routes".into();
    let sections = [
        ("inbound", groups(inbounds)),
        ("outbound", groups(outbounds)),
        ("route", json!({ "type": "array", "items": route() })),
        (
            "test",
            json!({ "type": "array", "items": schema_of(plan::TEST) }),
        ),
    ];
    for (name, section) in sections {
        let about = root["properties"][name]["description"].take();
        root["properties"][name] = section;
        root["properties"][name]["description"] = about;
    }
    // No operator means a file without an inbound and an outbound.
    root["anyOf"] = json!([{ "required": ["inbound"] }, { "required": ["outbound"] }]);
    root
}

/// What `batch_max` is, and for which protocols.
fn batches(grammar: &Grammar) -> String {
    let batching = grammar.batching("a ", "");
    format!("Events in one message of {batching}, 1 when left out; more = a JSON array.")
}

/// What `concurrency_max` is, and what counts where it is left out: the first protocol's, and what differs from it.
fn concurrency(grammar: &Grammar) -> String {
    let usual = grammar.outbounds.first().map_or(0, |kind| kind.concurrency);
    let mut others = BTreeMap::<u32, Vec<&str>>::new();
    for kind in grammar
        .outbounds
        .iter()
        .filter(|kind| kind.concurrency != usual)
    {
        others.entry(kind.concurrency).or_default().push(kind.name);
    }
    let others = others.iter();
    let others = others.map(|(number, names)| format!(", {number} for {}", names.join(" and ")));
    format!(
        "Deliveries at the same time; {usual} when left out{}. Events of one device stay one after another.",
        others.collect::<String>()
    )
}

/// JSON Schema of a table with these keys.
pub fn schema_of(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut property = shape(&key.shape);
            property["description"] = match key.default {
                Some(default) => format!("{} Default {default}.", key.about).into(),
                None => key.about.into(),
            };
            if let Some(default) = key.default_value() {
                property["default"] = default;
            }
            (key.name.into(), property)
        })
        .collect();
    let required = keys.iter().filter(|key| key.required);
    let required: Vec<_> = required.map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn shape(shape: &Shape) -> Value {
    match *shape {
        Shape::Text | Shape::Template => json!({ "type": "string", "minLength": 1 }),
        Shape::TextOrEmpty => json!({ "type": "string" }),
        Shape::Path => {
            json!({ "type": "string", "minLength": 1, "title": "path of a file or directory" })
        }
        Shape::Url(schemes) => json!({
            "type": "string",
            "pattern": format!("^({})://", schemes.join("|")),
            "title": format!("URL with {}://", schemes.join(":// or ")),
        }),
        Shape::UrlOrTable(schemes, keys) => {
            let mut schema = schema_of(keys);
            schema["type"] = json!(["string", "object"]);
            schema["pattern"] = json!(format!("^({})://", schemes.join("|")));
            schema
        }
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Whole { min, max: i64::MAX } => json!({ "type": "integer", "minimum": min }),
        Shape::Whole { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Numbers(numbers) => json!({ "enum": numbers }),
        Shape::Duration { .. } => json!({
            "type": "string",
            "pattern": "^[0-9]+ ?(ms|s|m|h|d)$",
            "title": "span of time",
            "examples": ["250ms", "30s", "5m", "12h", "7d"],
        }),
        Shape::Bytes { .. } => json!({
            "type": "string",
            "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB|TiB)$",
            "title": "size",
            "examples": ["256KiB", "64MiB", "10GiB"],
        }),
        Shape::Word(words) | Shape::WordSoFar { words, .. } => json!({ "enum": words }),
        Shape::Texts => {
            json!({ "type": "array", "items": { "type": "string", "minLength": 1 }, "uniqueItems": true })
        }
        Shape::Words(words) => {
            json!({ "type": "array", "items": { "enum": words }, "uniqueItems": true })
        }
        Shape::Secret => own::secret(),
        Shape::Secrets => json!({ "type": "array", "items": own::secret(), "minItems": 1 }),
        Shape::Headers { secrets: true } => own::headers(),
        Shape::Headers { secrets: false } => own::texts(),
        Shape::Tls => schema_of(TLS),
        Shape::Table(keys) => schema_of(keys),
        Shape::Own(schema) => schema(),
    }
}

/// Tables of one kind by their names.
fn named(schema: Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": schema,
        "minProperties": 1,
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
    })
}

fn groups(groups: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let properties: Map<String, Value> =
        groups.map(|(name, schema)| (name.into(), schema)).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1 })
}

fn route() -> Value {
    let mut route = schema_of(plan::ROUTE);
    route["not"] = json!({ "required": ["when", "otherwise"] });
    route
}

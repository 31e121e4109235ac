//! The reference pages: `docs/routes.md`, `docs/gateway.md`, `docs/event.md`.

use std::fmt::Write as _;

use faceway_core::schema::{self, Field, FieldKind};
use serde_json::{Value, json};

use super::markdown::{cell, code, in_common, section};

const ROUTES: &str = include_str!("routes.md");
const GATEWAY: &str = include_str!("gateway.md");
const EVENT: &str = include_str!("event.md");
const EXAMPLE: &str = include_str!("example.json");

/// Where the tables come.
const TABLES: &str = "<!-- tables -->\n";
const TESTS: &str = "<!-- tests -->\n";
const FIELDS: &str = "<!-- fields -->\n";
const WHOLE: &str = "<!-- example -->\n";

/// The page about `routes.toml`.
pub(super) fn routes(schema: &Value) -> String {
    let properties = &schema["properties"];
    let mut tables = String::new();
    for (name, form) in [("inbound", "adapter"), ("outbound", "protocol")] {
        tables += &groups(name, form, &properties[name]);
    }
    for name in ["route", "test"] {
        let section_of = &properties[name];
        let about = section_of["description"].as_str().unwrap_or_default();
        tables += &section(&format!("## `[[{name}]]`"), about, &section_of["items"]);
    }
    ROUTES
        .replace(TABLES, tables.trim_start())
        .replace(TESTS, &tests())
}

/// A section whose tables are of several kinds.
fn groups(name: &str, form: &str, schema: &Value) -> String {
    let kinds = schema["properties"].as_object();
    let kinds = kinds.into_iter().flatten();
    let (names, mut groups): (Vec<_>, Vec<_>) = kinds
        .map(|(kind, group)| (kind, group["additionalProperties"].clone()))
        .unzip();
    let common = in_common(&mut groups);
    let about = schema["description"].as_str().unwrap_or_default();
    let all = format!("{about} Every {name} may have:");
    let mut text = section(&format!("## `[{name}.<{form}>.<name>]`"), &all, &common);
    for (kind, group) in names.into_iter().zip(groups) {
        text += &section(&format!("### `[{name}.{kind}.<name>]`"), "", &group);
    }
    text
}

/// Which tests suit which fields.
fn tests() -> String {
    let kinds = [
        FieldKind::Text,
        FieldKind::Word(Vec::new()),
        FieldKind::Number,
        FieldKind::Bool,
        FieldKind::Time,
        FieldKind::Object,
    ];
    let mut text = "| a field that is | may be asked |\n|---|---|\n".to_owned();
    for kind in kinds {
        let mut tests: Vec<_> = faceway_rules::tests_of(&kind);
        if kind != FieldKind::Object {
            tests.insert(0, "a value, a list of values");
        }
        let tests: Vec<_> = tests
            .into_iter()
            .map(|test| {
                if test.contains(' ') {
                    test.to_owned()
                } else {
                    format!("`{test}`")
                }
            })
            .collect();
        let _ = writeln!(text, "| {} | {} |", word(&kind), tests.join(", "));
    }
    text
}

/// The page about `gateway.toml`.
pub(super) fn gateway(schema: &Value) -> String {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let (sections, single): (Vec<_>, Vec<_>) =
        properties.partition(|(_, table)| table["properties"].is_object());
    let single: serde_json::Map<_, _> = (single.into_iter())
        .map(|(name, key)| (name.clone(), key.clone()))
        .collect();
    let about = "Above every table.";
    let mut tables = section("## The top", about, &json!({ "properties": single }));
    for (name, table) in sections {
        let about = table["description"].as_str().unwrap_or_default();
        tables += &section(&format!("## `[{name}]`"), about, table);
    }
    GATEWAY.replace(TABLES, tables.trim_end())
}

/// The page about the canonical event.
pub(super) fn event() -> String {
    let example: Value = serde_json::from_str(EXAMPLE).unwrap_or_default();
    let mut fields =
        "| field | is | personal | means | example |\n|---|---|---|---|---|\n".to_owned();
    for field in schema::fields() {
        let personal = if field.personal { "personal" } else { "" };
        let example = shown(&example, &field);
        let _ = writeln!(
            fields,
            "| `{}` | {} | {personal} | {} | {} |",
            field.path,
            cell(&kind(&field)),
            cell(&field.about),
            cell(&example)
        );
    }
    EVENT
        .replace(FIELDS, &fields)
        .replace(WHOLE, &format!("```json\n{EXAMPLE}```\n"))
}

fn kind(field: &Field) -> String {
    let word = match &field.kind {
        FieldKind::Word(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(" ")
        }
        kind => word(kind).to_owned(),
    };
    let list = if field.many { "; of a list" } else { "" };
    word + list
}

const fn word(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Word(_) => "one of several words",
        FieldKind::Number => "number",
        FieldKind::Bool => "`true` or `false`",
        FieldKind::Time => "time",
        FieldKind::Object => "table",
        FieldKind::Any => "any value",
    }
}

/// The example's value of a field; nothing for a table, whose members have theirs.
fn shown(example: &Value, field: &Field) -> String {
    let mut value = Some(example);
    for name in field.path.split('.') {
        let inner = match value {
            Some(Value::Array(items)) => items.first(),
            value => value,
        };
        value = inner.and_then(|inner| inner.get(name));
    }
    let value = match value {
        Some(Value::Array(items)) => items.first(),
        // An attribute's own path means its value.
        Some(Value::Object(members)) => members.get("value"),
        value => value,
    };
    match value {
        Some(Value::Object(_)) | None => String::new(),
        Some(value) => code(value),
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::schema::{FieldKind, event, fields};
    use serde_json::Value;

    use super::{EXAMPLE, shown};

    #[test]
    fn the_example_is_an_event_with_every_field() {
        let example: Value = serde_json::from_str(EXAMPLE).unwrap();
        jsonschema::validate(&event(), &example).unwrap();
        for field in fields() {
            let table = matches!(field.kind, FieldKind::Object | FieldKind::Any);
            assert!(
                table || !shown(&example, &field).is_empty(),
                "src/cli/schema/example.json has no {}",
                field.path
            );
        }
    }
}

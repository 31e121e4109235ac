//! Tables for people, from JSON Schema. Nothing here knows a key by its name, so a new key is told of by itself.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// More words than these are not listed.
const WORDS_MAX: usize = 16;

/// A heading and the table of the keys below it.
pub(super) fn section(heading: &str, about: &str, schema: &Value) -> String {
    let mut text = format!("{heading}\n\n");
    if !about.is_empty() {
        text += about;
        text += "\n\n";
    }
    let mut rows = Vec::new();
    collect(schema, "", &mut rows);
    if rows.is_empty() {
        return text + "No keys of its own.\n\n";
    }
    text += "| key | is | means |\n|---|---|---|\n";
    for row in rows {
        let must = if row.required {
            "**must be there**: "
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {must}{} |",
            row.path,
            cell(&row.kind),
            cell(&row.about)
        );
    }
    text + "\n"
}

struct Row {
    path: String,
    kind: String,
    about: String,
    required: bool,
}

/// The keys of a table, and of the tables in it.
fn collect(schema: &Value, path: &str, rows: &mut Vec<Row>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let required = schema["required"].as_array();
    for (name, property) in properties {
        let path = format!("{path}{name}");
        let must = |list: &Vec<Value>| list.iter().any(|one| one == name);
        rows.push(Row {
            kind: kind(property),
            about: property["description"].as_str().unwrap_or_default().into(),
            required: required.is_some_and(must),
            path: path.clone(),
        });
        // What has a name of its own is explained elsewhere.
        if property.get("title").is_none() {
            collect(property, &format!("{path}."), rows);
        }
        let items = &property["items"];
        if items.get("title").is_none() {
            collect(items, &format!("{path}[]."), rows);
        }
    }
}

/// What a value may be, in words.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(title) = schema["title"].as_str() {
        return title.to_owned() + &such_as(schema);
    }
    if let Some(word) = schema.get("const") {
        return code(word);
    }
    if let Some(words) = schema["enum"].as_array() {
        return one_of(words.iter().map(code).collect());
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[choice].as_array() {
            return one_of(choices.iter().map(kind).collect());
        }
    }
    if let Some(types) = schema["type"].as_array() {
        let kinds = types.iter().map(|one| {
            let mut schema = schema.clone();
            schema["type"] = one.clone();
            kind(&schema)
        });
        return one_of(kinds.collect());
    }
    match schema["type"].as_str() {
        Some("string") if schema["format"] == "date-time" => "time".into(),
        Some("string") => "text".to_owned() + &such_as(schema),
        Some("integer") => format!("whole number{}", range(schema)),
        Some("number") => format!("number{}", range(schema)),
        Some("boolean") => "`true` or `false`".into(),
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema.get("properties").is_some() => "table".into(),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!(
                "table of names, each with {}",
                kind(&schema["additionalProperties"])
            )
        }
        _ => "any value".into(),
    }
}

fn such_as(schema: &Value) -> String {
    match schema["examples"].as_array() {
        Some(examples) => {
            let examples: Vec<_> = examples.iter().map(code).collect();
            format!(", such as {}", examples.join(" "))
        }
        None => String::new(),
    }
}

fn one_of(words: Vec<String>) -> String {
    if words.len() > WORDS_MAX {
        return format!("one of {} words", words.len());
    }
    words.join(" or ")
}

fn range(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    }
}

/// A value as it is written.
pub(super) fn code(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// Text that stays within its cell.
pub(super) fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// Takes the keys that every group has, and has alike, out of the groups: they are told once.
pub(super) fn in_common(groups: &mut [Value]) -> Value {
    let Some((first, others)) = groups.split_first() else {
        return Value::Null;
    };
    let own = |group: &Value, name: &str| {
        let required = group["required"].as_array();
        let must = required.is_some_and(|list| list.iter().any(|one| one == name));
        (group["properties"].get(name).cloned(), must)
    };
    let mut common = Map::new();
    for name in first["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
    {
        let here = own(first, name);
        if others.iter().all(|group| own(group, name) == here)
            && let (Some(property), false) = here
        {
            common.insert(name.clone(), property);
        }
    }
    for group in groups {
        if let Some(properties) = group["properties"].as_object_mut() {
            properties.retain(|name, _| !common.contains_key(name));
        }
    }
    serde_json::json!({ "properties": common })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{in_common, kind, section};

    #[test]
    fn kinds_have_words() {
        for (schema, words) in [
            (json!({ "type": "string" }), "text"),
            (json!({ "type": "string", "format": "date-time" }), "time"),
            (json!({ "type": "boolean" }), "`true` or `false`"),
            (
                json!({ "type": "integer", "minimum": 1, "maximum": 9 }),
                "whole number, 1 to 9",
            ),
            (json!({ "enum": ["a", 1] }), "`a` or `1`"),
            (json!({ "const": "x" }), "`x`"),
            (
                json!({ "title": "span", "examples": ["1s", "2m"] }),
                "span, such as `1s` `2m`",
            ),
            (
                json!({ "type": "array", "items": { "type": "number" } }),
                "list of number",
            ),
            (
                json!({ "anyOf": [{ "type": "string" }, { "type": "boolean" }] }),
                "text or `true` or `false`",
            ),
            (
                json!({ "type": "object", "additionalProperties": { "type": "string" } }),
                "table of names, each with text",
            ),
            (json!({}), "any value"),
        ] {
            assert_eq!(kind(&schema), words);
        }
    }

    #[test]
    fn tables_in_tables_are_told_by_their_path() {
        let schema = json!({ "required": ["url"], "properties": {
            "url": { "type": "string", "description": "Where | to." },
            "retry": { "type": "object", "description": "Pauses.", "properties": {
                "max": { "type": "integer", "description": "Longest." } } },
            "them": { "type": "array", "description": "Others.", "items": { "type": "object", "properties": {
                "name": { "type": "string", "description": "Its name." } } } },
        } });
        let told = section("## It", "", &schema);
        for line in [
            "| `url` | text | **must be there**: Where \\| to. |",
            "| `retry.max` | whole number | Longest. |",
            "| `them` | list of table | Others. |",
            "| `them[].name` | text | Its name. |",
        ] {
            assert!(told.contains(line), "{line} is missing in\n{told}");
        }
    }

    #[test]
    fn what_all_have_alike_is_told_once() {
        let group = |other: &str| {
            json!({ "properties": {
                "same": { "type": "string" }, "other": { "type": other }, "must": { "type": "string" },
            }, "required": ["must"] })
        };
        let mut groups = [group("string"), group("number")];
        let common = in_common(&mut groups);
        assert_eq!(
            common,
            json!({ "properties": { "same": { "type": "string" } } })
        );
        for group in groups {
            let left: Vec<_> = group["properties"].as_object().unwrap().keys().collect();
            assert_eq!(left, ["other", "must"]);
        }
    }
}

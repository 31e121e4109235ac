//! The schema that receivers get: what every published form of an event fits, in words that their tools understand.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{ALWAYS, add_version, strip_null};
use crate::Event;

/// Names the schema, and with CloudEvents the data (`dataschema`). It is a name and no address: it is the same at every
/// site, with and without a network, as long as events are `faceway.event/1`.
pub const ID: &str = "urn:faceway:event:1";

/// Where types are.
const TYPES: &str = "#/$defs/";

const ABOUT: &str = "One recognition, alarm or other record of a device, in the same words whatever the vendor. A field \
that the vendor did not tell is absent, never null; so is a field that the outbound leaves out (`only`, `omit`). `schema`, \
`id` and `kind` are always there. Within version 1 kinds, fields and words may be added: a receiver ignores an event whose \
`kind` it does not know (it answers success and drops the event) and a field that it does not know, and it takes a word \
that it does not know for an absent field.";

/// JSON Schema (2020-12) of an event as receivers get it, whatever `only` and `omit` leave of it.
///
/// Each type has a name of its own in `$defs`. Nothing is required but what always stays, no object is closed, and there is
/// no keyword that Ajv's strict mode refuses.
pub fn published() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let root = settings
        .into_generator()
        .into_root_schema_for::<Event<'static>>();
    let mut root: Value = root.into();
    strip_null(&mut root);
    add_version(&mut root);
    let properties = for_tools(root["properties"].take());
    let mut types = BTreeMap::new();
    add_named(&properties, &root["$defs"], &mut types);
    json!({
        "$schema": root["$schema"],
        "$id": ID,
        "title": "Faceway event",
        "description": ABOUT,
        "type": "object",
        "properties": properties,
        "required": ALWAYS,
        "$defs": types,
    })
}

/// Adds the types that a schema names, and those that they name.
fn add_named(schema: &Value, all: &Value, types: &mut BTreeMap<String, Value>) {
    match schema {
        Value::Object(map) => {
            if let Some(target) = map.get("$ref").and_then(Value::as_str)
                && let Some(name) = target.strip_prefix(TYPES)
                && !types.contains_key(name)
                && let Some((_, schema)) = members(all).find(|(ours, _)| type_name(ours) == name)
            {
                let defined = defined(name, schema.clone());
                types.insert(name.to_owned(), defined.clone());
                add_named(&defined, all, types);
            }
            map.values()
                .for_each(|member| add_named(member, all, types));
        }
        Value::Array(items) => items.iter().for_each(|item| add_named(item, all, types)),
        _ => {}
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The name of a type in `$defs`: that of the Rust type, without Rust's words for numbers and texts.
fn type_name(name: &str) -> String {
    let known = [
        ("double", "Number"),
        ("string", "Text"),
        ("boolean", "Boolean"),
    ];
    let found = known
        .iter()
        .find_map(|(ours, theirs)| Some((name.strip_prefix(ours)?, theirs)));
    match found {
        Some((rest, theirs)) => format!("{theirs}{rest}"),
        None => name.to_owned(),
    }
}

/// A type of `$defs`. Generators name what they make by its title.
fn defined(name: &str, schema: Value) -> Value {
    let mut defined = Map::new();
    defined.insert("title".into(), name.into());
    if let Value::Object(members) = for_tools(schema) {
        defined.extend(members);
    }
    // `omit` and `only` may take out any member, and what stays is still an event.
    defined.remove("required");
    // Beside named members TypeScript's generators make an index signature of it, which the named ones then break.
    defined.remove("additionalProperties");
    Value::Object(defined)
}

/// Takes out what only our own tools read, and writes the rest as others understand it.
fn for_tools(schema: Value) -> Value {
    let mut map = match schema {
        Value::Object(map) => map,
        Value::Array(items) => return items.into_iter().map(for_tools).collect(),
        other => return other,
    };
    map.shift_remove("x-personal");
    // `double` and `uint64` are formats that only OpenAPI knows.
    if matches!(
        map.get("type").and_then(Value::as_str),
        Some("number" | "integer")
    ) {
        map.shift_remove("format");
    }
    if let Some(Value::Array(choices)) = map.get("oneOf").cloned() {
        map.shift_remove("oneOf");
        write_words(&mut map, &choices);
    }
    if let Some(Value::String(text)) = map.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if let Some(Value::String(target)) = map.shift_remove("$ref")
        && let Some(name) = target.strip_prefix(TYPES)
    {
        let named = json!({ "$ref": format!("{TYPES}{}", type_name(name)) });
        if map.is_empty() {
            return named;
        }
        // With a description right beside it, generators make a second type of the same name for each place.
        map.insert("allOf".into(), json!([named]));
        return Value::Object(map);
    }
    map.into_iter()
        .map(|(name, member)| (name, for_tools(member)))
        .collect()
}

/// One of several words, as an `enum`: generators make nothing of a `oneOf` of constants. What each means is told in the
/// description.
fn write_words(schema: &mut Map<String, Value>, choices: &[Value]) {
    let mut words = Vec::new();
    let mut about = match schema.get("description").and_then(Value::as_str) {
        Some(about) => vec![about.to_owned()],
        None => Vec::new(),
    };
    for choice in choices {
        let Some(word) = choice["const"].as_str() else {
            continue;
        };
        words.push(Value::from(word));
        if let Some(meaning) = choice["description"].as_str() {
            about.push(format!("`{word}`: {meaning}"));
        }
    }
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), words.into());
    schema.insert("description".into(), about.join(" ").into());
}

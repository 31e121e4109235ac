//! The parts of the schema that are not plain keys.

use faceway_core::schema::{FieldKind, event as event_schema};
use serde_json::{Map, Value, json};

use crate::Field;

/// A section that [`super::schema`] fills in.
pub(crate) fn nothing() -> Value {
    json!({})
}

/// The name of a secret.
pub(crate) fn secret() -> Value {
    let one = |key: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": "string", "minLength": 1 } },
            "required": [key],
            "additionalProperties": false,
        })
    };
    json!({ "oneOf": [one("env"), one("file")] })
}

/// Addresses and networks.
pub(crate) fn networks() -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
}

/// Headers: texts and secrets by name.
pub(crate) fn headers() -> Value {
    json!({ "type": "object", "additionalProperties": { "anyOf": [{ "type": "string" }, secret()] } })
}

/// Secrets by name.
pub(crate) fn secrets_by_name() -> Value {
    json!({ "type": "object", "additionalProperties": secret() })
}

/// A list of devices with an API.
pub(crate) fn terminals() -> Value {
    json!({ "type": "array", "items": super::schema_of(crate::plan::TERMINAL), "minItems": 1 })
}

/// Texts by name.
pub(crate) fn texts() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

/// Names of outbounds.
pub(crate) fn names() -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true })
}

/// Paths of fields.
pub(crate) fn fields() -> Value {
    let known: Vec<_> = Field::all()
        .iter()
        .map(|field| field.path.as_str())
        .collect();
    json!({
        "type": "array",
        "items": { "anyOf": [{ "enum": known }, { "type": "string", "pattern": OPEN }] },
        "minItems": 1,
        "uniqueItems": true,
    })
}

/// Further names of the vendor.
const OPEN: &str = r"^(vendor|object\.attributes)\..+$";

/// A partial event; also with dotted paths.
pub(crate) fn event() -> Value {
    let top = top_level();
    json!({
        "type": "object",
        "properties": top.into_iter().map(|name| (name, json!({}))).collect::<Map<_, _>>(),
        "patternProperties": { r"\.": {} },
        "additionalProperties": false,
    })
}

fn top_level() -> Vec<String> {
    let schema = event_schema();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

/// The table of a `when`.
pub(crate) fn when() -> Value {
    let mut properties = Map::new();
    for field in Field::all() {
        properties.insert(field.path.clone(), test(field));
    }
    let nested = json!({ "type": "array", "items": { "type": "object", "minProperties": 1 }, "minItems": 1 });
    properties.insert("any".into(), nested.clone());
    properties.insert("none".into(), nested);
    json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { OPEN: {} },
        "additionalProperties": false,
        "minProperties": 1,
    })
}

fn test(field: &Field) -> Value {
    let value = match &field.kind {
        FieldKind::Text => json!({ "type": "string" }),
        FieldKind::Word(words) => json!({ "enum": words }),
        FieldKind::Number => match field.range {
            Some((min, max)) => json!({ "type": "number", "minimum": min, "maximum": max }),
            None => json!({ "type": "number" }),
        },
        FieldKind::Bool => json!({ "type": "boolean" }),
        FieldKind::Time => json!({ "type": "string", "format": "date-time" }),
        FieldKind::Any => json!({}),
        FieldKind::Object => {
            return json!({ "type": "object", "minProperties": 1, "description": field.about });
        }
    };
    json!({
        "description": field.about,
        "anyOf": [value, { "type": "array", "items": value, "minItems": 1 }, { "type": "object", "minProperties": 1 }],
    })
}

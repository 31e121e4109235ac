//! The event's JSON Schema, generated from the types: as receivers get it, and as we use it ourselves, with the table of
//! fields that rules are checked against.

mod published;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::Event;
pub use published::{ID, published};

/// What no setting takes out of an event: without them a receiver can neither read it nor drop what it has seen.
pub const ALWAYS: [&str; 3] = ["schema", "id", "kind"];

/// JSON Schema (2020-12) of the canonical event as it is kept, before any outbound's settings: everything in one piece,
/// with `x-personal` at what tells of a person. Receivers get [`published`].
pub fn event() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.inline_subschemas = true;
    let mut schema: Value = settings
        .into_generator()
        .into_root_schema_for::<Event<'static>>()
        .into();
    strip_null(&mut schema);
    add_version(&mut schema);
    schema
}

/// The codec writes `schema` before the fields of the type.
fn add_version(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let tag = serde_json::json!({
            "type": "string",
            "const": crate::codec::SCHEMA,
            "description": "Version of this schema.",
        });
        properties.shift_insert(0, "schema".into(), tag);
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.insert(0, "schema".into());
    }
}

/// An absent field is absent: no type of the schema allows null.
fn strip_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            strip_null_here(map);
            map.values_mut().for_each(strip_null);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_null),
        _ => {}
    }
}

fn strip_null_here(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(words)) = map.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(choices)) = map.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if choices.len() == 1
        && let Some(Value::Object(only)) = choices.pop()
    {
        map.remove("anyOf");
        for (key, value) in only {
            map.entry(key).or_insert(value);
        }
    }
}

/// A field that rules, placeholders and `omit` can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path, with dots: `person.groups.id`. An attribute's own path (`object.attributes.mask`) means its value.
    pub path: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether it tells something about a person.
    pub personal: bool,
    /// Whether a list lies on the path, so that the field may have several values.
    pub many: bool,
    /// One line from the schema.
    pub about: String,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// One of these words.
    Word(Vec<String>),
    /// A number.
    Number,
    /// Yes or no.
    Bool,
    /// RFC 3339 in UTC.
    Time,
    /// Other fields: it can be tested for presence, omitted and kept, nothing else.
    Object,
    /// Whatever the vendor sent.
    Any,
}

/// Every field of the event, in the schema's order, parents before their members.
pub fn fields() -> Vec<Field> {
    let mut fields = Vec::new();
    collect(&event(), "", false, false, &mut fields);
    fields
}

/// The paths below which any further name is allowed: what the vendor sent, and attributes in his own words.
pub const OPEN_PATHS: [&str; 2] = ["vendor", "object.attributes"];

fn collect(schema: &Value, path: &str, personal: bool, many: bool, fields: &mut Vec<Field>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    for (name, property) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let (item, many) = match property.get("items") {
            Some(items) => (items, true),
            None => (property, many),
        };
        let personal = personal || property.get("x-personal").is_some_and(|mark| mark == true);
        let about = property
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let attribute = path
            .strip_prefix("object.attributes.")
            .is_some_and(|rest| !rest.contains('.'));
        let kind = match item
            .get("properties")
            .and_then(|members| members.get("value"))
        {
            Some(value) if attribute => kind(value),
            _ => kind(item),
        };
        fields.push(Field {
            path: path.clone(),
            kind,
            personal,
            many,
            about: first_line(about),
        });
        collect(item, &path, personal, many, fields);
    }
}

fn first_line(text: &str) -> String {
    text.split("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ")
}

fn kind(schema: &Value) -> FieldKind {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return FieldKind::Word(vec![word.into()]);
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return FieldKind::Word(
            words
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        );
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let words = choices
            .iter()
            .filter_map(|choice| choice.get("const")?.as_str());
        return FieldKind::Word(words.map(str::to_owned).collect());
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string")
            if schema
                .get("format")
                .is_some_and(|format| format == "date-time") =>
        {
            FieldKind::Time
        }
        Some("string") => FieldKind::Text,
        Some("number" | "integer") => FieldKind::Number,
        Some("boolean") => FieldKind::Bool,
        Some("object") if schema.get("properties").is_some() => FieldKind::Object,
        _ => FieldKind::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldKind, fields};

    #[test]
    fn every_field_has_a_kind_and_a_word_about_it() {
        for field in fields() {
            assert!(!field.about.is_empty(), "{} has no description", field.path);
            assert!(
                field.kind != FieldKind::Any || field.path == "vendor",
                "{} has no kind that a rule could test",
                field.path,
            );
        }
    }

    #[test]
    fn fields_are_what_rules_expect() {
        let fields = fields();
        let field = |path: &str| {
            fields
                .iter()
                .find(|field| field.path == path)
                .unwrap_or_else(|| panic!("{path}"))
        };
        assert_eq!(field("match.score").kind, FieldKind::Number);
        assert_eq!(field("received_at").kind, FieldKind::Time);
        assert!(field("person.groups.id").many);
        assert!(field("person.name").personal);
        assert!(!field("person.category").personal);
        assert!(field("match.candidates.person.name").personal);
        assert!(matches!(&field("kind").kind, FieldKind::Word(words) if words.len() == 6));
        assert!(
            matches!(&field("object.attributes.mask").kind, FieldKind::Word(words) if words[0] == "worn")
        );
        assert_eq!(
            field("object.attributes.mask.confidence").kind,
            FieldKind::Number
        );
    }
}

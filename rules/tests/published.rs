//! Whatever `only` and `omit` leave of an event fits the schema that receivers have.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::sync::LazyLock;

use faceway_core::schema;
use faceway_rules::{Format, Projection};
use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names that only a vendor knows.
const OPEN: [&str; 6] = [
    "vendor.data",
    "vendor.data.deep",
    "object.attributes.hat",
    "object.attributes.hat.value",
    "object.attributes.hat.confidence",
    "object.attributes.mask.value",
];

static KEPT: LazyLock<Validator> = LazyLock::new(|| validator(&schema::event()));
static PUBLISHED: LazyLock<Validator> = LazyLock::new(|| validator(&schema::published()));

fn validator(schema: &Value) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap()
}

fn fits(validator: &Validator, event: &Value) -> Result<(), TestCaseError> {
    let errors = validator.iter_errors(event);
    let errors: Vec<_> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    prop_assert!(errors.is_empty(), "{errors:#?}\n{event:#}");
    Ok(())
}

/// Answers questions by the bytes that a case gives; when they are used up, by no.
struct Tape<'b>(std::slice::Iter<'b, u8>);

impl Tape<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % count
    }

    fn yes(&mut self) -> bool {
        self.below(4) != 0
    }

    /// A value that a schema of ours allows.
    fn value(&mut self, schema: &Value) -> Value {
        if let Some(items) = schema.get("items") {
            return (0..self.below(3)).map(|_| self.value(items)).collect();
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let required = schema["required"].as_array();
            let mut object = Map::new();
            for (name, property) in properties {
                let must = required.is_some_and(|names| names.iter().any(|one| one == name));
                if must || self.yes() {
                    object.insert(name.clone(), self.value(property));
                }
            }
            if properties.contains_key("mask") && self.yes() {
                let values = [json!("red"), json!(7.5), json!(true)];
                let hat = json!({ "value": values[self.below(3)], "confidence": 0.5 });
                object.insert("hat".into(), hat);
            }
            return Value::Object(object);
        }
        self.scalar(schema)
    }

    fn scalar(&mut self, schema: &Value) -> Value {
        if let Some(word) = schema.get("const") {
            return word.clone();
        }
        if let Some(words) = schema["oneOf"].as_array() {
            return words[self.below(words.len())]["const"].clone();
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[self.below(words.len())].clone();
        }
        match (schema["type"].as_str(), schema["format"].as_str()) {
            (_, Some("date-time")) => "2026-11-22T08:00:00.000Z".into(),
            (_, Some("uuid")) => "018f8a3e-7a10-8c11-9d2e-000000000001".into(),
            (Some("string"), _) if schema.get("pattern").is_some() => "0a".repeat(32).into(),
            (Some("string"), _) => ["", "Wanda", "李伟\n\"", "null"][self.below(4)].into(),
            (Some("integer"), _) => json!(self.below(256)),
            (Some("number"), _) if self.yes() => json!(0.25),
            (Some("number"), _) => json!(1),
            (Some("boolean"), _) => json!(self.yes()),
            _ => json!({ "data": { "deep": [1, null], "n": 1e40 }, "list": [{ "data": 3 }] }),
        }
    }

    /// A projection that `routes.toml` allows.
    fn projection(&mut self) -> Projection {
        let fields = schema::fields();
        let known = fields.iter().map(|field| field.path.as_str());
        let all: Vec<_> = known.chain(OPEN).collect();
        let few = self.below(6);
        let chosen: Vec<_> = (0..few)
            .map(|_| all[(self.below(256) * 256 + self.below(256)) % all.len()])
            .collect();
        if self.below(2) == 0 {
            return Projection::only(chosen).unwrap();
        }
        let may = |path: &&str| !schema::ALWAYS.contains(path);
        Projection::omit(chosen.into_iter().filter(may)).unwrap()
    }
}

fn check(event: &Value, projection: &Projection) -> Result<(), TestCaseError> {
    let seen = projection.apply(event.to_string().as_bytes()).unwrap();
    let canonical = serde_json::from_slice(&seen).unwrap();
    fits(&PUBLISHED, &canonical)?;
    let structured = Format::CloudEvents.write(&seen, None).unwrap();
    let structured: Value = serde_json::from_slice(&structured.body.unwrap()).unwrap();
    fits(&PUBLISHED, &structured["data"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_only_and_omit_leave_fits(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut tape = Tape(bytes.iter());
        let projection = tape.projection();
        let event = tape.value(&schema::event());
        fits(&KEPT, &event)?;
        check(&event, &projection)?;
    }
}

/// One field at a time, each of them, with an event that has everything.
#[test]
fn every_field_can_be_taken_out_or_left_alone() {
    let full = vec![1_u8; 4096];
    let event = Tape(full.iter()).value(&schema::event());
    let fields = schema::fields();
    let known = fields.iter().map(|field| field.path.as_str());
    for path in known.chain(OPEN) {
        let only = Projection::only([path]).unwrap();
        check(&event, &only).unwrap_or_else(|error| panic!("only {path}: {error}"));
        if schema::ALWAYS.contains(&path) {
            continue;
        }
        let omit = Projection::omit([path]).unwrap();
        check(&event, &omit).unwrap_or_else(|error| panic!("omit {path}: {error}"));
    }
}

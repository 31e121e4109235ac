//! The event's schema is a promise: a golden file holds it, and the codec writes what it says.

#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::borrow::Cow;

use faceway_core::*;
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/event.json");

#[test]
fn the_schema_is_the_one_that_was_published() {
    let schema = format!("{:#}\n", schema::published());
    if std::env::var_os("FACEWAY_BLESS").is_some() {
        std::fs::write(GOLDEN, &schema).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert!(
        schema == golden,
        "the event's schema differs from docs/schema/event.json; a field may be added (FACEWAY_BLESS=1), never renamed, retyped or removed"
    );
}

/// What a receiver reads is the same event, written for other tools.
#[test]
fn the_published_schema_has_every_field() {
    let published = schema::published();
    let mut paths = Vec::new();
    collect(&published, &published, "", &mut paths);
    let ours: Vec<_> = schema::fields()
        .into_iter()
        .map(|field| field.path)
        .collect();
    assert_eq!(paths, ours);
}

fn collect(at: &Value, root: &Value, path: &str, paths: &mut Vec<String>) {
    let item = at.get("items").unwrap_or(at);
    let target = item.get("$ref").or_else(|| item["allOf"][0].get("$ref"));
    let target = target.and_then(Value::as_str);
    let schema = match target {
        Some(target) => root.pointer(target.trim_start_matches('#')).expect(target),
        None => item,
    };
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{name}");
        paths.push(path.clone());
        collect(member, root, &format!("{path}."), paths);
    }
}

/// Receivers are made from it by programs that refuse what they do not know, and copy every word.
#[test]
fn the_published_schema_is_for_the_tools_of_others() {
    let published = schema::published();
    assert_eq!(published["$id"], schema::ID);
    assert_eq!(published["required"], serde_json::json!(schema::ALWAYS));
    let about = published["description"].as_str().unwrap();
    assert!(about.contains("ignores an event whose `kind` it does not know"));
    let text = published.to_string();
    let mut types = Vec::new();
    for (name, schema) in published["$defs"].as_object().unwrap() {
        assert_eq!(schema["title"], *name);
        assert!(
            text.contains(&format!("\"#/$defs/{name}\"")),
            "{name} is not used"
        );
        assert!(
            name.starts_with(char::is_uppercase) && name.chars().all(char::is_alphabetic),
            "{name} is no name of a type"
        );
        types.push(schema);
    }
    assert!(types.len() > 20);
    for schema in types.into_iter().chain([&published]) {
        each(schema, &mut |key, value| {
            let known = [
                "$schema",
                "$id",
                "$defs",
                "$ref",
                "allOf",
                "title",
                "description",
                "type",
                "properties",
                "required",
                "items",
                "enum",
                "const",
                "format",
                "pattern",
                "minimum",
                "maximum",
            ];
            assert!(known.contains(&key), "`{key}` is not for every tool");
            if key == "format" {
                assert!(value == "date-time" || value == "uuid", "format {value}");
            }
            if key == "required" {
                assert_eq!(*value, published["required"], "`omit` can take it out");
            }
            if let (true, Some(text)) = (key == "description", value.as_str()) {
                for ours in ["crate", "::<", "[`", "Serialize", "rustdoc", "\n"] {
                    assert!(!text.contains(ours), "{text}");
                }
            }
        });
    }
}

/// Every keyword of a schema and of those in it; names of members are no keywords.
fn each<'s>(schema: &'s Value, see: &mut dyn FnMut(&str, &'s Value)) {
    for (key, value) in schema.as_object().into_iter().flatten() {
        see(key, value);
        match (key.as_str(), value) {
            ("properties", Value::Object(members)) => {
                members.values().for_each(|member| each(member, see));
            }
            ("$defs", _) => {}
            (_, Value::Array(items)) => items.iter().for_each(|item| each(item, see)),
            _ => each(value, see),
        }
    }
}

#[test]
fn an_event_with_every_field_fits_the_schema_and_uses_all_of_it() {
    let body = encode(&full());
    let event: Value = serde_json::from_slice(body.reveal()).unwrap();
    let schema = schema::event();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&event)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for field in schema::fields() {
        assert!(
            there(&event, &field.path),
            "{} is in the schema, and the codec did not write it",
            field.path
        );
    }
}

#[test]
fn an_event_with_nothing_has_no_blanks() {
    let mut event = full();
    event.facts = Facts::default();
    let body = encode(&event);
    let event: Value = serde_json::from_slice(body.reveal()).unwrap();
    let names: Vec<&String> = event.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["schema", "id", "kind", "received_at", "inbound", "adapter"]
    );
}

fn there(value: &Value, path: &str) -> bool {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        Value::Array(items) => items.iter().any(|item| there(item, path)),
        _ => match value.get(name) {
            Some(_) if rest.is_empty() => true,
            Some(member) => there(member, rest),
            None => false,
        },
    }
}

fn text(text: &'static str) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(text))
}

fn private(text: &'static str) -> Option<PrivateText<'static>> {
    Some(Private::new(Cow::Borrowed(text)))
}

fn attribute<T>(value: T) -> Option<Private<Attribute<T>>> {
    Some(Private::new(Attribute {
        value,
        confidence: Some(0.5),
    }))
}

fn groups() -> Vec<Group<'static>> {
    vec![Group {
        id: text("3"),
        name: text("Night shift"),
    }]
}

fn person(time: Timestamp) -> Person<'static> {
    Person {
        id: private("5"),
        name: private("Wanda Probst"),
        category: Some(Category::Employee),
        groups: groups(),
        card_number: private("77"),
        job_number: private("47"),
        id_number: private("99"),
        remark: private("tall"),
        valid_from: Some(time),
        valid_until: Some(time),
    }
}

fn attributes() -> Attributes<'static> {
    let word = |word: &'static str| attribute(Cow::Borrowed(word));
    let hat = Attribute {
        value: AttributeValue::Text("red".into()),
        confidence: None,
    };
    Attributes {
        age: attribute(30.0),
        age_group: attribute(AgeGroup::Youth),
        gender: attribute(Gender::Female),
        mask: attribute(Mask::WornWrongly),
        temperature_c: attribute(36.6),
        glasses: attribute(Glasses::Sun),
        beard: attribute(false),
        emotion: word("happy"),
        plate: word("AB123"),
        plate_country: word("FR"),
        make: word("Tram"),
        model: word("T3"),
        color: word("red"),
        body: word("long"),
        others: Private::new([(Cow::Borrowed("hat"), hat)].into()),
    }
}

fn full() -> Event<'static> {
    let time = Timestamp::from_millis(1_764_000_000_123).unwrap();
    let facts = Facts {
        kind: Kind::Recognition,
        occurred_at: Some(time),
        vendor_id: text("u-1"),
        vendor_type: text("0"),
        device: Device {
            id: text("PSC1"),
            device_type: Some(DeviceType::Terminal),
            name: text("Lobby"),
            address: text("10.1.0.20"),
            stream: text("rtsp://10.1.0.20/1"),
            parent: text("box"),
            groups: groups(),
        },
        person: person(time),
        matched: Match {
            status: Some(MatchStatus::Matched),
            score: Some(0.93),
            candidates: vec![Candidate {
                person: person(time),
                score: Some(0.93),
            }],
        },
        object: Object {
            object_type: Some(ObjectType::Face),
            liveness: Some(Liveness::Live),
            quality: Some(0.8),
            bounds: Some(Bounds {
                left: 1.0,
                top: 2.0,
                right: 3.0,
                bottom: 4.0,
            }),
            track_id: text("t"),
            attributes: attributes(),
        },
        access: Access {
            granted: Some(false),
            methods: vec![AccessMethod::Face],
            denied_reason: Some(DeniedReason::OutsideHours),
        },
        alarm: Alarm {
            alarm_type: Some(AlarmType::Tamper),
            state: Some(AlarmState::Raised),
            description: text("cover"),
        },
        episode: Some(Episode {
            id: "1".into(),
            state: Some(EpisodeState::Open),
            object: Some(EpisodeObject::Human),
            events_count: Some(1),
            opened_at: Some(time),
            closed_at: Some(time),
        }),
        counter: Some(Counter {
            id: text("1"),
            faces: Some(1),
            bodies: Some(2),
            vehicles: Some(3),
            proximity_m: Some(Proximity {
                min: Some(1.0),
                avg: Some(2.0),
                max: Some(3.0),
            }),
        }),
        area: Some(Area {
            id: text("1"),
            state: Some(AreaState::Active),
            duration_s: Some(1.5),
            bodies_max: Some(2),
        }),
        images: vec![Image {
            role: ImageRole::Face,
            media_type: text("image/jpeg"),
            bytes: Some(4),
            sha256: Some(Sha256::of(b"face")),
            url: text("http://x/"),
        }],
        vendor: Private::new(Members::parse(r#"{"mode":3}"#).unwrap()),
        warnings: vec!["x".into()],
    };
    Event {
        id: RecordKey::weak(&["uuid", "u-1"])
            .id("lobby", faceway_core::Timestamp::from_seconds(0).unwrap()),
        received_at: time,
        inbound: "lobby".into(),
        adapter: "nebula".into(),
        facts,
    }
}

//! The JSON Schema and the reader know the same files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::{GRAMMAR, parse};
use faceway_rules::schema;
use serde_json::Value;

const COMMON: [&str; 11] = [
    "format",
    "template",
    "batch_max",
    "images",
    "omit",
    "only",
    "concurrency_max",
    "gateways",
    "timeout",
    "since",
    "retry",
];

fn valid(text: &str) -> Result<(), String> {
    let value: Value = toml::from_str(text).unwrap();
    let schema = schema(&GRAMMAR);
    jsonschema::validate(&schema, &value).map_err(|error| error.to_string())
}

#[test]
fn it_is_a_schema() {
    jsonschema::meta::validate(&schema(&GRAMMAR)).unwrap();
}

#[test]
fn good_files_are_valid() {
    for text in [
        include_str!("good/everything.toml"),
        include_str!("good/warnings.toml"),
        include_str!("good/contract.toml"),
        include_str!("good/default_exchange.toml"),
        include_str!("failing/tests.toml"),
        "[inbound.nebula.a]",
        "[outbound.stdout.a]",
    ] {
        parse(text).unwrap();
        valid(text).unwrap();
    }
}

#[test]
fn bad_files_are_not() {
    for (text, what) in [
        ("", "nothing in it"),
        ("[inbound]", "no adapter"),
        ("[outbound.stdout]", "no name"),
        ("[inbound.nebula.a]\npth = \"/x\"", "unknown key"),
        ("[inbound.other.a]", "unknown adapter"),
        ("[inbound.nebula.\"a b\"]", "bad name"),
        ("[inbound.nebula.a]\ntoken = \"x\"", "written secret"),
        ("[outbound.webhook.a]\ntimeout = \"1s\"", "missing url"),
        (
            "[outbound.webhook.a]\nurl = \"https://h\"\ntimeout = \"1 week\"",
            "no duration",
        ),
        ("[outbound.stdout.a]\nformat = \"yaml\"", "unknown word"),
        (
            "[outbound.mqtt.a]\nurl = \"mqtt://b\"\nqos = 3",
            "unknown number",
        ),
        ("[outbound.amqp.a]\nurl = \"amqp://b\"", "missing exchange"),
        ("[outbound.mqtt.a]\nurl = \"http://b\"", "wrong scheme"),
        (
            "[outbound.stdout.a]\nretry = { jitter = 1 }",
            "unknown key within",
        ),
        (
            "[[route]]\nname = \"a\"\nto = [\"x\"]\nwhen = { weather = 1 }",
            "unknown field",
        ),
        (
            "[[route]]\nname = \"a\"\nto = [\"x\"]\nwhen = { kind = \"alarms\" }",
            "unknown word",
        ),
        (
            "[[route]]\nname = \"a\"\nto = [\"x\"]\notherwise = true\nwhen = { kind = \"alarm\" }",
            "both",
        ),
        ("[[test]]\nname = \"a\"", "missing given"),
        ("[other]", "unknown section"),
    ] {
        assert!(valid(text).is_err(), "{what}");
        assert!(parse(text).is_err(), "{what}");
    }
}

/// Every key of the schema is used in the file that uses every key, so that neither can grow alone.
#[test]
fn every_key_is_used_somewhere() {
    let schema = schema(&GRAMMAR);
    let file: Value = toml::from_str(include_str!("good/everything.toml")).unwrap();
    let used = |tables: Vec<&Value>, properties: &Value, left: &[&str]| {
        for name in properties.as_object().unwrap().keys() {
            let used = tables.iter().any(|table| table.get(name).is_some());
            assert!(
                used || left.contains(&name.as_str()),
                "{name} is in the schema and not in the file"
            );
        }
    };
    let all =
        |value: &Value| -> Vec<Value> { value.as_object().unwrap().values().cloned().collect() };
    let inbound = &schema["properties"]["inbound"]["properties"]["nebula"]["additionalProperties"]
        ["properties"];
    let tables = all(&file["inbound"]["nebula"]);
    used(tables.iter().collect(), inbound, &[]);
    let terminals: Vec<_> = file["inbound"]["nebula"]["lobby"]["terminals"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    used(terminals, &inbound["terminals"]["items"]["properties"], &[]);
    let inbound =
        &schema["properties"]["inbound"]["properties"]["se5"]["additionalProperties"]["properties"];
    let tables = [all(&file["inbound"]["se5"]), all(&file["inbound"]["omni"])].concat();
    used(tables.iter().collect(), inbound, &["allow", "gateways"]);
    for (protocol, tables) in file["outbound"].as_object().unwrap() {
        let outbound = &schema["properties"]["outbound"]["properties"][protocol]["additionalProperties"]
            ["properties"];
        let tables = all(tables);
        // What every protocol has is used once.
        let common: Vec<_> = match protocol.as_str() {
            "webhook" => Vec::new(),
            _ => COMMON.to_vec(),
        };
        used(tables.iter().collect(), outbound, &common);
    }
    let outbound = &schema["properties"]["outbound"]["properties"]["webhook"]["additionalProperties"]
        ["properties"];
    used(
        vec![&file["outbound"]["webhook"]["erp"]["retry"]],
        &outbound["retry"]["properties"],
        &[],
    );
    used(
        vec![&file["outbound"]["webhook"]["erp"]["tls"]],
        &outbound["tls"]["properties"],
        &[],
    );
    let routes: Vec<_> = file["route"].as_array().unwrap().iter().collect();
    used(
        routes,
        &schema["properties"]["route"]["items"]["properties"],
        &[],
    );
    let tests: Vec<_> = file["test"].as_array().unwrap().iter().collect();
    used(
        tests,
        &schema["properties"]["test"]["items"]["properties"],
        &[],
    );
}

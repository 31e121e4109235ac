//! `/api/v1/openapi.json`: made from the types of [`crate::api`], so that it cannot differ from them.

use axum::Json;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::api;

/// `GET /api/v1/openapi.json`.
pub(super) async fn document() -> Json<Value> {
    Json(openapi())
}

/// One operation: method, path, what it does, its body, its answer.
type Operation = (
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
);

const OPERATIONS: [Operation; 17] = [
    (
        "get",
        "/overview",
        "The gateway as a whole",
        None,
        "Overview",
    ),
    ("get", "/lanes", "Every outbound's lane", None, "Lane[]"),
    (
        "delete",
        "/lanes/{name}",
        "Forget the lane of an outbound that is no longer configured, with what waits and is buried there",
        None,
        "Dropped",
    ),
    (
        "post",
        "/lanes/{name}/probe",
        "Let the next probe of a lane that waits for its destination leave at once",
        Some("Probe"),
        "Probed",
    ),
    (
        "get",
        "/cluster",
        "Gateways, servers, duties and streams of a site that several gateways share; 404 where one has its spool to itself",
        None,
        "Cluster",
    ),
    ("get", "/inbounds", "Every inbound", None, "Inbound[]"),
    (
        "post",
        "/reload",
        "Read routes.toml now; a wrong file changes nothing and answers 422",
        Some("Reload"),
        "Reloaded",
    ),
    (
        "get",
        "/buried",
        "Buried events, newest first (?to=, ?max=, ?before=)",
        None,
        "Buried[]",
    ),
    (
        "get",
        "/buried/{id}",
        "A buried event, whole",
        None,
        "Buried[]",
    ),
    (
        "post",
        "/buried/revive",
        "Give buried events another life",
        Some("BuriedChoice"),
        "Count",
    ),
    (
        "post",
        "/buried/drop",
        "Remove buried events for good",
        Some("BuriedChoice"),
        "Count",
    ),
    (
        "post",
        "/replay",
        "Hand events to an outbound once more",
        Some("Replay"),
        "Count",
    ),
    ("get", "/events/{id}/why", "One event's story", None, "Why"),
    (
        "get",
        "/quarantine",
        "What could not be read, newest first (?max=, ?before=)",
        None,
        "Quarantined[]",
    ),
    (
        "get",
        "/quarantine/{number}",
        "One of them, with its body",
        None,
        "Quarantined",
    ),
    (
        "post",
        "/quarantine/retry",
        "Read entries once more",
        Some("QuarantineChoice"),
        "Reread",
    ),
    (
        "post",
        "/quarantine/drop",
        "Remove entries for good",
        Some("QuarantineChoice"),
        "Count",
    ),
];

fn openapi() -> Value {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    let mut schemas = settings.into_generator();
    macro_rules! shapes {
        ($($shape:ident),*) => { json!({ $(stringify!($shape): api::$shape::json_schema(&mut schemas)),* }) };
    }
    let shapes = shapes!(
        Overview,
        Lane,
        Dropped,
        Probe,
        Probed,
        Cluster,
        Inbound,
        Reload,
        Reloaded,
        Buried,
        BuriedChoice,
        Replay,
        Count,
        Quarantined,
        QuarantineChoice,
        Reread,
        Why,
        Problem
    );
    let mut paths = serde_json::Map::new();
    for operation in OPERATIONS {
        let entry = paths
            .entry(format!("/api/v1{}", operation.1))
            .or_insert_with(|| json!({}));
        entry[operation.0] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Faceway admin API", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "schemas": shapes,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "token": [] }],
    })
}

fn described((_, path, about, body, answer): Operation) -> Value {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}'));
    let parameters: Vec<Value> = names
        .map(|(name, _)| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let mut operation =
        json!({ "summary": about, "parameters": parameters, "responses": responses(answer) });
    if let Some(body) = body {
        operation["requestBody"] = json!({ "required": true, "content": content(body) });
    }
    operation
}

fn responses(answer: &str) -> Value {
    let problem =
        json!({ "description": "What is wrong and what to do", "content": content("Problem") });
    json!({ "200": { "description": "The answer", "content": content(answer) }, "default": problem })
}

fn content(shape: &str) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let schema = match shape.strip_suffix("[]") {
        Some(item) => json!({ "type": "array", "items": reference(item) }),
        None => reference(shape),
    };
    json!({ "application/json": { "schema": schema } })
}

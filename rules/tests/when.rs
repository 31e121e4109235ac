//! Every test of `when`, in tables: what is asked, of what, and whether it holds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::GRAMMAR;
use faceway_rules::{Routes, parse};
use serde_json::{Value, json};

fn routes(when: &str) -> Routes {
    let text =
        format!("[outbound.stdout.s]\n[[route]]\nname = \"r\"\nto = [\"s\"]\nwhen = {when}\n");
    parse(&text, "routes.toml", &GRAMMAR).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Asks of the event, of its view, and of the explanation; all must agree.
fn holds(when: &str, event: &Value) -> bool {
    let routes = routes(when).routes;
    let holds = !routes.decide(event).matched.is_empty();
    let view = routes.view(event.to_string().as_bytes()).unwrap();
    assert_eq!(
        !routes.decide(&view).matched.is_empty(),
        holds,
        "view of {when}"
    );
    assert_eq!(
        routes.explain(&view),
        routes.explain(event),
        "view of {when}"
    );
    let explained = &routes.explain(event)[0];
    assert_eq!(explained.matched, holds);
    assert_eq!(explained.failed.is_none(), holds);
    holds
}

fn check(event: &Value, cases: &[(&str, bool)]) {
    for (when, expected) in cases {
        assert_eq!(holds(when, event), *expected, "{when} of {event}");
    }
}

#[test]
fn equality() {
    let event = json!({
        "kind": "recognition", "received_at": "2026-11-22T08:15:30.000Z", "inbound": "lobby",
        "person": { "category": "vip", "name": "Ming Li" }, "match": { "score": 0.5 }, "access": { "granted": false },
        "vendor": { "n": 5, "s": "5", "b": true, "nothing": null, "deep": { "x": [{ "y": 1 }, { "y": 2 }] } },
    });
    check(
        &event,
        &[
            (r#"{ kind = "recognition" }"#, true),
            (r#"{ kind = "alarm" }"#, false),
            (r#"{ kind = ["alarm", "recognition"] }"#, true),
            (r#"{ kind = ["alarm", "episode"] }"#, false),
            (r#"{ "person.category" = "vip" }"#, true),
            (r#"{ person.category = "vip" }"#, true),
            (
                r#"{ person = { category = "vip", name = "Ming Li" } }"#,
                true,
            ),
            (
                r#"{ person = { category = "vip", name = "ming li" } }"#,
                false,
            ),
            (r#"{ "match.score" = 0.5 }"#, true),
            (r#"{ "match.score" = [0.1, 0.5] }"#, true),
            (r#"{ "match.score" = 1 }"#, false),
            (r#"{ "access.granted" = false }"#, true),
            (r#"{ "access.granted" = true }"#, false),
            (r#"{ received_at = "2026-11-22T09:15:30+01:00" }"#, true),
            (r#"{ received_at = 2026-11-22T08:15:30Z }"#, true),
            (r#"{ received_at = "2026-11-22T08:15:31Z" }"#, false),
            (r#"{ "person.id" = "x" }"#, false),
            (r#"{ "vendor.n" = 5 }"#, true),
            (r#"{ "vendor.n" = 5.0 }"#, true),
            (r#"{ "vendor.n" = "5" }"#, false),
            (r#"{ "vendor.s" = ["5", 6] }"#, true),
            (r#"{ "vendor.b" = true }"#, true),
            (r#"{ vendor.deep.x.y = 2 }"#, true),
            (r#"{ vendor.deep.x.y = 3 }"#, false),
        ],
    );
}

#[test]
fn numbers() {
    let event = json!({ "match": { "score": 0.8 }, "vendor": { "n": 7, "s": "7" } });
    check(
        &event,
        &[
            (r#"{ "match.score" = { min = 0.8 } }"#, true),
            (r#"{ "match.score" = { min = 0.81 } }"#, false),
            (r#"{ "match.score" = { max = 0.8 } }"#, true),
            (r#"{ "match.score" = { max = 0.79 } }"#, false),
            (r#"{ "match.score" = { min = 0.7, max = 0.9 } }"#, true),
            (r#"{ match.score.min = 0.7 }"#, true),
            (r#"{ "match.score" = { min = 0.7, not = 0.8 } }"#, false),
            (r#"{ "object.quality" = { min = 0 } }"#, false),
            (r#"{ "vendor.n" = { min = 7, max = 7 } }"#, true),
            (r#"{ "vendor.s" = { min = 7 } }"#, false),
        ],
    );
    let proximity = json!({ "counter": { "proximity_m": { "min": 2.5 } } });
    check(
        &proximity,
        &[
            (r#"{ counter.proximity_m = { min = 2.5 } }"#, true),
            (r#"{ counter.proximity_m = { min = { max = 2 } } }"#, false),
            (r#"{ "counter.proximity_m.min" = { min = 2 } }"#, true),
        ],
    );
}

#[test]
fn absence() {
    let event = json!({ "person": { "id": "7" }, "device": {}, "vendor": { "x": null } });
    check(
        &event,
        &[
            (r#"{ "person.id" = { present = true } }"#, true),
            (r#"{ "person.id" = { present = false } }"#, false),
            (r#"{ "person.name" = { present = false } }"#, true),
            (r#"{ "person.name" = { present = true } }"#, false),
            (r#"{ person = { present = true } }"#, true),
            (r#"{ match = { present = false } }"#, true),
            (r#"{ vendor = { present = true } }"#, true),
            (r#"{ "vendor.x" = { present = true } }"#, false),
            (r#"{ "vendor.x" = { not = 5 } }"#, true),
            (r#"{ "person.name" = { not = "x" } }"#, true),
            (
                r#"{ "person.name" = { not = "x", present = true } }"#,
                false,
            ),
            (r#"{ "person.name" = { like = "*" } }"#, false),
        ],
    );
}

#[test]
fn text() {
    let event = json!({ "device": { "name": "Lobby 3" }, "person": { "category": "vip" } });
    check(
        &event,
        &[
            (r#"{ "device.name" = { like = "Lobby*" } }"#, true),
            (r#"{ "device.name" = { like = "lobby*" } }"#, false),
            (r#"{ "device.name" = { like = "Lobby" } }"#, false),
            (r#"{ "device.name" = { like = "L*y*3" } }"#, true),
            (r#"{ "device.name" = { matches = "ob" } }"#, true),
            (r#"{ "device.name" = { matches = "^ob" } }"#, false),
            (r#"{ "device.name" = { matches = '\d$' } }"#, true),
            (r#"{ "device.name" = { matches = "(?i)^lobby" } }"#, true),
            (
                r#"{ "device.name" = { like = "L*", matches = "4" } }"#,
                false,
            ),
            (
                r#"{ "device.name" = { not = ["Hall", "Lobby 3"] } }"#,
                false,
            ),
            (r#"{ "person.category" = { like = "v*" } }"#, true),
            (r#"{ "person.category" = { like = "vis*" } }"#, false),
            (r#"{ "person.category" = { not = "vip" } }"#, false),
            (
                r#"{ "person.category" = { not = ["stranger", "known"] } }"#,
                true,
            ),
        ],
    );
}

#[test]
fn lists() {
    let event = json!({
        "person": { "groups": [{ "id": "a", "name": "Staff" }, { "id": "b" }] }, "access": { "methods": ["face", "card"] },
        "match": { "candidates": [{ "score": 0.9, "person": { "groups": [{ "id": "z" }] } }, { "score": 0.2 }] },
    });
    check(
        &event,
        &[
            (r#"{ "person.groups.id" = "b" }"#, true),
            (r#"{ person.groups = { id = "a" } }"#, true),
            (r#"{ "person.groups.id" = ["x", "y"] }"#, false),
            (r#"{ "person.groups.id" = { not = "b" } }"#, false),
            (r#"{ "person.groups.id" = { not = ["x", "y"] } }"#, true),
            (r#"{ "person.groups.name" = { like = "St*" } }"#, true),
            (r#"{ "access.methods" = "card" }"#, true),
            (r#"{ "access.methods" = { not = "pin" } }"#, true),
            (r#"{ "access.methods" = { not = "card" } }"#, false),
            // One element must satisfy the tests of one table together.
            (
                r#"{ "match.candidates.score" = { min = 0.3, max = 0.8 } }"#,
                false,
            ),
            (
                r#"{ "match.candidates.score" = { min = 0.1, max = 0.3 } }"#,
                true,
            ),
            (r#"{ "match.candidates.person.groups.id" = "z" }"#, true),
            (r#"{ "device.groups.id" = { not = "x" } }"#, true),
            (r#"{ person.groups = { present = true } }"#, true),
            (r#"{ images = { present = true } }"#, false),
        ],
    );
    check(
        &json!({ "person": { "groups": [] } }),
        &[(r#"{ person.groups = { present = true } }"#, false)],
    );
}

#[test]
fn attributes() {
    let event = json!({ "object": { "attributes": {
        "mask": { "value": "worn", "confidence": 0.7 }, "age": { "value": 30 }, "beard": { "value": false }, "hat": { "value": "red" },
    } } });
    check(
        &event,
        &[
            (r#"{ "object.attributes.mask" = "worn" }"#, true),
            (r#"{ "object.attributes.mask.value" = "worn" }"#, true),
            (
                r#"{ "object.attributes.mask.confidence" = { min = 0.7 } }"#,
                true,
            ),
            (
                r#"{ object.attributes.mask = { confidence = { min = 0.8 } } }"#,
                false,
            ),
            (
                r#"{ object.attributes.mask = { value = "worn", confidence = { min = 0.5 } } }"#,
                true,
            ),
            (
                r#"{ object.attributes = { mask = { not = "worn" } } }"#,
                false,
            ),
            (r#"{ "object.attributes.age" = { min = 18 } }"#, true),
            (r#"{ "object.attributes.beard" = false }"#, true),
            (r#"{ "object.attributes.hat" = { like = "r*" } }"#, true),
            (
                r#"{ "object.attributes.cape" = { present = false } }"#,
                true,
            ),
        ],
    );
}

#[test]
fn times() {
    // A Saturday, 03:30 in Shanghai, still Friday in UTC.
    let event = json!({ "occurred_at": "2026-11-20T19:30:00.000Z", "vendor": { "at": "2026-11-20 19:30:00Z" } });
    check(
        &event,
        &[
            (r#"{ occurred_at = { hours = "19:00-20:00" } }"#, true),
            (
                r#"{ occurred_at = { hours = "22:00-06:00", zone = "Asia/Shanghai" } }"#,
                true,
            ),
            (
                r#"{ occurred_at = { hours = "22:00-06:00", days = ["fri"], zone = "Asia/Shanghai" } }"#,
                true,
            ),
            (
                r#"{ occurred_at = { hours = "22:00-06:00", days = ["sat"], zone = "Asia/Shanghai" } }"#,
                false,
            ),
            (
                r#"{ occurred_at = { days = ["sat", "sun"], zone = "Asia/Shanghai" } }"#,
                true,
            ),
            (r#"{ occurred_at = { days = ["sat", "sun"] } }"#, false),
            (r#"{ received_at = { days = ["fri"] } }"#, false),
            (r#"{ "vendor.at" = { hours = "19:00-20:00" } }"#, true),
        ],
    );
}

#[test]
fn combinations() {
    let event = json!({ "kind": "alarm", "alarm": { "type": "fire", "state": "raised" } });
    check(
        &event,
        &[
            (
                r#"{ any = [{ kind = "recognition" }, { kind = "alarm" }] }"#,
                true,
            ),
            (
                r#"{ any = [{ kind = "recognition" }, { "alarm.type" = "tamper" }] }"#,
                false,
            ),
            (
                r#"{ kind = "alarm", any = [{ "alarm.state" = "cleared" }] }"#,
                false,
            ),
            (r#"{ none = [{ "alarm.state" = "cleared" }] }"#, true),
            (
                r#"{ none = [{ "alarm.state" = "cleared" }, { "alarm.type" = "fire", kind = "alarm" }] }"#,
                false,
            ),
            (
                r#"{ none = [{ "alarm.type" = "fire", kind = "episode" }] }"#,
                true,
            ),
            (
                r#"{ any = [{ none = [{ kind = "alarm" }] }, { any = [{ kind = "alarm" }] }] }"#,
                true,
            ),
            (r#"{ none = [{ none = [{ kind = "alarm" }] }] }"#, true),
        ],
    );
}

#[test]
fn failures_name_field_test_and_value() {
    let failed = |when: &str, event: Value| {
        routes(when).routes.explain(&event)[0]
            .failed
            .clone()
            .unwrap()
    };
    let score = failed(
        r#"{ kind = "recognition", "match.score" = {  min = 0.8 } }"#,
        json!({ "kind": "recognition", "match": { "score": 0.5 } }),
    );
    assert_eq!(
        (score.field.as_str(), score.test.as_str()),
        ("match.score", "{ min = 0.8 }")
    );
    assert_eq!((score.value, score.personal), (Some(json!(0.5)), false));
    let name = failed(
        r#"{ person.name.like = "A*" }"#,
        json!({ "person": { "name": "Bo" } }),
    );
    assert_eq!(name.test, "{ like = \"A*\" }");
    assert!(name.personal);
    let groups = failed(
        r#"{ "person.groups.id" = ["x"] }"#,
        json!({ "person": { "groups": [{ "id": "a" }] } }),
    );
    assert_eq!(groups.value, Some(json!(["a"])));
    let absent = failed(r#"{ "device.id" = "x" }"#, json!({}));
    assert_eq!(absent.value, None);
    let object = failed(
        "{ person = { present = false } }",
        json!({ "person": { "name": "Bo" } }),
    );
    assert!(
        object.personal,
        "a group of fields is as personal as its members"
    );
    let any = failed(r#"{ any = [{ kind = "alarm" }] }"#, json!({}));
    assert_eq!(
        (any.field.as_str(), any.test.as_str()),
        ("any", r#"[{ kind = "alarm" }]"#)
    );
}

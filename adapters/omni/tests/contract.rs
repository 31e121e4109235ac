//! The adapter through the suite of its contract, and bodies of the vendor's rough shape with anything in it.

use std::path::Path;

use faceway_adapter_omni::Omni;
use faceway_testkit::adapter::{Sent, contract, examine, shape};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn holds_the_contract() {
    contract(
        &Omni,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
    );
}

/// Every member that the document names, and some that it does not.
const NAMES: [&str; 35] = [
    "type",
    "activity_id",
    "camera",
    "candidates",
    "event",
    "id",
    "title",
    "stream",
    "real_name",
    "agent_id",
    "width",
    "height",
    "profile",
    "profile_groups",
    "confidence",
    "age",
    "gender",
    "avatar_id",
    "main_sample_id",
    "sample_link",
    "color",
    "name",
    "detection_date",
    "image",
    "original_image",
    "image_link",
    "original_image_link",
    "$image",
    "data",
    "trigger_source",
    "x",
    "template",
    "$serde_json::private::Number",
    "access_token",
    "password",
];

/// Texts that it looks at.
const WORDS: [&str; 13] = [
    "",
    " ",
    "MALE",
    "FEMALE",
    "2026-03-02 07:15:00.250000+00:00",
    "9999-12-31 23:59:59-23:59",
    "-000001-01-01 00:00:00+00:00",
    "rtsp://a:b@192.0.2.7/1",
    "//a:b@192.0.2.7?token=x",
    "/9j/4A==",
    "data:image/png;base64,AA",
    "\u{0}",
    "5",
];

fn leaf() -> impl Strategy<Value = Value> {
    shape::leaf(&WORDS, &[1_772_435_700])
}

fn members(value: impl Strategy<Value = Value>, count_max: usize) -> impl Strategy<Value = Value> {
    shape::members(&NAMES, value, count_max)
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            members(inner.clone(), 6),
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

fn candidates() -> impl Strategy<Value = Value> {
    let candidate = (members(value(), 4), members(value(), 8), value()).prop_map(
        |(mut candidate, profile, groups)| {
            candidate["profile"] = profile;
            candidate["profile_groups"] = groups;
            candidate
        },
    );
    prop::collection::vec(prop_oneof![5 => candidate, 1 => value()], 0..4).prop_map(Value::from)
}

fn message() -> impl Strategy<Value = Value> {
    let tag = prop_oneof![
        4 => Just(json!("identification")),
        2 => Just(json!("non_identification")),
        1 => Just(json!("crossing")),
        1 => leaf(),
    ];
    let part = || prop_oneof![6 => members(value(), 8), 1 => value()];
    let list = prop_oneof![6 => candidates(), 1 => value()];
    (members(value(), 4), tag, part(), part(), list).prop_map(
        |(mut message, tag, camera, event, candidates)| {
            message["type"] = tag;
            message["camera"] = camera;
            message["event"] = event;
            message["candidates"] = candidates;
            message
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_is_a_valid_event(message in message()) {
        let sent = Sent::new(&Omni, message.to_string().into_bytes());
        let result = examine(&Omni, &sent);
        prop_assert!(result.is_ok(), "{result:?}");
        let result = result.unwrap_or_default().to_string();
        prop_assert!(!result.contains("a:b@"), "{result}");
    }
}

#[test]
fn the_simulator_holds_the_contract() {
    faceway_testkit::simulator::contract(&faceway_adapter_omni::Omni);
}

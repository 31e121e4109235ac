//! The adapter through the suite of its contract, and bodies of the vendor's rough shape with anything in it.

use std::path::Path;

use faceway_adapter_nebula::Nebula;
use faceway_testkit::adapter::{Sent, contract, examine, shape};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn holds_the_contract() {
    contract(
        &Nebula,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
    );
}

/// Every member that the document names, and some that it does not.
const NAMES: [&str; 37] = [
    "deviceSN",
    "recognitionType",
    "recognizeStatus",
    "uuid",
    "recognizeScore",
    "livenessScore",
    "mask",
    "mode",
    "rgb_image",
    "pass",
    "timestamp",
    "bodyTemperature",
    "entry_mode",
    "abnormal_type",
    "user",
    "groups",
    "name",
    "user_id",
    "type",
    "ic_number",
    "job_number",
    "id_number",
    "guest_time_start",
    "guest_time_end",
    "remark",
    "pin",
    "trackID",
    "trace_id",
    "description",
    "code",
    "event_time",
    "status",
    "alarm_photo",
    "id",
    "x",
    "$serde_json::private::Number",
    "password",
];

/// Texts that it looks at.
const WORDS: [&str; 6] = [
    "",
    " ",
    "/9j/4A==",
    "data:image/png;base64,AA",
    "\u{0}",
    "5",
];

fn leaf() -> impl Strategy<Value = Value> {
    shape::leaf(&WORDS, &[10_001, 20_002, 1_685_343_715, 1_685_343_715_000])
}

fn members(value: impl Strategy<Value = Value>, count_max: usize) -> impl Strategy<Value = Value> {
    shape::members(&NAMES, value, count_max)
}

fn push() -> impl Strategy<Value = Value> {
    let value = leaf().prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            members(inner.clone(), 6),
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    });
    let tag = prop_oneof![4 => Just(json!(0)), 2 => Just(json!(1)), 1 => leaf()];
    (
        tag,
        members(value.clone(), 24),
        members(value.clone(), 12),
        members(value, 3),
    )
        .prop_map(|(tag, mut data, user, beside)| {
            if let Some(members) = data.as_object_mut() {
                members.entry("user").or_insert(user);
            }
            let mut push = beside;
            push["type"] = tag;
            push["data"] = data;
            push
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_is_a_valid_event(push in push()) {
        let sent = Sent::new(&Nebula, push.to_string().into_bytes());
        let result = examine(&Nebula, &sent);
        prop_assert!(result.is_ok(), "{result:?}");
    }
}

#[test]
fn the_simulator_holds_the_contract() {
    faceway_testkit::simulator::contract(&faceway_adapter_nebula::Nebula);
}

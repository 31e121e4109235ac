//! The adapter through the suite of its contract, and bodies of the vendor's rough shape with anything in it.

use std::path::Path;

use faceway_adapter_se5::Se5;
use faceway_testkit::adapter::{Sent, contract, examine, shape};
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn holds_the_contract() {
    contract(
        &Se5,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
    );
}

/// The golden cases that are one record, sent by two ways or in two writings.
#[test]
fn the_same_record_has_the_same_id() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let id = |case: &str, index: usize| {
        let out = std::fs::read(fixtures.join(case).join("out.json")).unwrap();
        let out: Value = serde_json::from_slice(&out).unwrap();
        out[index]["id"].as_str().unwrap().to_owned()
    };
    for (one, other) in [
        ("v1-vip", "history-v1-vip"),
        ("v1-employee", "form-flat"),
        ("v2-employee", "history-v2-employee"),
        ("history-v2-employee", "form-urlencoded"),
        ("history-v2-employee", "form-multipart"),
        ("history-v2-employee", "form-one-field"),
    ] {
        assert_eq!(id(one, 0), id(other, 0), "{one} and {other}");
    }
    assert_ne!(id("history-v1-batch", 0), id("history-v1-batch", 3));
}

/// Every member that the documents name, and some that they do not.
const NAMES: [&str; 61] = [
    "identity_id",
    "identity_name",
    "identity_info",
    "device_id",
    "media_device_id",
    "media_device_ip",
    "media_device_type",
    "media_device_name",
    "media_device_url",
    "media_device_info",
    "media_device_status",
    "ep_info",
    "ep_id",
    "ep_ip",
    "ep_name",
    "ep_type",
    "ext_data",
    "device_ip",
    "device_type",
    "person_type",
    "user_type",
    "group_name",
    "timestamp",
    "in_timestamp",
    "out_timestamp",
    "score",
    "event_id",
    "reg_pic",
    "register_image",
    "reg_image",
    "recognize_face",
    "recognize_face_image",
    "spot_pic",
    "spot_image",
    "ir_pic",
    "ir_image",
    "recognize_face_attr",
    "mask",
    "gender",
    "age",
    "glasses",
    "box",
    "point",
    "feature",
    "feature_binary",
    "feature_base64_str",
    "mq_license_key",
    "dev_sno",
    "api_version",
    "want_action",
    "sub_devices",
    "media_devices",
    "gateway_sn",
    "gateway_ip",
    "gateway_name",
    "user_id",
    "name",
    "pin",
    "password",
    "token",
    "$serde_json::private::Number",
];

/// Texts that it looks at.
const WORDS: [&str; 14] = [
    "",
    " ",
    "/9j/4A==",
    "data:image/jpeg;base64,/9j/4A==",
    "\u{0}",
    "4",
    "stranger",
    "vip",
    "rtsp",
    "male",
    "middle-aged",
    "1767250800.3828533",
    "rtsp://admin:x@10.0.0.1/1",
    "0xe0__rtsp://u:p@h",
];

fn leaf() -> impl Strategy<Value = Value> {
    shape::leaf(&WORDS, &[1_767_250_800, 1_767_250_800_123])
}

fn members(value: impl Strategy<Value = Value>, count_max: usize) -> impl Strategy<Value = Value> {
    shape::members(&NAMES, value, count_max)
}

fn message() -> impl Strategy<Value = Value> {
    let value = leaf().prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            2 => members(inner.clone(), 8),
            1 => prop::collection::vec(inner, 0..5).prop_map(Value::from),
        ]
    });
    prop_oneof![
        4 => members(value.clone(), 24),
        1 => prop::collection::vec(members(value, 12), 0..4).prop_map(Value::from),
    ]
}

fn settings() -> impl Strategy<Value = (Option<&'static str>, Option<i64>)> {
    (
        prop::option::of(prop::sample::select(vec!["v1", "v2"])),
        prop::option::of(prop::sample::select(vec![1_i64, 100])),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_is_a_valid_event(message in message(), set in settings()) {
        let mut sent = Sent::new(&Se5, message.to_string().into_bytes());
        if let Some(protocol) = set.0 {
            sent.settings.set("protocol", faceway_core::SettingValue::Text(protocol.into()));
        }
        if let Some(scale) = set.1 {
            sent.settings.set("score_scale", faceway_core::SettingValue::Number(scale));
        }
        let result = examine(&Se5, &sent);
        prop_assert!(result.is_ok(), "{result:?}");
    }

    #[test]
    fn whatever_a_form_holds_is_a_valid_event(body in "[a-z_=&%+0-9{}\":.]{0,60}", names in prop::collection::vec(prop::sample::select(&NAMES[..]), 0..6)) {
        let fields: Vec<String> = names.iter().map(|name| format!("{name}={body}")).collect();
        let mut sent = Sent::new(&Se5, fields.join("&").into_bytes());
        sent.headers.insert("content-type", http::HeaderValue::from_static("application/x-www-form-urlencoded"));
        let result = examine(&Se5, &sent);
        prop_assert!(result.is_ok(), "{result:?}");
    }
}

#[test]
fn the_simulator_holds_the_contract() {
    faceway_testkit::simulator::contract(&faceway_adapter_se5::Se5);
}

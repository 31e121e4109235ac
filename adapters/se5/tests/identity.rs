//! Which words of a box make a record itself.

use faceway_adapter_se5::Se5;
use faceway_testkit::adapter::{ids, only_these_do_not_count};

const KNOWN: &str = r#"{"event_id":"1628066406671000","identity_id":"20471","identity_name":"Tove Brandauer","group_name":"staff",
    "device_id":"5b0d7c1e-0000-4000-8000-000000000071","timestamp":1767250800123,"score":0.87,
    "ext_data":{"person_type":1,"device_ip":"192.0.2.11","device_type":"0"}}"#;

const STRANGER: &str = r#"{"identity_id":"","identity_name":"stranger","device_id":"cam-7","timestamp":1767250800123,"score":0.2,
    "ext_data":{"person_type":4,"recognize_face":"/9j/4AAQ"}}"#;

#[test]
fn camera_time_person_verdict_and_score_count() {
    let free = [
        "/group_name",
        "/ext_data/device_ip",
        "/ext_data/device_type",
    ];
    only_these_do_not_count(&Se5, KNOWN, &free);
}

#[test]
fn with_a_uuid_person_verdict_and_camera_count() {
    let known = KNOWN.replace("1628066406671000", "68448968-cf1a-44fd-ac29-b1731355a723");
    let free = [
        "/group_name",
        "/timestamp",
        "/score",
        "/ext_data/device_ip",
        "/ext_data/device_type",
    ];
    only_these_do_not_count(&Se5, &known, &free);
}

#[test]
fn of_a_stranger_the_face_counts() {
    only_these_do_not_count(&Se5, STRANGER, &["/identity_name"]);
    let other = STRANGER.replace("/9j/4AAQ", "/9j/4AAR");
    assert_ne!(ids(&Se5, STRANGER), ids(&Se5, &other));
    // Where no picture is sent, the place in the frame tells one from the other.
    let placed = |left: u32| {
        format!(
            r#"{{"identity_id":"","identity_name":"","media_device_id":"cam-7","timestamp":1767250800123,"user_type":"stranger",
            "recognize_face_attr":{{"box":[{left},2,30,40]}}}}"#
        )
    };
    assert_ne!(ids(&Se5, &placed(1)), ids(&Se5, &placed(5)));
}

#[test]
fn the_history_tells_the_same_record_as_the_websocket() {
    let history = r#"[{"api_version":"1.0","want_action":"0","event_id":"1628066406671000","identity_id":"20471",
        "identity_name":"Tove Brandauer","person_type":1,"timestamp":1767250800123,"score":0.870,
        "ep_info":{"device_id":"5b0d7c1e000040008000000000000071","ep_name":"hall","ep_ip":"192.0.2.11"}}]"#;
    assert_eq!(ids(&Se5, KNOWN), ids(&Se5, history));
}

#[test]
fn everything_counts_in_a_report() {
    let report = r#"{"sub_devices":[{"media_device_id":"cam-7","media_device_status":"online1"}]}"#;
    only_these_do_not_count(&Se5, report, &[]);
}

//! Which words of a terminal make a record itself.

use faceway_adapter_nebula::Nebula;
use faceway_testkit::adapter::{ids, only_these_do_not_count};

const STRONG: &str = r#"{"type":0,"data":{"deviceSN":"PSC1","uuid":"5a0c7e10-0000-4000-8000-000000000001","recognitionType":1,
    "recognizeScore":0.98,"mask":1,"entry_mode":1,"abnormal_type":10001,"pass":true,"timestamp":1767250800,"bodyTemperature":36.5,
    "rgb_image":" ","user":{"name":"Tove Brandauer","user_id":"71","type":1,"job_number":"4711","pin":"1234"}}}"#;

#[test]
fn with_a_uuid_person_verdict_kind_and_device_count() {
    let free = [
        "recognizeScore",
        "mask",
        "entry_mode",
        "timestamp",
        "bodyTemperature",
        "rgb_image",
        "user/job_number",
        "user/pin",
    ]
    .map(|name| format!("/data/{name}"));
    let free: Vec<&str> = free.iter().map(String::as_str).collect();
    only_these_do_not_count(&Nebula, STRONG, &free);
}

/// A blank UUID, or one that is none, says nothing.
#[test]
fn without_a_uuid_everything_counts_but_secrets() {
    for uuid in ["", "7", "00000000-0000-0000-0000-000000000000"] {
        let body = STRONG.replace("5a0c7e10-0000-4000-8000-000000000001", uuid);
        only_these_do_not_count(&Nebula, &body, &["/data/user/pin"]);
    }
}

#[test]
fn everything_counts_in_an_alarm() {
    let alarm = r#"{"type":1,"data":{"trace_id":"t-1","code":10002,"status":2,"user_id":71,"event_time":1767250800123}}"#;
    only_these_do_not_count(&Nebula, alarm, &[]);
}

#[test]
fn one_uuid_of_two_terminals_is_two_records() {
    let other = STRONG.replace("PSC1", "PSC2");
    assert_ne!(ids(&Nebula, STRONG), ids(&Nebula, &other));
}

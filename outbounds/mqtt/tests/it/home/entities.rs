//! What Home Assistant makes of an event: the templates of a configuration, rendered as it does.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::*;

/// Renders every template of a configuration for every event, with Jinja.
const HOME: &str = r#"
import json, sys
import jinja2

given = json.load(sys.stdin)
out = []
for event in given["events"]:
    out.append({name: jinja2.Environment().from_string(part["value_template"]).render(value_json=event)
                for name, part in given["components"].items() if "value_template" in part})
print(json.dumps(out))
"#;

async fn rendered(components: &Value, events: &[Value]) -> Vec<Value> {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", HOME])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python is installed (./run-tests does it, with jinja2)");
    let given = json!({ "components": components, "events": events }).to_string();
    let mut input = child.stdin.take().unwrap();
    input.write_all(given.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The parts of what is announced of a device.
async fn components(device: &str) -> Value {
    let broker = broker().await;
    let subscriber = Subscriber::start(&broker, 1).await;
    let mqtt = mqtt(announcing(&broker, 5));
    until_delivered(&mqtt, &seen(device, 0)).await;
    subscriber.catch_up().await;
    let said = payloads(&subscriber, &config(device));
    let said: Value = serde_json::from_str(&said[0]).unwrap();
    said["components"].clone()
}

/// Which triggers an event pulls: those whose template gives their payload.
fn pulled(components: &Value, rendered: &Value) -> Vec<String> {
    let parts = components.as_object().unwrap().iter();
    let triggers = parts.filter(|(_, part)| part["platform"] == "device_automation");
    let pulled = triggers.filter(|(name, part)| rendered[name.as_str()] == part["payload"]);
    let mut pulled: Vec<_> = pulled.map(|(name, _)| name.clone()).collect();
    pulled.sort();
    pulled
}

/// A name that must not end a text of the template.
const DEVICE: &str = r"S'N-%}1";

#[tokio::test]
async fn home_assistant_gets_the_person_from_a_recognition() {
    let components = components(DEVICE).await;
    let device = json!({ "id": DEVICE });
    let known = json!({
        "id": "1", "kind": "recognition", "device": device,
        "person": { "id": "7", "name": "Ada \"A\" Example", "category": "employee" },
        "match": { "score": 0.93 }, "access": { "granted": true },
    });
    let bare = json!({ "id": "2", "kind": "recognition", "device": device });
    let denied = json!({
        "id": "3", "kind": "recognition", "device": device,
        "person": { "category": "blocklisted" }, "access": { "granted": false },
    });
    let got = rendered(&components, &[known, bare, denied]).await;
    let person: Value = serde_json::from_str(got[0]["person"].as_str().unwrap()).unwrap();
    assert_eq!(person["event_type"], "employee");
    assert_eq!(person["person"], "Ada \"A\" Example");
    assert_eq!(
        (&person["granted"], &person["score"]),
        (&json!(true), &json!(0.93))
    );
    let person: Value = serde_json::from_str(got[1]["person"].as_str().unwrap()).unwrap();
    assert_eq!(person["event_type"], "recognition");
    assert_eq!(person["person"], Value::Null);
    assert!(got.iter().all(|got| got["alarm"] == ""), "no alarm");
    let pulled: Vec<_> = got.iter().map(|got| pulled(&components, got)).collect();
    assert_eq!(pulled[0], ["access_granted", "recognition_employee"]);
    assert_eq!(pulled[1], ["recognition_recognition"]);
    assert_eq!(pulled[2], ["access_denied", "recognition_blocklisted"]);
}

#[tokio::test]
async fn home_assistant_gets_the_alarm_and_its_end() {
    let components = components(DEVICE).await;
    let of =
        |alarm| json!({ "id": "1", "kind": "alarm", "device": { "id": DEVICE }, "alarm": alarm });
    let events = [
        of(json!({ "type": "forced_door", "state": "raised" })),
        of(json!({ "type": "forced_door", "state": "cleared" })),
        of(json!({ "state": "clearing_failed" })),
        of(json!({})),
        json!({ "id": "1", "kind": "alarm", "device": { "id": DEVICE } }),
    ];
    let got = rendered(&components, &events).await;
    let words = [
        "forced_door",
        "cleared",
        "clearing_failed",
        "alarm",
        "alarm",
    ];
    for (got, word) in got.iter().zip(words) {
        let alarm: Value = serde_json::from_str(got["alarm"].as_str().unwrap()).unwrap();
        assert_eq!(alarm["event_type"], word);
        let types = components["alarm"]["event_types"].as_array().unwrap();
        assert!(types.contains(&json!(word)), "{word}");
        assert_eq!(pulled(&components, got), [format!("alarm_{word}")]);
        assert_eq!(got["person"], "", "no person was seen");
    }
    let alarm: Value = serde_json::from_str(got[1]["alarm"].as_str().unwrap()).unwrap();
    assert_eq!(alarm["type"], "forced_door");
}

/// Several devices and kinds may share a topic.
#[tokio::test]
async fn what_is_of_others_is_passed_over() {
    let components = components(DEVICE).await;
    let events = [
        json!({ "id": "5", "kind": "recognition", "device": { "id": "SN-2" } }),
        json!({ "id": "5", "kind": "alarm", "device": { "id": "SN-2" } }),
        json!({ "id": "6", "kind": "recognition" }),
        json!({ "id": "6", "kind": "counter", "device": { "id": DEVICE } }),
    ];
    for got in rendered(&components, &events).await {
        assert!(
            got.as_object().unwrap().values().all(|text| text == ""),
            "{got}"
        );
    }
}

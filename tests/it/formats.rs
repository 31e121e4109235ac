//! What a receiver gets in each format, from a gateway at work.

use faceway_testkit::receiver::{Received, Receiver};
use serde_json::{Value, json};

use crate::harness::{Device, Site, recognition, recognition_with, routes_to, text};

/// The smallest JPEG that has its magic bytes, in base64.
const PICTURE: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2Q==";

/// The trace of another system that a push belongs to.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACESTATE: &str = "gate@site=t61rcWkgMzE";

const TEMPLATE: &str = r#"{
  "text": "{{ person.name | default("a person") }} at {{ device.id | default("a door") }}",
  "score": {{ match.score | default(none) }},
  "roles": [{% for image in images %}{{ image.role }}{% if not loop.last %},{% endif %}{% endfor %}]
}"#;

fn routes(url: &str) -> String {
    let outbound = |name: &str, more: &str| {
        format!("[outbound.webhook.{name}]\nurl = \"{url}?{name}\"\n{more}\n")
    };
    let outbounds = [
        outbound(
            "plain",
            "headers = { x-door = \"{device.id}\", x-person = \"{person.name}\", x-score = \"{match.score}\", x-alarm = \"{alarm.type}\" }",
        ),
        outbound(
            "structured",
            "format = \"cloudevents\"\nomit = [\"person\"]",
        ),
        outbound(
            "binary",
            "format = \"cloudevents-binary\"\nimages = \"inline\"\ngzip = true\nheaders = { ce-subject = \"mine\", x-door = \"{device.id}\" }",
        ),
        outbound(
            "chat",
            "format = \"template\"\ntemplate = \"chat.json.j2\"\nonly = [\"person.name\", \"device.id\", \"match.score\", \"images.role\"]",
        ),
    ];
    format!(
        "[inbound.nebula.lobby]\n{}[[route]]\nname = \"all\"\nto = [\"plain\", \"structured\", \"binary\", \"chat\"]\n",
        outbounds.concat()
    )
}

async fn received(device: &str) -> impl Fn(&str) -> Received {
    let receiver = Receiver::start().await;
    let site = Site::new(&routes(&receiver.url()));
    std::fs::write(site.path().join("chat.json.j2"), TEMPLATE).unwrap();
    let checked = site.run(&["check"]).await;
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let gateway = site.start().await;
    let push = recognition_with(device, "u-1", PICTURE);
    let trace = [("traceparent", TRACEPARENT), ("tracestate", TRACESTATE)];
    let mut terminal = Device::connect(gateway.devices).await;
    let answer = terminal.send("POST", "/in/lobby", &trace, &push).await;
    assert!(answer.unwrap().is_success());
    let received = receiver.wait_for(4).await;
    assert!(gateway.stop().await.success());
    move |name| {
        let found = received
            .iter()
            .find(|one| one.target.ends_with(&format!("?{name}")));
        found
            .unwrap_or_else(|| panic!("nothing for {name}"))
            .clone()
    }
}

fn json_of(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap_or_else(|_| panic!("{:?}", received.body))
}

#[tokio::test]
async fn every_format_says_the_same_event() {
    let received = received("PSC \"1\"").await;

    let plain = received("plain");
    let id = plain.id();
    assert_eq!(plain.header("x-door"), "PSC \"1\"");
    assert_eq!(plain.header("x-person"), "Wanda Probst");
    assert_eq!(plain.header("x-score"), "0.93");
    assert_eq!(plain.header("x-alarm"), "-");

    let structured = received("structured");
    assert_eq!(
        structured.header("content-type"),
        "application/cloudevents+json"
    );
    let mut envelope = json_of(&structured);
    let data = envelope.as_object_mut().unwrap().remove("data").unwrap();
    assert_eq!(
        envelope,
        json!({
            "specversion": "1.0", "id": id, "source": "/faceway/lobby", "type": "faceway.recognition.v1",
            "subject": "PSC \"1\"", "time": "2025-11-24T16:00:00.000Z", "datacontenttype": "application/json",
            "dataschema": "urn:faceway:event:1", "traceparent": TRACEPARENT, "tracestate": TRACESTATE,
        })
    );
    assert_eq!((&data["id"], data.get("person")), (&json!(id), None));

    let binary = received("binary");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-source", "/faceway/lobby"),
        ("ce-type", "faceway.recognition.v1"),
        ("ce-subject", "PSC%20%221%22"),
        ("ce-time", "2025-11-24T16:00:00.000Z"),
        ("ce-dataschema", "urn:faceway:event:1"),
        ("ce-traceparent", TRACEPARENT),
        ("ce-tracestate", TRACESTATE),
        ("content-type", "application/json"),
    ] {
        assert_eq!(binary.header(name), value, "{name}");
    }
    for name in binary.headers.keys() {
        let times = binary.headers.get_all(name).iter().count();
        assert_eq!(times, 1, "{name} is there once");
    }
    assert_eq!(json_of(&binary)["person"]["name"], "Wanda Probst");
    let picture = &json_of(&binary)["images"][0]["url"];
    assert_eq!(*picture, format!("data:image/jpeg;base64,{PICTURE}"));

    for name in ["plain", "structured", "binary", "chat"] {
        let received = received(name);
        assert_eq!(received.header("traceparent"), TRACEPARENT, "{name}");
        assert_eq!(received.header("tracestate"), TRACESTATE, "{name}");
    }

    let chat = received("chat");
    assert_eq!(chat.header("content-type"), "application/json");
    assert_eq!(chat.id(), id);
    assert_eq!(
        json_of(&chat),
        json!({ "text": "Wanda Probst at PSC \"1\"", "score": 0.93, "roles": ["face"] })
    );
}

/// An event that a template cannot make anything of is buried; those after it, also of its device, go on.
#[tokio::test]
async fn a_template_that_fails_for_an_event_buries_it_alone() {
    let receiver = Receiver::start().await;
    let site = Site::new(&format!(
        "[inbound.nebula.lobby]\n[outbound.webhook.erp]\nurl = \"{}\"\nformat = \"template\"\ntemplate = \"a.json.j2\"\n\
         [[route]]\nname = \"all\"\nto = [\"erp\"]\n",
        receiver.url()
    ));
    // It fails for one record alone, of which no check can know.
    let template = "{ \"id\": {% if vendor_id | default(\"\") == \"u-2\" %}{{ vendor.nowhere.name }}{% else %}{{ vendor_id | default(none) }}{% endif %} }";
    std::fs::write(site.path().join("a.json.j2"), template).unwrap();
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-1", "u-2", "u-3"] {
        let push = recognition_with("PSC1", uuid, " ");
        assert!(device.push(&push).await.unwrap().is_success());
    }
    let received = receiver.wait_for(2).await;
    let ids: Vec<_> = received
        .iter()
        .map(|one| json_of(one)["id"].clone())
        .collect();
    assert_eq!(ids, ["u-1", "u-3"]);
    let buried = "faceway_attempts_total{outbound=\"erp\",result=\"buried\",code=\"template\"}";
    gateway.wait_for_metric(buried, |count| count == 1.0).await;
    let log = gateway.log();
    assert!(!log.contains("Wanda"), "{log}");
    assert!(gateway.stop().await.success());
}

/// A receiver of JSON:API takes nothing else.
#[tokio::test]
async fn a_content_type_of_ones_own_is_sent() {
    let receiver = Receiver::start().await;
    let more = "headers = { content-type = \"application/vnd.api+json\" }";
    let gateway = Site::new(&routes_to(&receiver.url(), more)).start().await;
    let mut device = Device::connect(gateway.devices).await;
    device.push(&recognition("PSC1", "u-1")).await.unwrap();
    let received = receiver.wait_for(1).await;
    let sent: Vec<_> = received[0].headers.get_all("content-type").iter().collect();
    assert_eq!(sent, ["application/vnd.api+json"]);
}

/// A trace is kept with its event: over a kill and for as long as the receiver is down. One that breaks the grammar, and no
/// trace at all, are nothing; an outbound's own `traceparent` stays.
#[tokio::test]
async fn a_trace_outlives_an_outage_and_a_kill() {
    let receiver = Receiver::start().await;
    receiver.refuse().await;
    let webhook = |name: &str, more: &str| {
        let url = receiver.url();
        format!(
            "[outbound.webhook.{name}]\nurl = \"{url}?{name}\"\nretry.backoff_max = \"100ms\"\nretry.backoff_min = \"50ms\"\n{more}\n"
        )
    };
    let site = Site::new(&format!(
        "[inbound.nebula.lobby]\n{}{}[[route]]\nname = \"all\"\nto = [\"erp\", \"own\"]\n",
        webhook("erp", ""),
        webhook("own", "headers = { traceparent = \"ours\" }"),
    ));
    let gateway = site.start().await;
    let mut terminal = Device::connect(gateway.devices).await;
    let broken = TRACEPARENT.to_uppercase();
    for (uuid, trace) in [
        ("u-1", &[("traceparent", TRACEPARENT)][..]),
        ("u-2", &[]),
        (
            "u-3",
            &[("traceparent", &broken), ("tracestate", TRACESTATE)],
        ),
    ] {
        let push = recognition("PSC1", uuid);
        let answer = terminal.send("POST", "/in/lobby", trace, &push).await;
        assert!(answer.unwrap().is_success());
    }
    gateway.kill().await;
    let gateway = site.start().await;
    receiver.listen().await;
    let received = receiver.wait_for(6).await;
    let told = |name: &str| {
        let own = received.iter().filter(|one| one.target.ends_with(name));
        let headers = own.map(|one| one.headers.get("traceparent"));
        let texts = headers.map(|value| value.map(|value| value.to_str().unwrap().to_owned()));
        texts.collect::<Vec<_>>()
    };
    assert_eq!(told("?erp"), [Some(TRACEPARENT.to_owned()), None, None]);
    assert_eq!(told("?own"), vec![Some("ours".to_owned()); 3]);
    assert!(
        received
            .iter()
            .all(|one| one.headers.get("tracestate").is_none())
    );
    assert!(gateway.stop().await.success());
}

//! Routes together: `otherwise`, `once`, outbounds, views.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::GRAMMAR;
use faceway_rules::{Asked, Diagnostics, OnceState, Routes, parse};
use serde_json::{Value, json};

const FILE: &str = r#"
[outbound.stdout.erp]
[outbound.stdout.bus]
[outbound.stdout.audit]

[[route]]
name = "alarms"
when = { kind = "alarm" }
to = ["bus", "erp"]

[[route]]
name = "once"
when = { kind = "recognition" }
to = ["erp"]
once = { per = ["person.id", "device.id"], within = "30s" }

[[route]]
name = "vip"
when = { "person.category" = "vip" }
to = ["erp", "bus"]

[[route]]
name = "rest"
otherwise = true
to = ["audit", "bus"]
"#;

fn routes(text: &str) -> Result<Routes, Diagnostics> {
    parse(text, "routes.toml", &GRAMMAR)
}

fn decided(event: &Value) -> (Vec<usize>, Vec<usize>) {
    let decision = routes(FILE).unwrap().routes.decide(event);
    (decision.matched, decision.outbounds)
}

#[test]
fn an_outbound_once_however_many_routes_name_it() {
    let vip_alarm = json!({ "kind": "alarm", "person": { "category": "vip" } });
    assert_eq!(decided(&vip_alarm), (vec![0, 2], vec![0, 1]));
    assert_eq!(
        decided(&json!({ "kind": "recognition" })),
        (vec![1], vec![0])
    );
    assert_eq!(decided(&json!({ "kind": "other" })), (vec![3], vec![1, 2]));
}

fn event(number: u8, second: u8, person: Value) -> Value {
    json!({
        "id": format!("{:08}-0000-5000-8000-000000000000", number), "kind": "recognition",
        "received_at": format!("2026-11-22T08:00:{second:02}.000Z"), "device": { "id": "d" }, "person": person,
    })
}

#[test]
fn once_silences_its_own_route_only() {
    let routes = routes(FILE).unwrap().routes;
    let (erp, audit) = (
        routes.outbound("erp").unwrap(),
        routes.outbound("audit").unwrap(),
    );
    let mut once = OnceState::default();
    let mut admits = |outbound, event: &Value| {
        let view = routes.view(event.to_string().as_bytes()).unwrap();
        let asked = Asked::of(event).unwrap();
        routes.admits(
            outbound,
            &routes.matched(&view),
            || Some(view.clone()),
            &asked,
            &mut once,
        )
    };
    let (a, b) = (json!({ "id": "a" }), json!({ "id": "b" }));
    assert!(admits(erp, &event(1, 0, a.clone())));
    assert!(!admits(erp, &event(2, 5, a.clone())), "silence");
    assert!(
        admits(erp, &event(1, 0, a.clone())),
        "the first is asked again"
    );
    assert!(admits(erp, &event(3, 6, b)), "another person");
    let vip = json!({ "id": "a", "category": "vip" });
    assert!(admits(erp, &event(4, 7, vip)), "another route admits it");
    assert!(admits(erp, &event(5, 30, a.clone())), "the silence is over");
    assert!(
        !admits(audit, &event(6, 31, a)),
        "matched by a route, silenced or not"
    );
}

#[test]
fn an_event_that_opens_a_silence_does_so_beside_other_routes() {
    let routes = routes(FILE).unwrap().routes;
    let erp = routes.outbound("erp").unwrap();
    let mut once = OnceState::default();
    let vip = event(1, 0, json!({ "id": "a", "category": "vip" }));
    let plain = event(2, 1, json!({ "id": "a" }));
    let mut admits = |event: &Value| {
        let (matched, asked) = (routes.matched(event), Asked::of(event).unwrap());
        routes.admits(erp, &matched, || Some(event.clone()), &asked, &mut once)
    };
    assert!(admits(&vip));
    assert!(!admits(&plain));
    let named = routes
        .matched(&vip)
        .into_iter()
        .filter(|route| routes.routes()[*route].to.contains(&erp));
    assert_eq!(named.collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_route_that_admits_first_does_not_hide_the_event_from_once() {
    let file = r#"
[outbound.stdout.s]
[[route]]
name = "vip"
when = { "person.category" = "vip" }
to = ["s"]
[[route]]
name = "once"
to = ["s"]
once = { per = ["person.id"], within = "30s" }
"#;
    let routes = routes(file).unwrap().routes;
    let mut once = OnceState::default();
    let mut admits = |event: &Value| {
        let asked = Asked::of(event).unwrap();
        let matched = routes.matched(event);
        routes.admits(0, &matched, || Some(event.clone()), &asked, &mut once)
    };
    assert!(admits(&event(
        1,
        0,
        json!({ "id": "a", "category": "vip" })
    )));
    assert!(!admits(&event(2, 1, json!({ "id": "a" }))));
}

#[test]
fn strangers_without_an_id_are_one_key() {
    let routes = routes(FILE).unwrap().routes;
    let erp = routes.outbound("erp").unwrap();
    let mut once = OnceState::default();
    let mut admits = |event: &Value| {
        let asked = Asked::of(event).unwrap();
        let matched = routes.matched(event);
        routes.admits(erp, &matched, || Some(event.clone()), &asked, &mut once)
    };
    assert!(admits(&event(1, 0, json!({}))));
    assert!(!admits(&event(2, 1, json!({}))));
    assert!(
        admits(&event(3, 2, json!({ "id": "" }))),
        "blank is not absent"
    );
}

#[test]
fn a_view_holds_what_rules_ask_and_no_more() {
    let routes = routes(FILE).unwrap().routes;
    let body = br#"{"id":"x","kind":"alarm","person":{"id":"7","name":"Bo","category":"vip"},"vendor":{"n":123456789012345678901234567890},"match":5}"#;
    let view = routes.view(body).unwrap();
    assert_eq!(
        view,
        json!({ "kind": "alarm", "person": { "id": "7", "category": "vip" } })
    );
    assert!(routes.view(b"{\"id\":").is_err());
    assert!(routes.view(b"{} {}").is_err());
}

#[test]
fn plans_are_what_is_written() {
    let text = include_str!("good/everything.toml");
    let plan = common::parse(text).unwrap();
    let inbounds: Vec<_> = plan
        .inbounds
        .iter()
        .map(|inbound| {
            let dialled = inbound.dial.as_ref().map(|dial| dial.url.as_str());
            (inbound.name.as_str(), inbound.path.as_deref(), dialled)
        })
        .collect();
    assert_eq!(
        inbounds,
        [
            ("lobby", Some("/in/lobby"), None),
            ("hall", Some("/in/hall"), None),
            ("boxes", Some("/in/boxes"), Some("wss://192.168.1.180:5679")),
            ("box", None, Some("ws://192.168.1.181:5679")),
            (
                "campus",
                None,
                Some("wss://omni.example/event-service/identification/ws")
            ),
            ("city", Some("/in/city"), None)
        ]
    );
    assert_eq!(plan.inbounds[0].terminals.len(), 2);
    let lobby = &plan.inbounds[0];
    assert_eq!(lobby.allow.len(), 3);
    assert_eq!(lobby.settings.number("score_scale"), Some(100));
    assert_eq!(lobby.settings.text("protocol"), Some("v2"));
    let secrets: Vec<_> = plan
        .secrets()
        .into_iter()
        .map(|(key, secret)| format!("{key}: {secret}"))
        .collect();
    assert_eq!(
        secrets,
        [
            "inbound.nebula.lobby.token: environment variable LOBBY_TOKEN",
            "inbound.nebula.lobby.terminals.password: environment variable LOBBY_PASSWORD",
            "inbound.nebula.lobby.terminals.password: file /run/secrets/lobby",
            "inbound.se5.boxes.token: environment variable BOX_TOKEN",
            "inbound.omni.campus.query.access: environment variable OMNI_ACCESS",
            "outbound.webhook.erp.sign: environment variable ERP_SECRET",
            "outbound.webhook.erp.sign: file /run/secrets/erp",
            "outbound.webhook.erp.headers.authorization: environment variable ERP_AUTH",
            "outbound.mqtt.bus.password: environment variable BUS_PASSWORD",
            "outbound.amqp.queue.password: file /run/secrets/queue",
        ]
    );
    let erp = &plan.outbounds[0].common;
    assert_eq!((erp.concurrency_max, erp.retry.attempts_max), (2, None));
    assert_eq!(
        erp.retry.age_max,
        Some(std::time::Duration::from_secs(7 * 24 * 3600))
    );
    let named = |name: &str| {
        let found = plan.outbounds.iter().find(|plan| plan.name == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    let screen = &named("screen").common;
    assert_eq!(
        screen.retry.attempts_max.map(std::num::NonZeroU32::get),
        Some(10)
    );
    assert_eq!((screen.concurrency_max, screen.timeout.as_secs()), (4, 10));
    assert_eq!(named("bus").common.concurrency_max, 32);
    let address = |name: &str| named(name).protocol.address().map(ToString::to_string);
    assert_eq!(
        address("old-bus").as_deref(),
        Some("faceway/{inbound}/{device.id}/{kind}")
    );
    assert_eq!(address("other-queue").as_deref(), Some("{kind}"));
    for name in ["old-bus", "other-queue"] {
        let most = named(name).protocol.payload_bytes_max();
        assert_eq!(most, Some(256 * 1024), "{name}");
    }
    let headers = named("erp").protocol.headers();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["x-device"]);
}

#[test]
fn one_way_in_or_one_way_out_is_a_file() {
    let parse = |text: &str| parse(text, "routes.toml", &GRAMMAR);
    parse("[inbound.nebula.lobby]").unwrap();
    parse("[outbound.stdout.screen]").unwrap();
    for text in ["", "# nothing\n", "[inbound]\n[outbound]\n", "\u{FEFF}"] {
        let errors = parse(text).unwrap_err();
        let first = errors.iter().next().unwrap();
        assert_eq!(
            (errors.len(), first.line, first.column),
            (1, 1, 1),
            "{errors}"
        );
    }
}

#[test]
fn routes_that_differ_are_told_by_name() {
    let set = |routes: &str| {
        let outbounds = "[outbound.stdout.a]\n[outbound.stdout.b]\n";
        parse(&format!("{outbounds}{routes}"), "routes.toml", &GRAMMAR)
            .unwrap()
            .routes
    };
    let before = set(
        "[[route]]\nname = \"one\"\nto = [\"a\"]\n[[route]]\nname = \"two\"\nto = [\"b\"]\nwhen = { kind = \"alarm\" }\n\
         [[route]]\nname = \"three\"\nto = [\"b\"]\n",
    );
    let now = set(
        "[[route]]\nname = \"two\"\nto = [\"b\"]\nwhen = { kind = \"episode\" }\n[[route]]\nname = \"three\"\nto = [\"b\"]\n\
         [[route]]\nname = \"four\"\nto = [\"a\"]\n",
    );
    let changes = now.changes_since(&before);
    assert_eq!(
        (changes.added, changes.changed, changes.removed),
        (vec!["four".into()], vec!["two".into()], vec!["one".into()])
    );
    assert_eq!(before.changes_since(&before), Default::default());
}

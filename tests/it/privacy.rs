//! Nothing personal comes out but in events: not in a log at any level, a metric, an error answer, a status.

use faceway_testkit::receiver::{Behaviour, Receiver};

use crate::harness::{Device, Site, text};

/// What stands in the records that are sent here and must be nowhere else.
const PERSONAL: [&str; 8] = [
    "Zacharias",
    "Quendolin",
    "990011223344",
    "JOB-778899",
    "ID-556677",
    "remarkable",
    "PIN-424242",
    "/9j/4AAQSkZJRgABAQ",
];

fn record(uuid: &str) -> String {
    format!(
        r#"{{"type":0,"data":{{"deviceSN":"PSC1","recognitionType":1,"entry_mode":1,"abnormal_type":0,"uuid":"{uuid}",
        "recognizeScore":0.93,"mask":9,"mode":3,"rgb_image":"/9j/4AAQSkZJRgABAQEASABIAAD/2Q==","pass":true,"timestamp":1764000000,
        "user":{{"name":"Zacharias Quendolin","ic_number":"990011223344","id_number":"ID-556677","job_number":"JOB-778899",
        "pin":"PIN-424242","user_id":"990011223344","remark":"remarkable","type":1,"groups":[]}}}}}}"#
    )
}

#[tokio::test]
async fn names_numbers_and_pictures_stay_inside_events() {
    let receiver = Receiver::start().await;
    let routes = format!(
        "[inbound.nebula.lobby]\n[inbound.nebula.gate]\ntoken = {{ env = \"GATE\" }}\n[outbound.webhook.erp]\nurl = \"{}\"\n\
         retry = {{ backoff_min = \"50ms\", backoff_max = \"100ms\", attempts_max = 2 }}\ntimeout = \"300ms\"\n\
         [[route]]\nname = \"known\"\nwhen = {{ \"person.name\" = {{ like = \"*\" }} }}\nto = [\"erp\"]\n\
         once = {{ per = [\"person.name\", \"vendor_id\"], within = \"1s\" }}\n",
        receiver.url()
    );
    let site = Site::new(&routes)
        .set("FACEWAY_LOG", "trace")
        .set("GATE", "t0ken");
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    let mut told = String::new();

    // Every way that a record can go: delivered, down, failing alone, buried, hanging, unreadable, refused, denied.
    let behaviours = [
        Behaviour::status(200),
        Behaviour::status(503),
        Behaviour::status(500),
        Behaviour::status(422),
        Behaviour::Hang,
        Behaviour::Reset,
        Behaviour::Close,
    ];
    for (number, behaviour) in behaviours.into_iter().enumerate() {
        let before = receiver.received().len();
        receiver.script_next(behaviour);
        let answer = device
            .push(record(&format!("u-{number}")).as_bytes())
            .await
            .unwrap();
        told += &text(&answer.body);
        receiver
            .wait_until(|received| received.len() > before)
            .await;
    }
    let broken = [
        record("u-x").replace("\"groups\":[]", "\"groups\":[],"),
        record("u-x").replace("\"type\":0,", "\"type\":\"Zacharias\","),
        record("u-x").replace("\"data\":{", "\"data\":[{"),
        record("u-x")[..400].to_owned(),
        "Zacharias Quendolin".to_owned(),
        record("u-x").replace("\"timestamp\":1764000000", "\"timestamp\":\"Zacharias\""),
        r#"{"recognizeStatus":2,"user":{"name":"Zacharias Quendolin"}}"#.to_owned(),
    ];
    for body in &broken {
        // After a body that was cut off the connection is closed.
        device = Device::connect(gateway.devices).await;
        told += &text(&device.push(body.as_bytes()).await.unwrap().body);
    }
    device = Device::connect(gateway.devices).await;
    let denied = device
        .send(
            "POST",
            "/in/gate?token=Zacharias",
            &[],
            record("u-y").as_bytes(),
        )
        .await
        .unwrap();
    told += &text(&denied.body);
    gateway.delivered_all("erp").await;

    for path in [
        "/metrics",
        "/readyz",
        "/api/v1/overview",
        "/api/v1/lanes",
        "/api/v1/inbounds",
        "/api/v1/buried",
        "/api/v1/quarantine",
        "/",
    ] {
        told += &gateway.get(path).await.1;
    }
    for command in [&["lanes"][..], &["buried", "list"], &["quarantine", "list"]] {
        told += &site.ask(&gateway, command).await;
    }
    let buried: serde_json::Value =
        serde_json::from_str(&gateway.get("/api/v1/buried").await.1).unwrap();
    for entry in buried.as_array().unwrap() {
        told += &gateway
            .get(&format!(
                "/api/v1/events/{}/why",
                entry["id"].as_str().unwrap()
            ))
            .await
            .1;
    }
    let delivered = receiver.confirmed();
    assert!(
        text(&delivered[0].body).contains("Zacharias Quendolin"),
        "the event itself has the name"
    );
    for one in &delivered {
        assert!(
            !text(&one.body).contains("PIN-424242"),
            "a PIN left the adapter"
        );
    }
    told += &gateway.output();
    let log = gateway.log();
    assert!(
        log.lines().count() > 20,
        "at trace level there is something to search"
    );
    for word in PERSONAL.into_iter().chain(["t0ken"]) {
        let line = log
            .lines()
            .chain(told.lines())
            .find(|line| line.contains(word));
        assert_eq!(line, None, "{word} came out");
    }
}

#[tokio::test]
async fn the_spool_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new("[inbound.nebula.lobby]\n");
    let gateway = site.start().await;
    Device::connect(gateway.devices)
        .await
        .push(record("u-1").as_bytes())
        .await
        .unwrap();
    let mut directories = vec![site.path().join("data")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
            if entry.path().is_dir() {
                directories.push(entry.path());
            }
        }
    }
}

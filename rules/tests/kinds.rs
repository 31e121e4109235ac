//! An invented protocol is read, checked and shown by what it declares.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::sync::Arc;
use std::time::Duration;

use faceway_core::outbound_kind::{
    Address, At, HeaderStyle, Headers, Meant, OpenContext, OpenError, PASSWORD, Reading, TLS_FILES,
    USERNAME,
};
use faceway_core::{Key, Outbound, OutboundKind, OutboundSettings, Secret, Shape};
use faceway_rules::{Diagnostics, Grammar, Routes, parse, schema};

static PIGEON: OutboundKind = OutboundKind {
    name: "pigeon",
    readme: None,
    aliases: &["dove"],
    keys: &[
        Key::required("url", Shape::Url(&["loft"]), "where it flies to"),
        Key::new("note", Shape::TextOrEmpty, "What is on its leg."),
        Key::new("fast", Shape::Bool, "Whether it hurries."),
        Key::new("wings", Shape::Numbers(&[2]), "2 when left out."),
        Key::new("flight", Shape::TIMEOUT, "How long it may fly."),
        Key::new("load", Shape::Bytes { min: 1 }, "What it carries."),
        Key::new("colour", Shape::Word(&["grey", "white"]), "Its colour."),
        Key::new("names", Shape::Texts, "What it is called."),
        Key::new("codes", Shape::Secrets, "What it must know."),
        Key::new("ring", Shape::Table(RING), "Who it is of."),
        Key::new("roof", Shape::Template, "Where it lands."),
        Key::new("headers", Shape::Headers { secrets: false }, "Feathers."),
        USERNAME,
        PASSWORD,
        TLS_FILES,
    ],
    meant: &[Meant {
        keys: &["feed"],
        help: "it eats by itself; leave it out",
    }],
    address: Some(Address {
        key: "roof",
        called: "roof",
        default: "{kind}",
        wrong: |parts| {
            let red = parts.iter().any(|part| part.contains("red"));
            red.then_some(("is red", "write another"))
        },
        meaningful: "/",
        reserved: None,
        bytes_max: 100,
    }),
    headers: Some(Headers {
        style: HeaderStyle::Text,
        taken: &["id"],
    }),
    concurrency: 7,
    batches: Some("a flock"),
    read: |table| Arc::new(read(table)),
};

const RING: &[Key] = &[
    Key::required("owner", Shape::Text, "who keeps it"),
    Key::new("year", Shape::Whole { min: 0, max: 9999 }, "Its year."),
];

/// What was read, in one text.
struct Settings(String);

fn read(table: &Reading<'_>) -> Settings {
    let ring = table.table("ring", |ring| {
        if ring.whole("year") == Some(0) {
            ring.error(At::Value("year"), "`year` was never", "write another");
        }
        if !ring.is_written("year") {
            ring.warning(At::Table, "a ring has a year", "write it");
        }
        ring.text("owner").map(str::to_owned)
    });
    let (username, password) = table.login();
    let url = table.text("url").unwrap_or_default().to_owned();
    table.nothing_behind(&url, Some("the loft has no rooms"));
    if table.is_written("fast") && !table.is_written("flight") {
        table.absent(At::Key("fast"), "`fast` lacks `flight`", "say how long");
    }
    if !table.shows("person.name") {
        table.error(At::Value("note"), "it must see names", "show them");
    }
    let read = (
        (table.text("note"), table.bool("fast"), table.whole("wings")),
        (table.duration("flight"), table.bytes("load")),
        (table.text("colour"), table.texts("names")),
        (table.secrets("codes"), username, password, ring),
        table.tls(&url, ("loft", "lofts")),
        table.format(),
    );
    Settings(format!("{url} {read:?}"))
}

impl OutboundSettings for Settings {
    fn open(&self, _: &OpenContext<'_>) -> Result<Arc<dyn Outbound>, OpenError> {
        panic!("rules open nothing")
    }

    fn url(&self) -> Option<&str> {
        Some(&self.0)
    }
}

fn grammar() -> Grammar {
    Grammar {
        outbounds: vec![&PIGEON],
        ..Grammar::default()
    }
}

fn parsed(text: &str) -> Result<Routes, Diagnostics> {
    parse(text, "routes.toml", &grammar())
}

#[test]
fn every_shape_is_read() {
    let text = r#"
[outbound.pigeon.paul]
url = "loft://here"
note = ""
fast = true
wings = 2
flight = "5m"
load = "1KiB"
colour = "grey"
names = ["Paul", "Pauline"]
codes = [{ env = "A" }, { file = "/b" }]
ring = { owner = "Mara", year = 7 }
roof = "{inbound}/x"
headers = { x-a = "{device.id}" }
username = "u"
password = { env = "P" }
"#;
    let routes = parsed(text).unwrap();
    let plan = &routes.outbounds[0];
    let expected = format!(
        "loft://here {:?}",
        (
            (Some(""), Some(true), Some(2)),
            (Some(Duration::from_secs(300)), Some(1024)),
            (Some("grey"), Some(["Paul", "Pauline"])),
            (
                Some([Secret::Env("A".into()), Secret::File("/b".into())]),
                Some("u"),
                Some(Secret::Env("P".into())),
                Some(Some("Mara")),
            ),
            None::<()>,
            "canonical",
        )
    );
    assert_eq!(plan.address(), Some(expected.as_str()));
    assert_eq!(plan.common.concurrency_max, 7);
    assert_eq!(plan.protocol.headers().len(), 1);
    let secrets: Vec<_> = plan.secrets().into_iter().map(|(key, _)| key).collect();
    let key = |rest: &str| format!("outbound.pigeon.paul.{rest}");
    assert_eq!(secrets, [key("codes"), key("codes"), key("password")]);
    // What another reading says is another outbound, and only that.
    assert_eq!(parsed(text).unwrap().outbounds, routes.outbounds);
    let other = text.replace("\"Mara\"", "\"Mira\"");
    assert_ne!(parsed(&other).unwrap().outbounds, routes.outbounds);
}

/// Line and column of each finding, with the beginning of its message.
#[test]
fn what_it_finds_has_its_place() {
    let text = r#"[outbound.pigeon.paul]
url = "loft://here/room"
fast = true
ring = { owner = "Mara", year = 0 }
roof = "red/{kind}"
headers = { id = "x" }
feed = "corn"
tls = { ca = "/x" }
only = ["kind"]
password = { env = "P" }
[outbound.dove.anna]
[outbound.pigeon.kurt]
url = "loft://here"
ring = { year = "old" }
batch_max = 2
headers = { x-a = "{kind}" }
"#;
    let errors = parsed(text).unwrap_err();
    let found: Vec<_> = errors
        .iter()
        .map(|error| (error.line, error.column, error.message.as_str()))
        .collect();
    let expected = [
        (1, 1, "it must see names"),
        (2, 7, "`url` has a path, which has no meaning to a broker"),
        (3, 1, "`fast` lacks `flight`"),
        (4, 33, "`year` was never"),
        (5, 8, "`roof` is red"),
        (6, 13, "header `id` is set by Faceway"),
        (7, 1, "unknown key `feed` in [outbound.pigeon.paul]"),
        (8, 1, "`tls` has no use with a URL that begins with loft://"),
        (10, 1, "`password` has no use without `username`"),
        (11, 11, "there is no protocol `dove`"),
        (14, 8, "`owner` is missing in [outbound.pigeon.kurt.ring]"),
        (14, 17, "`year` must be a whole number, not text"),
        (
            15,
            13,
            "`batch_max` above 1 does not go with placeholders: the header `x-a` would be of one event, a flock has several",
        ),
    ];
    assert_eq!(found, expected);
    let helps: Vec<_> = errors
        .iter()
        .filter_map(|error| error.help.clone())
        .collect();
    for help in ["it eats by itself; leave it out", "it is called `pigeon`"] {
        assert!(helps.iter().any(|text| text.contains(help)), "{help}");
    }
    let routes =
        parsed("[outbound.pigeon.a]\nurl = \"loft://x\"\nring = { owner = \"x\" }").unwrap();
    let mut warnings = routes.warnings.iter();
    let warning = warnings.find(|warning| warning.message == "a ring has a year");
    let warning = warning.unwrap();
    assert_eq!((warning.line, warning.column), (3, 8));
}

#[test]
fn the_schema_knows_it() {
    let schema = schema(&grammar());
    let table = &schema["properties"]["outbound"]["properties"]["pigeon"]["additionalProperties"];
    assert_eq!(table["required"], serde_json::json!(["url"]));
    let said = |key: &str| table["properties"][key]["description"].as_str().unwrap();
    assert_eq!(said("fast"), "Whether it hurries.");
    assert!(said("concurrency_max").contains("; 7 when left out."));
    assert!(said("batch_max").contains("of a pigeon,"));
    assert!(table["properties"]["note"].get("minLength").is_none());
    assert_eq!(table["properties"]["tls"]["type"], "object");
}

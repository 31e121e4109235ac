//! The reader that `gateway.toml` shares: sizes, durations, values from elsewhere.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::time::Duration;

use faceway_rules::read::{Document, Entry, Key, Node, Shape, Table, Value};
use faceway_rules::{Diagnostics, Secret};

const SPOOL: &[Key] = &[
    Key::new("bytes_max", Shape::Bytes { min: 64 << 20 }, "Size."),
    Key::new("history", Shape::DURATION, "Time."),
];
const ROOT: &[Key] = &[
    Key::new("spool", Shape::Table(SPOOL), "Spool."),
    Key::new("token", Shape::Secret, "Token."),
];

type Read = (Option<u64>, Option<Duration>, Option<Secret>);

fn read(text: &str) -> (Read, Diagnostics) {
    told(Document::parse(text, "gateway.toml"))
}

fn told(document: Document) -> (Read, Diagnostics) {
    let root = Table::root(&document, ROOT);
    let token = root.secret("token");
    let (mut bytes, mut history) = (None, None);
    if let Some(spool) = root.table("spool") {
        (bytes, history) = (spool.bytes("bytes_max"), spool.duration("history"));
        spool.finish();
    }
    root.finish();
    ((bytes, history, token), document.finish().0)
}

#[test]
fn sizes_and_durations() {
    let bytes = |text: &str| read(&format!("spool.bytes_max = \"{text}\"")).0.0;
    assert_eq!(bytes("64MiB"), Some(64 << 20));
    assert_eq!(bytes("10GiB"), Some(10 << 30));
    assert_eq!(bytes("1 TiB"), Some(1 << 40));
    assert_eq!(bytes("67108864B"), Some(64 << 20));
    for bad in [
        "63MiB",
        "10GB",
        "10",
        "GiB",
        "-1GiB",
        "1.5GiB",
        "99999999TiB",
        "",
    ] {
        assert_eq!(bytes(bad), None, "{bad}");
    }
    let history = |text: &str| read(&format!("spool.history = \"{text}\"")).0.1;
    assert_eq!(history("250ms"), Some(Duration::from_millis(250)));
    assert_eq!(history("5m"), Some(Duration::from_secs(300)));
    assert_eq!(history("7d"), Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(history("0s"), Some(Duration::ZERO));
    for bad in ["5", "m", "5 minutes", "-5s", "1h30m", "99999999d", "５s"] {
        assert_eq!(history(bad), None, "{bad}");
    }
}

#[test]
fn values_from_elsewhere_are_told_by_their_origin() {
    let mut document = Document::parse("[spool]\nbytes_max = \"1MiB\"\n", "gateway.toml");
    let span = document.add_source("FACEWAY_SPOOL__HISTORY", "2 days");
    let mut root = document.root().clone();
    let Value::Table(tables) = &mut root.value else {
        panic!("no table");
    };
    let Value::Table(spool) = &mut tables[0].node.value else {
        panic!("no table");
    };
    let value = Value::Text("2 days".into());
    spool.push(Entry {
        key: "history".into(),
        span,
        node: Node { span, value },
    });
    document.replace(root);
    let text = told(document).1.to_string();
    assert!(text.contains("--> FACEWAY_SPOOL__HISTORY:1:1"), "{text}");
    assert!(text.contains("--> gateway.toml:2:13"), "{text}");
    assert!(text.contains("at least `64MiB`"), "{text}");
}

#[test]
fn secrets_are_named() {
    let named = read("token = { env = \"OTHER\" }").0.2;
    assert_eq!(named, Some(Secret::Env("OTHER".into())));
    let file = read("token = { file = \"/run/secrets/x\" }").0.2;
    assert_eq!(file, Some(Secret::File("/run/secrets/x".into())));
}

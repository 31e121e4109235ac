//! Nothing that a file can hold makes the reader panic, and every finding is inside the file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::GRAMMAR;
use faceway_rules::{RouteSet, parse};
use proptest::prelude::*;
use serde_json::Value;

fn check(text: &str) {
    let plain = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    match parse(text, "routes.toml", &GRAMMAR) {
        Err(errors) => {
            assert!(!errors.is_empty());
            let mut before = (0, 0);
            for error in &errors {
                let line = plain
                    .split('\n')
                    .nth(error.line - 1)
                    .expect("a line of the file");
                assert!(
                    error.column >= 1 && error.column <= line.chars().count() + 1,
                    "{error:?}"
                );
                assert!(error.length >= 1);
                assert!(
                    (error.line, error.column) >= before,
                    "in the order of the file"
                );
                before = (error.line, error.column);
            }
            let shown = errors.to_string();
            assert!(!shown.contains('\u{1b}'));
        }
        Ok(routes) => {
            routes.run_tests();
            decide(&routes.routes);
        }
    }
}

fn decide(routes: &RouteSet) {
    let events = [
        r#"{}"#,
        r#"{"kind":"alarm","person":{"groups":[{"id":"a"}]},"vendor":{"x":[1,[2,{"y":null}]]}}"#,
        r#"{"match":{"score":1e400},"occurred_at":"x","object":{"attributes":{"mask":5}}}"#,
    ];
    for event in events {
        let whole: Value = serde_json::from_str(event).unwrap();
        let view = routes.view(event.as_bytes()).unwrap();
        assert_eq!(routes.decide(&whole), routes.decide(&view));
        routes.explain(&whole);
    }
}

/// Pieces of real files, so that random text comes deep into the reader.
const PIECES: &[&str] = &[
    "[inbound.nebula.lobby]\n",
    "[inbound.nebula]\n",
    "[inbound]\n",
    "[outbound.webhook.erp]\n",
    "[outbound.stdout.s]\n",
    "[[route]]\n",
    "[route]\n",
    "[route.when]\n",
    "[[test]]\n",
    "[test.given]\n",
    "name = ",
    "to = ",
    "when = ",
    "given = ",
    "expect = ",
    "once = ",
    "per = ",
    "within = ",
    "url = ",
    "token = ",
    "sign = ",
    "headers = ",
    "retry = ",
    "tls = ",
    "omit = ",
    "only = ",
    "timeout = ",
    "allow = ",
    "path = ",
    "otherwise = ",
    "person.id = ",
    "\"person.id\" = ",
    "match.score = ",
    "vendor.x.y = ",
    "object.attributes.mask = ",
    "occurred_at = ",
    "any = ",
    "none = ",
    "min = ",
    "max = ",
    "not = ",
    "like = ",
    "matches = ",
    "present = ",
    "hours = ",
    "days = ",
    "zone = ",
    "kind = ",
    "\"s\"",
    "[\"s\"]",
    "[\"erp\", \"s\"]",
    "5",
    "0.5",
    "nan",
    "true",
    "false",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\n",
    "=",
    "\"",
    "'''",
    "{ env = \"X\" }",
    "\"30s\"",
    "\"22:00-06:00\"",
    "[\"mon\"]",
    "\"UTC\"",
    "\"https://a:b@c/\"",
    "\"(\"",
    "2026-11-22",
    "[[",
    "]]",
    "[{}]",
    "[{ kind = \"alarm\" }]",
    "\t",
    "张",
    "\u{1b}",
    "#",
    "\r\n",
    "\"\"\"",
    "{ id = \"a\" }",
    "\\u0041",
    "1e999",
    "0xFF",
    "99999999999999999999",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn pieces_of_files(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        check(&pieces.concat());
    }

    #[test]
    fn good_files_with_a_bite_taken(from in 0_usize..3000, length in 0_usize..40, put in proptest::sample::select(PIECES)) {
        let file = include_str!("good/everything.toml");
        let begin = file.floor_char_boundary(from.min(file.len()));
        let end = file.floor_char_boundary((begin + length).min(file.len()));
        check(&format!("{}{put}{}", &file[..begin], &file[end..]));
    }
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    for (open, close) in [
        ("[", "]"),
        ("{ a = ", "}"),
        ("{ any = [", "] }"),
        ("{ person.groups = [", "]}"),
    ] {
        let text = format!(
            "[[route]]\nwhen = {}1{}\n",
            open.repeat(5000),
            close.repeat(5000)
        );
        check(&text);
        let text = format!(
            "[[test]]\ngiven = {}1{}\n",
            open.repeat(60),
            close.repeat(60)
        );
        check(&text);
    }
    check(&format!("[{}a]\n", "a.".repeat(5000)));
}

//! Formats: what is made of an event, above all of one that tries to break out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::GRAMMAR;
use faceway_rules::{Diagnostics, Format, FormatError, Written, parse_with};
use serde_json::{Value, json};

fn template(name: &str, text: &str) -> Result<Format, Diagnostics> {
    let routes = format!(
        "[outbound.webhook.a]\nurl = \"https://a.example\"\nformat = \"template\"\ntemplate = \"{name}\"\n"
    );
    let routes = parse_with(&routes, "routes.toml", &GRAMMAR, &|_| Ok(text.to_owned()))?;
    Ok(routes.outbounds[0].common.format.clone())
}

fn write(name: &str, text: &str, event: &Value) -> Result<Written, FormatError> {
    let format = template(name, text).unwrap_or_else(|errors| panic!("{errors}"));
    format.write(event.to_string().as_bytes(), None)
}

fn made(name: &str, text: &str, event: &Value) -> String {
    let written = write(name, text, event).unwrap();
    String::from_utf8(written.body.unwrap()).unwrap()
}

fn named(name: &str) -> Value {
    json!({
        "schema": "faceway.event/1", "id": "018f", "kind": "recognition", "inbound": "lobby", "adapter": "nebula",
        "received_at": "2026-11-22T08:00:00.000Z", "person": { "name": name },
    })
}

/// Each is a way out of a string, or out of a value, of JSON or of the marks that values are written with.
const BREAKING_OUT: [&str; 9] = [
    r#"", "admin": true, "x": ""#,
    r#"\"#,
    r#"\", "admin": true, "x": ""#,
    "a\nb\tc\u{0}",
    "1, \"admin\": true",
    "\u{1}1\u{2}, \"admin\": true",
    "\u{2}, \"admin\": true, \"x\": \u{1}",
    "\u{3}7\u{3}",
    "</script><b>&amp;\u{2028}李伟",
];

#[test]
fn no_text_breaks_out_of_json() {
    let text = r#"{
        "alone": {{ person.name | default("") }},
        "within": "a {{ person.name | default("") }} b",
        "joined": {{ "<" ~ person.name | default("") ~ ">" }},
        {% set kept %}k{{ person.name | default("") }}{% endset %}"kept": "{{ kept }}",
        "whole": {{ {"name": person.name | default("")} }}
    }"#;
    for name in BREAKING_OUT {
        let made = made("a.json.j2", text, &named(name));
        let value: Value =
            serde_json::from_str(&made).unwrap_or_else(|error| panic!("{error}: {made}"));
        // What marks values cannot be told apart from a mark, so no value may have it.
        let told = name.replace(['\u{1}', '\u{2}', '\u{3}'], "\u{FFFD}");
        let expected = json!({
            "alone": told, "within": format!("a {told} b"), "joined": format!("<{told}>"),
            "kept": format!("k{told}"), "whole": { "name": told },
        });
        assert_eq!(value, expected, "{made}");
    }
}

#[test]
fn what_is_no_json_is_never_sent() {
    let text = r#"{ "a": {{ person.name | default(0) | safe }} }"#;
    // The samples' name is no JSON, so this is told before anything runs.
    assert!(template("a.json.j2", text).is_err());
    // This one passes, and fails for an event that no sample is like.
    let text = r#"{ "b": {% if person.name | default("") is startingwith("!") %}{{ person.name | safe }}{% else %}1{% endif %} }"#;
    assert_eq!(
        write("a.json.j2", text, &named("!5")),
        Err(FormatError::Template)
    );
    assert!(write("a.json.j2", text, &named("5")).is_ok());
}

#[test]
fn xml_and_html_are_escaped_and_text_is_not() {
    let text = "<p>{{ person.name | default(\"\") }}</p>";
    let event = named("<b>\"&'");
    let xml = made("a.xml.j2", text, &event);
    assert!(
        !xml[3..].contains("<b>") && xml.contains("&lt;b&gt;"),
        "{xml}"
    );
    let controls = made("a.xml.j2", text, &named("a\u{0}b\tc"));
    assert_eq!(controls, "<p>a\u{FFFD}b\tc</p>");
    assert_eq!(made("a.txt.j2", text, &event), "<p><b>\"&'</p>");
    assert_eq!(
        write("a.html", text, &event).unwrap().content_type,
        "text/html; charset=utf-8"
    );
}

#[test]
fn numbers_and_times_come_out_as_they_are() {
    let event = json!({
        "schema": "faceway.event/1", "id": "018f", "kind": "recognition", "inbound": "lobby", "adapter": "nebula",
        "received_at": "2026-11-22T08:00:00.000Z", "match": { "score": 0.93 }, "object": { "track_id": "9007199254740993" },
        "vendor": { "n": 9_007_199_254_740_993_u64 },
    });
    let text = r#"{"s": {{ match.score | default(none) }}, "t": "{{ received_at }}", "v": {{ vendor }}, "p": {{ person.name | default(none) }}, "n": {{ images | length }}}"#;
    assert_eq!(
        made("a.json.j2", text, &event),
        r#"{"s": 0.93, "t": "2026-11-22T08:00:00.000Z", "v": {"n":9007199254740993}, "p": null, "n": 0}"#
    );
}

#[test]
fn a_field_that_may_be_absent_is_asked_for() {
    for (text, what) in [
        (r#"{"a": {{ match.score }}}"#, "`match.score`"),
        (
            r#"[{% for group in person.groups %}{{ group.id }}{% if not loop.last %},{% endif %}{% endfor %}]"#,
            "without `person.groups.id`",
        ),
        (r#"{"a": {{ event.person.name }}}"#, "event"),
    ] {
        let errors = template("a.json.j2", text).unwrap_err().to_string();
        assert!(errors.contains(what), "{errors}");
    }
}

#[test]
fn a_long_output_is_cut_short() {
    let body = "0123456789".repeat(2000);
    let text = format!("{{% for a in range(2000) %}}{body}{{% endfor %}}");
    let errors = template("a.txt.j2", &text).unwrap_err();
    assert!(errors.to_string().contains("32 MiB"), "{errors}");
}

/// `docs/formats.md` shows what works.
#[test]
fn the_document_is_right() {
    let document = include_str!("../../docs/formats.md");
    let block = |language: &str| {
        let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
        rest.split("```").next().unwrap().to_owned()
    };
    let jinja = block("jinja");
    let parsed = parse_with(&block("toml"), "routes.toml", &GRAMMAR, &|_| {
        Ok(jinja.clone())
    });
    parsed.unwrap_or_else(|errors| panic!("{errors}"));
}

//! What a template may take of memory for one event. One test, as it measures its own process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod common;

use common::GRAMMAR;
use faceway_rules::{Diagnostics, parse_with};
use serde_json::json;

/// The most that the process has had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

fn template(text: &str) -> Result<String, Diagnostics> {
    let event = json!({ "schema": "faceway.event/1", "id": "018f", "kind": "recognition", "inbound": "lobby", "adapter": "nebula" });
    template_for(&event, text)
}

fn template_for(event: &serde_json::Value, text: &str) -> Result<String, Diagnostics> {
    let routes = "[outbound.webhook.a]\nurl = \"https://a.example\"\nformat = \"template\"\ntemplate = \"a.txt.j2\"\n";
    let routes = parse_with(routes, "routes.toml", &GRAMMAR, &|_| Ok(text.to_owned()))?;
    let written = routes.outbounds[0]
        .common
        .format
        .write(event.to_string().as_bytes(), None);
    Ok(String::from_utf8(written.unwrap().body.unwrap()).unwrap())
}

const FOR: &str = "{% set ns = namespace(x='0123456789') %}{% for i in range(40) %}";

#[test]
fn memory_is_bounded_whatever_a_template_does() {
    let body = "x".repeat(100_000);
    let looped =
        |step: &str| format!("{FOR}{{% set ns.x = {step} %}}{{% endfor %}}{{{{ ns.x|length }}}}");
    for text in [
        looped("ns.x ~ ns.x"),
        looped("ns.x + ns.x"),
        looped("(ns.x) ~ (1 ~ ns.x)"),
        looped("ns.x * 2"),
        looped("2 * 1 * ns.x"),
        looped("'x' * 90000000 ~ 'x' * 90000000"),
        looped("ns.x|replace('0', ns.x)"),
        looped("ns.x|replace('', 'y' * 1000000)"),
        looped("[ns.x, ns.x]|join"),
        looped("range(100000)|join('y' * 100000)"),
        looped("[ns.x, ns.x]|string"),
        looped("[ns.x, ns.x]|tojson"),
        looped("[ns.x, ns.x]") + "{{ ns.x }}",
        looped("[ns.x, ns.x]") + "{{ ns.x|pprint }}",
        looped("[ns.x, ns.x]") + "{{ ns.x ~ 'x' }}",
        looped("{'a': ns.x, 'b': ns.x}") + "{{ ns.x|tojson }}",
        looped("[ns.x] * 90000000") + "{{ ns.x|list }}",
        looped("'%900000000s'|format(ns.x)"),
        looped("'%*s'|format(900000000, ns.x)"),
        looped("ns.x|indent(900000000, true)"),
        looped("[1]|batch(900000000, 'x')|list"),
        looped("[1]|slice(900000000, 'x')|list"),
        looped("[1]|tojson(indent=900000000)"),
        format!(
            "{FOR}{{% set y %}}{{{{ ns.x }}}}{{{{ ns.x }}}}{{% endset %}}{{% set ns.x = y %}}{{% endfor %}}{{{{ ns.x }}}}"
        ),
        format!(
            "{{% set y %}}{{% for i in range(90000) %}}{body}{{% endfor %}}{{% endset %}}{{{{ y|length }}}}"
        ),
        format!(
            "{{% set y %}}{{% for i in range(90000) %}}{{% raw %}}{body}{{% endraw %}}{{% endfor %}}{{% endset %}}{{{{ y|length }}}}"
        ),
        format!(
            "{{% filter upper %}}{{% for i in range(90000) %}}{{% if i %}}{body}{{% endif %}}{{% endfor %}}{{% endfilter %}}"
        ),
        "{% for i in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}".to_owned(),
    ] {
        let told = template(&text).map(|made| made.len());
        let told = told.expect_err(&text[..text.len().min(200)]).to_string();
        let said = [
            "too much memory",
            "32 MiB",
            "a width is",
            "an indent is",
            "`recursive`",
        ];
        assert!(
            said.iter().any(|said| told.contains(said)),
            "{}\n{told}",
            &text[..text.len().min(200)]
        );
    }
    let peak = peak();
    assert!(peak < 400, "{peak} MiB");

    // What people write goes on working.
    for (text, made) in [
        (
            "{{ kind ~ ' at ' ~ inbound|upper }}",
            "recognition at LOBBY",
        ),
        (
            "{{ 2 * 3 + 4 * 0.5 * -1 }} {{ '-' * 3 ~ '|' }} {{ 2 * '=' * 2 }}",
            "4.0 ---| ====",
        ),
        (
            "{% set x = [kind, 1 + 1] + ['b'] %}{{ x|join(', ') }} {{ x * 2 }}",
            "recognition, 2, b ['recognition', 2, 'b', 'recognition', 2, 'b']",
        ),
        (
            "{% set x -%}  a{{ kind|replace('c', 'k') }}\n{%- endset %}<{{ x ~ x }}>",
            "<arekognitionarekognition>",
        ),
        (
            "{% filter upper %} {{ kind }}{% endfilter %}",
            " RECOGNITION",
        ),
        (
            "{{ person.name|default('no' ~ 'one') }} {{ '%5.1f'|format(2.25) }} {{ 'a\nb'|indent(2) }}",
            "noone   2.2 a\n  b",
        ),
        (
            "{{ {'a': [1]}|tojson }} {{ [1, 2, 3]|batch(2, 0)|list }}",
            "{\"a\": [1]} [[1, 2], [3, 0]]",
        ),
    ] {
        assert_eq!(template(text).unwrap_or_else(|told| panic!("{told}")), made);
    }

    // A large picture leaves steps for the rest.
    let picture = "A".repeat(4 * 1024 * 1024);
    let event = json!({
        "schema": "faceway.event/1", "id": "018f", "kind": "recognition", "inbound": "lobby", "adapter": "nebula",
        "images": [{ "role": "face", "url": picture }],
    });
    let text = "{% for i in range(90000) %}{{ i }}{% endfor %}{{ images | tojson }}";
    let made = template_for(&event, text).unwrap_or_else(|told| panic!("{told}"));
    assert!(made.len() > picture.len(), "{}", made.len());
}

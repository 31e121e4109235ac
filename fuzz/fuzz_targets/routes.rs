//! `routes.toml`, whatever is written into it: every mistake has its place, and what is right decides without a panic.
#![no_main]

use std::sync::LazyLock;

use faceway_rules::{AdapterGrammar, Grammar, parse};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let adapters = faceway_adapters::all();
    let adapters = adapters.iter();
    Grammar {
        adapters: adapters
            .map(|adapter| AdapterGrammar::of(&**adapter))
            .collect(),
        outbounds: faceway_outbounds::ALL.to_vec(),
    }
});

static EVENTS: LazyLock<[Value; 2]> = LazyLock::new(|| {
    [
        json!({}),
        json!({
            "kind": "recognition",
            "occurred_at": "2026-01-02T03:04:05.000Z",
            "person": { "id": "7", "category": "blocklisted", "groups": [{ "id": "a" }] },
            "match": { "score": 0.9 },
            "vendor": { "x": [1, null] },
        }),
    ]
});

fuzz_target!(|text: &str| {
    match parse(text, "routes.toml", &GRAMMAR) {
        Ok(routes) => {
            routes.run_tests();
            for event in &*EVENTS {
                routes.routes.decide(event);
                routes.routes.explain(event);
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "wrong, and nobody says where");
            let lines = text.split('\n').count();
            for mistake in mistakes.iter() {
                assert!((1..=lines).contains(&mistake.line), "{mistake:?}");
            }
            assert!(!mistakes.to_string().is_empty());
        }
    }
});

//! How long ten routes take for one event: `cargo run --profile dist -p faceway-rules --example decide`.
#![expect(clippy::print_stdout, reason = "an example talks")]

use std::hint::black_box;
use std::time::Instant;

use faceway_rules::{Grammar, parse};

const ROUNDS: u32 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let grammar = Grammar {
        outbounds: faceway_outbounds::ALL.to_vec(),
        ..Grammar::default()
    };
    let routes = parse(&file(), "routes.toml", &grammar)?.routes;
    let event = event();
    let whole: serde_json::Value = serde_json::from_str(&event)?;
    time("decide", || {
        black_box(routes.decide(black_box(&whole)));
    });
    time("view and decide", || {
        let view = routes.view(black_box(event.as_bytes()));
        black_box(view.map(|view| routes.decide(&view)).ok());
    });
    time("parse whole and decide", || {
        let whole: Result<serde_json::Value, _> = serde_json::from_str(black_box(&event));
        black_box(whole.map(|whole| routes.decide(&whole)).ok());
    });
    Ok(())
}

fn time(what: &str, mut work: impl FnMut()) {
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        work();
    }
    let each = begin.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("{what}: {each} ns for each event");
}

fn file() -> String {
    let mut file = String::from("[outbound.stdout.s]\n");
    for number in 0..10 {
        file.push_str(&format!(
            "[[route]]\nname = \"r{number}\"\nto = [\"s\"]\n\
             when = {{ kind = \"recognition\", \"person.category\" = [\"blocklisted\", \"stranger\"], \
             \"match.score\" = {{ min = 0.{number} }}, \"device.name\" = {{ like = \"Lobby*\" }}, \
             occurred_at = {{ hours = \"22:00-06:00\", zone = \"Asia/Shanghai\" }} }}\n"
        ));
    }
    file
}

fn event() -> String {
    let vendor: String = (0..20)
        .map(|n| format!(r#""field{n}":"{n} as sent","#))
        .collect();
    format!(
        r#"{{"schema":"faceway.event/1","id":"94f278e1-a12c-50fa-8d4e-032e47aa1126","kind":"recognition","occurred_at":"2026-11-20T19:30:00.000Z","received_at":"2026-11-20T19:30:00.250Z","inbound":"lobby","adapter":"nebula","device":{{"id":"PSC1","name":"Lobby 3"}},"person":{{"id":"7","category":"stranger"}},"match":{{"score":0.93}},"vendor":{{{vendor}"n":5}}}}"#
    )
}

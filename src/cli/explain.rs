//! `faceway explain`: what the rules say about events, and why.

use std::path::PathBuf;

use clap::Args;
use faceway_core::visible_line;
use faceway_rules::{Failed, RouteExplanation, RouteSet};
use serde_json::{Value, json};

use super::files::{self, RoutesFile, settle};
use super::{Ended, Failure, Streams};

/// What the routes say about events: for each route, matched or which test failed; and the outbounds.
///
/// Takes canonical events, one JSON a line, as `faceway read` writes them. `once` is not asked, as it depends on what came
/// before.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  faceway read nebula push.json | faceway explain --routes routes.toml
  faceway explain events.jsonl --json | jq .outbounds")]
pub(crate) struct Explain {
    #[command(flatten)]
    routes: RoutesFile,
    /// The events; without it, or with -, standard input
    file: Option<PathBuf>,
    /// As JSON, one line an event
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let routes = settle(self.routes.load(), streams)?;
        let input = files::input(self.file.as_deref(), streams)?;
        let mut told = Ok(());
        for (number, line) in input.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Value>(line) {
                Ok(event) if event.get("id").is_some_and(Value::is_string) => {
                    self.explain(&routes.routes, &event, streams)?;
                }
                _ => {
                    let text = "is no canonical event; make one by `faceway read ADAPTER`";
                    let _ = writeln!(streams.talk, "error: line {} {text}", number + 1);
                    told = Err(Failure::InputTold);
                }
            }
        }
        told
    }

    fn explain(&self, rules: &RouteSet, event: &Value, streams: &mut Streams<'_>) -> Ended {
        let explained = rules.explain(event);
        let outbounds = outbounds(rules, &rules.decide(event).outbounds);
        if self.json {
            let routes: Vec<Value> = explained.iter().map(route).collect();
            let line = json!({ "id": event["id"], "routes": routes, "outbounds": outbounds });
            writeln!(streams.out, "{line}")?;
            return Ok(());
        }
        writeln!(streams.out, "{}", visible_line(&headline(event)))?;
        for (route, rule) in explained.iter().zip(rules.routes()) {
            let to = self::outbounds(rules, &rule.to).join(", ");
            writeln!(streams.out, "  {}", sentence(route, &to))?;
        }
        match outbounds.as_slice() {
            [] => writeln!(streams.out, "  goes nowhere\n")?,
            outbounds => writeln!(streams.out, "  goes to {}\n", outbounds.join(", "))?,
        }
        Ok(())
    }
}

fn outbounds<'r>(rules: &'r RouteSet, indices: &[usize]) -> Vec<&'r str> {
    indices
        .iter()
        .filter_map(|index| rules.outbounds().get(*index))
        .map(String::as_str)
        .collect()
}

fn headline(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("?");
    format!(
        "{}  {} at {}, received {}",
        text("id"),
        text("kind"),
        text("inbound"),
        text("received_at")
    )
}

fn sentence(route: &RouteExplanation, to: &str) -> String {
    match &route.failed {
        None if route.matched => format!("+ {}: matches, to {to}", route.name),
        None => format!("- {}: does not match", route.name),
        Some(failed) => format!(
            "- {}: {}",
            route.name,
            why(&failed.field, &failed.test, failed.value.as_ref())
        ),
    }
}

/// Why a route does not match, in a sentence. A `value` that is not shown is not known here.
pub(super) fn why(field: &str, test: &str, value: Option<&Value>) -> String {
    match (field, value) {
        ("otherwise", Some(Value::Array(names))) if !names.is_empty() => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            format!("another route matched ({})", names.join(", "))
        }
        ("otherwise", _) => "another route matched".into(),
        ("any", _) => format!("none of any = {test} holds"),
        ("none", _) => format!("of none, this holds: {test}"),
        (field, Some(value)) => format!("{field} should be {test}, and is {value}"),
        (field, None) => format!("{field} should be {test}, and is absent"),
    }
}

fn route(route: &RouteExplanation) -> Value {
    let mut line = json!({ "name": route.name, "matched": route.matched });
    if let Some(Failed {
        field, test, value, ..
    }) = &route.failed
    {
        line["failed"] = json!({ "field": field, "test": test, "value": value });
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use crate::cli::streams::Buffers;
    use crate::cli::{Ended, Failure, Words, obey};

    const ROUTES: &str = r#"
        [inbound.nebula.lobby]
        [outbound.stdout.screen]
        [outbound.stdout.guard]
        [[route]]
        name = "everything"
        to = ["screen"]
        [[route]]
        name = "not wanted"
        when = { "person.category" = "blocklisted" }
        to = ["guard", "screen"]
    "#;

    fn explain(extra: &[&str], input: &str) -> (Ended, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("routes.toml");
        std::fs::write(&file, ROUTES).unwrap();
        let file = file.to_str().unwrap();
        let words = ["faceway", "explain", "--routes", file]
            .into_iter()
            .chain(extra.iter().copied());
        let words = Words::try_parse_from(words).unwrap();
        Buffers::run(input, |streams| obey(words, streams))
    }

    fn event(category: &str) -> String {
        let event = json!({
            "schema": "faceway.event/1", "id": "94f278e1-a12c-50fa-8d4e-032e47aa1126", "kind": "recognition",
            "received_at": "2026-11-22T08:00:00.000Z", "inbound": "lobby", "adapter": "nebula",
            "person": { "category": category },
        });
        format!("{event}\n")
    }

    #[test]
    fn a_person_reads_which_route_and_why_not() {
        let (ended, out, _) = explain(&[], &event("employee"));
        ended.unwrap();
        assert_eq!(
            out,
            "94f278e1-a12c-50fa-8d4e-032e47aa1126  recognition at lobby, received 2026-11-22T08:00:00.000Z\n  \
             + everything: matches, to screen\n  \
             - not wanted: person.category should be \"blocklisted\", and is \"employee\"\n  \
             goes to screen\n\n"
        );
    }

    #[test]
    fn a_program_gets_a_line_an_event() {
        let (ended, out, _) = explain(
            &["--json"],
            &(event("employee") + "\n" + &event("blocklisted")),
        );
        ended.unwrap();
        let lines: Vec<Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[0],
            json!({
                "id": "94f278e1-a12c-50fa-8d4e-032e47aa1126",
                "routes": [
                    { "name": "everything", "matched": true },
                    { "name": "not wanted", "matched": false, "failed":
                        { "field": "person.category", "test": "\"blocklisted\"", "value": "employee" } },
                ],
                "outbounds": ["screen"],
            })
        );
        assert_eq!(lines[1]["outbounds"], json!(["screen", "guard"]));
    }

    #[test]
    fn a_bad_line_does_not_take_the_others_with_it() {
        let (ended, out, talk) = explain(&["--json"], &format!("nonsense\n{}", event("vip")));
        assert!(matches!(ended, Err(Failure::InputTold)));
        assert_eq!(out.lines().count(), 1);
        assert!(
            talk.starts_with("error: line 1 is no canonical event"),
            "{talk}"
        );
    }
}

//! `faceway why`: one event's story.

use std::io::{Result, Write};

use clap::Args;
use faceway::api;
use faceway_core::{Clock as _, EventId, SystemClock, Timestamp};

use super::admin::AdminArgs;
use super::words::{ago, until};
use super::{Ended, Streams, block_on, explain};

/// One event's story: which routes match it and why, and every attempt to every outbound.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway why 94f278e1-a12c-50fa-8d4e-032e47aa1126")]
pub(crate) struct Why {
    /// The event's id
    id: EventId,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Why {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let why: api::Why = block_on(admin.get(&format!("events/{}/why", self.id), &[]))?;
        if self.json {
            serde_json::to_writer_pretty(&mut *streams.out, &why)?;
            writeln!(streams.out)?;
        } else {
            tell(&why, SystemClock.now(), streams.out)?;
        }
        Ok(())
    }
}

fn tell(why: &api::Why, now: Timestamp, out: &mut dyn Write) -> Result<()> {
    let received = ago(why.received_at, now);
    writeln!(
        out,
        "{}  {} at {}, received {} ({received})",
        why.id, why.kind, why.inbound, why.received_at
    )?;
    writeln!(out, "\n{}", heading(why))?;
    if why.routes.is_empty() {
        writeln!(out, "  none")?;
    }
    for route in &why.routes {
        writeln!(out, "  {}", sentence(route))?;
    }
    writeln!(out, "\nOutbounds")?;
    for lane in &why.lanes {
        tell_lane(lane, now, out)?;
    }
    Ok(())
}

fn heading(why: &api::Why) -> String {
    let since = why.rules_since;
    match why.rules_changed {
        false => "Routes, as they are now".into(),
        true if since <= why.received_at => {
            format!("Routes, as they were then (from {since} on; they are others now)")
        }
        true => format!("Routes, as they were at {since}, the oldest that are remembered"),
    }
}

fn sentence(route: &api::RouteWhy) -> String {
    match &route.failed {
        None if route.matched => format!("+ {}: matches, to {}", route.name, route.to.join(", ")),
        None => format!("- {}: does not match", route.name),
        // What is about a person is not sent, so an absent value may only be hidden.
        Some(failed) if failed.value.is_none() && failed.field.contains('.') => {
            format!("- {}: {} is not {}", route.name, failed.field, failed.test)
        }
        Some(failed) => {
            format!(
                "- {}: {}",
                route.name,
                explain::why(&failed.field, &failed.test, failed.value.as_ref())
            )
        }
    }
}

fn tell_lane(lane: &api::LaneWhy, now: Timestamp, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "  {}: {}", lane.name, standing(lane, now))?;
    for attempt in &lane.attempts {
        let (at, took) = (attempt.at, attempt.took_ms);
        writeln!(
            out,
            "    {at}  {}, {} after {took} ms",
            attempt.result, attempt.code
        )?;
    }
    Ok(())
}

fn standing(lane: &api::LaneWhy, now: Timestamp) -> String {
    match (lane.standing.as_str(), lane.due) {
        ("waiting", _) => "its turn has not come".into(),
        ("leased", _) => "on its way".into(),
        ("suspended", _) => {
            "refused; it is buried or tried again, by what the destination does with others".into()
        }
        ("parked", Some(due)) => format!("failed, tried again {}", until(due, now)),
        ("parked", None) => "failed, tried again later".into(),
        ("behind", _) => "waits behind an earlier event of its device that failed".into(),
        ("buried", _) => "given up; see `faceway buried show`".into(),
        ("done", _) => "through".into(),
        ("not_routed", _) => "no route leads here".into(),
        ("not_taken", _) => {
            "through without an attempt: it was silenced by `once`, or is older than this outbound"
                .into()
        }
        ("dropped", _) => "given up, and dropped by command".into(),
        ("gone", _) => "this lane is gone; before that:".into(),
        (other, _) => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use faceway::api::{Attempt, FailedTest, LaneWhy, RouteWhy, Why};
    use faceway_core::Timestamp;

    use super::tell;

    fn route(
        name: &str,
        matched: bool,
        failed: Option<(&str, &str, Option<serde_json::Value>)>,
    ) -> RouteWhy {
        let failed = failed.map(|(field, test, value)| FailedTest {
            field: field.into(),
            test: test.into(),
            value,
        });
        RouteWhy {
            name: name.into(),
            matched,
            to: vec!["erp".into()],
            failed,
        }
    }

    #[test]
    fn a_story_is_told_from_beginning_to_end() {
        let received_at: Timestamp = "2026-11-22T08:00:00Z".parse().unwrap();
        let attempt = |ms, result: &str, code: &str| Attempt {
            at: received_at.plus_millis(ms),
            took_ms: 12,
            result: result.into(),
            code: code.into(),
        };
        let why = Why {
            id: "94f278e1-a12c-50fa-8d4e-032e47aa1126".parse().unwrap(),
            kind: "recognition".into(),
            inbound: "lobby".into(),
            received_at,
            rules_since: received_at.plus_millis(-1000),
            rules_changed: false,
            routes: vec![
                route("all", true, None),
                route(
                    "night",
                    false,
                    Some(("kind", "\"alarm\"", Some("recognition".into()))),
                ),
                route("one", false, Some(("person.id", "\"7\"", None))),
            ],
            lanes: vec![
                LaneWhy {
                    name: "erp".into(),
                    standing: "parked".into(),
                    due: Some(received_at.plus_millis(200_000)),
                    attempts: vec![attempt(500, "retry", "500")],
                },
                LaneWhy {
                    name: "screen".into(),
                    standing: "not_routed".into(),
                    due: None,
                    attempts: Vec::new(),
                },
            ],
        };
        let mut out = Vec::new();
        tell(&why, received_at.plus_millis(180_000), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "94f278e1-a12c-50fa-8d4e-032e47aa1126  recognition at lobby, received 2026-11-22T08:00:00.000Z (3m ago)\n\
             \n\
             Routes, as they are now\n  \
             + all: matches, to erp\n  \
             - night: kind should be \"alarm\", and is \"recognition\"\n  \
             - one: person.id is not \"7\"\n\
             \n\
             Outbounds\n  \
             erp: failed, tried again in 20s\n    \
             2026-11-22T08:00:00.500Z  retry, 500 after 12 ms\n  \
             screen: no route leads here\n"
        );
        let heading = |since, changed| {
            let mut why = why.clone();
            (why.rules_since, why.rules_changed) = (received_at.plus_millis(since), changed);
            super::heading(&why)
        };
        assert!(
            heading(-1000, true).contains("as they were then (from 2026-11-22T07:59:59.000Z on")
        );
        assert!(heading(1000, true).contains("the oldest that are remembered"));
        assert_eq!(heading(1000, false), "Routes, as they are now");
    }
}

//! `faceway lanes`.

use clap::{Args, Subcommand};
use faceway::api;
use faceway_core::{Clock as _, SystemClock, Timestamp};

use super::admin::AdminArgs;
use super::table::Table;
use super::words::{ago, counted, grouped, span, until};
use super::{Ended, Streams, block_on};

/// Every outbound: backlog, oldest, parked, buried, state.
///
/// States: idle; delivering; waiting (the destination is down, and is tried again by and by); blocked (only parked devices
/// are left); stopped; claimed elsewhere (another gateway of the site works it); leaving (no longer
/// in routes.toml: it delivers what it was given before, and ends); removed (the same, but it cannot deliver).
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  faceway lanes\n  faceway lanes --json | jq '.[] | select(.backlog > 0).name'\n  faceway lanes \
                  probe erp\n  faceway lanes drop old-erp"
)]
pub(crate) struct Lanes {
    #[command(subcommand)]
    command: Option<Command>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Drop(Drop),
    Probe(Probe),
}

/// Let an outbound that waits for its destination try at once
///
/// For when you know that it is back: it tries by itself, with pauses up to retry.backoff_max. One event goes first; when
/// it gets through, the others follow.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway lanes probe erp")]
struct Probe {
    /// Name of the outbound
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Probe {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let path = ["lanes", &self.name, "probe"];
        let probed: api::Probed = block_on(admin.post_to(&path, &api::Probe {}))?;
        match probed.state.as_str() {
            "waiting" => writeln!(
                streams.out,
                "{} tries now; faceway lanes tells what came of it.",
                self.name
            )?,
            state => writeln!(
                streams.out,
                "{} does not wait for its destination: it is {state}.",
                self.name
            )?,
        }
        Ok(())
    }
}

/// Forget the lane of an outbound that is no longer in routes.toml, with all that waits or is buried there
///
/// For good: those events are not delivered there any more. Other outbounds do not notice.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway lanes drop old-erp")]
struct Drop {
    /// Name of the outbound
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Drop {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let dropped: api::Dropped = block_on(admin.delete(&["lanes", &self.name]))?;
        writeln!(
            streams.out,
            "The lane of {} is gone, with {} that waited and {} that {} buried.",
            self.name,
            counted(dropped.backlog, "event"),
            grouped(dropped.buried),
            if dropped.buried == 1 { "was" } else { "were" }
        )?;
        Ok(())
    }
}

impl Lanes {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        match &self.command {
            Some(Command::Drop(drop)) => return drop.run(streams),
            Some(Command::Probe(probe)) => return probe.run(streams),
            None => {}
        }
        let admin = self.admin.find()?;
        if self.json {
            let lanes: Vec<api::Lane> = block_on(admin.get("lanes", &[]))?;
            serde_json::to_writer_pretty(&mut *streams.out, &lanes)?;
            writeln!(streams.out)?;
            return Ok(());
        }
        let overview: api::Overview = block_on(admin.get("overview", &[]))?;
        let (lanes, now) = (overview.lanes, SystemClock.now());
        if let Some(failed) = overview.reload_failed {
            let since = ago(failed.at, now);
            writeln!(
                streams.talk,
                "The last reload failed, {since}: faceway check tells why. What was in force before still is."
            )?;
        }
        if let Some(degraded) = overview.degraded {
            writeln!(
                streams.talk,
                "The spool is degraded, events are kept: {degraded}."
            )?;
        }
        if lanes.is_empty() {
            writeln!(streams.talk, "No outbounds. Add one to routes.toml.")?;
        }
        show(&lanes, now).write(streams.out)?;
        Ok(())
    }
}

fn show(lanes: &[api::Lane], now: Timestamp) -> Table {
    let headline = [
        "OUTBOUND",
        "PROTOCOL",
        "STATE",
        "BACKLOG",
        "OLDEST",
        "PARKED",
        "BURIED",
        "LAST FAILURE",
    ];
    let mut table = Table::new(&headline, &[3, 4, 5, 6]);
    for lane in lanes {
        table.row([
            lane.name.clone(),
            lane.protocol.clone().unwrap_or_else(|| "-".into()),
            state(lane, now),
            grouped(lane.backlog),
            lane.oldest
                .map_or("-".into(), |oldest| span(now.since(oldest))),
            grouped(lane.parked),
            grouped(lane.buried),
            lane.last_failure
                .as_ref()
                .map_or("-".into(), |last| last.told(&ago(last.at, now))),
        ]);
    }
    table
}

fn state(lane: &api::Lane, now: Timestamp) -> String {
    let mut state = state_alone(lane, now);
    if lane.leaving {
        state.push_str(", leaving");
    }
    state
}

fn state_alone(lane: &api::Lane, now: Timestamp) -> String {
    match (lane.state.as_str(), lane.since, lane.next_probe) {
        ("waiting", Some(since), Some(probe)) => {
            format!(
                "waiting for {}, tries {}",
                span(now.since(since)),
                until(probe, now)
            )
        }
        ("claimed elsewhere", _, _) => match &lane.gateway {
            Some(gateway) => format!("claimed elsewhere: {gateway}"),
            None => "claimed elsewhere: by none now".to_owned(),
        },
        (state, _, _) => state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use faceway::api::{Failure, Lane};
    use faceway_core::Timestamp;

    use super::show;

    #[test]
    fn lanes_stand_in_a_table() {
        let now = Timestamp::from_seconds(1_790_000_000).unwrap();
        let before = |seconds: i64| Some(now.plus_millis(-seconds * 1000));
        let idle = Lane {
            name: "screen".into(),
            gateway: None,
            protocol: Some("stdout".into()),
            state: "idle".into(),
            leaving: false,
            since: before(9),
            next_probe: None,
            backlog: 0,
            oldest: None,
            parked: 0,
            buried: 0,
            last_failure: None,
        };
        let down = Lane {
            name: "erp".into(),
            gateway: None,
            protocol: Some("webhook".into()),
            state: "waiting".into(),
            leaving: false,
            since: before(200),
            next_probe: Some(now.plus_millis(4_500)),
            backlog: 1_204,
            oldest: before(240),
            parked: 1,
            buried: 2,
            last_failure: Some(Failure {
                at: now.plus_millis(-20_000),
                code: "refused".into(),
                reason: None,
            }),
        };
        let untrusted = Lane {
            name: "hr".into(),
            last_failure: Some(Failure {
                at: now.plus_millis(-2_000),
                code: "tls".into(),
                reason: Some("its certificate expired on 2021-01-01".into()),
            }),
            ..down.clone()
        };
        let mut out = Vec::new();
        show(&[idle, down, untrusted], now).write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "OUTBOUND  PROTOCOL  STATE                        BACKLOG  OLDEST  PARKED  BURIED  LAST FAILURE\n\
             screen    stdout    idle                               0       -       0       0  -\n\
             erp       webhook   waiting for 3m, tries in 4s    1,204      4m       1       2  refused, 20s ago\n\
             hr        webhook   waiting for 3m, tries in 4s    1,204      4m       1       2  tls, 2s ago: its certificate expired on 2021-01-01\n"
        );
    }
}

//! `faceway replay`.

use clap::Args;
use faceway::api;
use faceway_core::{Clock as _, SystemClock};

use super::admin::AdminArgs;
use super::moment::Moment;
use super::words::counted;
use super::{Ended, Failure, Streams, block_on};

/// Hand events of the history to an outbound once more.
///
/// They keep their ids, and the rules are asked again as they are now. New events are not held up.
#[derive(Args, Debug)]
#[command(after_help = "\
TIME is RFC 3339 (2026-11-22T08:00:00Z) or how long ago (90s, 2h, 7d, 1h30m), by the gateway's clock.

Example:
  faceway replay --to erp --since 2h
  faceway replay --to erp --since 2026-11-22T08:00:00Z --until 2026-11-22T09:30:00Z")]
pub(crate) struct Replay {
    /// Name of the outbound
    #[arg(long, value_name = "NAME")]
    to: String,
    /// From when on
    #[arg(long, value_name = "TIME")]
    since: Moment,
    /// Until before when; without it now
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Replay {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let now = SystemClock.now();
        let since = self.since.at(now);
        let until = self.until.as_ref().map(|until| until.at(now));
        if until.is_some_and(|until| until <= since) {
            return Err(Failure::input("--until must be after --since"));
        }
        let asked = api::Replay {
            to: self.to.clone(),
            since,
            until,
        };
        let admin = self.admin.find()?;
        let api::Count { count } = block_on(admin.post("replay", &asked))?;
        if self.json {
            writeln!(streams.out, "{}", serde_json::json!({ "count": count }))?;
        } else {
            let events = counted(count, "event");
            writeln!(
                streams.out,
                "{events} since {since}: the rules are asked again, and {} gets what they say.",
                self.to
            )?;
        }
        Ok(())
    }
}

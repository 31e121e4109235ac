//! `faceway replay`.

use clap::Args;
use faceway::api;
use faceway_core::{Clock as _, SystemClock};

use super::admin::AdminArgs;
use super::moment::{Edge, Moment, TIMES, local, timestamp};
use super::words::counted;
use super::{Ended, Failure, Streams, block_on};

/// Hand events of the history to an outbound once more.
///
/// They keep their ids, and the rules are asked again as they are now. New events are not held up.
#[derive(Args, Debug)]
#[command(after_help = format!("{TIMES}

Example:
  faceway replay --to erp --since 2h
  faceway replay --to erp --since 'yesterday 18:00' --until 9:30"))]
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
        let now = local(SystemClock.now()).map_err(Failure::input)?;
        let since = self.since.at(&now, Edge::Begin).map_err(Failure::input)?;
        let until = self.until.as_ref().map(|until| until.at(&now, Edge::End));
        let until = until.transpose().map_err(Failure::input)?;
        if since > now {
            return Err(Failure::input(format!(
                "--since {since:.0} is still to come: of the day before, write it like `yesterday 22:00`"
            )));
        }
        if until.as_ref().is_some_and(|until| *until <= since) {
            return Err(Failure::input("--until must be after --since"));
        }
        let asked = api::Replay {
            to: self.to.clone(),
            since: timestamp(&since),
            until: until.as_ref().map(timestamp),
        };
        let admin = self.admin.find()?;
        let api::Count { count } = block_on(admin.post("replay", &asked))?;
        if self.json {
            writeln!(streams.out, "{}", serde_json::json!({ "count": count }))?;
        } else {
            let events = counted(count, "event");
            let until = until.map_or_else(String::new, |until| format!(" until {until:.0}"));
            writeln!(
                streams.out,
                "{events} since {since:.0}{until}: the rules are asked again, and {} gets what they say.",
                self.to
            )?;
        }
        Ok(())
    }
}

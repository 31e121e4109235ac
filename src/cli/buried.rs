//! `faceway buried`: events that were given up.

use clap::{Args, Subcommand};
use faceway::api;
use faceway_core::{Clock as _, EventId, SystemClock, Timestamp};

use super::admin::AdminArgs;
use super::table::Table;
use super::words::{ago, counted};
use super::{Ended, Streams, block_on};

/// Events that were given up: look at them, revive them, drop them.
#[derive(Args, Debug)]
pub(crate) struct Buried {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Revive(Revive),
    Drop(Drop),
}

/// What is buried, newest first
///
/// ATTEMPTS are those that counted, as attempts_max does. While the destination is down none counts; faceway why tells
/// those too.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway buried list --to erp")]
struct List {
    /// Only of this outbound
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// So many at the most
    #[arg(long, value_name = "N", default_value_t = 100)]
    max: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Buried events whole, as JSON
///
/// They hold what their pictures and persons are known by: mind who looks over your shoulder.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway buried show 94f278e1-a12c-50fa-8d4e-032e47aa1126")]
struct Show {
    /// Their ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<EventId>,
    /// Only of this outbound
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Give buried events another life: they are delivered again, with no attempt counted
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  faceway buried revive 94f278e1-a12c-50fa-8d4e-032e47aa1126
  faceway buried revive --to erp --all")]
struct Revive {
    #[command(flatten)]
    choice: Choice,
}

/// Remove buried events for good
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  faceway buried drop 94f278e1-a12c-50fa-8d4e-032e47aa1126
  faceway buried drop --to erp --all")]
struct Drop {
    #[command(flatten)]
    choice: Choice,
}

#[derive(Args, Debug)]
struct Choice {
    /// Their ids
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    ids: Vec<EventId>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// Only of this outbound
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Buried {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        match &self.command {
            Command::List(list) => list.run(streams),
            Command::Show(show) => show.run(streams),
            Command::Revive(Revive { choice }) => {
                choice.post("buried/revive", "revived: delivery begins again", streams)
            }
            Command::Drop(Drop { choice }) => {
                choice.post("buried/drop", "dropped for good", streams)
            }
        }
    }
}

impl List {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let query: Vec<_> = (self.to.as_deref())
            .map(|to| ("to", to))
            .into_iter()
            .collect();
        let admin = self.admin.find()?;
        let number = |entry: &api::Buried| entry.number;
        let buried = block_on(admin.list("buried", &query, self.max, number))?;
        if self.json {
            serde_json::to_writer_pretty(&mut *streams.out, &buried)?;
            writeln!(streams.out)?;
            return Ok(());
        }
        if buried.is_empty() {
            writeln!(streams.talk, "Nothing is buried.")?;
            return Ok(());
        }
        table(&buried, SystemClock.now()).write(streams.out)?;
        if buried.len() == self.max {
            writeln!(
                streams.talk,
                "There may be more: --max N shows further ones."
            )?;
        }
        Ok(())
    }
}

fn table(buried: &[api::Buried], now: Timestamp) -> Table {
    let mut table = Table::new(
        &["ID", "OUTBOUND", "CODE", "ATTEMPTS", "BURIED", "RECEIVED"],
        &[3],
    );
    for event in buried {
        table.row([
            event.id.to_string(),
            event.to.clone(),
            event.code.clone(),
            event.attempts.to_string(),
            ago(event.buried_at, now),
            ago(event.received_at, now),
        ]);
    }
    table
}

impl Show {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let query: Vec<_> = self
            .to
            .as_deref()
            .map(|to| ("to", to))
            .into_iter()
            .collect();
        let shown = block_on(async {
            let mut shown: Vec<api::Buried> = Vec::new();
            for id in &self.ids {
                shown.extend(
                    admin
                        .get::<Vec<api::Buried>>(&format!("buried/{id}"), &query)
                        .await?,
                );
            }
            Ok(shown)
        })?;
        serde_json::to_writer_pretty(&mut *streams.out, &shown)?;
        writeln!(streams.out)?;
        Ok(())
    }
}

impl Choice {
    fn post(&self, path: &str, done: &str, streams: &mut Streams<'_>) -> Ended {
        let choice = api::BuriedChoice {
            to: self.to.clone(),
            ids: (!self.all).then(|| self.ids.clone()),
            all: self.all,
        };
        let admin = self.admin.find()?;
        let api::Count { count } = block_on(admin.post(path, &choice))?;
        if self.json {
            writeln!(streams.out, "{}", serde_json::json!({ "count": count }))?;
        } else {
            writeln!(streams.out, "{} {done}.", counted(count, "event"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use faceway::api;
    use faceway_core::Timestamp;

    use super::table;
    use crate::cli::Words;

    #[test]
    fn buried_events_stand_in_a_table() {
        let now = Timestamp::from_seconds(1_790_000_000).unwrap();
        let buried = api::Buried {
            number: 1,
            id: "94f278e1-a12c-50fa-8d4e-032e47aa1126".parse().unwrap(),
            to: "erp".into(),
            received_at: now.plus_millis(-7_200_000),
            buried_at: now.plus_millis(-60_000),
            code: "422".into(),
            attempts: 1,
            event: None,
        };
        let mut out = Vec::new();
        table(&[buried], now).write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ID                                    OUTBOUND  CODE  ATTEMPTS  BURIED  RECEIVED\n\
             94f278e1-a12c-50fa-8d4e-032e47aa1126  erp       422          1  1m ago  2h ago\n"
        );
    }

    #[test]
    fn nothing_is_dropped_without_saying_which() {
        let parse = |words: &[&str]| {
            Words::try_parse_from(["faceway", "buried"].iter().chain(words)).map(|_| ())
        };
        for words in [
            &["drop"][..],
            &["revive", "--to", "erp"],
            &["drop", "--all", "94f278e1-a12c-50fa-8d4e-032e47aa1126"],
            &["drop", "not-an-id"],
        ] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
        assert!(parse(&["drop", "--all", "--to", "erp"]).is_ok());
    }
}

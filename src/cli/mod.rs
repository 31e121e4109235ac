//! The command line: one file a command.

mod admin;
mod buried;
mod check;
mod cluster;
mod completions;
mod demo;
mod explain;
mod failure;
mod files;
mod health;
mod http;
mod lanes;
mod man;
mod moment;
mod quarantine;
mod read;
mod replay;
mod run;
mod schema;
mod signals;
mod simulate;
mod spool;
mod streams;
mod table;
mod top;
mod why;
mod words;

use std::future::Future;
use std::time::Duration;

use clap::{Parser, Subcommand};

pub(crate) use failure::{Ended, Failure, exit_code};
pub(crate) use streams::{Streams, with_streams};

/// A gateway between face-recognition devices and the systems that want to know.
///
/// Devices push in their vendor's words; Faceway keeps every record on disk before it answers, turns it into one canonical
/// event, and delivers it to where routes.toml says, until the far side has confirmed it.
#[derive(Debug, Parser)]
#[command(name = "faceway", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Words {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Try it, with nothing installed:
  faceway demo --for 30s

Exit codes: 0 fine, 1 our trouble, 2 your input.
Log lines of `run` are chosen by FACEWAY_LOG (default info; for example warn, or faceway=debug).";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Check(check::Check),
    Read(read::Read),
    Explain(explain::Explain),
    Simulate(simulate::Simulate),
    Lanes(lanes::Lanes),
    Cluster(cluster::Cluster),
    Top(top::Top),
    Buried(buried::Buried),
    Replay(replay::Replay),
    Quarantine(quarantine::Quarantine),
    Why(why::Why),
    Spool(spool::Spool),
    Health(health::Health),
    Schema(schema::Schema),
    Completions(completions::Completions),
    #[command(hide = true)]
    Man(man::Man),
}

/// Does what was asked. What was written is flushed when it returns.
pub(crate) fn obey(words: Words, streams: &mut Streams<'_>) -> Ended {
    let ended = match words.command {
        // It writes no result, and its outbound on standard output may hold that for ever, where it is not read.
        Command::Run(command) => return command.run(streams),
        Command::Demo(command) => command.run(streams),
        Command::Check(command) => command.run(streams),
        Command::Read(command) => command.run(streams),
        Command::Explain(command) => command.run(streams),
        Command::Simulate(command) => command.run(streams),
        Command::Lanes(command) => command.run(streams),
        Command::Cluster(command) => command.run(streams),
        Command::Top(command) => command.run(streams),
        Command::Buried(command) => command.run(streams),
        Command::Replay(command) => command.run(streams),
        Command::Quarantine(command) => command.run(streams),
        Command::Why(command) => command.run(streams),
        Command::Spool(command) => command.run(streams),
        Command::Health(command) => command.run(streams),
        Command::Schema(command) => command.run(streams),
        Command::Completions(command) => command.run(streams),
        Command::Man(command) => command.run(streams),
    };
    // Results that are there are shown, also when the command failed behind them.
    let flushed = streams.out.flush();
    ended.and(flushed.map_err(Failure::from))
}

/// Runs the asynchronous part of a command.
fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::trouble(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(future);
    // What still blocks a thread, such as a write to a pipe that is not read, must not hold the process.
    runtime.shutdown_timeout(GOODBYE_MAX);
    ended
}

/// How long threads that block may take at the end. All that must be done is waited for before.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use clap::{Command, CommandFactory as _};

    use super::Words;

    #[test]
    fn the_definition_holds() {
        Words::command().debug_assert();
    }

    #[test]
    fn help_is_what_help_txt_says() {
        let mut told = String::new();
        let mut command = Words::command().term_width(100);
        command.build();
        tell_help(&mut command, "faceway", &mut told);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/help.txt");
        if std::env::var_os("FACEWAY_BLESS").is_some() {
            std::fs::write(&golden, &told).unwrap();
        }
        let written = std::fs::read_to_string(&golden).unwrap();
        assert!(
            told == written,
            "the help texts have changed: look at the difference, then FACEWAY_BLESS=1"
        );
    }

    #[test]
    fn every_command_shows_an_example() {
        fn look(command: &Command, path: &str) {
            for below in command.get_subcommands() {
                let path = format!("{path} {}", below.get_name());
                if below.has_subcommands() {
                    look(below, &path);
                } else {
                    let help = below.get_after_help().unwrap_or_default().to_string();
                    assert!(help.contains(&path), "`{path} --help` has no example");
                }
            }
        }
        look(&Words::command(), "faceway");
    }

    fn tell_help(command: &mut Command, path: &str, told: &mut String) {
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        writeln!(told, "$ {path} --help\n{}\n", help.join("\n").trim_end()).unwrap();
        let names: Vec<String> = command
            .get_subcommands()
            .map(|below| below.get_name().to_owned())
            .collect();
        for name in names {
            let below = command.find_subcommand_mut(&name).unwrap();
            tell_help(below, &format!("{path} {name}"), told);
        }
    }
}

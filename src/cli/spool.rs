//! `faceway spool`: proves a spool and saves a broken one, while no gateway runs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use faceway_spool_disk::{InspectError, Part};

use super::files::{GatewayFile, settle};
use super::table::Table;
use super::words::{counted, grouped};
use super::{Ended, Failure, Streams};

/// Files of the gateway that lie in the spool's directory: without them links and the gateway's identity change.
const BESIDE: [&str; 2] = ["link.key", "link.key.sum"];

/// The spool itself: prove that it is whole, or save what can be read of a broken one.
///
/// Both work while no gateway runs.
#[derive(Args, Debug)]
pub(crate) struct Spool {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Check),
    Salvage(Salvage),
}

/// Prove a spool: every row's checksum, every picture, and what belongs together
///
/// Nothing is changed. Damaged rows are named by number, never by content. Exit code 0 when everything is whole, else 1.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  systemctl stop faceway\n  faceway spool check --gateway /etc/faceway/gateway.toml\n  faceway spool check --dir data --json"
)]
struct Check {
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Save what can be read of a broken spool into a new directory
///
/// For a spool that does not start: a database that is cut off or has damaged pages, a log that is damaged or missing. Saved
/// are events, lanes with their positions, parked and buried events, quarantine, pictures, and the key of picture links. The
/// old directory stays as it is. The new one needs room for what is saved and, meanwhile, for the old database. What cannot
/// be read is told by number. Start the gateway with the new directory: events may be delivered again, under the same id.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  systemctl stop faceway\n  faceway spool salvage --dir data --to data.saved\n  mv data data.broken && mv data.saved data"
)]
struct Salvage {
    /// The new directory, which does not exist yet
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Place {
    /// The spool's directory; without it spool.dir of the gateway file
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    gateway: GatewayFile,
}

impl Place {
    fn find(&self, streams: &mut Streams<'_>) -> Result<PathBuf, Failure> {
        match &self.dir {
            Some(dir) => Ok(dir.clone()),
            None => {
                let spool = settle(self.gateway.load(), streams)?.spool;
                if spool.engine != "disk" {
                    return Err(Failure::input(format!(
                        "spool.engine is {:?}: this command looks at the files of the engine disk. Name a directory with --dir",
                        spool.engine
                    )));
                }
                Ok(spool.dir)
            }
        }
    }
}

impl Spool {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        match &self.command {
            Command::Check(check) => check.run(streams),
            Command::Salvage(salvage) => salvage.run(streams),
        }
    }
}

impl Check {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let dir = self.place.find(streams)?;
        let parts = faceway_spool_disk::check(&dir).map_err(failure)?;
        show(&parts, self.json, streams)?;
        let wrong = wrong(&parts);
        if wrong > 0 {
            return Err(Failure::trouble(format!(
                "{} of the spool in {} {} not whole; copy the directory before you start the gateway. \
                 `faceway spool salvage --to DIR` saves what can be read where it does not start",
                counted(wrong, "part"),
                dir.display(),
                if wrong == 1 { "is" } else { "are" }
            )));
        }
        if !self.json {
            writeln!(streams.talk, "The spool in {} is whole.", dir.display())?;
        }
        Ok(())
    }
}

impl Salvage {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let dir = self.place.find(streams)?;
        let parts = faceway_spool_disk::salvage(&dir, &self.to).map_err(failure)?;
        for name in BESIDE {
            match std::fs::copy(dir.join(name), self.to.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    writeln!(streams.talk, "note: {name} cannot be copied: {error}")?;
                }
                _ => {}
            }
        }
        show(&parts, self.json, streams)?;
        if !self.json {
            let lost = match wrong(&parts) {
                0 => "Everything was saved".to_owned(),
                wrong => format!(
                    "What could be read was saved; of {} something was lost or damaged",
                    counted(wrong, "part")
                ),
            };
            writeln!(
                streams.talk,
                "{lost}. Put {} in the place of {}, keep the old one, and start the gateway.",
                self.to.display(),
                dir.display()
            )?;
        }
        Ok(())
    }
}

fn failure(error: InspectError) -> Failure {
    match error {
        InspectError::Io(text) => Failure::trouble(text),
        other => Failure::input(other.to_string()),
    }
}

fn wrong(parts: &[Part]) -> u64 {
    parts.iter().filter(|part| !part.is_whole()).count() as u64
}

fn show(parts: &[Part], json: bool, streams: &mut Streams<'_>) -> Ended {
    if json {
        let parts: Vec<_> = parts.iter().map(as_json).collect();
        serde_json::to_writer_pretty(&mut *streams.out, &parts)?;
        writeln!(streams.out)?;
        return Ok(());
    }
    table(parts).write(streams.out)?;
    Ok(())
}

fn as_json(part: &Part) -> serde_json::Value {
    serde_json::json!({
        "part": part.name,
        "good": part.good,
        "damaged": part.damaged,
        "missing": part.missing,
        "numbers": part.numbers,
        "remark": part.remark,
    })
}

fn table(parts: &[Part]) -> Table {
    let headline = ["PART", "GOOD", "DAMAGED", "MISSING", "NUMBERS AND REMARKS"];
    let mut table = Table::new(&headline, &[1, 2, 3]);
    for part in parts {
        // More would make the line unreadable; --json has a hundred.
        let mut numbers: Vec<String> = part.numbers.iter().take(10).map(i64::to_string).collect();
        if part.numbers.len() > 10 {
            numbers.push("…".into());
        }
        let remark = part.remark.clone().unwrap_or_default();
        let told = match (numbers.is_empty(), remark.is_empty()) {
            (false, false) => format!("{}: {remark}", numbers.join(", ")),
            (false, true) => numbers.join(", "),
            _ => remark,
        };
        table.row([
            part.name.to_owned(),
            grouped(part.good),
            grouped(part.damaged),
            grouped(part.missing),
            told,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use faceway_spool_disk::Part;

    use super::table;

    #[test]
    fn parts_stand_in_a_table() {
        let events = Part {
            name: "events",
            good: 12_000,
            damaged: 1,
            numbers: vec![417],
            ..Part::default()
        };
        let log = Part {
            name: "write-ahead log",
            remark: Some("its header is damaged".into()),
            damaged: 1,
            ..Part::default()
        };
        let mut out = Vec::new();
        table(&[log, events]).write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "PART               GOOD  DAMAGED  MISSING  NUMBERS AND REMARKS\n\
             write-ahead log       0        1        0  its header is damaged\n\
             events           12,000        1        0  417\n"
        );
    }
}

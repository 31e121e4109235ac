//! `faceway quarantine`: bodies that could not be read.

use std::io::Write;

use clap::{Args, Subcommand};
use faceway::api;
use faceway_core::{Clock as _, SystemClock, Timestamp, visible_line};

use super::admin::AdminArgs;
use super::streams::Output;
use super::table::Table;
use super::words::{ago, bytes, counted};
use super::{Ended, Streams, block_on};

/// Bodies that could not be read: look at them, read them again, drop them.
#[derive(Args, Debug)]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Show(Show),
    Retry(Retry),
    Drop(Drop),
}

/// What is in quarantine and why, newest first
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway quarantine list")]
struct List {
    /// So many at the most
    #[arg(long, value_name = "N", default_value_t = 100)]
    max: usize,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// One body, as it was sent
///
/// It is raw and may hold names, pictures and secrets: mind who looks over your shoulder. On a terminal, characters that
/// could steer it or cannot be seen are written out (\u001b); a file or pipe gets the exact bytes.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  faceway quarantine show 17 > body.json\n  faceway read nebula body.json"
)]
struct Show {
    /// Its number
    #[arg(value_name = "ID")]
    number: u64,
    /// As JSON, with what is known of it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Read bodies once more, for example after an upgrade; what can be read now becomes events
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  faceway quarantine retry 17 18\n  faceway quarantine retry --all"
)]
struct Retry {
    #[command(flatten)]
    choice: Choice,
}

/// Remove bodies for good
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway quarantine drop 17\n  faceway quarantine drop --all")]
struct Drop {
    #[command(flatten)]
    choice: Choice,
}

#[derive(Args, Debug)]
struct Choice {
    /// Their numbers
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    numbers: Vec<u64>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Quarantine {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        match &self.command {
            Command::List(list) => list.run(streams),
            Command::Show(show) => show.run(streams),
            Command::Retry(Retry { choice }) => retry(choice, streams),
            Command::Drop(Drop { choice }) => drop_some(choice, streams),
        }
    }
}

impl List {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let number = |entry: &api::Quarantined| entry.number;
        let entries = block_on(admin.list("quarantine", &[], self.max, number))?;
        if self.json {
            serde_json::to_writer_pretty(&mut *streams.out, &entries)?;
            writeln!(streams.out)?;
            return Ok(());
        }
        if entries.is_empty() {
            writeln!(streams.talk, "Nothing is in quarantine.")?;
            return Ok(());
        }
        table(&entries, SystemClock.now()).write(streams.out)?;
        if entries.len() == self.max {
            writeln!(
                streams.talk,
                "There may be more: --max N shows further ones."
            )?;
        }
        Ok(())
    }
}

fn table(entries: &[api::Quarantined], now: Timestamp) -> Table {
    let mut table = Table::new(&["ID", "INBOUND", "RECEIVED", "SIZE", "REASON"], &[0, 3]);
    for entry in entries {
        table.row([
            entry.number.to_string(),
            entry.inbound.clone(),
            ago(entry.received_at, now),
            bytes(entry.bytes),
            entry.reason.clone(),
        ]);
    }
    table
}

impl Show {
    fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let entry: api::Quarantined =
            block_on(admin.get(&format!("quarantine/{}", self.number), &[]))?;
        if self.json {
            serde_json::to_writer_pretty(&mut *streams.out, &entry)?;
            writeln!(streams.out)?;
            return Ok(());
        }
        let (inbound, received, reason) = (&entry.inbound, entry.received_at, &entry.reason);
        let told = format!("{inbound}, received {received}: {reason}");
        writeln!(streams.talk, "{}", visible_line(&told))?;
        match (entry.text, entry.base64) {
            (Some(text), _) => write_text(&text, streams.out)?,
            (None, Some(base64)) => {
                writeln!(streams.talk, "It is not UTF-8; here is its base64.")?;
                writeln!(streams.out, "{base64}")?;
            }
            (None, None) => {}
        }
        Ok(())
    }
}

/// As sent, so that it can be read again from a file. On a terminal it is shown visibly, as any device may have sent it; and
/// there a last line break is missed.
fn write_text(text: &str, out: &mut dyn Output) -> std::io::Result<()> {
    if !out.is_terminal() {
        return out.write_exact(text.as_bytes());
    }
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(())
}

impl Choice {
    fn body(&self) -> api::QuarantineChoice {
        api::QuarantineChoice {
            numbers: (!self.all).then(|| self.numbers.clone()),
            all: self.all,
        }
    }
}

fn retry(choice: &Choice, streams: &mut Streams<'_>) -> Ended {
    let admin = choice.admin.find()?;
    let reread: api::Reread = block_on(admin.post("quarantine/retry", &choice.body()))?;
    if choice.json {
        serde_json::to_writer_pretty(&mut *streams.out, &reread)?;
        writeln!(streams.out)?;
        return Ok(());
    }
    tell(&reread, streams.out)?;
    Ok(())
}

fn tell(reread: &api::Reread, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{} could be read: {} kept, {} known already.",
        counted_bodies(reread.read),
        counted(reread.stored, "event"),
        reread.duplicates
    )?;
    if !reread.unreadable.is_empty() {
        writeln!(
            out,
            "{} still cannot:",
            counted_bodies(reread.unreadable.len() as u64)
        )?;
    }
    for entry in &reread.unreadable {
        writeln!(out, "  {}: {}", entry.number, visible_line(&entry.reason))?;
    }
    Ok(())
}

fn counted_bodies(count: u64) -> String {
    if count == 1 {
        "1 body".into()
    } else {
        format!("{} bodies", super::words::grouped(count))
    }
}

fn drop_some(choice: &Choice, streams: &mut Streams<'_>) -> Ended {
    let admin = choice.admin.find()?;
    let api::Count { count } = block_on(admin.post("quarantine/drop", &choice.body()))?;
    if choice.json {
        writeln!(streams.out, "{}", serde_json::json!({ "count": count }))?;
    } else {
        writeln!(streams.out, "{} dropped for good.", counted_bodies(count))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use faceway::api::{Quarantined, Reread, StillUnreadable};
    use faceway_core::Timestamp;

    use super::{table, tell};

    #[test]
    fn entries_stand_in_a_table() {
        let now = Timestamp::from_seconds(1_790_000_000).unwrap();
        let entry = Quarantined {
            number: 17,
            inbound: "lobby".into(),
            received_at: now.plus_millis(-180_000),
            reason: "not JSON: unexpected text at line 1, column 12".into(),
            bytes: 14_400,
            text: None,
            base64: None,
        };
        let mut out = Vec::new();
        table(&[entry], now).write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ID  INBOUND  RECEIVED    SIZE  REASON\n\
             17  lobby    3m ago    14 KiB  not JSON: unexpected text at line 1, column 12\n"
        );
    }

    #[test]
    fn a_second_reading_is_told() {
        let unreadable = vec![StillUnreadable {
            number: 4,
            reason: "cut off".into(),
        }];
        let reread = Reread {
            read: 2,
            stored: 1,
            duplicates: 1,
            unreadable,
        };
        let mut out = Vec::new();
        tell(&reread, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "2 bodies could be read: 1 event kept, 1 known already.\n1 body still cannot:\n  4: cut off\n"
        );
    }
}

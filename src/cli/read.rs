//! `faceway read`: a vendor's payload in, canonical events out.

use std::path::PathBuf;

use clap::Args;
use faceway_core::{
    Adapter, Arrival, Clock as _, Element, Setting, Settings, Stamp, SystemClock, Timestamp,
    encode, stamp, visible_line,
};
use faceway_decode::{Limits, Scratch, Undecoded, decode};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::moment::{Edge, Moment, local, timestamp};
use super::{Ended, Failure, Streams, files};

/// Read a vendor's payload: canonical events, one JSON a line.
///
/// What cannot be read is told on standard error, and the exit code is 2; the other elements of a batch still come out.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  faceway read nebula push.json
  curl -s https://archive.example/push.json | faceway read nebula --header 'sn: PSC0SIM1' --inbound lobby")]
pub(crate) struct Read {
    #[arg(help = format!("Whose payload it is: {}", adapters()))]
    adapter: String,
    /// The payload; without it, or with -, standard input
    file: Option<PathBuf>,
    /// Name of the inbound, which the events' ids depend on [default: the adapter's name]
    #[arg(long, value_name = "NAME")]
    inbound: Option<String>,
    /// A header of the request, such as 'sn: X'; repeatable
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// When the gateway had it, for a fixed received_at; such as 2026-11-29T09:00:00Z or 9:00 [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<Moment>,
    /// A setting of the inbound, such as device=X; repeatable
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

/// What may come out of a payload that is packed.
const UNPACKED_BYTES_MAX: usize = 256 * 1024 * 1024;

impl Read {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let adapter = adapter(&self.adapter)?;
        let settings = settings(adapter.settings(), &self.set)?;
        let body = files::input(self.file.as_deref(), streams)?;
        let headers: HeaderMap = self.headers.iter().cloned().collect();
        let arrival = Arrival {
            headers: &headers,
            peer: None,
            body: &body,
        };
        let scratch = Scratch::default();
        let mut limits = Limits {
            bytes_max: UNPACKED_BYTES_MAX,
            room: &mut |_| true,
        };
        let decoded = decode(&*adapter, &arrival, &settings, &mut limits, &scratch);
        let elements = decoded.map_err(|why| match why {
            Undecoded::Refused(reason) => Failure::input(format!("is refused: {reason}")),
            why => Failure::input(format!("cannot be read: {why}")),
        })?;
        let stamp = Stamp {
            inbound: self.inbound.as_deref().unwrap_or(adapter.name()),
            adapter: adapter.name(),
            received_at: self.received_at()?,
        };
        write(elements, stamp, streams)
    }

    fn received_at(&self) -> Result<Timestamp, Failure> {
        let now = SystemClock.now();
        let Some(asked) = &self.now else {
            return Ok(now);
        };
        let at = local(now).and_then(|now| asked.at(&now, Edge::Begin));
        at.map(|at| timestamp(&at)).map_err(Failure::input)
    }
}

/// Writes the events; tells what could not be read.
fn write(elements: Vec<Element<'_>>, as_of: Stamp<'_>, streams: &mut Streams<'_>) -> Ended {
    let mut unreadable = 0;
    let alone = elements.len() == 1;
    for (index, element) in elements.into_iter().enumerate() {
        match element {
            Ok(reading) => {
                // Revealed to the person who gave it.
                streams
                    .out
                    .write_all(encode(&stamp(reading, as_of)).reveal())?;
                writeln!(streams.out)?;
            }
            Err(element) => {
                unreadable += 1;
                let which = if alone {
                    String::new()
                } else {
                    format!("element {} ", index + 1)
                };
                let _ = writeln!(
                    streams.talk,
                    "error: {which}cannot be read: {}",
                    visible_line(&element.reason)
                );
            }
        }
    }
    if unreadable == 0 {
        Ok(())
    } else {
        Err(Failure::InputTold)
    }
}

/// The adapter of this name.
/// The names of all, as one writes a list.
fn adapters() -> String {
    let all = faceway_adapters::all();
    let names: Vec<&str> = all.iter().map(|adapter| adapter.name()).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

fn adapter(name: &str) -> Result<Box<dyn Adapter>, Failure> {
    let mut all = faceway_adapters::all();
    match all.iter().position(|adapter| adapter.name() == name) {
        Some(index) => Ok(all.swap_remove(index)),
        None => {
            let names: Vec<&str> = all.iter().map(|adapter| adapter.name()).collect();
            Err(unknown("adapter", name, &names))
        }
    }
}

/// `no adapter is called …; did you mean …? There is …`.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> Failure {
    let near = faceway_rules::nearest(name, known.iter().copied());
    let near = near.map_or(String::new(), |near| format!("did you mean `{near}`? "));
    Failure::input(format!(
        "there is no {what} `{name}`; {near}known: {}",
        known.join(", ")
    ))
}

fn settings(known: &[Setting], set: &[(String, String)]) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    for (name, value) in set {
        let setting = known
            .iter()
            .find(|setting| setting.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|setting| setting.name).collect();
                unknown("setting", name, &names)
            })?;
        let value = setting.kind.parse(value);
        let value =
            value.map_err(|allowed| Failure::input(format!("--set {name} must be {allowed}")))?;
        settings.set(setting.name, value);
    }
    Ok(settings)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "not a header: write 'name: value'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::streams::Buffers;
    use crate::cli::{Ended, Failure, Words, obey};

    fn read(words: &[&str], input: &str) -> (Ended, String, String) {
        let words = ["faceway", "read"].into_iter().chain(words.iter().copied());
        let words = Words::try_parse_from(words).unwrap();
        Buffers::run(input, |streams| obey(words, streams))
    }

    const STRANGER: &str = r#"{"type":0,"data":{"uuid":"b2e1","recognitionType":3,"timestamp":1790000000,"pass":false}}"#;

    #[test]
    fn an_event_comes_out_as_one_line() {
        let words = [
            "nebula",
            "--inbound",
            "lobby",
            "--header",
            "sn: PSC0SIM1",
            "--now",
            "2026-11-22T08:00:00Z",
        ];
        let (ended, out, talk) = read(&words, STRANGER);
        ended.unwrap();
        assert_eq!(out.lines().count(), 1, "{out}");
        let event: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(event["inbound"], "lobby");
        assert_eq!(event["received_at"], "2026-11-22T08:00:00.000Z");
        assert_eq!(event["device"]["id"], "PSC0SIM1");
        assert_eq!(event["person"]["category"], "stranger");
        assert_eq!(talk, "");
    }

    #[test]
    fn settings_are_those_of_the_adapter() {
        let (_, out, _) = read(&["nebula", "--set", "device=front"], STRANGER);
        let event: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(event["device"]["id"], "front");
        let (ended, _, _) = read(&["nebula", "--set", "devise=front"], STRANGER);
        assert!(
            matches!(ended, Err(Failure::Input(text)) if text.contains("did you mean `device`?"))
        );
    }

    #[test]
    fn help_names_every_adapter() {
        use clap::CommandFactory as _;
        let mut command = crate::cli::Words::command();
        let read = command.find_subcommand_mut("read").unwrap();
        let help = read.render_long_help().to_string();
        for adapter in faceway_adapters::all() {
            let name = adapter.name();
            let listed =
                help.contains(&format!(" {name},")) || help.contains(&format!(" {name} or"));
            assert!(
                listed || help.contains(&format!("or {name}")),
                "{name}: {help}"
            );
        }
    }

    #[test]
    fn a_mistyped_adapter_is_told_the_nearest() {
        let (ended, _, _) = read(&["nebla"], STRANGER);
        assert!(
            matches!(ended, Err(Failure::Input(text)) if text.contains("did you mean `nebula`?"))
        );
    }

    #[test]
    fn what_cannot_be_read_is_input() {
        let (ended, out, _) = read(&["nebula"], "{\"type\":0,}");
        assert!(matches!(ended, Err(Failure::Input(text)) if text.contains("cannot be read")));
        assert_eq!(out, "");
    }

    #[test]
    fn elements_that_can_be_read_still_come_out() {
        let unreadable = faceway_core::Unreadable {
            reason: "no id".into(),
            raw: b"{}",
        };
        let reading = faceway_core::Reading {
            key: faceway_core::RecordKey::weak(&["a"]),
            facts: faceway_core::Facts::default(),
            pictures: Vec::new(),
        };
        let stamp = super::Stamp {
            inbound: "city",
            adapter: "example",
            received_at: faceway_core::Timestamp::from_seconds(0).unwrap(),
        };
        let (ended, out, talk) = Buffers::run("", |streams| {
            super::write(vec![Err(unreadable), Ok(reading)], stamp, streams)
        });
        assert!(matches!(ended, Err(Failure::InputTold)));
        assert_eq!(out.lines().count(), 1);
        assert_eq!(talk, "error: element 1 cannot be read: no id\n");
    }

    #[test]
    fn headers_and_settings_have_a_shape() {
        for words in [
            ["--header", "sn"],
            ["--header", "s n: x"],
            ["--set", "device"],
            ["--now", "tomorrow"],
        ] {
            let words = ["faceway", "read", "nebula"].into_iter().chain(words);
            assert_eq!(Words::try_parse_from(words).unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn the_readme_s_terminal_is_read_without_a_warning() {
        let readme = include_str!("../../README.md");
        let push = readme
            .split("--data '")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        let (ended, out, _) = read(&["nebula", "--inbound", "lobby"], push);
        ended.unwrap();
        let event: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(event["person"]["category"], "employee");
        assert_eq!(event.get("warnings"), None);
        let id = event["id"].as_str().unwrap();
        assert!(readme.contains(id), "README.md shows another id than {id}");
    }
}

//! Log lines. What they quote may come from any device, and is written visibly.

use std::fmt::Debug;

use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use super::filter::filter;
use crate::visible::Visible;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Sends logs to standard error, filtered by `FACEWAY_LOG` (default `info`).
///
/// # Errors
/// When `FACEWAY_LOG` is no filter.
pub fn install_logs(format: LogFormat) -> anyhow::Result<()> {
    use std::io::IsTerminal as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let chosen = std::env::var_os("FACEWAY_LOG");
    let chosen = chosen.as_ref().map(|text| text.to_string_lossy());
    let filter = filter(chosen.as_deref())?;
    let terminal = std::io::stderr().is_terminal();
    logs(format, filter, terminal, std::io::stderr)
        .try_init()
        .map_err(|error| anyhow::anyhow!("{error}"))
}

/// Log lines, written visibly: what they quote may come from any device.
fn logs<W: std::io::Write + 'static>(
    format: LogFormat,
    filter: EnvFilter,
    terminal: bool,
    write: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn tracing::Subscriber + Send + Sync> {
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    let visible = move || Visible::new(write(), terminal);
    match format {
        LogFormat::Text => {
            let fields = debug_fn(field).delimited(" ");
            let logs = logs.with_ansi(terminal).with_target(false);
            let logs = logs.fmt_fields(fields);
            match terminal {
                true => Box::new(logs.with_writer(move || visible().with_colours()).finish()),
                false => Box::new(logs.with_writer(visible).finish()),
            }
        }
        LogFormat::Json => {
            let logs = logs.json().flatten_event(true);
            Box::new(logs.with_writer(visible).finish())
        }
    }
}

/// Writes a field as the formatter's own do, but visibly: those let through what is shown by `%`, and behind this no one can
/// tell others' colours from ours.
fn field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let value = format!("{value:?}");
    let value = faceway_core::visible(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name if writer.has_ansi_escapes() => {
            write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}")
        }
        name => write!(writer, "{name}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use faceway_core::is_hidden;
    use tracing_subscriber::EnvFilter;

    use super::{LogFormat, logs};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, terminal: bool, said: &str) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        let logs = logs(format, EnvFilter::new("info"), terminal, move || to.clone());
        tracing::subscriber::with_default(logs, || {
            let error = std::io::Error::other(said.to_owned());
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::info!(text = said, shown = %said, debug = ?said, error, "it said {said}");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_a_log_quotes_steers_no_terminal() {
        let said = "X\u{1b}]0;x\u{7}\u{1b}[31m\u{9b}2J\u{202e}\u{200b}\u{7f}\r\u{8}Y";
        let hidden = |char| is_hidden(char) && char != '\n';
        let text = logged(LogFormat::Text, false, said);
        assert!(!text.contains(hidden), "{text:?}");
        let json = logged(LogFormat::Json, false, said);
        assert!(!json.contains(hidden), "{json:?}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for value in [&json["shown"], &json["text"], &json["error"]] {
            assert_eq!(value, said);
        }
        let coloured = logged(LogFormat::Text, true, said);
        assert!(!coloured.contains("\u{1b}[31m"), "{coloured:?}");
        let colours = ["\u{1b}[2m", "\u{1b}[0m", "\u{1b}[32m", "\u{1b}[3m"];
        let rest = colours
            .iter()
            .fold(coloured.clone(), |rest, colour| rest.replace(colour, ""));
        assert_ne!(rest, coloured, "the formatter's colours are there");
        assert!(!rest.contains(hidden), "{rest:?}");
    }
}

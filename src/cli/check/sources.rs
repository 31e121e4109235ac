//! Where each value of `gateway.toml` comes from.

use std::io::{Result, Write};

use faceway::config::Setting;
use serde_json::Value;

use crate::cli::table::Table;

/// A row for each key.
pub(super) fn table(settings: &[Setting], out: &mut dyn Write) -> Result<()> {
    let mut table = Table::new(&["KEY", "VALUE", "FROM"], &[]);
    for setting in settings {
        let (key, value) = (setting.key.clone(), written(&setting.value));
        table.row([key, value, setting.from.to_string()]);
    }
    writeln!(out)?;
    table.write(out)
}

/// A list of keys, each with its value and where it comes from.
pub(super) fn json(settings: &[Setting], out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer(&mut *out, settings)?;
    writeln!(out)
}

/// A value as the file would say it.
fn written(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries: Vec<_> = entries
                .map(|(key, value)| format!("{key} = {}", written(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

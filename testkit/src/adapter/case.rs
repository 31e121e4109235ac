//! A golden case, from its folder.

use std::fs;
use std::path::{Path, PathBuf};

use faceway_core::{Adapter, SettingKind, SettingValue, Settings};
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::Sent;

pub(super) struct Case {
    pub(super) sent: Sent,
    pub(super) out: PathBuf,
}

impl Case {
    pub(super) fn load(adapter: &dyn Adapter, folder: &Path) -> Result<Self, String> {
        let mut sent = Sent::new(adapter, read(&body_file(folder)?)?);
        let arrival = folder.join("arrival.json");
        if arrival.exists() {
            let around: Value = serde_json::from_slice(&read(&arrival)?).map_err(text)?;
            surround(adapter, &mut sent, &around)
                .map_err(|what| format!("arrival.json: {what}"))?;
        }
        Ok(Self {
            sent,
            out: folder.join("out.json"),
        })
    }
}

fn surround(adapter: &dyn Adapter, sent: &mut Sent, around: &Value) -> Result<(), String> {
    for (name, value) in around.as_object().ok_or("not an object")? {
        match (name.as_str(), value) {
            ("inbound", Value::String(inbound)) => sent.inbound.clone_from(inbound),
            ("peer", Value::String(peer)) => sent.peer = Some(peer.parse().map_err(text)?),
            ("received_at", Value::String(at)) => sent.received_at = at.parse().map_err(text)?,
            ("headers", Value::Object(headers)) => {
                for (name, value) in headers {
                    let name: HeaderName = name.parse().map_err(text)?;
                    let value = value.as_str().ok_or("a header is not a text")?;
                    let value: HeaderValue = value.parse().map_err(text)?;
                    sent.headers.append(name, value);
                }
            }
            ("settings", Value::Object(settings)) => {
                for (name, value) in settings {
                    set(adapter, &mut sent.settings, name, value)?;
                }
            }
            _ => return Err(format!("{name}: unknown, or of another type")),
        }
    }
    Ok(())
}

fn set(
    adapter: &dyn Adapter,
    settings: &mut Settings,
    name: &str,
    value: &Value,
) -> Result<(), String> {
    let mut known = adapter.settings().iter();
    let setting = known
        .find(|setting| setting.name == name)
        .ok_or_else(|| format!("the adapter has no setting {name}"))?;
    let value = match (setting.kind, value) {
        (SettingKind::Texts | SettingKind::Words(_), Value::Array(items)) => SettingValue::Texts(
            items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        (kind, Value::String(text)) => kind.parse(text)?,
        (kind, other) => kind.parse(&other.to_string())?,
    };
    settings.set(setting.name, value);
    Ok(())
}

pub(super) fn folders(fixtures: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn body_file(folder: &Path) -> Result<PathBuf, String> {
    let mut entries = fs::read_dir(folder).map_err(text)?.flatten();
    entries
        .find(|entry| entry.path().file_stem().is_some_and(|stem| stem == "in"))
        .map(|entry| entry.path())
        .ok_or_else(|| "there is no file in.json".into())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

//! What an outbound's protocol reads of its table.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use faceway_core::outbound_kind::{HeaderStyle, Reading};
use faceway_core::{OutboundKind, OutboundSettings, Value, Values};
use http::HeaderName;

use crate::read::Table;
use crate::{Field, Format, Projection, Secret, Template};

use super::{HeaderValue, address, headers};

/// How an outbound delivers. Two are equal when their tables say the same.
#[derive(Clone)]
pub struct Protocol {
    kind: &'static OutboundKind,
    values: Values,
    address: Option<Template>,
    headers: Vec<(HeaderName, HeaderValue)>,
    settings: Arc<dyn OutboundSettings>,
}

pub(super) fn read(
    kind: &'static OutboundKind,
    table: &Table<'_>,
    projection: &Projection,
    format: &Format,
) -> Protocol {
    let address = kind.address.as_ref();
    let values = table.values(kind.keys);
    let shows = |path: &str| Field::find(path).is_some_and(|field| !projection.hides(&field));
    let (settings, found) = Reading::of((kind.keys, &values), format.name(), &shows, |reading| {
        (kind.read)(reading)
    });
    table.report(found);
    Protocol {
        address: address.map(|address| address::read(table, address, projection)),
        headers: match kind.headers {
            Some(declared) => headers::read(table, &declared, projection),
            None => Vec::new(),
        },
        kind,
        values,
        settings,
    }
}

impl Protocol {
    /// What `routes.toml` calls it.
    pub const fn name(&self) -> &'static str {
        self.kind.name
    }

    /// What its crate declares.
    pub const fn kind(&self) -> &'static OutboundKind {
        self.kind
    }

    /// The values of its own keys.
    pub const fn values(&self) -> &Values {
        &self.values
    }

    /// What they mean to its crate.
    pub fn settings(&self) -> &dyn OutboundSettings {
        &*self.settings
    }

    /// The largest payload, in bytes; `None` where the protocol has no limit of its own.
    pub fn payload_bytes_max(&self) -> Option<u64> {
        self.settings.payload_bytes_max()
    }

    /// Where in the destination an event goes; `None` where the protocol knows no such thing.
    pub const fn address(&self) -> Option<&Template> {
        self.address.as_ref()
    }

    /// How headers are read at the far side; `None` where nothing goes beside a payload.
    pub fn header_style(&self) -> Option<HeaderStyle> {
        self.kind.headers.map(|headers| headers.style)
    }

    /// Whether `headers` sets this one, by its lower-case name.
    pub fn sets_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    /// What goes beside each event, by lower-case name, and is rendered for it.
    pub fn headers(&self) -> Vec<(&str, &Template)> {
        let headers = self.headers.iter();
        let templates = headers.filter_map(|(name, value)| match value {
            HeaderValue::Template(template) => Some((name.as_str(), template)),
            HeaderValue::Text(_) | HeaderValue::Secret(_) => None,
        });
        templates.collect()
    }

    /// What `headers` holds, in the order of the file.
    pub fn all_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The files that it names, other than secrets.
    pub fn files(&self) -> Vec<&Path> {
        let mut files = Vec::new();
        add_files(&self.values, &mut files);
        files
    }

    /// Every secret that it names, with the key that names it.
    pub fn secrets(&self) -> Vec<(String, &Secret)> {
        let mut secrets = Vec::new();
        add_secrets("", &self.values, &mut secrets);
        let headers = self.headers.iter();
        let headers = headers.filter_map(|(name, value)| match value {
            HeaderValue::Secret(secret) => Some((format!("headers.{name}"), secret)),
            HeaderValue::Text(_) | HeaderValue::Template(_) => None,
        });
        secrets.extend(headers);
        secrets
    }
}

fn add_files<'v>(values: &'v Values, files: &mut Vec<&'v Path>) {
    for (_, value) in values.iter() {
        match value {
            Some(Value::Tls(tls)) => files.extend(tls.files()),
            Some(Value::Table(table)) => add_files(table, files),
            _ => {}
        }
    }
}

fn add_secrets<'v>(within: &str, values: &'v Values, secrets: &mut Vec<(String, &'v Secret)>) {
    for (key, value) in values.iter() {
        let key = format!("{within}{key}");
        match value {
            Some(Value::Secret(secret)) => secrets.push((key, secret)),
            Some(Value::Secrets(several)) => {
                secrets.extend(several.iter().map(|secret| (key.clone(), secret)));
            }
            Some(Value::Table(table)) => add_secrets(&format!("{key}."), table, secrets),
            _ => {}
        }
    }
}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
            && self.values == other.values
            && self.address == other.address
            && self.headers == other.headers
    }
}

impl Eq for Protocol {}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name())
            .field("values", &self.values)
            .field("address", &self.address)
            .field("headers", &self.headers)
            .finish()
    }
}

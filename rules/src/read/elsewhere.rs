//! Where a key belongs that stands where it is not read.

use crate::{Field, suggest};
use faceway_core::outbound_kind::Meant;
use faceway_core::schema::FieldKind;

use super::{Entry, Key, Shape};

/// Where keys may stand in both files, and which of them is being read.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Whether `gateway.toml` is read, else `routes.toml`.
    pub(crate) in_gateway: bool,
    pub(crate) of_routes: Vec<Place>,
    /// Keys that a protocol does not have, with what to write instead.
    pub(crate) meant: Vec<(&'static str, Meant)>,
}

/// A key of `routes.toml` and where it may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The key.
    pub(crate) key: &'static str,
    /// The table: `route`, or of those with a name the section: `inbound`.
    pub(crate) table: &'static str,
    /// Of `inbound` and `outbound` the adapter or protocol, else blank.
    pub(crate) group: &'static str,
}

impl Place {
    /// The places of the keys of a table.
    pub(crate) fn of(table: &'static str, group: &'static str, keys: &[Key]) -> Vec<Self> {
        let place = |key: &Key| Self {
            key: key.name,
            table,
            group,
        };
        keys.iter().map(place).collect()
    }
}

/// Every key of `gateway.toml`, for the error when one stands in `routes.toml`. A test of the gateway holds it to what is read.
pub const GATEWAY: &[(&str, &[&str])] = &[
    ("site", &[]),
    (
        "listen",
        &["devices", "admin", "public_url", "tls", "admin_token"],
    ),
    (
        "spool",
        &[
            "engine",
            "dir",
            "bytes_max",
            "free_min",
            "history",
            "images",
            "quarantine",
            "quarantine_bytes_max",
            "jetstream",
        ],
    ),
    (
        "limits",
        &[
            "body_bytes_max",
            "connections_max",
            "header_timeout",
            "body_timeout",
        ],
    ),
];

/// The sections of `routes.toml`.
const ROUTES: [&str; 4] = ["inbound", "outbound", "route", "test"];

/// Sections of `gateway.toml` that this version does not read.
const LATER: [&str; 1] = ["console"];

const CLOCK: &str = "write it as a test of a time: `when = { occurred_at = { hours = \"08:00-17:00\", zone = \"Europe/Berlin\" } }`";

/// What a key is taken for that has another name or none, by what the title of its table begins with.
const MEANT: [(&str, &[&str], &str); 2] = [
    ("[[route]]", &["hours", "days", "zone"], CLOCK),
    (
        "[listen]",
        &["port", "host", "address"],
        "it is part of `devices`, and of `admin`: `devices = \"0.0.0.0:8080\"`",
    ),
];

/// What to write in place of a key that the table `title` with these keys does not have, where that is known: its names are
/// none that a secret could be behind, or the help says so itself.
pub(super) fn help(title: &str, keys: &[Key], entry: &Entry, places: &Places) -> Option<String> {
    let key = entry.key.as_str();
    if let Some(help) = meant(title, key, places) {
        return Some(help.to_owned());
    }
    if title == "[[route]]"
        && let Some(help) = test_of_event(entry)
    {
        return Some(help);
    }
    let near = || suggest::nearest(key, keys.iter().map(|key| key.name));
    match within(title, keys, key) {
        // A slip of a finger is likelier than another table.
        None if near().is_some() => None,
        None => section(title, key).or_else(|| belongs(key, places)),
        within => within,
    }
}

/// What to write in place of a key that is known to be taken for another.
fn meant(title: &str, key: &str, places: &Places) -> Option<&'static str> {
    let mut own = MEANT.iter();
    let own = own.find(|(begin, names, _)| title.starts_with(begin) && names.contains(&key));
    let protocols = || {
        // `[outbound.webhook.erp]`; a table within, such as that of a proxy, has its own keys.
        let mut parts = title
            .strip_prefix("[outbound.")?
            .trim_end_matches(']')
            .split('.');
        let (protocol, within) = (parts.next()?, parts.nth(1));
        let mut meant = places.meant.iter();
        let meant = meant.find(|(name, meant)| *name == protocol && meant.keys.contains(&key));
        meant.filter(|_| within.is_none())
    };
    own.map(|(_, _, help)| *help)
        .or_else(|| protocols().map(|(_, meant)| meant.help))
}

/// Whether the key is one that a table of this title is known to be given in error, so that its value is no secret.
pub(super) fn is_harmless(title: &str, entry: &Entry) -> bool {
    let is_clock = ["hours", "days", "zone"].contains(&entry.key.as_str());
    title == "[[route]]" && (is_clock || test_of_event(entry).is_some())
}

/// `kind = "alarm"` beside `when`, where `when = { kind = "alarm" }` is meant.
fn test_of_event(entry: &Entry) -> Option<String> {
    let field = Field::find(&entry.key)?;
    let is_group = field.kind == FieldKind::Object;
    if is_group != entry.node.entries().is_some() {
        return None;
    }
    let key = &entry.key;
    let test = match (is_group, key.contains('.')) {
        (true, _) => format!("{key} = {{ … }}"),
        (_, true) => format!("\"{key}\" = …"),
        (_, false) => format!("{key} = …"),
    };
    Some(format!(
        "a test of the event stands in `when`: `when = {{ {test} }}`"
    ))
}

/// A table of this table has the key.
fn within(title: &str, keys: &[Key], key: &str) -> Option<String> {
    let has = |known: &&Key| match known.shape {
        Shape::Table(_) | Shape::Tls => {
            let keys = known.shape.keys().unwrap_or_default();
            keys.iter().any(|known| known.name == key)
        }
        _ => false,
    };
    let table = keys.iter().find(has)?.name;
    Some(match title {
        "this file" => format!("it belongs below `[{table}]`"),
        _ => format!("it belongs into `{table}`: `{table} = {{ {key} = … }}`"),
    })
}

/// A section of the other file.
fn section(title: &str, key: &str) -> Option<String> {
    let of_gateway = GATEWAY.iter().any(|(section, _)| *section == key) || LATER.contains(&key);
    let other = match (of_gateway, ROUTES.contains(&key)) {
        (true, _) => "gateway.toml",
        (_, true) => "routes.toml",
        _ => return None,
    };
    // `[limits]` may hold `spool` in error, and then it is no matter of files.
    Some(match title {
        "this file" => format!("it belongs into {other}, the other file"),
        _ => format!("it is a table of its own of {other}: `[{key}]`"),
    })
}

/// Where the key may stand, in this file and in the other.
fn belongs(key: &str, places: &Places) -> Option<String> {
    let mut named: Vec<String> = Vec::new();
    for table in ["inbound", "outbound", "route", "test"] {
        let of_table = places.of_routes.iter().filter(|place| place.table == table);
        let all = of_table.clone().map(|place| place.group);
        let all = all.collect::<std::collections::BTreeSet<_>>().len();
        let groups: Vec<_> = of_table
            .filter(|place| place.key == key)
            .map(|place| place.group)
            .collect();
        named.extend(match groups.as_slice() {
            [] => None,
            [""] => Some(format!("[[{table}]]")),
            [group] => Some(format!("[{table}.{group}.<name>]")),
            groups => {
                let group = ["adapter", "protocol"][usize::from(table == "outbound")];
                let some = match groups.len() == all {
                    true => String::new(),
                    false => format!(" ({})", groups.join(", ")),
                };
                Some(format!("[{table}.<{group}>.<name>]{some}"))
            }
        });
    }
    let other = |is_other, file| if is_other { file } else { "" };
    if !named.is_empty() {
        let of = other(places.in_gateway, " of routes.toml, the other file");
        named = vec![format!("{}{of}", named.join(" or "))];
    }
    let gateway = GATEWAY.iter().filter(|(_, keys)| keys.contains(&key));
    let sections: Vec<_> = gateway.map(|(section, _)| format!("[{section}]")).collect();
    if !sections.is_empty() {
        let of = other(!places.in_gateway, " of gateway.toml, the other file");
        named.push(format!("{}{of}", sections.join(" or ")));
    }
    (!named.is_empty()).then(|| format!("it belongs into {}", named.join(", or ")))
}

//! Single values: durations, sizes, URLs, words.

use std::time::Duration;

use crate::diagnostic::{Reporter, Span};
use crate::suggest;

use super::{Node, Value};

const DURATION_HELP: &str = "write a whole number and a unit: `250ms`, `30s`, `5m`, `12h`, `7d`";
const BYTES_HELP: &str =
    "write a whole number and a unit: `512B`, `256KiB`, `64MiB`, `10GiB`, `1TiB`";

/// Says that a value is of another type.
pub(super) fn wrong(reporter: &Reporter, key: &str, node: &Node, expected: &str) {
    let kind = node.value.kind();
    reporter.error(
        node.span,
        format!("`{key}` must be {expected}, not {kind}"),
        "",
    );
}

pub(super) fn text<'d>(reporter: &Reporter, key: &str, node: &'d Node) -> Option<&'d str> {
    let Some(text) = node.text() else {
        wrong(reporter, key, node, "text");
        return None;
    };
    if text.trim().is_empty() {
        reporter.error(node.span, format!("`{key}` is blank"), "");
        return None;
    }
    Some(text)
}

pub(super) fn duration(
    reporter: &Reporter,
    key: &str,
    node: &Node,
    (min_ms, max_ms): (u64, u64),
) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let Some(text) = node.text() else {
        let message = format!("`{key}` must be a duration, not {}", node.value.kind());
        reporter.error(node.span, message, DURATION_HELP);
        return None;
    };
    let Some(ms) = with_unit(text, &UNITS) else {
        reporter.error(
            node.span,
            format!("`{key}`: `{text}` is no duration"),
            DURATION_HELP,
        );
        return None;
    };
    if ms < min_ms || ms > max_ms {
        let (min, max) = (duration_text(min_ms), duration_text(max_ms));
        let help = format!("at least `{min}`, at most `{max}`");
        reporter.error(node.span, format!("`{key}` is out of range"), help);
        return None;
    }
    Some(Duration::from_millis(ms))
}

fn duration_text(ms: u64) -> String {
    match ms {
        ms if ms % 86_400_000 == 0 && ms > 0 => format!("{}d", ms / 86_400_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

pub(super) fn bytes(reporter: &Reporter, key: &str, node: &Node, min: u64) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("B", 1),
    ];
    let Some(text) = node.text() else {
        let message = format!("`{key}` must be a size, not {}", node.value.kind());
        reporter.error(node.span, message, BYTES_HELP);
        return None;
    };
    let Some(bytes) = with_unit(text, &UNITS) else {
        reporter.error(
            node.span,
            format!("`{key}`: `{text}` is no size"),
            BYTES_HELP,
        );
        return None;
    };
    if bytes < min {
        let unit = UNITS[..4]
            .iter()
            .rfind(|unit| min >= unit.1 && min.is_multiple_of(unit.1))
            .unwrap_or(&UNITS[4]);
        let help = format!("at least `{}{}`", min / unit.1, unit.0);
        reporter.error(node.span, format!("`{key}` is too small"), help);
        return None;
    }
    Some(bytes)
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

pub(super) fn word(
    reporter: &Reporter,
    key: &str,
    node: &Node,
    words: &[&'static str],
    later: &[&str],
) -> Option<&'static str> {
    if node.text().is_none() {
        let message = format!("`{key}` must be text, not {}", node.value.kind());
        let help = suggest::help("", "write one of these in quotes", words);
        reporter.error(node.span, message, help);
        return None;
    }
    let text = text(reporter, key, node)?;
    let known = words.iter().find(|word| **word == text).copied();
    if known.is_none() {
        let help = suggest::help(text, "allowed", words);
        let message = if later.contains(&text) {
            format!("`{key} = \"{text}\"` is not in this version yet")
        } else {
            format!("`{key}` cannot be `{text}`")
        };
        reporter.error(node.span, message, help);
    }
    known
}

pub(super) fn whole(
    reporter: &Reporter,
    key: &str,
    node: &Node,
    (min, max): (i64, i64),
) -> Option<i64> {
    let Value::Number {
        whole: Some(whole), ..
    } = node.value
    else {
        match node.value {
            Value::Number { .. } => {
                reporter.error(node.span, format!("`{key}` must be a whole number"), "");
            }
            _ => match node.text().map(|text| (text, text.trim().parse::<i64>())) {
                Some((_, Ok(number))) => {
                    let message = format!("`{key}` must be a whole number, not text");
                    let help = format!("write it without quotes: {number}");
                    reporter.error(node.span, message, help);
                }
                _ => wrong(reporter, key, node, "a whole number"),
            },
        }
        return None;
    };
    if whole < min || whole > max {
        let help = if max == i64::MAX {
            format!("at least {min}")
        } else {
            format!("{min} to {max}")
        };
        reporter.error(node.span, format!("`{key}` is out of range"), help);
        return None;
    }
    Some(whole)
}

/// Schemes of what is asked for by a path. Behind those of brokers there is a host and a port.
const OF_THE_WEB: [&str; 4] = ["http", "https", "ws", "wss"];

/// Checks a URL: its scheme, that it names a host, that no user or password is written into it. `templates` are the keys
/// beside it that can have placeholders.
pub(super) fn url(
    reporter: &Reporter,
    key: &str,
    node: &Node,
    schemes: &[&str],
    templates: &[&str],
) -> Option<String> {
    let text = text(reporter, key, node)?;
    let scheme = *schemes.first().unwrap_or(&"http");
    let broker = !OF_THE_WEB.contains(&scheme);
    let rest = if broker { "host:port" } else { "host/path" };
    let help = format!("write it like `{scheme}://{rest}`");
    let fail = |message: String, help: &str| {
        reporter.error(node.span, format!("`{key}` {message}"), help);
        None
    };
    if authority(text).contains('@') {
        reporter.mask(node.span);
        let help = match broker {
            false if key == "proxy" => {
                "a secret is named, never written: leave both out of the URL, and write `proxy = { url = \"…\", username = \"…\", password = { env = \"NAME\" } }`"
            }
            false => "a secret is named, never written: leave user and password out of the URL",
            true => {
                "a secret is named, never written: leave both out of the URL, and write `username = \"…\"` and `password = { env = \"NAME\" }`"
            }
        };
        return fail("has a user or password in its URL".into(), help);
    }
    if text.contains(['{', '}']) {
        let help = match templates.first() {
            None => "fields of the event can stand in `headers` and in the body".to_owned(),
            Some(key) => format!("fields of the event can stand in `{key}`, and in `headers`"),
        };
        return fail(
            "cannot have placeholders: it is one address for all events".into(),
            &help,
        );
    }
    let Ok(uri) = text.parse::<http::Uri>() else {
        return fail("is not a URL".into(), &help);
    };
    let scheme = uri.scheme_str().unwrap_or_default();
    if !schemes.contains(&scheme) {
        let known = schemes.join(":// or ");
        return fail(format!("must begin with {known}://"), &help);
    }
    if uri.host().is_none_or(str::is_empty) {
        return fail("names no host".into(), &help);
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let behind = authority
        .rsplit_once(']')
        .map_or(authority, |(_, rest)| rest);
    if behind.contains(':') && matches!(uri.port_u16(), None | Some(0)) {
        let help =
            "a port is a number from 1 to 65535; leave it and the colon out for the usual one";
        return fail("has no port behind its colon".into(), help);
    }
    if text.contains('#') {
        return fail("has a `#` part, which is never sent".into(), "leave it out");
    }
    Some(text.into())
}

/// What stands between `://` and the path. A slash in a password counts to it, so that no password passes for a path.
fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.split_once('@') {
        Some((user, _)) if user.contains(':') && !is_host(&rest[..end]) => rest,
        _ => &rest[..end],
    }
}

/// Whether it is `host` or `host:port`.
fn is_host(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((_, port)) => port.parse::<u16>().is_ok(),
        None => true,
    }
}

/// The elements of a list.
pub(super) fn list<'d>(
    reporter: &Reporter,
    key: &str,
    node: &'d Node,
    what: &str,
) -> Option<&'d [Node]> {
    match &node.value {
        Value::List(items) => Some(items),
        _ => {
            let kind = node.value.kind();
            let help = match node.text() {
                Some(_) if what == "texts" => format!("write `[{}]`", reporter.slice(node.span)),
                _ => String::new(),
            };
            let message = format!("`{key}` must be a list of {what}, not {kind}");
            reporter.error(node.span, message, help);
            None
        }
    }
}

/// Says that a text occurs twice in a list.
pub(super) fn distinct(reporter: &Reporter, key: &str, items: &[(&str, Span)]) {
    for (index, (text, span)) in items.iter().enumerate() {
        if let Some((_, first)) = items[..index].iter().find(|(other, _)| other == text) {
            let help = format!("the first is at {}", reporter.place(*first));
            reporter.error(*span, format!("`{text}` is twice in `{key}`"), help);
        }
    }
}

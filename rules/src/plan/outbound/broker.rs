//! What brokers have in common: who we are to them, and how large a message may be.

use crate::Secret;
use crate::read::Table;

/// An MQTT packet has at most 256 MB with all that goes beside the payload; brokers take far smaller ones.
const PAYLOAD_BYTES_MAX_MAX: u64 = 240 * 1024 * 1024;
const PAYLOAD_BYTES_MAX: u64 = 256 * 1024;

/// User and password.
pub(super) fn login(table: &Table<'_>) -> (Option<String>, Option<Secret>) {
    let username = table.text("username").map(str::to_owned);
    let password = table.secret("password");
    if let Some(entry) = table.entry("password")
        && table.get("username").is_none()
    {
        let message = "`password` has no use without `username`";
        let help = "write `username = \"…\"`";
        table.reporter().absent(entry.span, message, help);
    }
    (username, password)
}

pub(super) fn payload_bytes_max(table: &Table<'_>) -> u64 {
    let most = table.bytes("payload_bytes_max");
    if most.is_some_and(|most| most > PAYLOAD_BYTES_MAX_MAX)
        && let Some(node) = table.get("payload_bytes_max")
    {
        let message = "`payload_bytes_max` is more than any broker takes";
        table
            .reporter()
            .error(node.span, message, "at most `240MiB`");
    }
    most.unwrap_or(PAYLOAD_BYTES_MAX)
}

/// Says so when the URL goes on behind the broker's address with what has no meaning there.
pub(super) fn nothing_behind(table: &Table<'_>, url: &str, path_too: bool) {
    let Some(node) = table.get("url") else {
        return;
    };
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = address.split_once('/').map_or("", |(_, path)| path);
    if !query.is_empty() {
        let message = "`url` has a `?` part, which has no meaning to a broker";
        table.reporter().error(node.span, message, "leave it out");
    } else if path_too && !path.is_empty() {
        let message = "`url` has a path, which has no meaning to a broker";
        let help = "leave it out; where events go is `topic`";
        table.reporter().error(node.span, message, help);
    }
}

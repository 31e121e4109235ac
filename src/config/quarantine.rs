//! `spool.quarantine_bytes_max`: the share of unreadable bodies, an eighth of `bytes_max` when left out.

use faceway_rules::read::{Key, Shape, Table};

use super::gateway::GatewayConfig;

const MIB: u64 = 1024 * 1024;
/// Quarantine may take up an eighth of the spool.
pub(super) const SHARE: u64 = 8;

/// The key.
pub(super) const KEY: Key = Key::new(
    "quarantine_bytes_max",
    Shape::Bytes { min: MIB },
    "Bytes of `bytes_max` that are set aside for unreadable bodies, at most half. One inbound may use half of them; then \
         what cannot be read of it is answered 503, and what can be read is still kept. Default an eighth of `bytes_max`.",
);

/// Tells a share that would leave too little for events.
pub(super) fn check(table: &Table<'_>, quarantine_bytes_max: Option<u64>, bytes_max: Option<u64>) {
    if let Some(entry) = table.entry("quarantine_bytes_max")
        && let Some((share, all)) = quarantine_bytes_max.zip(bytes_max)
        && share > all / 2
    {
        let half = all / 2 / MIB;
        let help = format!("at most half of bytes_max: {half}MiB; an eighth when left out");
        let message = "quarantine would leave too little of `bytes_max` for events";
        table.reporter().error(entry.node.span, message, help);
    }
}

/// Keys that are made from others where they are absent.
pub(super) fn made_from_others(config: &GatewayConfig) -> [(&'static str, String); 2] {
    [
        ("listen.public_url", config.listen.public_url.clone()),
        (
            "spool.quarantine_bytes_max",
            size(config.spool.quarantine_bytes_max),
        ),
    ]
}

/// A size as the file would say it.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1024)];
    let unit = UNITS
        .iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit) && bytes > 0);
    unit.map_or_else(
        || format!("{bytes}B"),
        |(name, unit)| format!("{}{name}", bytes / unit),
    )
}

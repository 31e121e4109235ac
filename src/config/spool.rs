//! `[spool]` of `gateway.toml`: where events are kept.

use std::path::PathBuf;
use std::time::Duration;

use faceway_rules::read::{Key, Shape, Table};

use super::jetstream::{self, JETSTREAM, JetStreamConfig};
use super::merge::Origins;
use super::quarantine;

const MIB: u64 = 1024 * 1024;

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Who keeps events: a word of the key `engine`.
    pub engine: &'static str,
    /// Directory.
    pub dir: PathBuf,
    /// Bytes that it may occupy.
    pub bytes_max: u64,
    /// Bytes that its disk must have left.
    pub free_min: u64,
    /// How long delivered events are kept.
    pub history: Duration,
    /// How long pictures are kept after their event is delivered everywhere.
    pub images: Duration,
    /// How long unreadable bodies are kept.
    pub quarantine: Duration,
    /// Bytes of `bytes_max` that they may take up.
    pub quarantine_bytes_max: u64,
    /// `[spool.jetstream]`; always there where `engine` is jetstream.
    pub jetstream: Option<JetStreamConfig>,
}

/// The keys.
pub(super) const KEYS: &[Key] = &[
    Key::new(
        "engine",
        Shape::Word(&["disk", JETSTREAM]),
        "disk: embedded, one directory, no server. jetstream: replicated streams of a NATS cluster, which several gateways share.",
    )
    .or("disk"),
    Key::new("dir", Shape::Path, "Directory.").or("data"),
    Key::new(
        "bytes_max",
        Shape::Bytes { min: 64 * MIB },
        "Bytes that the spool may occupy. Delivered history gives way first; when that is gone, devices keep their \
         records.",
    )
    .or("10GiB"),
    Key::new(
        "free_min",
        Shape::Bytes { min: 0 },
        "The same when the disk has less left.",
    ).or("512MiB"),
    Key::new(
        "history",
        Shape::DURATION,
        "Delivered events are kept this long.",
    ).or("7d"),
    Key::new(
        "images",
        Shape::DURATION,
        "Pictures are kept this long after their event is delivered everywhere.",
    ).or("24h"),
    Key::new(
        "quarantine",
        Shape::DURATION,
        "Unreadable bodies are kept this long, raw.",
    ).or("7d"),
    quarantine::KEY,
    Key::new(
        JETSTREAM,
        Shape::Table(jetstream::KEYS),
        "The cluster, for the engine jetstream.",
    ),
];

/// Reads the table.
pub(super) fn read(table: Table<'_>, site: Option<&str>, origins: &Origins) -> Option<SpoolConfig> {
    let engine = table.word("engine");
    let dir = table.path("dir");
    let (bytes_max, free_min) = (table.bytes("bytes_max"), table.bytes("free_min"));
    let (history, images) = (table.duration("history"), table.duration("images"));
    let quarantine = table.duration("quarantine");
    let quarantine_bytes_max = table.bytes("quarantine_bytes_max");
    quarantine::check(&table, quarantine_bytes_max, bytes_max);
    jetstream::check(&table, site, origins);
    let jetstream = match table.get(JETSTREAM) {
        Some(_) => Some(jetstream::read(table.table(JETSTREAM)?)?),
        None => None,
    };
    table.finish();
    Some(SpoolConfig {
        engine: engine?,
        dir: dir?,
        bytes_max: bytes_max?,
        free_min: free_min?,
        history: history?,
        images: images?,
        quarantine: quarantine?,
        quarantine_bytes_max: quarantine_bytes_max.unwrap_or(bytes_max? / quarantine::SHARE),
        jetstream,
    })
}

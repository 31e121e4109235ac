//! The table of known ids over restarts: `dir/seen`. It may be lost; then the gateway reads the log's headers again, and ids
//! of events that have left the log are forgotten.
//!
//! The form: `FWSEEN1\n`, then numbers as in [`crate::codec`]: the text of when the stream was made, the last number of the
//! log, the blocks (number, first and last time, events), the ids (number, 16 bytes); at the end CRC-32C of everything before
//! it, 4 bytes, little endian.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use faceway_core::{EventId, Newest};

use crate::codec::{Reader, Writer};
use crate::lock;
use crate::settings::JetStreamSettings;
use crate::shared::Shared;

use super::known::{Block, Known};

const BEGIN: &[u8] = b"FWSEEN1\n";

fn path(dir: &Path) -> PathBuf {
    dir.join("seen")
}

/// What an earlier run of this gateway knew, and up to which number. Nothing where that is missing, damaged, or of another
/// stream.
pub(crate) fn read(settings: &JetStreamSettings, created: &str) -> (Known, u64) {
    let bytes = std::fs::read(path(&settings.dir)).unwrap_or_default();
    parse(&bytes, created, settings.seen_max).unwrap_or((Known::new(settings.seen_max), 0))
}

fn parse(bytes: &[u8], created: &str, max: usize) -> Option<(Known, u64)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut reader = Reader::new(body.strip_prefix(BEGIN)?);
    if reader.text()? != created {
        return None;
    }
    let seen = reader.number()?;
    let mut known = Known::new(max);
    for _ in 0..reader.number()? {
        let number = reader.number()?;
        let block = Block {
            min: reader.signed()?,
            max: reader.signed()?,
            events: reader.number()?,
        };
        known.add_block(number, block);
    }
    for _ in 0..reader.number()? {
        let seq = reader.number()?;
        let id = EventId::from_bytes(reader.array()?);
        known.add_id(Newest { seq, id });
    }
    Some((known, seen))
}

/// Writes the table. A failure costs time at the next start, so it is only logged.
pub(crate) fn write(shared: &Shared) {
    let bytes = encode(shared);
    let path = path(&shared.settings.dir);
    let part = path.with_extension("part");
    let written = std::fs::File::create(&part)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_data()))
        .and_then(|()| std::fs::rename(&part, &path));
    if let Err(error) = written {
        tracing::warn!(
            "the known ids cannot be written to {}: {error}",
            path.display()
        );
    }
}

fn encode(shared: &Shared) -> Vec<u8> {
    let mut writer = Writer::default();
    let (seen, blocks, ids) = {
        // Copied under the lock, in which the tail moves with the table; written down without it, as appends wait for it.
        let known = lock(&shared.known);
        let blocks: Vec<(u64, Block)> = known.blocks().collect();
        let ids: Vec<Newest> = known.ids().collect();
        (shared.seen(), blocks, ids)
    };
    writer.raw(BEGIN);
    writer.text(&shared.created);
    writer.number(seen);
    writer.number(blocks.len() as u64);
    for (number, block) in blocks {
        writer.number(number);
        writer.signed(block.min);
        writer.signed(block.max);
        writer.number(block.events);
    }
    writer.number(ids.len() as u64);
    for newest in ids {
        writer.number(newest.seq);
        writer.raw(newest.id.as_bytes());
    }
    let mut bytes = writer.into_bytes();
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

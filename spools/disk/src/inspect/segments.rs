//! The segments of a dead directory: proved, and what can be read of them saved.

use std::collections::BTreeSet;
use std::sync::Arc;

use faceway_segments::{Found, Opened, RealDisk, look};
use rusqlite::Connection;

use super::{InspectError, Part, io};
use crate::events::{columns_of, table};
use crate::seen::ids_crc;
use crate::store::Paths;

/// Opens the segments without changing them; `None` when the directory has none.
pub(super) fn open(paths: &Paths) -> Result<Option<Opened>, InspectError> {
    if !paths.log.is_dir() {
        return Ok(None);
    }
    let opened = look(Arc::new(RealDisk::new(&paths.log)));
    opened.map(Some).map_err(io(&paths.log))
}

/// Reads every frame of every segment. Gives the numbers of all sound events.
pub(super) fn prove(opened: &Opened, events: &mut Part, ids: &mut Part) -> BTreeSet<u64> {
    let mut seqs = BTreeSet::new();
    let read = opened.reader.read(0, u64::MAX, |found| {
        match found {
            Found::Event(seq, _) => {
                events.good += 1;
                seqs.insert(seq);
            }
            Found::Damaged(seq) => events.damaged(seq.cast_signed()),
        }
        true
    });
    note_unread(events, &read);
    let each = (opened.reader).each_id(0, |_, some| ids.good += some.len() as u64 / 16);
    note_unread(ids, &each);
    seqs
}

fn note_unread(part: &mut Part, read: &std::io::Result<()>) {
    if let Err(error) = read {
        part.damaged += 1;
        part.remark(format!("the rest of the segments cannot be read: {error}"));
    }
}

/// The files themselves.
pub(super) fn files(opened: &Opened) -> Part {
    let mut part = Part::new("segments");
    let recovered = &opened.recovered;
    part.good = opened.reader.segments().len() as u64;
    for number in &recovered.missing {
        part.missing(number.cast_signed());
    }
    for number in &recovered.without_header {
        part.damaged(number.cast_signed());
        part.remark("both headers are damaged; the events are found all the same");
    }
    if recovered.torn_bytes > 0 {
        part.remark("the last group was cut off; it was never acknowledged");
    }
    part
}

/// Writes sound events and known ids into the tables of a new directory, from which events go on.
pub(super) fn save(opened: &Opened, new: &Connection, parts: &mut [Part]) -> rusqlite::Result<()> {
    let (mut saved, mut damaged, mut failed) = (0, Vec::new(), None);
    new.execute_batch("BEGIN")?;
    let read = opened.reader.read(0, u64::MAX, |found| {
        match found {
            Found::Event(seq, event) => {
                let inserted = table::insert(new, seq, columns_of(seq, &event));
                saved += 1;
                failed = inserted.err();
            }
            Found::Damaged(seq) => damaged.push(seq),
        }
        failed.is_none()
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let mut known = 0;
    let mut result = Ok(());
    let each = opened.reader.each_id(0, |first, ids| {
        known += ids.len() as u64 / 16;
        let sql = "INSERT OR REPLACE INTO seen (seq, ids, crc) VALUES (?, ?, ?)";
        let inserted = new.execute(sql, (first.cast_signed(), ids, ids_crc(first, ids)));
        if let Err(error) = inserted {
            result = Err(error);
        }
    });
    result?;
    new.execute_batch("COMMIT")?;
    for part in parts {
        match part.name {
            "events" => {
                part.good += saved;
                damaged
                    .iter()
                    .for_each(|seq| part.damaged(seq.cast_signed()));
                note_unread(part, &read);
            }
            "known ids" => {
                part.good += known;
                note_unread(part, &each);
            }
            _ => {}
        }
    }
    Ok(())
}

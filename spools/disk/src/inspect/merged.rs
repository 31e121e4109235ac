//! A copy of a broken database with its write-ahead log folded in, as far as both can be read. The original stays as it is.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{InspectError, Part, io};
use crate::settings::PAGE;
use crate::store::{Paths, private_file};
use crate::wal;

/// Makes the copy at `to`; says what of the log was read.
pub(super) fn merge(from: &Paths, to: &Path) -> Result<[Part; 2], InspectError> {
    let mut database = Part::new("database");
    let file = private_file().create_new(true).open(to).map_err(io(to))?;
    match File::open(&from.database) {
        Ok(mut source) => {
            let copied = std::io::copy(&mut source, &mut &file);
            match copied {
                Ok(bytes) => database.good = bytes / PAGE,
                Err(error) => {
                    database.damaged += 1;
                    database.remark(format!("the rest of spool.db cannot be read: {error}"));
                }
            }
        }
        Err(error) => {
            database.missing += 1;
            database.remark(format!("spool.db: {error}"));
        }
    }
    let log = fold_in(from, &file)?;
    mend_header(&file, &mut database).map_err(io(to))?;
    Ok([database, log])
}

fn fold_in(from: &Paths, file: &File) -> Result<Part, InspectError> {
    let mut part = Part::new("write-ahead log");
    let mut put = |number: u32, page: &[u8]| {
        let at = u64::from(number.saturating_sub(1)) * PAGE;
        file.write_all_at(page, at)
    };
    let log = wal::pages(&from.wal, &mut put).map_err(io(&from.wal))?;
    part.good = log.commits.len() as u64;
    if log.mended > 0 {
        part.remark(format!("{} damaged frames were put right", log.mended));
    }
    if log.headless || log.broken {
        part.damaged += 1;
        part.remark("it is damaged; what lies behind the damage was read all the same");
    }
    Ok(part)
}

/// Puts right what is the same in every spool's header, and makes the file as long as the header says: SQLite reads nothing
/// of a file whose end is missing. Pages that are missing read as damaged.
fn mend_header(file: &File, part: &mut Part) -> std::io::Result<()> {
    let mut header = [0; 100];
    if file.read_exact_at(&mut header, 0).is_err() {
        return Ok(());
    }
    let length = file.metadata()?.len();
    let before = header;
    header[..16].copy_from_slice(b"SQLite format 3\0");
    header[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    // Both versions: a log like any other, as the pages of the write-ahead log are in the file now.
    header[18..20].fill(1);
    header[20..24].copy_from_slice(&[0, 64, 32, 32]);
    header[44..48].copy_from_slice(&4_u32.to_be_bytes());
    header[56..60].copy_from_slice(&1_u32.to_be_bytes());
    let said = header.get(28..32).and_then(|bytes| bytes.first_chunk());
    let said = u64::from(u32::from_be_bytes(said.copied().unwrap_or_default()));
    let there = length.div_ceil(PAGE);
    // A number that is damaged must not make a file of terabytes.
    let pages = if said <= 4 * there + 1024 {
        said.max(there)
    } else {
        there
    };
    if pages * PAGE > length {
        part.missing += pages - length / PAGE;
        part.remark("its end is cut off");
        file.set_len(pages * PAGE)?;
    }
    header[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
    // The page count is believed only where these two agree.
    let counter: [u8; 4] = header[24..28].try_into().unwrap_or_default();
    header[92..96].copy_from_slice(&counter);
    if header[..16] != before[..16]
        || header[16..18] != before[16..18]
        || header[20..24] != before[20..24]
    {
        part.damaged += 1;
        part.remark("its header was damaged and put right");
    }
    file.write_all_at(&header, 0)
}

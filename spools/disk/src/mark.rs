//! Two files beside the database that know what it cannot know: how far sequence numbers were given out, and whether
//! the write-ahead log was cut off.
//!
//! A byte flipped in the write-ahead log makes SQLite silently drop everything behind it, `meta` included. So numbers
//! are reserved in blocks in a file of their own, which is synced before the first number of a block is used: after
//! any loss numbers go on above everything that was ever given out.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::store::private_file;

/// Numbers that are reserved at a time: one more sync in that many events, and at most that many skipped after a crash.
const BLOCK: u64 = 65_536;

/// The file `sequence`: 8 bytes of number, 4 of checksum.
#[derive(Debug)]
pub(crate) struct Mark {
    file: File,
    reserved: u64,
}

impl Mark {
    /// Opens the file and tells the first number that was certainly never given out.
    pub(crate) fn open(path: &Path) -> std::io::Result<(Self, u64)> {
        let file = private_file().open(path)?;
        let mut bytes = [0; 12];
        let reserved = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes).unwrap_or(0),
            Err(_) => 0,
        };
        Ok((Self { file, reserved }, reserved))
    }

    /// Makes sure that numbers below `next` may be given out.
    pub(crate) fn reserve(&mut self, next: u64) -> std::io::Result<()> {
        if next <= self.reserved {
            return Ok(());
        }
        self.write(next + BLOCK)
    }

    /// At a clean end nothing is left reserved.
    pub(crate) fn settle(&mut self, next: u64) -> std::io::Result<()> {
        self.write(next)
    }

    fn write(&mut self, reserved: u64) -> std::io::Result<()> {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&reserved.to_le_bytes());
        bytes[8..].copy_from_slice(&crc32c::crc32c(&reserved.to_le_bytes()).to_le_bytes());
        self.file.write_all_at(&bytes, 0)?;
        self.file.sync_data()?;
        self.reserved = reserved;
        Ok(())
    }
}

fn decode(bytes: [u8; 12]) -> Option<u64> {
    let (number, crc) = bytes.split_at(8);
    (crc32c::crc32c(number).to_le_bytes() == *crc)
        .then(|| u64::from_le_bytes(number.try_into().unwrap_or_default()))
}

/// Commits in the write-ahead log, counted by their frame headers alone, with no regard to checksums. SQLite drops
/// what is behind the first bad checksum; more than one commit behind it means that acknowledged groups are lost (one
/// may be the group that was being written when the power went).
/// See <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.
pub(crate) fn commits_in_wal(wal: &Path) -> std::io::Result<Vec<u64>> {
    let file = match File::open(wal) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut reader = &file;
    let mut header = [0; 32];
    if reader.read_exact(&mut header).is_err() {
        return Ok(Vec::new());
    }
    let page = u64::from(word(&header, 8));
    let mut commits = Vec::new();
    let mut frame = [0; 24];
    let mut number = 0;
    while file
        .read_exact_at(&mut frame, 32 + number * (24 + page))
        .is_ok()
    {
        number += 1;
        // Frames of an earlier round of the log have other salts.
        if frame[8..16] == header[16..24] && word(&frame, 4) != 0 {
            commits.push(number);
        }
    }
    Ok(commits)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Mark};

    #[test]
    fn numbers_are_reserved_before_they_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sequence");
        let (mut mark, next) = Mark::open(&path).unwrap();
        assert_eq!(next, 0);
        mark.reserve(5).unwrap();
        mark.reserve(6).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, 5 + BLOCK);
        mark.settle(7).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, 7);
        std::fs::write(&path, [9; 12]).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, 0);
    }
}

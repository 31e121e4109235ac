//! The file beside the database that knows what it cannot know: how far sequence numbers were given out.
//!
//! A byte flipped in the write-ahead log makes SQLite silently drop everything behind it, `meta` included. So numbers
//! are reserved in blocks in a file of their own, which is synced before the first number of a block is used: after
//! any loss numbers go on above everything that was ever given out.

use std::fs::File;
use std::io::ErrorKind;
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
    /// Opens the file and tells the first number that was certainly never given out; `None` when the file does not say.
    pub(crate) fn open(path: &Path) -> std::io::Result<(Self, Option<u64>)> {
        let file = private_file().open(path)?;
        let mut bytes = [0; 12];
        let known = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        let reserved = known.unwrap_or(0);
        Ok((Self { file, reserved }, known))
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

#[cfg(test)]
mod tests {
    use super::{BLOCK, Mark};

    #[test]
    fn numbers_are_reserved_before_they_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sequence");
        let (mut mark, next) = Mark::open(&path).unwrap();
        assert_eq!(next, None);
        mark.reserve(5).unwrap();
        mark.reserve(6).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, Some(5 + BLOCK));
        mark.settle(7).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, Some(7));
        std::fs::write(&path, [9; 12]).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, None);
    }
}

//! Erasing: the bytes of a removed picture become a hole.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::Packs;
use super::place::{Place, pack_path};

/// What a file system writes in one piece that has no holes.
const PIECE: usize = 64 << 10;
/// The unit of `st_blocks`.
const BLOCK: u64 = 512;

impl Packs {
    /// Erases what the group has removed. What fails is tried again after the next group.
    pub(super) fn erase_removed(&mut self) {
        let mut places = std::mem::take(&mut self.erase);
        places.sort_unstable();
        let mut left = places.as_slice();
        while let Some(first) = left.first() {
            let (of_pack, rest) = left.split_at(left.partition_point(|p| p.pack == first.pack));
            left = rest;
            match erase(&self.dir, of_pack) {
                Ok(used) => {
                    if let Some(pack) = self.packs.get_mut(&first.pack) {
                        pack.used = pack.used.min(used);
                    }
                    self.erased.extend(of_pack);
                }
                Err(error) => {
                    if let Some(times) = self.log.note("erase") {
                        tracing::error!(pack = first.pack, %error, times, "removed pictures cannot be erased; it is tried again");
                    }
                    self.erase.extend(of_pack);
                }
            }
        }
    }
}

/// Erases places of one pack, in order. Gives what the pack occupies afterwards.
fn erase(dir: &std::path::Path, places: &[Place]) -> std::io::Result<u64> {
    let Some(first) = places.first() else {
        return Ok(u64::MAX);
    };
    let opened = File::options().write(true).open(pack_path(dir, first.pack));
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    let mut span: Option<(u64, u64)> = None;
    for place in places {
        let end = place.start.saturating_add(place.length).min(size);
        span = match span {
            // One call for neighbours, and no block between them stays.
            Some((start, last)) if place.start <= last => Some((start, end.max(last))),
            other => {
                erase_span(&file, other)?;
                Some((place.start, end))
            }
        };
    }
    erase_span(&file, span)?;
    // Else a power cut could bring the bytes back, with no row that remembers them.
    file.sync_data()?;
    Ok(file.metadata()?.blocks() * BLOCK)
}

fn erase_span(file: &File, span: Option<(u64, u64)>) -> std::io::Result<()> {
    let Some((start, end)) = span.filter(|(start, end)| start < end) else {
        return Ok(());
    };
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, start, end - start) {
        Ok(()) => Ok(()),
        // Not every file system can make holes. The bytes go all the same, the space with the whole pack.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => overwrite(file, start, end),
        Err(error) => Err(error.into()),
    }
}

fn overwrite(file: &File, mut start: u64, end: u64) -> std::io::Result<()> {
    let zeros = [0; PIECE];
    while start < end {
        let length = usize::try_from(end - start).map_or(PIECE, |left| left.min(PIECE));
        file.write_all_at(zeros.get(..length).unwrap_or_default(), start)?;
        start += length as u64;
    }
    let mut file = file;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::{Place, erase, overwrite, pack_path};

    fn place(start: u64, length: u64) -> Place {
        Place {
            pack: 7,
            start,
            length,
        }
    }

    #[test]
    fn only_what_is_named_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        let path = pack_path(dir.path(), 7);
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let places = [place(10, 5), place(15, 100_000), place(250_000, u64::MAX)];
        let used = erase(dir.path(), &places).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 300_000);
        let zero = |at: usize| (10..100_015).contains(&at) || at >= 250_000;
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(at, byte)| (*byte == 0) == zero(at))
        );
        assert!(used <= 308_000, "{used}");
    }

    #[test]
    fn a_file_system_without_holes_gets_zeros() {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 200_000], 0).unwrap();
        overwrite(&file, 3, 150_000).unwrap();
        let mut bytes = vec![0; 200_000];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).unwrap();
        let zero = |at: usize| (3..150_000).contains(&at);
        assert!(
            bytes
                .iter()
                .enumerate()
                .all(|(at, byte)| (*byte == 0) == zero(at))
        );
    }
}

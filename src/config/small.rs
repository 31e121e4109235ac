//! Small files that the configuration names: secrets, certificates, keys.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// A bundle of all public authorities has a quarter of it.
const BYTES_MAX: u64 = 1024 * 1024;

/// Reads a small file, by its links. A folder (which container engines make where a mounted file is missing), a device or a
/// pipe is an error at once: a device ends never, and a pipe can be read once only, while a reload reads again.
///
/// # Errors
/// When it cannot be read, is no regular file, or is larger than 1 MiB.
pub fn read_small_file(path: &Path) -> Result<Vec<u8>> {
    let file = open(path)?;
    usable(&file.metadata()?)?;
    let mut bytes = Vec::new();
    // Not by its length alone: files of the kernel have none, and others grow.
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// Those of [`read_small_file`], and when it is not UTF-8.
pub fn read_small_text(path: &Path) -> Result<String> {
    String::from_utf8(read_small_file(path)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Whether a file is there and one that [`read_small_file`] reads, as far as can be told without reading it.
pub fn is_usable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| usable(&metadata).is_ok())
}

/// Why a file that is there is none that [`read_small_file`] reads, as far as can be told without reading it.
pub fn unusable(path: &Path) -> Option<Error> {
    usable(&path.metadata().ok()?).err()
}

/// Opens a file without waiting: a pipe without a writer would keep the start for ever.
fn open(path: &Path) -> Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(Error::other)?;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn usable(metadata: &Metadata) -> Result<()> {
    if metadata.is_dir() {
        return Err(Error::other("it is a folder; name a file"));
    }
    if !metadata.is_file() {
        return Err(Error::other("it is a device, pipe or socket; name a file"));
    }
    if metadata.len() > BYTES_MAX {
        return Err(too_large());
    }
    Ok(())
}

fn too_large() -> Error {
    Error::other("it is larger than 1 MiB")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{read_small_file, read_small_text, unusable};

    #[test]
    fn what_is_no_small_file_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        std::fs::File::create(&large)
            .unwrap()
            .set_len(1024 * 1024 + 1)
            .unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for (path, why) in [
            (dir.path(), "folder"),
            (Path::new("/dev/zero"), "device"),
            (&pipe, "pipe"),
            (&large, "1 MiB"),
        ] {
            let told = read_small_file(path).unwrap_err().to_string();
            assert!(told.contains(why), "{path:?}: {told}");
            let told = unusable(path).unwrap().to_string();
            assert!(told.contains(why), "{path:?}: {told}");
        }
    }

    #[test]
    fn small_files_are_read_also_by_links() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "sesam").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_small_text(&link).unwrap(), "sesam");
        assert!(unusable(&link).is_none());
        // It says that it is empty.
        assert!(
            !read_small_file(Path::new("/proc/self/status"))
                .unwrap()
                .is_empty()
        );
        std::fs::write(&file, b"\xff").unwrap();
        let told = read_small_text(&link).unwrap_err().to_string();
        assert!(told.contains("UTF-8"), "{told}");
        assert!(unusable(&dir.path().join("absent")).is_none());
    }
}

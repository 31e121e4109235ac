//! Secrets of the log, kept beside its events so that what is made with them outlives a restart.
//!
//! `link.key`, the secret that signs links to pictures, has its 32 bytes, as ever; `link.key.sum` a digest of them. The
//! gateway's identity at brokers is made from it, so another key is another gateway. A key that cannot be read, or does not
//! match its digest, is never replaced: that would make all links dead and the gateway a stranger. A key of an earlier
//! version has no digest; it is taken as it is and gets one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use faceway_core::{Sha256, SpoolError};

/// The two files of a secret.
struct Files {
    key: PathBuf,
    sum: PathBuf,
}

/// The secret of this name in the directory, which is made when there is none. See [`faceway_core::Log::secret`].
pub(crate) fn read_or_make(dir: &Path, name: &str) -> Result<[u8; 32], SpoolError> {
    let files = Files {
        key: dir.join(format!("{name}.key")),
        sum: dir.join(format!("{name}.key.sum")),
    };
    let (path, sum_path) = (files.key.display(), files.sum.display());
    let Some(key) = read(&files.key)? else {
        return make(&files);
    };
    let sum = read(&files.sum)?;
    let digest = digest(&key);
    let matches = sum.as_ref().is_none_or(|sum| *sum == digest);
    let Some(key) = <[u8; 32]>::try_from(key).ok().filter(|_| matches) else {
        return Err(SpoolError(format!(
            "{path} is damaged: put it back from a copy; or remove it and {sum_path}, and a new key is made: then all \
             links that were given out are dead, and brokers see another gateway"
        )));
    };
    if sum.is_none()
        && let Err(error) = write(&files.sum, &digest)
    {
        // A full disk must not keep the gateway from starting.
        tracing::warn!(%error, "cannot write {sum_path}; it is written at the next start");
    }
    Ok(key)
}

/// The bytes of a file; `None` when it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, SpoolError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SpoolError(format!(
            "cannot read {}: {error}; the key is not replaced, as that would make all links dead and this gateway another \
             one at its brokers",
            path.display()
        ))),
    }
}

fn make(files: &Files) -> Result<[u8; 32], SpoolError> {
    if files.sum.exists() {
        // Only the key went: a new one would be wrong as well.
        let (path, sum_path) = (files.key.display(), files.sum.display());
        return Err(SpoolError(format!(
            "{path} is missing beside {sum_path}: put it back from a copy; or remove {sum_path} too, and a new key is made: \
             then all links that were given out are dead, and brokers see another gateway"
        )));
    }
    let key: [u8; 32] = rand::random();
    write(&files.key, &key)
        .and_then(|()| write(&files.sum, &digest(&key)))
        .map_err(|error| SpoolError(format!("cannot write {}: {error}", files.key.display())))?;
    Ok(key)
}

fn digest(key: &[u8]) -> Vec<u8> {
    // With a name of its own, so that it is no link's signature.
    let digest = Sha256::of(&[b"faceway link.key", key].concat());
    format!("{digest}\n").into_bytes()
}

/// Writes a file whole or not at all, and durably.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use faceway_core::SpoolError;

    const KEY: &str = "link.key";
    const SUM: &str = "link.key.sum";

    fn read_or_make(dir: &Path) -> Result<[u8; 32], SpoolError> {
        super::read_or_make(dir, "link")
    }

    #[test]
    fn a_key_stays_and_an_earlier_one_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(KEY), [7; 32]).unwrap();
        for _ in 0..2 {
            assert_eq!(read_or_make(dir.path()).unwrap(), [7; 32]);
            assert!(dir.path().join(SUM).exists());
        }
        let dir = tempfile::tempdir().unwrap();
        let key = read_or_make(dir.path()).unwrap();
        assert_eq!(read_or_make(dir.path()).unwrap(), key);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    /// Flipped, cut, empty, gone, or not to be read: never another key.
    #[test]
    fn a_key_that_cannot_be_read_is_never_replaced() {
        let whole = tempfile::tempdir().unwrap();
        let key = read_or_make(whole.path()).unwrap();
        let sum = std::fs::read(whole.path().join(SUM)).unwrap();
        let mut flipped = key;
        flipped[9] ^= 1;
        let cases: [Option<&[u8]>; 4] = [Some(&flipped), Some(&key[..31]), Some(b""), None];
        for case in cases {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(KEY);
            std::fs::write(dir.path().join(SUM), &sum).unwrap();
            if let Some(bytes) = case {
                std::fs::write(&path, bytes).unwrap();
            }
            let told = read_or_make(dir.path()).unwrap_err().to_string();
            assert!(told.contains("put it back from a copy"), "{told}");
            assert_eq!(
                std::fs::read(&path).ok().as_deref(),
                case,
                "it is as it was"
            );
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(KEY)).unwrap();
        let told = read_or_make(dir.path()).unwrap_err().to_string();
        assert!(told.contains("is not replaced"), "{told}");
    }
}

//! The key that signs links to pictures, kept beside the spool so that links outlive a restart. The gateway's identity at
//! brokers is made from it, so another key is another gateway.
//!
//! `link.key` has the 32 bytes of the key, as ever; `link.key.sum` a digest of them. A key that cannot be read, or does not
//! match its digest, is never replaced: that would make all links dead and the gateway a stranger. A key of an earlier
//! version has no digest; it is taken as it is and gets one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use faceway_core::Sha256;

const KEY: &str = "link.key";
const SUM: &str = "link.key.sum";

/// The key in this directory, which is made when there is none.
pub(super) fn read_or_make(dir: &Path) -> anyhow::Result<[u8; 32]> {
    let path = dir.join(KEY);
    let key = match std::fs::read(&path) {
        Ok(key) => key,
        Err(error) if error.kind() == ErrorKind::NotFound => return make(dir),
        Err(error) => {
            return Err(error).with_context(|| {
                let path = path.display();
                format!(
                    "cannot read {path}, the key of picture links; it is not replaced, as that would make all links \
                     dead and this gateway another one at its brokers"
                )
            });
        }
    };
    let sum = match std::fs::read(dir.join(SUM)) {
        Ok(sum) => Some(sum),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let path = dir.join(SUM);
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let digest = digest(&key);
    let matches = sum.as_ref().is_none_or(|sum| *sum == digest);
    let Some(key) = <[u8; 32]>::try_from(key).ok().filter(|_| matches) else {
        anyhow::bail!(
            "{} is damaged: put it back from a copy; or remove it and {SUM}, and a new key is made: then all links that \
             were given out are dead, and brokers see another gateway",
            path.display()
        );
    };
    if sum.is_none()
        && let Err(error) = write(dir, SUM, &digest)
    {
        // A full disk must not keep the gateway from starting.
        tracing::warn!(%error, "cannot write {SUM}; it is written at the next start");
    }
    Ok(key)
}

fn make(dir: &Path) -> anyhow::Result<[u8; 32]> {
    if dir.join(SUM).exists() {
        // Only the key went: a new one would be wrong as well.
        anyhow::bail!(
            "{} is missing beside {SUM}: put it back from a copy; or remove {SUM} too, and a new key is made: then all \
             links that were given out are dead, and brokers see another gateway",
            dir.join(KEY).display()
        );
    }
    let key: [u8; 32] = rand::random();
    write(dir, KEY, &key)
        .and_then(|()| write(dir, SUM, &digest(&key)))
        .with_context(|| cannot_write(dir))?;
    Ok(key)
}

fn cannot_write(dir: &Path) -> String {
    format!(
        "cannot write the key of picture links into {}",
        dir.display()
    )
}

fn digest(key: &[u8]) -> Vec<u8> {
    // With a name of its own, so that it is no link's signature.
    let digest = Sha256::of(&[b"faceway link.key", key].concat());
    format!("{digest}\n").into_bytes()
}

/// Writes a file whole or not at all, and durably.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{KEY, SUM, read_or_make};

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
            let told = format!("{:#}", read_or_make(dir.path()).unwrap_err());
            assert!(told.contains("put it back from a copy"), "{told}");
            assert_eq!(
                std::fs::read(&path).ok().as_deref(),
                case,
                "it is as it was"
            );
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(KEY)).unwrap();
        let told = format!("{:#}", read_or_make(dir.path()).unwrap_err());
        assert!(told.contains("it is not replaced"), "{told}");
    }
}

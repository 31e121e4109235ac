//! Reading `routes.toml` and what is beside it, on a thread of its own.

use std::path::{Path, PathBuf};

use faceway_core::Sha256;
use faceway_rules::Routes;
use sha2::Digest as _;

use super::aside::{Aside, PATIENCE};
use crate::config::{self, ConfigError, Loaded};

/// A file that is larger is no `routes.toml`.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was found.
pub(super) struct Found {
    /// Of the file's text and of its templates, never newer than what was read; `None` for all that cannot be read.
    pub(super) fingerprint: Option<Sha256>,
    /// The file as meant, or why there is none.
    pub(super) loaded: Result<Loaded<Routes>, ConfigError>,
    /// Files beside it that are read with it: its templates.
    pub(super) beside: Vec<PathBuf>,
}

/// Reads a file.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    aside: Aside,
}

impl Reader {
    /// At this file.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            aside: Aside::default(),
        }
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Of it and of these files as they are now.
    pub(super) async fn fingerprint(&self, beside: &[PathBuf]) -> Option<Sha256> {
        let (path, beside) = (self.path.clone(), beside.to_vec());
        self.aside
            .run(move || fingerprint(&path, &beside))
            .await
            .flatten()
    }

    /// Reads it. `beside` is what was read with it the last time.
    pub(super) async fn read(&self, beside: &[PathBuf]) -> Found {
        let (path, before) = (self.path.clone(), beside.to_vec());
        let found = self.aside.run(move || read(&path, before)).await;
        found.unwrap_or_else(|| Found {
            fingerprint: None,
            loaded: Err(ConfigError::Unreadable(format!(
                "{}: cannot be read within {}s; is its disk reached over a network?",
                self.path.display(),
                PATIENCE.as_secs()
            ))),
            beside: beside.to_vec(),
        })
    }
}

/// Files beside a file that its routes name.
pub(super) fn beside(routes: &Routes, path: &Path) -> Vec<PathBuf> {
    let outbounds = routes.outbounds.iter();
    let named = outbounds.filter_map(|plan| plan.common.format.file());
    named
        .map(|file| config::beside(path, Path::new(file)))
        .collect()
}

fn read(path: &Path, before: Vec<PathBuf>) -> Found {
    if let Err(error) = is_file(path) {
        return Found {
            fingerprint: None,
            loaded: Err(ConfigError::Unreadable(error)),
            beside: before,
        };
    }
    let (seen, (loaded, beside)) = (fingerprint(path, &before), config::read_routes(path));
    // A file that cannot be read to its end may name fewer than it does.
    if beside == before || (loaded.is_err() && beside.is_empty()) {
        return Found {
            fingerprint: seen,
            loaded,
            beside: before,
        };
    }
    // Read once more: what is seen is never newer than what was read.
    Found {
        fingerprint: fingerprint(path, &beside),
        loaded: config::read_routes(path).0,
        beside,
    }
}

/// What else is there could keep its reader waiting for ever.
fn is_file(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(format!(
            "{}: is no file; put a file of this name in its place",
            path.display()
        )),
        Ok(found) if found.len() > BYTES_MAX => Err(format!(
            "{}: is larger than {} MiB, which no routes.toml is",
            path.display(),
            BYTES_MAX / 1024 / 1024
        )),
        // Reading it says what is wrong.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn fingerprint(path: &Path, beside: &[PathBuf]) -> Option<Sha256> {
    is_file(path).ok()?;
    Some(fingerprint_of(&std::fs::read(path).ok()?, beside))
}

/// Of a file with this text.
pub(super) fn fingerprint_of(text: &[u8], beside: &[PathBuf]) -> Sha256 {
    let mut digest = sha2::Sha256::new();
    digest.update(Sha256::of(text).0);
    for file in beside {
        let text = is_file(file).and_then(|()| std::fs::read(file).map_err(|_| String::new()));
        digest.update(Sha256::of(&text.unwrap_or_default()).0);
    }
    Sha256(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::Reader;

    #[tokio::test]
    async fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.toml");
        std::fs::create_dir(&path).unwrap();
        let reader = Reader::at(&path);
        assert_eq!(reader.fingerprint(&[]).await, None);
        let told = reader.read(&[]).await.loaded.unwrap_err().to_string();
        assert!(told.contains("is no file"), "{told}");
    }

    #[tokio::test]
    async fn while_a_look_hangs_nothing_else_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("routes.toml");
        std::fs::write(&path, "[inbound.nebula.lobby]\n").unwrap();
        let reader = Reader::at(&path);
        assert!(reader.fingerprint(&[]).await.is_some());
        reader.aside.hang(true);
        assert_eq!(reader.fingerprint(&[]).await, None);
        let told = reader.read(&[]).await.loaded.unwrap_err().to_string();
        assert!(told.contains("cannot be read within"), "{told}");
        reader.aside.hang(false);
        assert!(reader.read(&[]).await.loaded.is_ok());
    }
}

//! Hearing from the system that something in a directory has changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Tells when something in the directories of some files changes. The files themselves are not watched: editors and
/// ConfigMaps put another one in their place, and a watch would stay with the old one.
pub(super) struct Directories {
    changes: mpsc::Receiver<()>,
    /// Watches as long as it is there.
    _watcher: Option<RecommendedWatcher>,
}

impl Directories {
    /// Of these files. Where the system cannot watch, it reports nothing: the file is looked at from time to time anyway.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        // One is enough: many changes mean no more than one.
        let (changed, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = changed.try_send(());
            }
        });
        let folders: BTreeSet<&Path> = paths.iter().map(|path| folder(path)).collect();
        let watching = watcher.map(|mut watcher| {
            for folder in folders {
                if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                    let folder = folder.display();
                    tracing::debug!(%error, %folder, "cannot watch a directory; it is looked at every few seconds");
                }
            }
            watcher
        });
        if let Err(error) = &watching {
            tracing::debug!(%error, "cannot watch directories; they are looked at every few seconds");
        }
        Self {
            changes,
            _watcher: watching.ok(),
        }
    }

    /// Ends at the next change.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

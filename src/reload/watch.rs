//! Being told that something in a directory has changed.

use std::path::Path;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Tells when something in the directory of a file changes. The file itself is not watched: editors and ConfigMaps put
/// another one in its place, and a watch would stay with the old one.
pub(super) struct Watch {
    changes: mpsc::Receiver<()>,
    /// Watches as long as it is there.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Where the system cannot watch, nothing is ever told: the file is looked at from time to time anyway.
    pub(super) fn of(path: &Path) -> Self {
        // One is enough: many changes mean no more than one.
        let (told, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = told.try_send(());
            }
        });
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watching {
            tracing::debug!(%error, "cannot watch the directory of routes.toml; it is looked at every few seconds");
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

//! The seam between the engine and the disk, so that a test can fill it or break it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the engine asks of the disk beyond files. The default answers are the real disk's.
pub trait Disk: Send + Sync + 'static {
    /// Bytes that the file system of `dir` has left for this user.
    ///
    /// # Errors
    /// When the system does not tell.
    fn free(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Makes names in `dir` durable: files and directories that were made or removed there.
    ///
    /// # Errors
    /// When the system cannot.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::File::open(dir)?.sync_all()
    }

    /// The files of segments in `dir`.
    fn segments(&self, dir: &Path) -> Arc<dyn faceway_segments::Disk> {
        Arc::new(faceway_segments::RealDisk::new(dir))
    }

    /// How long one group may take before the disk counts as one that does not answer.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Called before the write-ahead log is folded into the database; an error is taken as folding that failed.
    ///
    /// # Errors
    /// When a test wants it.
    fn before_fold(&self) -> io::Result<()> {
        Ok(())
    }

    /// Called before a group is committed; an error is taken as a commit that failed, and nothing of the group is there.
    ///
    /// # Errors
    /// When a test wants it.
    fn before_commit(&self) -> io::Result<()> {
        Ok(())
    }

    /// Called after a group was committed; an error is taken as a failed sync: the group may be there or not.
    ///
    /// # Errors
    /// When a test wants it.
    fn after_commit(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The disk as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {}

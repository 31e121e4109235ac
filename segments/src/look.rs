//! Looking at a log that no one has open: the same recovery, on a disk on which nothing changes.

use std::io;
use std::sync::Arc;

use crate::open::open;
use crate::{Disk, File, Opened, Settings};

/// Opens a log to read it. Its files stay as they are, also where a start would put them right: nothing that is written
/// through this log is kept.
///
/// # Errors
/// When the disk fails.
pub fn look(disk: Arc<dyn Disk>) -> io::Result<Opened> {
    open(Arc::new(Still(disk)), Settings::default())
}

/// A disk that stays as it is.
#[derive(Debug)]
struct Still(Arc<dyn Disk>);

#[derive(Debug)]
struct StillFile(Arc<dyn File>);

impl Disk for Still {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(StillFile(self.0.open(name)?)))
    }

    fn create(&self, _: &str, _: u64) -> io::Result<Arc<dyn File>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    /// What a start removes is left out.
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

impl File for StillFile {
    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(into, at)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

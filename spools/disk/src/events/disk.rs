//! The segments' directory, on the disk that a test can fill or break.

use std::io;
use std::path::Path;
use std::sync::Arc;

use faceway_segments::File;

use crate::disk::Disk;

/// See the module.
pub(crate) struct SegmentDisk {
    files: Arc<dyn faceway_segments::Disk>,
    engine: Arc<dyn Disk>,
}

impl SegmentDisk {
    pub(crate) fn new(dir: &Path, engine: Arc<dyn Disk>) -> Self {
        Self {
            files: engine.segments(dir),
            engine,
        }
    }

    fn file(&self, name: &str, file: Arc<dyn File>) -> Arc<dyn File> {
        // What stands beside segments is made again when it fails.
        if name.ends_with(".seg") {
            let engine = Arc::clone(&self.engine);
            Arc::new(SegmentFile { file, engine })
        } else {
            file
        }
    }
}

impl std::fmt::Debug for SegmentDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.files.fmt(f)
    }
}

impl faceway_segments::Disk for SegmentDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.files.names()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(name, self.files.open(name)?))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn File>> {
        Ok(self.file(name, self.files.create(name, bytes)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.files.sync_names()
    }

    fn random(&self) -> u64 {
        self.files.random()
    }
}

/// A file of a segment.
struct SegmentFile {
    file: Arc<dyn File>,
    engine: Arc<dyn Disk>,
}

impl std::fmt::Debug for SegmentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl File for SegmentFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(bytes, at)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.truncate(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        self.engine.after_commit()
    }
}

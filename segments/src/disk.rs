//! The seam between the log and the disk, so that a test can fill it, break it, or cut its power.

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;

/// One directory.
pub trait Disk: Send + Sync + Debug + 'static {
    /// Names of all files, in any order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// When there is none, or the disk fails.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Makes a file of this length, or empties the one of that name, and reserves its space.
    ///
    /// # Errors
    /// When there is no space, or the disk fails.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name; a file that had that name is gone.
    ///
    /// # Errors
    /// When the disk fails.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// When there is none, or the disk fails.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes names durable: what was created, renamed, removed.
    ///
    /// # Errors
    /// When the disk fails.
    fn sync_names(&self) -> io::Result<()>;

    /// A number that cannot be guessed from outside.
    fn random(&self) -> u64;
}

/// One file.
pub trait File: Send + Sync + Debug {
    /// Its length.
    ///
    /// # Errors
    /// When the disk fails.
    fn bytes(&self) -> io::Result<u64>;

    /// Reads up to `into.len()` bytes from `at` on; fewer at the end of the file only.
    ///
    /// # Errors
    /// When the disk fails.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// When the disk is full or fails; part of it may be written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// When the disk fails.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// When the disk fails: then it is not known what it holds.
    fn sync(&self) -> io::Result<()>;
}

/// A directory as it is.
#[derive(Clone, Debug)]
pub struct RealDisk {
    dir: PathBuf,
}

impl RealDisk {
    /// The directory exists already.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Disk for RealDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn File>> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        // For the owner's eyes only: the log holds names of persons.
        options.read(true).write(true).create(true).truncate(true);
        let file = options.mode(0o600).open(&path)?;
        reserve(&file, bytes, &path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        std::fs::File::open(&self.dir)?.sync_all()
    }

    fn random(&self) -> u64 {
        use std::hash::{BuildHasher as _, Hasher as _};
        // Keyed by the system's random numbers.
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    }
}

/// A full disk is met here, before a byte of a group is written.
fn reserve(file: &std::fs::File, bytes: u64, path: &Path) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // A file system that cannot reserve meets a full disk when a group is written, which then fails as a whole.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(bytes),
        Err(error) => {
            // What was reserved of it would be missing to others.
            _ = std::fs::remove_file(path);
            Err(error.into())
        }
    }
}

#[derive(Debug)]
struct RealFile(std::fs::File);

impl File for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.0.read_at(&mut into[done..], at + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

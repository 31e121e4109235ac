//! Looking at a spool while no gateway runs: is it whole, and what of a broken one can be saved.

mod check;
mod copied;
mod merged;
mod salvage;
mod segments;
mod waiting;

use std::fs::{File, TryLockError};
use std::path::Path;

pub use check::check;
pub use salvage::salvage;

use crate::store::{Paths, private_file};

/// Numbers of damaged rows that are named of one part.
const NAMED_MAX: usize = 100;

/// One part of a spool and how it is. Rows are told by number, never by content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// What it is: `events`, `lanes`, `packs of pictures` …
    pub name: &'static str,
    /// So many rows, files or commits are as they were written, or could be saved.
    pub good: u64,
    /// So many cannot be trusted or read.
    pub damaged: u64,
    /// So many should be there and are not.
    pub missing: u64,
    /// Numbers of damaged and missing ones, a hundred at the most.
    pub numbers: Vec<i64>,
    /// What else there is to say.
    pub remark: Option<String>,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is no spool.
    #[error("there is no spool in {0}: name its directory with --dir")]
    Nothing(String),
    /// A gateway has it.
    #[error("the spool in {0} is in use by a gateway: stop that first")]
    InUse(String),
    /// The new directory is not empty.
    #[error("{0} is not empty: name a directory that does not exist yet")]
    NotEmpty(String),
    /// A file cannot be read or written.
    #[error("{0}")]
    Io(String),
}

impl Part {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Whether nothing is wrong with it.
    pub fn is_whole(&self) -> bool {
        self.damaged == 0 && self.missing == 0
    }

    fn damaged(&mut self, number: i64) {
        self.damaged += 1;
        self.name_number(number);
    }

    fn missing(&mut self, number: i64) {
        self.missing += 1;
        self.name_number(number);
    }

    fn name_number(&mut self, number: i64) {
        if self.numbers.len() < NAMED_MAX && !self.numbers.contains(&number) {
            self.numbers.push(number);
        }
    }

    fn remark(&mut self, remark: impl Into<String>) {
        self.remark.get_or_insert_with(|| remark.into());
    }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> InspectError {
    let path = path.display().to_string();
    move |error| InspectError::Io(format!("{path}: {error}"))
}

fn sql(error: &rusqlite::Error) -> InspectError {
    // What SQLite says names tables and columns, never values.
    InspectError::Io(format!("the database: {error}"))
}

/// Takes the spool's lock, so that no gateway works on it meanwhile.
fn take(paths: &Paths) -> Result<File, InspectError> {
    let dir = || paths.dir.display().to_string();
    let something = [
        &paths.database,
        &paths.wal,
        &paths.mark,
        &paths.images,
        &paths.log,
    ];
    if !something.iter().any(|path| path.exists()) {
        return Err(InspectError::Nothing(dir()));
    }
    let lock = private_file().open(&paths.lock).map_err(io(&paths.lock))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(InspectError::InUse(dir())),
        Err(TryLockError::Error(error)) => Err(io(&paths.lock)(error)),
    }
}

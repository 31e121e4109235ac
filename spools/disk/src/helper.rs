//! A thread that writes pictures and syncs them while the writer fills the database.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;

#[derive(Debug)]
enum Job {
    Write(Arc<File>, u64, Bytes),
    Sync,
}

/// See the module. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Helper {
    jobs: Sender<Job>,
    results: Receiver<io::Result<()>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Writing,
    Syncing,
}

impl Helper {
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let (outbox, results) = channel();
        std::thread::Builder::new()
            .name("spool-pictures".into())
            .spawn(move || run(&inbox, &outbox))?;
        Ok(Self {
            jobs,
            results,
            state: State::Idle,
        })
    }

    /// Begins to write `bytes` at `start`.
    pub(crate) fn write(&mut self, file: Arc<File>, start: u64, bytes: Bytes) {
        self.state = State::Writing;
        // A helper that has ended is noticed by `end_sync`.
        let _ = self.jobs.send(Job::Write(file, start, bytes));
    }

    /// Begins to sync what was written.
    pub(crate) fn begin_sync(&mut self) {
        if self.state == State::Writing {
            self.state = State::Syncing;
            let _ = self.jobs.send(Job::Sync);
        }
    }

    /// Waits for it.
    pub(crate) fn end_sync(&mut self) -> io::Result<()> {
        self.begin_sync();
        if std::mem::replace(&mut self.state, State::Idle) == State::Idle {
            return Ok(());
        }
        self.results.recv().unwrap_or_else(|_| {
            Err(io::Error::other(
                "the thread that writes pictures has ended",
            ))
        })
    }
}

fn run(jobs: &Receiver<Job>, results: &Sender<io::Result<()>>) {
    let mut files: Vec<Arc<File>> = Vec::new();
    let mut result = Ok(());
    for job in jobs {
        match job {
            Job::Write(file, start, bytes) => {
                if result.is_ok() {
                    result = file.write_all_at(&bytes, start);
                }
                if !files.iter().any(|known| Arc::ptr_eq(known, &file)) {
                    files.push(file);
                }
            }
            Job::Sync => {
                let synced = files.drain(..).try_for_each(|file| file.sync_data());
                let result = std::mem::replace(&mut result, Ok(())).and(synced);
                if results.send(result).is_err() {
                    return;
                }
            }
        }
    }
}

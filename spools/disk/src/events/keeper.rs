//! A thread that does what no group has to wait for: it writes the files beside full segments, and removes files of segments
//! that have left.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use faceway_segments::{Disk, Seal};

use crate::shared::{Shared, lock};

/// After a failure it waits so long before it tries again.
const PAUSE: Duration = Duration::from_secs(1);

enum Job {
    Seal(Seal),
    Remove(String),
}

/// See the module. The thread ends when this is dropped, after what it was given.
pub(crate) struct Keeper {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    failed: Arc<Mutex<VecDeque<Job>>>,
}

impl Keeper {
    pub(crate) fn start(shared: &Arc<Shared>, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let shared = Arc::clone(shared);
        let failed = Arc::default();
        let waiting = Arc::clone(&failed);
        let thread = std::thread::Builder::new()
            .name("spool-segments".into())
            .spawn(move || run(&shared, &*disk, &inbox, &waiting))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            failed,
        })
    }

    /// Writes the files beside these segments.
    pub(crate) fn seal(&self, seals: Vec<Seal>) {
        self.give(seals.into_iter().map(Job::Seal));
    }

    /// Removes these files.
    pub(crate) fn remove(&self, names: Vec<String>) {
        self.give(names.into_iter().map(Job::Remove));
    }

    /// What could not be written and waits, so that the writer can try it when there is room at once.
    pub(crate) fn take_failed(&self) -> Vec<Seal> {
        let mut failed = lock(&self.failed);
        let (mut seals, mut others) = (Vec::new(), VecDeque::new());
        for job in failed.drain(..) {
            match job {
                Job::Seal(seal) => seals.push(seal),
                Job::Remove(_) => others.push_back(job),
            }
        }
        *failed = others;
        seals
    }

    /// Ends the thread after what it was given.
    pub(crate) fn stop(&mut self) {
        drop(self.jobs.take());
        _ = self.thread.take().map(JoinHandle::join);
    }

    fn give(&self, jobs: impl Iterator<Item = Job>) {
        for job in jobs {
            // A thread that has ended costs the next start time, and nothing else.
            _ = self.jobs.as_ref().map(|inbox| inbox.send(job));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(shared: &Shared, disk: &dyn Disk, inbox: &Receiver<Job>, waiting: &Mutex<VecDeque<Job>>) {
    let mut is_over = false;
    while !is_over {
        let patience = if lock(waiting).is_empty() {
            Duration::MAX
        } else {
            PAUSE
        };
        let mut jobs = VecDeque::new();
        match inbox.recv_timeout(patience) {
            Ok(job) => jobs.push_back(job),
            Err(RecvTimeoutError::Timeout) => {}
            // The next start does what is left after one more try.
            Err(RecvTimeoutError::Disconnected) => is_over = true,
        }
        let mut failed = std::mem::take(&mut *lock(waiting));
        failed.extend(jobs);
        failed.extend(inbox.try_iter());
        failed.retain(|job| !work(shared, disk, job));
        lock(waiting).extend(failed);
    }
}

/// `false` when it is to be tried again.
fn work(shared: &Shared, disk: &dyn Disk, job: &Job) -> bool {
    let worked = match job {
        Job::Seal(seal) => seal.write(disk),
        Job::Remove(name) => match disk.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    let Err(error) = worked else {
        return true;
    };
    shared.gauge.failed();
    if let Some(times) = shared.gauge.throttle.note("segments") {
        tracing::warn!(%error, times, "a file beside a segment of the log cannot be written or removed; it is tried again");
    }
    false
}

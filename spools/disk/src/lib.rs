//! The embedded spool engine: one directory. Events stand in segments, everything that changes in SQLite.
//!
//! One thread writes, in groups; lanes are rows that change with the groups; readers have connections of their own. `README.md`
//! says why it is built so and what was measured.
//!
//! **Invariants**
//! * Nothing is answered before the commit that holds it was synced. The database commits before the segments, and pictures are
//!   synced before either.
//! * An event leaves its segment only after the copy that a lane needs is durable.
//! * Sequence numbers never go back, also when the end of the database is lost.
//! * Nothing in memory outlives a failed sync without having been compared with the database.
//! * What a log line says of an event is its sequence number.

mod ages;
mod attempts;
mod blocks;
mod budget;
mod buried;
mod checksum;
mod covered;
mod disk;
mod events;
mod failing;
mod fold;
mod group;
mod health;
mod helper;
mod history;
mod inbox;
mod inspect;
mod known;
mod lane_store;
mod leftovers;
mod log;
mod look;
mod mailbox;
mod mark;
mod meta;
mod once;
mod open;
mod packs;
mod page;
mod quarantine;
mod read;
mod recent;
mod recover;
mod row;
mod rules;
mod schema;
mod secret;
mod seen;
mod serve;
mod settings;
mod shared;
mod store;
mod sync;
mod throttle;
mod upkeep;
mod verify;
mod wal;
mod watchdog;
mod writer;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use faceway_core::{AppendError, Clock};
use tokio::sync::oneshot;

pub use disk::{Disk, RealDisk};
pub use inspect::{InspectError, Part, check, salvage};
pub use settings::{DiskSettings, OpenError};

use inbox::Stop;
use shared::{Shared, lock};
use watchdog::Watchdog;

/// The spool in a directory.
///
/// Close it with [`faceway_core::Log::close`]; when it is only dropped, what was not answered may not be durable.
pub struct DiskSpool {
    shared: Arc<Shared>,
    ended: Arc<Ended>,
}

/// What was found broken since the spool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Rows that cannot be trusted: when the spool was opened, and events each time that one is met; lanes go on behind
    /// them.
    pub rows: u64,
    /// Rows in which one byte was wrong and was put right when the spool was opened.
    pub mended: u64,
    /// Groups that were lost behind damage in the write-ahead log. One may be a group that was never acknowledged.
    pub groups: u64,
    /// Pictures that were not what was written: their events are delivered without them.
    pub pictures: u64,
}

/// Whether the writer's thread has ended.
#[derive(Default)]
struct Ended {
    flag: Mutex<bool>,
    bell: Condvar,
}

/// How long dropping waits for the writer to finish its group.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

impl DiskSpool {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// When it cannot be read or written, another gateway has it, a newer program wrote it, or its database is broken.
    pub async fn open(settings: DiskSettings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_on(settings, clock, Arc::new(RealDisk)).await
    }

    /// The same on a disk that a test can fill or break.
    ///
    /// # Errors
    /// As [`DiskSpool::open`].
    pub async fn open_on(
        settings: DiskSettings,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
    ) -> Result<Self, OpenError> {
        let dir = settings.dir.display().to_string();
        let failed = |reason| OpenError::Directory {
            dir: dir.clone(),
            reason,
        };
        let shared = Shared::new(settings, clock, disk);
        let ended = Arc::new(Ended::default());
        let (told, opened) = oneshot::channel();
        let (of_thread, at_end) = (Arc::clone(&shared), Arc::clone(&ended));
        std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || {
                // Also when it ends by a panic no caller may wait for ever.
                let _at_end = AtEnd(Arc::clone(&of_thread), at_end);
                match open::open(&of_thread) {
                    Ok(writer) => {
                        let _ = told.send(Ok(()));
                        writer.run();
                    }
                    Err(error) => {
                        let _ = told.send(Err(error));
                    }
                }
            })
            .map_err(failed)?;
        let ended_early = || failed(std::io::Error::other("the thread that writes has ended"));
        opened.await.unwrap_or_else(|_| Err(ended_early()))?;
        Watchdog::start(&shared).map_err(failed)?;
        Ok(Self { shared, ended })
    }

    /// What was found broken.
    pub fn damage(&self) -> Damage {
        Damage {
            rows: self.shared.readers.damaged.load(Ordering::Relaxed)
                + self.shared.gauge.rows_damaged.load(Ordering::Relaxed),
            mended: self.shared.gauge.rows_mended.load(Ordering::Relaxed),
            groups: self.shared.gauge.groups_lost.load(Ordering::Relaxed),
            pictures: (self.shared.gauge.pictures_damaged).load(Ordering::Relaxed),
        }
    }

    async fn close_all(&self) {
        self.shared.inbox.stop(Stop::Flush);
        let ended = Arc::clone(&self.ended);
        let wait = tokio::task::spawn_blocking(move || ended.wait(None));
        // Waiting cannot fail but by a runtime that shuts down.
        let _ = wait.await;
    }
}

impl Drop for DiskSpool {
    fn drop(&mut self) {
        self.shared.inbox.stop(Stop::Now);
        self.ended.wait(Some(DROP_PATIENCE));
    }
}

/// Rings when the thread ends, however it ends.
struct AtEnd(Arc<Shared>, Arc<Ended>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        drop(self.0.inbox.drain());
        self.0.watchdog.stop();
        if std::thread::panicking() {
            self.0.gauge.set_accepting(Err(AppendError::Failing));
            tracing::error!(
                "the spool's writer has ended by a fault of its own; nothing is kept until the gateway is restarted"
            );
        }
        *lock(&self.1.flag) = true;
        self.1.bell.notify_all();
    }
}

impl Ended {
    fn wait(&self, patience: Option<Duration>) {
        let flag = lock(&self.flag);
        // A poisoned lock means the same as an ended thread.
        match patience {
            Some(patience) => drop(
                self.bell
                    .wait_timeout_while(flag, patience, |ended| !*ended),
            ),
            None => drop(self.bell.wait_while(flag, |ended| !*ended)),
        }
    }
}

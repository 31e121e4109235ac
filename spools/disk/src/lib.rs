//! The embedded spool engine: one directory, SQLite.
//!
//! One thread writes, in groups; lanes are kept in memory and written with the groups; readers have connections of
//! their own. `README.md` says why it is built so and what was measured.
//!
//! **Invariants**
//! * Nothing is answered before the commit that holds it was synced, and pictures are synced before that commit.
//! * Sequence numbers never go back, also when the end of the database is lost.
//! * Nothing in memory outlives a failed sync without having been compared with the database.
//! * What a log line says of an event is its sequence number.

mod ages;
mod blocks;
mod budget;
mod checksum;
mod covered;
mod disk;
mod failing;
mod fold;
mod group;
mod health;
mod helper;
mod history;
mod inbox;
mod inspect;
mod lane;
mod lane_store;
mod lanes;
mod lease;
mod leftovers;
mod log;
mod look;
mod mark;
mod note;
mod once;
mod open;
mod packs;
mod quarantine;
mod read;
mod recent;
mod recover;
mod repair;
mod revive;
mod row;
mod seen;
mod serve;
mod settings;
mod shared;
mod store;
mod story;
mod throttle;
mod upkeep;
mod verify;
mod wal;
mod watchdog;
mod writer;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{
    AppendError, Batch, BoxFuture, Clock, EventId, Lane, Lease, Newest, Passed, Private, Receipt,
    RecordId, Room, Settlement, Sha256, Spool, SpoolError, Start, Survey, Timestamp,
};
use tokio::sync::oneshot;

pub use disk::{Disk, RealDisk};
pub use inspect::{InspectError, Part, check, salvage};
pub use settings::{DiskSettings, OpenError};

use inbox::{Ask, Done, Stop};
use settings::IN_FLIGHT_BYTES_MAX;
use shared::{Shared, lock};
use watchdog::Watchdog;

/// The spool in a directory.
///
/// Close it with [`Spool::close`]; when it is only dropped, what was settled in the last moments is leased once more.
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
                // Also when it ends by a panic nobody may wait for ever.
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

    async fn append_batch(&self, batch: Batch) -> Result<Vec<Receipt>, AppendError> {
        if batch.events.is_empty() && batch.unreadable.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = weight(&batch);
        let permits = u32::try_from(bytes)
            .unwrap_or(u32::MAX)
            .min(IN_FLIGHT_BYTES_MAX);
        let semaphore = Arc::clone(&self.shared.permits);
        let permit = tokio::select! {
            biased;
            permit = semaphore.acquire_many_owned(permits) => permit.ok(),
            () = self.shared.gauge.until_it_hangs() => return Err(AppendError::Failing),
        };
        let ask = Ask::Append {
            batch,
            bytes,
            permit,
        };
        match self.shared.ask(ask).await? {
            Done::Receipts(receipts) => Ok(receipts),
            _ => Err(AppendError::Failing),
        }
    }

    async fn open_lane_named(&self, name: &str, start: Start) -> Result<Lane, SpoolError> {
        if let Some(lane) = self.shared.lanes.named(name) {
            lane.lock().give_back();
            return Ok(Lane(lane.id));
        }
        let counted = match start {
            Start::Now => (0, 0),
            Start::Oldest => lease::count_all(&self.shared).await?,
        };
        let name = name.to_owned();
        let ask = Ask::Open {
            name,
            start,
            counted,
        };
        match self.shared.ask(ask).await {
            Ok(Done::Lane(lane)) => Ok(lane),
            other => Err(repair::unexpected(other)),
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

/// Bytes that a batch holds in memory, near enough. Lengths only: the fence stays shut.
fn weight(batch: &Batch) -> usize {
    const EACH: usize = 256;
    let events = batch.events.iter().map(|event| event.body.reveal().len());
    let pictures = batch
        .pictures
        .iter()
        .map(|picture| picture.bytes.reveal().len());
    let unreadable = batch
        .unreadable
        .iter()
        .map(|entry| entry.body.reveal().len());
    events
        .chain(pictures)
        .chain(unreadable)
        .map(|bytes| bytes + EACH)
        .sum()
}

impl Spool for DiskSpool {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Receipt>, AppendError>> {
        Box::pin(self.append_batch(batch))
    }

    fn newest_of(
        &self,
        records: Vec<RecordId>,
    ) -> BoxFuture<'_, Result<Vec<Option<Newest>>, AppendError>> {
        Box::pin(async move {
            match self.shared.ask(Ask::NewestOf(records)).await? {
                Done::Newest(newest) => Ok(newest),
                _ => Err(AppendError::Failing),
            }
        })
    }

    fn open_lane(&self, name: &str, start: Start) -> BoxFuture<'_, Result<Lane, SpoolError>> {
        let name = name.to_owned();
        Box::pin(async move { self.open_lane_named(&name, start).await })
    }

    fn lease(
        &self,
        lane: Lane,
        max: usize,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Lease>, SpoolError>> {
        Box::pin(self.shared.lease(lane, max, now))
    }

    fn settle(&self, lane: Lane, settlements: Vec<Settlement>) {
        self.shared.settle(lane, settlements);
    }

    fn sync(&self) -> BoxFuture<'_, Result<(), SpoolError>> {
        Box::pin(self.shared.sync())
    }

    fn remember(&self, lane: Lane, passed: Vec<Passed>) {
        self.shared.remember(lane, passed);
    }

    fn remembered(&self, lane: Lane) -> BoxFuture<'_, Result<Vec<Passed>, SpoolError>> {
        Box::pin(self.shared.remembered(lane))
    }

    fn take_back(&self, lane: Lane, events: Vec<EventId>) -> BoxFuture<'_, Result<(), SpoolError>> {
        Box::pin(self.take_burials_back(lane, events))
    }

    fn wake(&self, lane: Lane) {
        self.shared.wake(lane);
    }

    fn survey(&self, lane: Lane, now: Timestamp) -> BoxFuture<'_, Result<Survey, SpoolError>> {
        Box::pin(self.shared.survey(lane, now))
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, u64> {
        Box::pin(self.shared.changed(seen))
    }

    fn newest(&self) -> u64 {
        self.shared.newest()
    }

    fn keep_note(&self, name: &str, note: Bytes) -> BoxFuture<'_, Result<(), SpoolError>> {
        Box::pin(self.write_note(name.to_owned(), note))
    }

    fn note(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, SpoolError>> {
        Box::pin(self.read_note(name.to_owned()))
    }

    fn room(&self) -> Room {
        self.shared.room()
    }

    fn picture(&self, sha256: Sha256) -> BoxFuture<'_, Result<Option<Private<Bytes>>, SpoolError>> {
        Box::pin(self.shared.picture(sha256))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.close_all())
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

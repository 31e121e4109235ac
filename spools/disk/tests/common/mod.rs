//! What the tests of this engine have in common.
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod former;
mod lane;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{
    Batch, Capacity, Clock, DeviceKey, LaneChange, LaneState, Log as _, NewEvent, Private,
    Timestamp, waiting,
};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool, OpenError};
use faceway_testkit::clock::TestClock;

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use former::{FormerRows, Held, events_as_rows, former_directory};
#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use lane::{HandLane, append, pass_groups};

/// A clock that stands still until it is told.
#[derive(Debug)]
pub(crate) struct HandClock(TestClock);

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Self::at(faceway_testkit::spool::time(0))
    }

    pub(crate) fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(TestClock::at(now)))
    }

    /// Lets time go by.
    pub(crate) fn forward(&self, by: Duration) {
        self.0.advance(by);
    }

    /// Sets the wall clock without any time going by.
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.jump(now);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// Space for everything, and everything is kept for long.
pub(crate) fn settings(dir: &Path) -> DiskSettings {
    DiskSettings {
        dir: dir.to_owned(),
        bytes_max: 1 << 28,
        free_min: 0,
        history: Duration::from_secs(7 * 86_400),
        images: Duration::from_secs(86_400),
        quarantine: Duration::from_secs(7 * 86_400),
        quarantine_bytes_max: 1 << 26,
    }
}

pub(crate) async fn open(dir: &Path) -> Result<DiskSpool, OpenError> {
    DiskSpool::open(settings(dir), HandClock::new()).await
}

/// Keeps these rules in place of the newest ones.
pub(crate) async fn keep_rules(spool: &DiskSpool, text: impl Into<Bytes>) {
    let known = spool.rules().await.unwrap();
    let version = known.map_or(0, |known| known.mark.version);
    spool.append_rules(text.into(), version).await.unwrap();
}

/// The text of the newest rules.
pub(crate) async fn kept_rules(spool: &DiskSpool) -> Option<Bytes> {
    spool.rules().await.unwrap().map(|kept| kept.text)
}

/// Asks this engine, which knows it at once.
pub(crate) fn capacity(spool: &DiskSpool) -> Capacity {
    let mut asked = spool.capacity();
    let mut context = Context::from_waker(Waker::noop());
    match asked.as_mut().poll(&mut context) {
        Poll::Ready(capacity) => capacity.unwrap(),
        Poll::Pending => panic!("the capacity is not known at once"),
    }
}

/// A disk that a test fills and breaks.
#[derive(Debug)]
pub(crate) struct FaultDisk {
    pub(crate) free: AtomicU64,
    pub(crate) before: AtomicU64,
    pub(crate) after: AtomicU64,
    pub(crate) fold: AtomicU64,
}

impl FaultDisk {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            free: AtomicU64::new(u64::MAX),
            before: AtomicU64::new(0),
            after: AtomicU64::new(0),
            fold: AtomicU64::new(0),
        })
    }
}

fn fail(count: &AtomicU64) -> std::io::Result<()> {
    let left = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    match left {
        Ok(_) => Err(std::io::Error::other("the test wants it")),
        Err(_) => Ok(()),
    }
}

impl Disk for FaultDisk {
    fn free(&self, _: &Path) -> std::io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }

    fn before_fold(&self) -> std::io::Result<()> {
        fail(&self.fold)
    }

    fn before_commit(&self) -> std::io::Result<()> {
        fail(&self.before)
    }

    fn after_commit(&self) -> std::io::Result<()> {
        fail(&self.after)
    }
}

/// An event with a body of so many bytes.
pub(crate) fn big(n: u64, device: u64, bytes: usize) -> NewEvent {
    let mut event = faceway_testkit::spool::event(n, device);
    event.body = Private::new(vec![n as u8; bytes].into());
    event
}

pub(crate) fn batch(events: Vec<NewEvent>) -> Batch {
    Batch {
        events,
        ..Batch::default()
    }
}

/// A body that could not be read, alone.
pub(crate) fn junk(inbound: &str, body: impl Into<Bytes>) -> Batch {
    Batch {
        unreadable: vec![faceway_testkit::spool::unreadable(inbound, body)],
        ..Batch::default()
    }
}

/// A change in which these events wait, each with its device, and no others of their ranges.
pub(crate) fn waits(through: u64, events: &[(u64, u64)]) -> LaneChange {
    let mut ranges: BTreeMap<u64, Vec<(u64, DeviceKey)>> = BTreeMap::new();
    for (seq, device) in events {
        let range = ranges.entry(waiting::range_of(*seq)).or_default();
        range.push((*seq, DeviceKey(*device)));
    }
    let encode = |(range, events): (u64, Vec<_>)| (range, Some(waiting::encode(range, &events)));
    LaneChange {
        routed_through: through,
        waiting: ranges.into_iter().map(encode).collect(),
        ..LaneChange::default()
    }
}

/// What waits in a lane, by its ranges.
pub(crate) fn waiting_seqs(state: &LaneState) -> Vec<u64> {
    let decode = |(range, bytes): &(u64, bytes::Bytes)| waiting::decode(*range, bytes).unwrap();
    let events = state.waiting.iter().flat_map(decode);
    events.map(|(seq, _)| seq).collect()
}

/// The directory as a power cut would leave it: the files, while the spool is open.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else if to.extension().is_some_and(|end| end == "seg") {
            copy_segment(&entry.path(), &to);
        } else if entry.file_name() != "spool.db-shm" {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The segment in which these bytes stand, and where.
pub(crate) fn in_segments(dir: &Path, what: &[u8]) -> (std::path::PathBuf, usize) {
    for entry in std::fs::read_dir(dir.join("log")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let mut windows = bytes.windows(what.len());
        if path.extension().is_some_and(|end| end == "seg")
            && let Some(at) = windows.position(|window| window == what)
        {
            return (path, at);
        }
    }
    panic!("no segment has it");
}

/// Damages the event of which these bytes are a part.
pub(crate) fn flip_event(dir: &Path, what: &[u8]) {
    let (path, at) = in_segments(dir, what);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

/// Most of a segment is space that is reserved: it is not written.
fn copy_segment(from: &Path, to: &Path) {
    let bytes = std::fs::read(from).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0);
    let used = &bytes[..end.map_or(0, |end| end + 1)];
    std::fs::write(to, used).unwrap();
    let file = std::fs::File::options().write(true).open(to).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

/// A file system of its own, unmounted at the end.
pub(crate) struct Loop(tempfile::TempDir);

impl Loop {
    pub(crate) fn mount(mebibytes: u64) -> Result<Self, String> {
        Self::mount_with_blocks(mebibytes, "4096")
    }

    /// With blocks of so many bytes.
    pub(crate) fn mount_with_blocks(mebibytes: u64, bytes: &str) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let image = dir.path().join("image");
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mebibytes << 20)
            .map_err(|error| error.to_string())?;
        let at = dir.path().join("at");
        std::fs::create_dir(&at).map_err(|error| error.to_string())?;
        run(
            "mkfs.ext4",
            &["-q", "-m", "0", "-b", bytes, "-O", "^has_journal"],
            &[&image],
        )?;
        run("mount", &["-o", "loop"], &[&image, &at])?;
        Ok(Self(dir))
    }

    pub(crate) fn at(&self) -> std::path::PathBuf {
        self.0.path().join("at")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run("umount", &[], &[&self.at()]);
    }
}

fn run(program: &str, flags: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(flags).args(paths).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

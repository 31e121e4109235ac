//! A disk whose power goes at a chosen operation of the writer: of what was not synced, any part is left.
//!
//! Segments are in memory, where each write and each name is known until it is synced. Of the write-ahead log it is known what
//! it was before the group that is committed; each sector that differs since is there or not. All other files are as they are.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use faceway_segments::File;
use faceway_spool_disk::Disk;

use crate::segment_disk::{FaultDisk as Segments, Random};

/// What a drive writes as a whole.
const SECTOR: usize = 512;
/// Bytes of the header of the write-ahead log.
const HEADER: usize = 32;

/// See the module.
#[derive(Debug)]
pub(crate) struct PowerDisk {
    dir: PathBuf,
    segments: Segments,
    /// The write-ahead log before the group that is committed: all of it was synced.
    synced_wal: Mutex<Vec<u8>>,
    plan: Mutex<Plan>,
    ops: AtomicU64,
    /// Commits that fail, before they are written and after.
    pub(crate) before: AtomicU64,
    pub(crate) after: AtomicU64,
}

#[derive(Debug, Default)]
enum Plan {
    #[default]
    None,
    /// After so many operations, by this seed.
    Cut(u64, Random),
    Done(PathBuf, Segments),
    Taken,
}

/// What a cut has left.
pub(crate) struct Left {
    pub(crate) dir: PathBuf,
    segments: Segments,
}

impl Left {
    /// A directory in which no segment was ever made.
    pub(crate) fn without_segments(dir: PathBuf) -> Self {
        let segments = Segments::new(1);
        Self { dir, segments }
    }

    pub(crate) fn has_no_segments(&self) -> bool {
        faceway_segments::Disk::names(&self.segments)
            .unwrap()
            .is_empty()
    }
}

impl PowerDisk {
    pub(crate) fn new(dir: &Path, seed: u64) -> Arc<Self> {
        Self::over(dir, Segments::new(seed))
    }

    /// The disk after the power came back.
    pub(crate) fn again(left: Left) -> Arc<Self> {
        Self::over(&left.dir, left.segments)
    }

    fn over(dir: &Path, segments: Segments) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            segments,
            synced_wal: Mutex::new(std::fs::read(dir.join("spool.db-wal")).unwrap_or_default()),
            plan: Mutex::default(),
            ops: AtomicU64::new(0),
            before: AtomicU64::new(0),
            after: AtomicU64::new(0),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Operations of the writer so far.
    pub(crate) fn ops(&self) -> u64 {
        self.ops.load(Ordering::SeqCst)
    }

    /// The power goes after so many operations. Nothing works from then on.
    pub(crate) fn cut_after(&self, ops: u64, seed: u64) {
        *self.plan.lock().unwrap() = Plan::Cut(ops, Random(seed));
    }

    /// The power stays, unless it has gone.
    pub(crate) fn stay(&self) {
        let mut plan = self.plan.lock().unwrap();
        if matches!(*plan, Plan::Cut(..)) {
            *plan = Plan::None;
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        matches!(*self.plan.lock().unwrap(), Plan::Done(..) | Plan::Taken)
    }

    /// What was left, once the power has gone.
    pub(crate) fn left(&self) -> Option<Left> {
        let mut plan = self.plan.lock().unwrap();
        match std::mem::take(&mut *plan) {
            Plan::Done(dir, segments) => {
                *plan = Plan::Taken;
                Some(Left { dir, segments })
            }
            other => {
                *plan = other;
                None
            }
        }
    }

    /// Every operation passes here. Those of other threads do not count: the writer may be in the middle of the database.
    fn pass(&self) -> io::Result<()> {
        self.pass_and(|_| None)
    }

    /// `is_synced` tells whether what SQLite has just written is synced before the power goes; where there is nothing of the
    /// kind it gives none.
    fn pass_and(&self, is_synced: impl FnOnce(&mut Random) -> Option<bool>) -> io::Result<()> {
        let is_writer = std::thread::current().name() == Some("spool");
        let mut plan = self.plan.lock().unwrap();
        match &mut *plan {
            Plan::Done(..) | Plan::Taken => return Err(gone()),
            _ if !is_writer => return Ok(()),
            Plan::Cut(0, random) => {
                let mut random = random.clone();
                let is_synced = is_synced(&mut random);
                *plan = self.cut(random, is_synced != Some(false));
                // What is synced may be answered.
                return match is_synced {
                    Some(true) => Ok(()),
                    _ => Err(gone()),
                };
            }
            Plan::Cut(ops, _) => *ops -= 1,
            Plan::None => {}
        }
        self.ops.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn wal_is_synced(&self) {
        let wal = std::fs::read(self.dir.join("spool.db-wal"));
        *self.synced_wal.lock().unwrap() = wal.unwrap_or_default();
    }

    fn cut(&self, mut random: Random, is_synced: bool) -> Plan {
        static CUTS: AtomicU64 = AtomicU64::new(0);
        let cut = CUTS.fetch_add(1, Ordering::SeqCst);
        let to = self.dir.with_extension(cut.to_string());
        crate::common::copy(&self.dir, &to);
        let wal = std::fs::read(self.dir.join("spool.db-wal")).unwrap_or_default();
        if !is_synced {
            let torn = torn(&self.synced_wal.lock().unwrap(), wal, &mut random);
            std::fs::write(to.join("spool.db-wal"), torn).unwrap();
        }
        Plan::Done(to, self.segments.photo(random.next()))
    }
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

/// Each sector that is not as it was synced is there or not. A file system may also have kept the length of before.
fn torn(synced: &[u8], mut wal: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let mut synced = synced.to_vec();
    // SQLite syncs a new header before it writes behind it.
    let header = HEADER.min(wal.len()).min(synced.len());
    synced[..header].copy_from_slice(&wal[..header]);
    let length = synced.len();
    synced.resize(wal.len().max(length), 0);
    for at in (0..wal.len()).step_by(SECTOR) {
        let end = (at + SECTOR).min(wal.len());
        if synced[at..end] != wal[at..end] && random.one_in(2) {
            wal[at..end].copy_from_slice(&synced[at..end]);
        }
    }
    if wal.len() > length && random.one_in(2) {
        let more = random.below((wal.len() - length) as u64 + 1) as usize;
        wal.truncate(length + more);
    }
    wal
}

fn fail(count: &AtomicU64) -> io::Result<()> {
    let left = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    match left {
        Ok(_) => Err(io::Error::other("the test wants it")),
        Err(_) => Ok(()),
    }
}

/// The spool holds the disk that it is given, and the test looks at the same one.
#[derive(Clone, Debug)]
pub(crate) struct Power(pub(crate) Arc<PowerDisk>);

impl Disk for Power {
    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.pass()?;
        std::fs::File::open(dir)?.sync_all()
    }

    fn before_fold(&self) -> io::Result<()> {
        self.0.pass()
    }

    fn before_commit(&self) -> io::Result<()> {
        fail(&self.0.before)?;
        self.0.pass()?;
        // Groups of these tests are small: SQLite writes nothing of one before it is committed.
        self.0.wal_is_synced();
        Ok(())
    }

    fn after_commit(&self) -> io::Result<()> {
        fail(&self.0.after)?;
        // It is called behind each sync, also behind those of segments.
        self.0.pass_and(|random| Some(random.one_in(2)))?;
        self.0.wal_is_synced();
        Ok(())
    }

    fn segments(&self, _: &Path) -> Arc<dyn faceway_segments::Disk> {
        Arc::new(PowerSegments(Arc::clone(&self.0)))
    }
}

#[derive(Debug)]
struct PowerSegments(Arc<PowerDisk>);

#[derive(Debug)]
struct PowerFile(Arc<PowerDisk>, Arc<dyn File>);

impl PowerSegments {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(PowerFile(Arc::clone(&self.0), file))
    }
}

impl faceway_segments::Disk for PowerSegments {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.segments.names()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.0.segments.open(name)?))
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn File>> {
        self.0.pass()?;
        Ok(self.file(self.0.segments.create(name, bytes)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.pass()?;
        self.0.segments.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.pass()?;
        self.0.segments.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.pass()?;
        self.0.segments.sync_names()
    }

    fn random(&self) -> u64 {
        self.0.segments.random()
    }
}

impl File for PowerFile {
    fn bytes(&self) -> io::Result<u64> {
        self.1.bytes()
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.1.read_at(into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.pass()?;
        self.1.write_at(bytes, at)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.pass()?;
        self.1.truncate(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass()?;
        self.1.sync()
    }
}

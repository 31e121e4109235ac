//! A disk in memory that can fail, be full, and lose what was not synced.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part of it, and ends by a panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use faceway_segments::{Disk, File};

/// What a drive writes as a whole.
const SECTOR: usize = 512;

/// Small random numbers that come again with their seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

#[derive(Debug)]
struct Inode {
    /// What every reader sees.
    current: Vec<u8>,
    /// What a power cut leaves.
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum Named {
    Put(String, Arc<Node>),
    Renamed(String, String),
    Removed(String),
}

#[derive(Debug)]
struct State {
    names: BTreeMap<String, Arc<Node>>,
    durable: BTreeMap<String, Arc<Node>>,
    /// Changes of names since they were synced, in their order.
    pending: Vec<Named>,
    random: Random,
    /// Operations left before one fails, and how many fail then.
    fails: Option<(u64, u64)>,
    space: u64,
    /// Whether it works for a moment as if nothing were wrong.
    is_quiet: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
    ops: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Node {
    inode: Mutex<Inode>,
    disk: FaultDisk,
}

impl FaultDisk {
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                names: BTreeMap::new(),
                durable: BTreeMap::new(),
                pending: Vec::new(),
                random: Random(seed),
                fails: None,
                space: u64::MAX,
                is_quiet: false,
            })),
            ops: Arc::default(),
            read: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Operations so far.
    pub fn ops(&self) -> u64 {
        self.ops.load(Ordering::Relaxed)
    }

    /// Bytes that were read so far.
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// After so many operations, so many fail.
    pub fn fail(&self, after: u64, times: u64) {
        self.lock().fails = Some((after, times));
    }

    /// Nothing fails meanwhile.
    pub fn quietly<T>(&self, work: impl FnOnce() -> T) -> T {
        self.lock().is_quiet = true;
        let done = work();
        self.lock().is_quiet = false;
        done
    }

    pub fn heal(&self) {
        let mut state = self.lock();
        state.fails = None;
        state.space = u64::MAX;
    }

    /// Leaves so many bytes free.
    pub fn leave(&self, bytes: u64) {
        let used = self.used();
        self.lock().space = used + bytes;
    }

    pub fn used(&self) -> u64 {
        let names = self.lock().names.clone();
        let bytes = names.values().map(|node| node.lock().current.len() as u64);
        bytes.sum()
    }

    /// What was not synced is lost, each sector and each name by chance. Files that are open are of no use afterwards.
    pub fn cut_power(&self) {
        let mut state = self.lock();
        let pending = std::mem::take(&mut state.pending);
        // A file system keeps their order.
        let kept = state.random.below(pending.len() as u64 + 1) as usize;
        let mut names = state.durable.clone();
        for change in &pending[..kept] {
            change.apply(&mut names);
        }
        for node in names.values() {
            node.lock().settle(&mut state.random);
        }
        state.durable.clone_from(&names);
        state.names = names;
    }

    /// Flips a bit of a file.
    pub fn flip(&self, name: &str, at: usize, bit: u32) {
        let node = Arc::clone(&self.lock().names[name]);
        let mut inode = node.lock();
        inode.current[at] ^= 1 << bit;
        if at < inode.durable.len() {
            inode.durable[at] ^= 1 << bit;
        }
    }

    pub fn bytes_of(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.names[name].lock().current.clone()
    }

    /// An equal disk of its own.
    pub fn copy(&self) -> Self {
        let copy = Self::new(7);
        for (name, node) in &self.lock().names {
            let bytes = node.lock().current.clone();
            let inode = Inode {
                durable: bytes.clone(),
                current: bytes,
                dirty: BTreeSet::new(),
            };
            let node = Arc::new(Node {
                inode: Mutex::new(inode),
                disk: copy.clone(),
            });
            copy.lock().names.insert(name.clone(), Arc::clone(&node));
            copy.lock().durable.insert(name.clone(), node);
        }
        copy
    }

    /// The disk as a power cut would leave it now, as a disk of its own. This one goes on.
    pub fn photo(&self, seed: u64) -> Self {
        let photo = Self::new(seed);
        let state = self.lock();
        let mut copies = BTreeMap::new();
        let mut copy = |node: &Arc<Node>| {
            let copied = copies.entry(Arc::as_ptr(node)).or_insert_with(|| {
                let inode = node.lock();
                let inode = Inode {
                    current: inode.current.clone(),
                    durable: inode.durable.clone(),
                    dirty: inode.dirty.clone(),
                };
                Arc::new(Node {
                    inode: Mutex::new(inode),
                    disk: photo.clone(),
                })
            });
            Arc::clone(copied)
        };
        let durable = state.durable.iter();
        let durable = durable.map(|(name, node)| (name.clone(), copy(node)));
        photo.lock().durable = durable.collect();
        for change in &state.pending {
            let change = match change {
                Named::Put(name, node) => Named::Put(name.clone(), copy(node)),
                other => other.clone(),
            };
            photo.lock().pending.push(change);
        }
        drop(state);
        photo.cut_power();
        photo
    }

    /// Every operation passes here.
    fn may(&self) -> io::Result<()> {
        self.ops.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        if state.is_quiet {
            return Ok(());
        }
        match &mut state.fails {
            Some((0, 0)) => state.fails = None,
            Some((0, times)) => {
                *times -= 1;
                return Err(io::Error::from_raw_os_error(5));
            }
            Some((after, _)) => *after -= 1,
            None => {}
        }
        Ok(())
    }

    fn has_space(&self, bytes: u64) -> io::Result<()> {
        let used = self.used();
        if used + bytes > self.lock().space {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn chance(&self, bound: u64) -> u64 {
        self.lock().random.below(bound)
    }
}

impl Named {
    fn apply(&self, names: &mut BTreeMap<String, Arc<Node>>) {
        match self {
            Self::Put(name, node) => {
                names.insert(name.clone(), Arc::clone(node));
            }
            Self::Renamed(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Disk for FaultDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.may()?;
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.may()?;
        let node = self.lock().names.get(name).cloned();
        Ok(node.ok_or(io::ErrorKind::NotFound)?)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn File>> {
        self.may()?;
        self.has_space(bytes)?;
        let inode = Inode {
            current: vec![0; bytes as usize],
            durable: Vec::new(),
            dirty: BTreeSet::new(),
        };
        let node = Arc::new(Node {
            inode: Mutex::new(inode),
            disk: self.clone(),
        });
        let change = Named::Put(name.into(), Arc::clone(&node));
        self.change(change);
        Ok(node)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may()?;
        if !self.lock().names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Named::Renamed(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may()?;
        if !self.lock().names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Named::Removed(name.into()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.may()?;
        let mut state = self.lock();
        state.durable = state.names.clone();
        state.pending.clear();
        Ok(())
    }

    fn random(&self) -> u64 {
        self.lock().random.next()
    }
}

impl FaultDisk {
    fn change(&self, change: Named) {
        let mut state = self.lock();
        change.apply(&mut state.names);
        state.pending.push(change);
    }
}

impl Inode {
    /// Each sector that was not synced is there or not.
    fn settle(&mut self, random: &mut Random) {
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            if random.one_in(2) {
                self.sync_sector(sector);
            }
        }
        self.current.clone_from(&self.durable);
    }

    fn sync_sector(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.current.len());
        if from < to {
            self.durable[from..to].copy_from_slice(&self.current[from..to]);
        }
    }
}

impl Node {
    fn lock(&self) -> MutexGuard<'_, Inode> {
        self.inode.lock().unwrap()
    }
}

impl File for Node {
    fn bytes(&self) -> io::Result<u64> {
        self.disk.may()?;
        Ok(self.lock().current.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        self.disk.may()?;
        let inode = self.lock();
        let from = (at as usize).min(inode.current.len());
        let bytes = into.len().min(inode.current.len() - from);
        into[..bytes].copy_from_slice(&inode.current[from..from + bytes]);
        self.disk.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let failed = self.disk.may();
        let part = match &failed {
            Ok(()) => bytes.len(),
            Err(_) => self.disk.chance(bytes.len() as u64 + 1) as usize,
        };
        let at = at as usize;
        let mut inode = self.lock();
        if inode.current.len() < at + part {
            inode.current.resize(at + part, 0);
        }
        inode.current[at..at + part].copy_from_slice(&bytes[..part]);
        inode
            .dirty
            .extend(at / SECTOR..(at + part).div_ceil(SECTOR));
        failed
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.may()?;
        let mut inode = self.lock();
        inode.current.resize(bytes as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        if let Err(error) = self.disk.may() {
            // Linux drops what it could not write: the next sync says nothing of it.
            let mut inode = self.lock();
            let current = inode.current.clone();
            let mut random = Random(self.disk.chance(u64::MAX));
            inode.settle(&mut random);
            inode.current = current;
            return Err(error);
        }
        let mut inode = self.lock();
        let bytes = inode.current.len();
        inode.durable.resize(bytes, 0);
        for sector in std::mem::take(&mut inode.dirty) {
            inode.sync_sector(sector);
        }
        Ok(())
    }
}

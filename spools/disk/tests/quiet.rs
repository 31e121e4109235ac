//! A disk that fails writes few lines into the log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{FaultDisk, HandClock, append, settings};
use faceway_core::Log as _;
use faceway_spool_disk::DiskSpool;
use faceway_testkit::spool::event;
use tracing::span;

/// Counts lines.
struct Counting(Arc<AtomicU64>);

impl tracing::Subscriber for Counting {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_disk_that_fails_does_not_flood_the_log() {
    let lines = Arc::new(AtomicU64::new(0));
    tracing::subscriber::set_global_default(Counting(Arc::clone(&lines))).unwrap();
    let (dir, disk) = (tempfile::tempdir().unwrap(), FaultDisk::new());
    let spool = DiskSpool::open_on(
        settings(dir.path()),
        HandClock::new(),
        Arc::clone(&disk) as _,
    )
    .await
    .unwrap();
    let before = lines.load(Ordering::SeqCst);
    for n in 1..=300 {
        // It fails and works in turns, before and after the commit, and folding fails too.
        disk.before.store(u64::from(n % 3 == 0), Ordering::SeqCst);
        disk.after.store(u64::from(n % 3 == 1), Ordering::SeqCst);
        disk.fold.store(u64::from(n % 4 == 0), Ordering::SeqCst);
        let _ = append(&spool, vec![event(n, n)]).await;
    }
    let told = lines.load(Ordering::SeqCst) - before;
    assert!((3..=20).contains(&told), "{told} lines for 300 groups");
    spool.close().await;
}

//! The start: on a full disk, in a new directory, after a crash of the writer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::{HandClock, HandLane, Loop, append, big, settings};
use faceway_core::{AppendError, Log as _};
use faceway_spool_disk::{Disk, DiskSettings, DiskSpool, OpenError, RealDisk};
use faceway_testkit::spool::event;

/// Writes into a file until the file system has no block left.
fn fill_up(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    for size in [1 << 20, 4096, 1024] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

async fn open(dir: &Path) -> Result<DiskSpool, OpenError> {
    let settings = DiskSettings {
        bytes_max: 64 << 20,
        quarantine_bytes_max: 8 << 20,
        ..settings(dir)
    };
    DiskSpool::open(settings, HandClock::new()).await
}

/// Fills the spool and the disk behind it, so that the ballast is used up.
async fn fill(spool: &DiskSpool, filler: &Path, ballast: &Path) -> u64 {
    let mut kept = 0;
    for n in 1.. {
        if n == 100 {
            fill_up(filler);
        }
        match append(spool, vec![big(n, n % 5, 5000)]).await {
            Ok(_) => kept = n,
            Err(AppendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    std::fs::remove_file(ballast).unwrap();
    fill_up(filler);
    kept
}

#[tokio::test]
async fn starts_on_a_full_disk_and_delivers_when_the_reserve_is_used_up() {
    // With small blocks a hole of the log's index may find no room when it is written to.
    let cases = [
        (true, "4096"),
        (false, "4096"),
        (true, "1024"),
        (false, "1024"),
    ];
    for (stopped, blocks) in cases {
        let disk = match Loop::mount_with_blocks(48, blocks) {
            Ok(disk) => disk,
            Err(reason) => {
                return println!("skipped: no file system can be mounted here ({reason})");
            }
        };
        let (dir, filler) = (disk.at().join("spool"), disk.at().join("filler"));
        let spool = open(&dir).await.unwrap();
        HandLane::claim(&spool, "erp").await;
        let kept = fill(&spool, &filler, &dir.join("ballast")).await;
        if stopped {
            spool.close().await;
        }
        drop(spool);
        // What the end has left free is taken by others.
        fill_up(&filler);
        let spool = open(&dir).await.unwrap();
        assert_eq!(
            append(&spool, vec![event(9000, 1)]).await,
            Err(AppendError::Full)
        );
        let delivered = HandLane::claim(&spool, "erp").await.deliver(&spool).await;
        assert_eq!(
            delivered,
            (1..=kept).collect::<Vec<_>>(),
            "stopped: {stopped}"
        );
        spool.close().await;
        drop(spool);
        fill_up(&filler);
        let spool = open(&dir).await.unwrap();
        let again = HandLane::claim(&spool, "erp").await.deliver(&spool).await;
        assert_eq!(again, [0; 0], "acknowledgements were durable");
        std::fs::remove_file(&filler).unwrap();
        while append(&spool, vec![event(9000, 1)]).await.is_err() {}
        assert!(dir.join("ballast").exists() && dir.join("start-reserve").exists());
        spool.close().await;
    }
}

#[tokio::test]
async fn a_disk_without_any_room_is_told_in_its_own_words() {
    let disk = match Loop::mount(48) {
        Ok(disk) => disk,
        Err(reason) => return println!("skipped: no file system can be mounted here ({reason})"),
    };
    let (dir, filler) = (disk.at().join("spool"), disk.at().join("filler"));
    fill_up(&filler);
    let told = |refused: Result<DiskSpool, OpenError>| {
        let refused = refused.map(|_| ()).unwrap_err().to_string();
        assert!(
            refused.contains("the disk is full: free 4 MB at"),
            "{refused}"
        );
        assert!(refused.contains("nothing is lost"), "{refused}");
    };
    told(open(&dir).await);
    std::fs::remove_file(&filler).unwrap();
    let spool = open(&dir).await.unwrap();
    append(&spool, vec![event(1, 1)]).await.unwrap();
    spool.close().await;
    drop(spool);
    for reserve in ["ballast", "start-reserve"] {
        std::fs::remove_file(dir.join(reserve)).unwrap();
    }
    fill_up(&filler);
    told(open(&dir).await);
    std::fs::remove_file(&filler).unwrap();
    let spool = open(&dir).await.unwrap();
    let mut lane = HandLane::claim(&spool, "erp").await;
    assert_eq!(lane.deliver(&spool).await, [1]);
    spool.close().await;
}

/// Notes which directories were made durable.
#[derive(Default)]
struct Noting(Mutex<Vec<PathBuf>>);

impl Disk for Noting {
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.0.lock().unwrap().push(dir.to_owned());
        RealDisk.sync_dir(dir)
    }
}

/// On a file system where the sync of a file does not keep its new folder, a power cut took all of it away.
#[tokio::test]
async fn every_folder_that_is_made_is_durable_before_events_are() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("a/b/spool");
    let disk = Arc::new(Noting::default());
    let spool = DiskSpool::open_on(settings(&dir), HandClock::new(), Arc::clone(&disk) as _)
        .await
        .unwrap();
    let synced = disk.0.lock().unwrap().clone();
    let expected = [
        above.path(),
        &above.path().join("a"),
        &above.path().join("a/b"),
        &dir,
    ];
    for dir in expected {
        assert!(
            synced.iter().any(|synced| synced == dir),
            "{dir:?} of {synced:?}"
        );
    }
    spool.close().await;
}

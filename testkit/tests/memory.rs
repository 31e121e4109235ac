//! The memory engine keeps the contracts, so they are free of any engine.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use faceway_testkit::memory::MemoryDisk;
use faceway_testkit::spool::{LaneEngine, Open, lanes, log};

#[tokio::test]
async fn keeps_the_contracts_of_log_and_lanes() {
    let disks: Arc<Mutex<HashMap<PathBuf, MemoryDisk>>> = Arc::default();
    let open: Box<Open<dyn LaneEngine>> = Box::new(move |dir| {
        let disk = disks.lock().unwrap().entry(dir).or_default().clone();
        Box::pin(async move { Ok(disk.open() as _) })
    });
    log::all(&*open).await.unwrap();
    lanes::all(&*open).await.unwrap();
}

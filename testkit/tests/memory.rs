//! The memory engine keeps the contracts, so they are free of any engine.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use faceway_testkit::lanes::{self, OpenStore};
use faceway_testkit::memory::MemoryDisk;

#[tokio::test]
async fn keeps_the_contract_of_lanes() {
    let disks: Arc<Mutex<HashMap<PathBuf, MemoryDisk>>> = Arc::default();
    let open: Box<OpenStore> = Box::new(move |dir| {
        let disk = disks.lock().unwrap().entry(dir).or_default().clone();
        Box::pin(async move { Ok(disk.open() as _) })
    });
    lanes::all(&*open).await.unwrap();
}

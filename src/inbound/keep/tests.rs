//! Reading again from quarantine: of a batch that was kept whole, by a version that took none apart, what can be read now
//! is kept, and what still cannot goes back by itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{Clock, Outcome, Settings, SystemClock};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use http::HeaderMap;

use super::{Inbound, Intake};
use crate::inbound::{BodyMemory, Unpacking};

async fn inbound(dir: &std::path::Path) -> Inbound {
    let hour = Duration::from_secs(3600);
    let settings = DiskSettings {
        dir: dir.join("data"),
        bytes_max: 1 << 30,
        free_min: 0,
        history: hour,
        images: hour,
        quarantine: hour,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let spool = DiskSpool::open(settings, Arc::clone(&clock)).await.unwrap();
    let spool: Arc<dyn Intake> = Arc::new(spool);
    let mut adapters = faceway_adapters::all().into_iter();
    let adapter = adapters
        .find(|adapter| adapter.name() == "findface")
        .unwrap();
    let unpacking = Unpacking::new(1 << 20, BodyMemory::new(1 << 20, 2 << 20));
    Inbound::new(
        "city",
        Arc::from(adapter),
        Settings::default(),
        spool,
        clock,
        unpacking,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_read_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let inbound = inbound(dir.path()).await;
    let again = async |body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        inbound
            .keep_again(&HeaderMap::new(), &body, SystemClock.now())
            .await
    };
    let good =
        r#"[{"webhook_type":"face_events","id":"1"},{"webhook_type":"face_events","id":'2'}]"#;
    let kept = again(good).await.unwrap();
    assert_eq!(kept.outcome, Outcome::Kept);
    assert_eq!((kept.stored, kept.quarantined), (1, 1));
    // Nothing of it can be read: it stays where it is, and does not go round in circles.
    let reason = again(r#"{"webhook_type":"face_events","id":'2'}"#)
        .await
        .unwrap_err();
    assert!(reason.starts_with("not JSON"), "{reason}");
}

//! Reading again from quarantine: of a batch that was kept whole, by a version that took none apart, what can be read now
//! is kept, and what still cannot goes back by itself. And the memory that packed bodies take.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{Arrival, Batch, Clock, Outcome, Settings, SystemClock, TraceContext};
use faceway_spool_disk::{DiskSettings, DiskSpool};
use http::header::{CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};

use super::{Earlier, Inbound, Intake};
use crate::context::Context;
use crate::memory::BodyMemory;

async fn inbound(dir: &std::path::Path, memory: BodyMemory) -> Inbound {
    inbound_with_quarantine(dir, memory, 1 << 27).await
}

async fn inbound_with_quarantine(
    dir: &std::path::Path,
    memory: BodyMemory,
    quarantine_bytes_max: u64,
) -> Inbound {
    let hour = Duration::from_secs(3600);
    let settings = DiskSettings {
        dir: dir.join("data"),
        bytes_max: 1 << 30,
        free_min: 0,
        history: hour,
        images: hour,
        quarantine: hour,
        quarantine_bytes_max,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let spool = DiskSpool::open(settings, Arc::clone(&clock)).await.unwrap();
    let spool = Arc::new(spool);
    let mut context = Context::for_tests(&spool, clock);
    context.memory = memory;
    let mut adapters = faceway_adapters::all().into_iter();
    let adapter = adapters
        .find(|adapter| adapter.name() == "findface")
        .unwrap();
    Inbound::new(
        "city",
        Arc::from(adapter),
        Settings::default(),
        spool as Arc<dyn Intake>,
        &context,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_read_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let inbound = inbound(dir.path(), BodyMemory::new(1 << 20, 2 << 20)).await;
    let again = async |body: &'static str| {
        let body = Bytes::from_static(body.as_bytes());
        inbound
            .ingest_again(&HeaderMap::new(), &body, SystemClock.now())
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

/// Every event of a push has its trace, also when it is read again from quarantine, by the headers that are kept there.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_push_brings_has_its_trace() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let dir = tempfile::tempdir().unwrap();
    let inbound = inbound(dir.path(), BodyMemory::new(1 << 20, 2 << 20)).await;
    let hear = |headers: &HeaderMap| {
        let arrival = Arrival {
            headers,
            peer: None,
            body: br#"[{"webhook_type":"face_events","id":"1"},{"webhook_type":"face_events","id":"2"},{"id":'3'}]"#,
        };
        let heard = inbound.hear(&arrival, SystemClock.now(), &mut Earlier::default());
        heard.unwrap_or_else(|_| panic!("it can be read")).batch
    };
    let traces = |batch: &Batch| {
        let events = batch.events.iter();
        let contexts =
            events.map(|event| event.trace_context.as_ref().map(TraceContext::as_stored));
        contexts
            .map(|text| text.map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let headers = HeaderMap::from_iter([
        (
            HeaderName::from_static("traceparent"),
            HeaderValue::from_static(parent),
        ),
        (
            HeaderName::from_static("tracestate"),
            HeaderValue::from_static("gate=1"),
        ),
    ]);
    let batch = hear(&headers);
    let expected = vec![Some(format!("{parent}\ngate=1")); 2];
    assert_eq!(traces(&batch), expected);
    let kept: BTreeMap<String, String> =
        serde_json::from_str(batch.unreadable[0].headers.reveal()).unwrap();
    let kept = kept.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    });
    assert_eq!(traces(&hear(&kept.collect())), expected);
    assert_eq!(traces(&hear(&HeaderMap::new())), [None, None]);
}

/// A body as `Content-Encoding: gzip` has it.
fn gzip(body: &[u8]) -> Bytes {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(body).unwrap();
    writer.finish().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_takes_memory_only_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let memory = BodyMemory::new(1 << 20, 1 << 20);
    let inbound = inbound(dir.path(), memory.clone()).await;
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    let element = r#"{"webhook_type":"face_events","id":"1"}"#;
    let body = gzip(format!("[{element}{}]", " ".repeat(700 << 10)).as_bytes());
    let keep = async || inbound.keep(&headers, None, &body).await.outcome;
    // Two of them together would find no room.
    for _ in 0..3 {
        assert_eq!(keep().await, Outcome::Kept);
    }
    let others = memory.wait(700 << 10).await;
    assert_eq!(keep().await, Outcome::Busy);
    drop(others);
    assert_eq!(keep().await, Outcome::Kept);
}

/// One element that cannot be read costs itself, also where quarantine has no room for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_is_kept_where_quarantine_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let memory = BodyMemory::new(1 << 20, 2 << 20);
    // One inbound's half is smaller than what any body takes up.
    let inbound = inbound_with_quarantine(dir.path(), memory, 100).await;
    let record = |id: &str| format!(r#"{{"webhook_type":"face_events","id":{id}}}"#);
    let push = async |body: String| {
        let kept = inbound
            .keep(&HeaderMap::new(), None, &Bytes::from(body))
            .await;
        (kept.outcome, kept.stored, kept.duplicates, kept.quarantined)
    };
    let junk = "'2'";
    assert_eq!(push(record(junk)).await, (Outcome::Busy, 0, 0, 0));
    let mixed = format!("[{},{}]", record("\"1\""), record(junk));
    assert_eq!(push(mixed.clone()).await, (Outcome::Busy, 1, 0, 0));
    assert_eq!(
        push(mixed).await,
        (Outcome::Busy, 0, 1, 0),
        "sent again, as it was told"
    );
    assert_eq!(push(record("\"3\"")).await, (Outcome::Kept, 1, 0, 0));
    // A stream cannot be told to send again: it goes on behind what is left out.
    let messages = [record(junk), record("\"4\"")].map(Bytes::from);
    assert_eq!(inbound.keep_all(None, &messages).await, Outcome::Kept);
    assert_eq!(push(record("\"4\"")).await, (Outcome::Kept, 0, 1, 0));
}

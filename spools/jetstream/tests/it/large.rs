//! What is too large for one message, and what is damaged.

use bytes::Bytes;
use faceway_core::{
    Batch, Burial, BuriedChoice, Code, History as _, LaneChange, LaneStore as _, Log as _,
    NewEvent, NewUnreadable, Page, Picture, Private, ReadMax, Sha256, Start,
};
use faceway_testkit::spool::{event, id, time};

use crate::common::{Site, append};

fn noise(bytes: usize, seed: u8) -> Bytes {
    let mut state = u32::from(seed) + 1;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..bytes).map(byte).collect()
}

fn large(n: u64, bytes: usize) -> NewEvent {
    NewEvent {
        body: Private::new(noise(bytes, n as u8)),
        ..event(n, 1)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_come_back_from_log_lane_and_quarantine() {
    let site = Site::new().await;
    let spool = site.open("gw-1").await;
    let sizes = [512 * 1024, 512 * 1024 + 1, 2_000_000];
    let events = (1..).zip(sizes).map(|(n, bytes)| large(n, bytes)).collect();
    let headers = format!("{{\"x\":\"{}\"}}", "x".repeat(100_000));
    let unreadable = NewUnreadable {
        inbound: "gate".into(),
        received_at: time(1),
        reason: "not JSON".into(),
        // The servers take no 64 KiB of headers beside a message.
        headers: Private::new(headers.clone()),
        body: Private::new(noise(1_500_000, 9)),
    };
    let batch = Batch {
        events,
        unreadable: vec![unreadable],
        ..Batch::default()
    };
    let receipts = spool.append(batch).await.unwrap();
    let seqs: Vec<u64> = receipts.iter().filter_map(|it| it.seq()).collect();
    let max = ReadMax {
        entries: 10,
        bytes: 1,
    };
    let fetched = spool.fetch(seqs.clone()).await.unwrap();
    for (n, bytes) in (1..).zip(sizes) {
        let stretch = spool.read(seqs[n - 1] - 1, u64::MAX, max).await.unwrap();
        let read = stretch.entries.first().expect("it is there");
        let fetched = fetched[n - 1].as_ref().expect("it is there");
        for entry in [read, fetched] {
            assert_eq!(entry.body.reveal()[..], noise(bytes, n as u8)[..]);
        }
    }
    // A lane's copy outlives the log, the pieces among them.
    let (claim, _) = spool.claim("a.b c", Start::Oldest).await.unwrap();
    let burial = Burial {
        at: time(9),
        code: Code::status(422),
        failures: 1,
    };
    let change = LaneChange {
        burials: vec![(seqs[2], Some(burial))],
        ..LaneChange::default()
    };
    assert_eq!(spool.commit(&claim, change).await, Ok(1));
    let purge = format!("STREAM.PURGE.FW_{}_BLOBS", site.name);
    crate::common::api(&site.nats, &purge, "").await;
    let buried = spool.buried_event(id(3), None).await.unwrap();
    assert_eq!(buried[0].body.reveal()[..], noise(2_000_000, 3)[..]);
    let places = spool.buried_places(BuriedChoice::default()).await.unwrap();
    assert_eq!(places[0].lane, "a.b c");
    let listed = spool.quarantine(Page::first(9)).await.unwrap();
    assert_eq!(listed[0].bytes, 1_500_000);
    assert_eq!(*listed[0].headers.reveal(), headers);
    let whole = spool.quarantined(listed[0].number).await.unwrap();
    assert_eq!(
        whole.expect("it is there").body.reveal()[..],
        noise(1_500_000, 9)[..]
    );
    assert_eq!(spool.drop_quarantined(None).await.unwrap(), 1);
    let info = format!("STREAM.INFO.FW_{}_QUARANTINE", site.name);
    let info = crate::common::api(&site.nats, &info, "").await;
    assert_eq!(info["state"]["messages"], 0, "no piece stays");
    spool.close().await;
}

/// Publishes as another program would, with a checksum that does not fit.
async fn overwrite(site: &Site, subject: &str, headers: &[(&str, &str)]) {
    let client = async_nats::connect(site.nats.urls()).await.unwrap();
    let mut map = async_nats::HeaderMap::new();
    map.insert("Fw-Crc", "00000000");
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    let request = async_nats::Request::new()
        .headers(map)
        .payload("damaged".into());
    let subject = format!("fw.{}.{subject}", site.name);
    let answer = client.send_request(subject, request).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.payload).contains("\"seq\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_event_costs_itself_alone() {
    let site = Site::new().await;
    let spool = site.open("gw-1").await;
    let before = append(&spool, [1]).await[0];
    let id = id(2).to_string();
    let headers = [("Nats-Msg-Id", &*id), ("Fw-At", "1790000000000")];
    overwrite(&site, "ev.0.0000000000000001", &headers).await;
    let after = append(&spool, [3]).await[0];
    assert_eq!(after, before + 2);
    assert_eq!(crate::common::kept(&spool).await, [1, 3]);
    assert!(spool.fetch(vec![before + 1]).await.unwrap()[0].is_none());
    spool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_picture_is_none() {
    let site = Site::new().await;
    let spool = site.open("gw-1").await;
    let bytes = noise(1_200_000, 5);
    let sha256 = Sha256::of(&bytes);
    let mut one = event(1, 1);
    one.images = vec![sha256];
    let batch = Batch {
        events: vec![one],
        pictures: vec![Picture {
            sha256,
            media_type: None,
            bytes: Private::new(bytes.clone()),
        }],
        ..Batch::default()
    };
    spool.append(batch).await.unwrap();
    let kept = spool.picture(sha256).await.unwrap().expect("it is there");
    assert_eq!(kept.reveal()[..], bytes[..]);
    let piece = format!("blob.{sha256}.1");
    overwrite(&site, &piece, &[("Fw-Pieces", "3")]).await;
    assert!(spool.picture(sha256).await.unwrap().is_none());
    spool.close().await;
}

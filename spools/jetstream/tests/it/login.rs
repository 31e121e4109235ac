//! Who the gateway is to the servers, and what it may do there.

use std::sync::Arc;

use faceway_core::{
    Batch, Duties as _, Duty, History as _, LaneChange, LaneStore as _, Log as _, NewUnreadable,
    Page, Picture, Private, Sha256, Start,
};
use faceway_spool_jetstream::Credentials;
use faceway_testkit::broker::nats::{Nats, Options};
use faceway_testkit::spool::{event, time};

use crate::common::{Site, name, open};

/// A key pair of the servers' documents.
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

/// What `README.md` says that a user of a shared account needs.
fn permissions(site: &str) -> String {
    let stream = |name: &str| format!("FW_{site}_{name}");
    let all = [
        "EVENTS",
        "BLOBS",
        "STATE",
        "LANES",
        "ATTEMPTS",
        "QUARANTINE",
        "MEMBERS",
    ]
    .map(stream);
    let mut publish = vec![
        format!("fw.{site}.>"),
        "$JS.API.INFO".into(),
        "$JS.FC.>".into(),
    ];
    for stream in &all {
        publish.push(format!("$JS.API.STREAM.*.{stream}"));
        publish.push(format!("$JS.API.STREAM.MSG.*.{stream}"));
    }
    for stream in ["EVENTS", "BLOBS"].map(stream) {
        publish.push(format!("$JS.API.DIRECT.GET.{stream}"));
        publish.push(format!("$JS.API.DIRECT.GET.{stream}.>"));
    }
    for stream in ["EVENTS", "ATTEMPTS", "QUARANTINE"].map(stream) {
        publish.push(format!("$JS.API.CONSUMER.CREATE.{stream}.>"));
        publish.push(format!("$JS.API.CONSUMER.DELETE.{stream}.>"));
    }
    let subscribe = [
        "_INBOX.>".into(),
        format!("fw.{site}.ping.*"),
        format!("fw.{site}.ask.*"),
    ];
    format!(
        "permissions: {{ publish: {{ allow: {publish:?} }}, subscribe: {{ allow: {subscribe:?} }}, allow_responses: true }}"
    )
}

/// Everything that a gateway does, with these permissions and no others; by a password, and by an nkey.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_needs_no_more_than_is_written() {
    let site = name();
    let may = permissions(&site);
    let options = Options {
        users: vec![
            format!("{{ user: gateway, password: invented, {may} }}"),
            format!("{{ nkey: {KEY}, {may} }}"),
        ],
        ..Options::single()
    };
    let nats = Arc::new(Nats::start(options).await);
    let site = Site {
        name: site,
        ..Site::on(nats)
    };
    let by_password = Credentials::Password("gateway".into(), Private::new("invented".into()));
    let by_nkey = Credentials::Nkey(Private::new(SEED.into()));
    for (n, credentials) in (0..).zip([by_password, by_nkey]) {
        let mut settings = site.settings("gw-1");
        settings.credentials = credentials.clone();
        let spool = open(settings).await.unwrap();
        let bytes = bytes::Bytes::from(vec![n as u8; 700_000]);
        let sha256 = Sha256::of(&bytes);
        let mut one = event(n, 1);
        one.images = vec![sha256];
        let batch = Batch {
            events: vec![one, event(n + 10, 1)],
            pictures: vec![Picture {
                sha256,
                media_type: None,
                bytes: Private::new(bytes),
            }],
            unreadable: vec![NewUnreadable {
                received_at: time(n),
                ..faceway_testkit::spool::unreadable("gate", "x")
            }],
        };
        let receipts = spool.append(batch).await.unwrap();
        let seq = receipts[1].seq().expect("it is new");
        assert!(spool.picture(sha256).await.unwrap().is_some());
        assert!(spool.fetch(vec![seq]).await.unwrap()[0].is_some());
        let rules = spool.rules().await.unwrap();
        let version = rules.map_or(0, |rules| rules.mark.version);
        spool.append_rules("x".into(), version).await.unwrap();
        spool.secret("link").await.unwrap();
        let (claim, _) = spool.claim("erp", Start::Oldest).await.unwrap();
        let attempt =
            faceway_testkit::spool::attempt(time(n), faceway_core::AttemptResult::Retry, "500");
        let change = LaneChange {
            routed_through: seq,
            attempts: vec![(seq, attempt)],
            ..LaneChange::default()
        };
        spool.commit(&claim, change).await.unwrap();
        let trace = spool
            .trace(event(n + 10, 1).id)
            .await
            .unwrap()
            .expect("known");
        assert_eq!(trace.lanes.len(), 1);
        let listed = spool.quarantine(Page::first(1)).await.unwrap();
        assert!(spool.quarantined(listed[0].number).await.unwrap().is_some());
        assert_eq!(spool.drop_quarantined(None).await.unwrap(), 1);
        assert!(spool.delete("erp").await.unwrap());
        let duty = Duty::Lane("erp".into());
        let held = spool.take(duty.clone()).await;
        let mut settings = site.settings("gw-2");
        settings.credentials = credentials;
        let other = open(settings).await.unwrap();
        let (answer, ()) = tokio::join!(other.ask(&duty, "ready?".into()), async {
            let question = spool.asked().await;
            (question.answer)("yes".into());
        });
        assert_eq!(&answer.unwrap()[..], b"yes");
        assert_eq!(other.site().await.unwrap().unwrap().members.len(), 2);
        other.close().await;
        held.release().await;
        spool.close().await;
    }
}

//! What the start proves, and how it refuses.

use std::sync::Arc;

use faceway_core::{Log as _, Private};
use faceway_spool_jetstream::{Credentials, Durability, OpenError};
use faceway_testkit::broker::nats::{Nats, Options, SYSTEM_USER};

use crate::common::{Site, api, append, open};

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_sync_are_refused() {
    let options = Options {
        sync: false,
        ..Options::single()
    };
    let site = Site::on(Arc::new(Nats::start(options).await));
    let refused = open(site.settings("gw-1")).await.err().expect("refused");
    let text = refused.to_string();
    assert!(
        text.contains("nats-1") && text.contains("jetstream { sync_interval: always }"),
        "{text}"
    );
    let mut relaxed = site.settings("gw-1");
    relaxed.durability = Durability::Relaxed;
    relaxed.monitor.clear();
    let spool = open(relaxed).await.unwrap();
    append(&spool, [1]).await;
    spool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_must_be_named() {
    let site = Site::new().await;
    let mut settings = site.settings("gw-1");
    settings.monitor.clear();
    let text = open(settings.clone())
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(
        text.contains("spool.jetstream.monitor") && text.contains("durability = \"relaxed\""),
        "{text}"
    );
    settings.monitor = site.nats.monitors()[..2].to_vec();
    let text = open(settings).await.err().expect("refused").to_string();
    assert!(text.contains("spool.jetstream.monitor"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn weakened_streams_are_refused() {
    let site = Site::new().await;
    site.open("gw-1").await.close().await;
    for (stream, weakened, named) in [
        ("STATE", r#""allow_direct": true"#, "allow_direct"),
        ("EVENTS", r#""max_age": 3600000000000"#, "max_age"),
        ("LANES", r#""discard": "old""#, "discard"),
    ] {
        let name = format!("FW_{}_{stream}", site.name);
        let info = api(&site.nats, &format!("STREAM.INFO.{name}"), "").await;
        let good = info["config"].clone();
        let patch = format!("{{ {weakened} }}");
        let patch: serde_json::Value = serde_json::from_str(&patch).unwrap();
        let mut bad = good.clone();
        for (key, value) in patch.as_object().unwrap() {
            bad[key] = value.clone();
        }
        let update = format!("STREAM.UPDATE.{name}");
        let updated = api(&site.nats, &update, &bad.to_string()).await;
        assert!(updated["error"].is_null(), "{updated}");
        let refused = open(site.settings("gw-1")).await.err().expect("refused");
        let text = refused.to_string();
        assert!(matches!(refused, OpenError::Refused(_)), "{text}");
        assert!(text.contains(&name) && text.contains(named), "{text}");
        let updated = api(&site.nats, &update, &good.to_string()).await;
        assert!(updated["error"].is_null(), "{updated}");
    }
    site.open("gw-1").await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ages_follow_the_settings() {
    let site = Site::new().await;
    site.open("gw-1").await.close().await;
    let mut settings = site.settings("gw-1");
    settings.quarantine /= 2;
    open(settings.clone()).await.unwrap().close().await;
    let info = format!("STREAM.INFO.FW_{}_QUARANTINE", site.name);
    let info = api(&site.nats, &info, "").await;
    let nanos = settings.quarantine.as_nanos() as u64;
    assert_eq!(info["config"]["max_age"], nanos);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let site = Site::new().await;
    let mut settings = site.settings("gw-1");
    settings.site = "a.b".into();
    let text = open(settings.clone())
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(text.contains("site") && text.contains("letters"), "{text}");
    settings.site = "a".into();
    settings.replicas = 2;
    let text = open(settings.clone())
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(text.contains("replicas"), "{text}");
    settings.replicas = 3;
    settings.append_timeout = settings.dedup_window;
    let text = open(settings).await.err().expect("refused").to_string();
    assert!(text.contains("append_timeout"), "{text}");
}

/// Where the monitoring addresses are closed, a user of the system account proves the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_system_account_proves_the_servers() {
    let site = Site::new().await;
    let mut settings = site.settings("gw-1");
    settings.monitor.clear();
    let (user, password) = SYSTEM_USER;
    let password = Private::new(password.to_owned());
    settings.system = Credentials::Password(user.to_owned(), password);
    open(settings).await.unwrap().close().await;
    let options = Options {
        sync: false,
        ..Options::single()
    };
    let lazy = Site::on(Arc::new(Nats::start(options).await));
    let mut settings = lazy.settings("gw-1");
    settings.monitor.clear();
    let password = Private::new(SYSTEM_USER.1.to_owned());
    settings.system = Credentials::Password(user.to_owned(), password);
    let text = open(settings).await.err().expect("refused").to_string();
    assert!(
        text.contains("nats-1") && text.contains("sync_interval"),
        "{text}"
    );
}

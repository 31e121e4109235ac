//! The contracts' own suite, on three servers.

use std::path::PathBuf;
use std::sync::Arc;

use faceway_testkit::broker::nats::{Nats, Options};
use faceway_testkit::spool::{Engine, Open, all, history, lanes, log};
use tokio::sync::Mutex;

use crate::common::{name, open, remove, settings};

/// Each directory is a gateway of a site of its own. The site of the directory before is removed.
fn factory(nats: Arc<Nats>) -> Box<Open<dyn Engine>> {
    let at: Arc<Mutex<Option<(PathBuf, String)>>> = Arc::default();
    Box::new(move |dir| {
        let (nats, at) = (Arc::clone(&nats), Arc::clone(&at));
        Box::pin(async move {
            let mut at = at.lock().await;
            if at.as_ref().is_none_or(|(before, _)| *before != dir) {
                if let Some((_, site)) = at.take() {
                    remove(&nats, &site).await;
                }
                *at = Some((dir.clone(), name()));
            }
            let site = at.as_ref().map(|(_, site)| site.clone());
            let settings = settings(&nats, &site.unwrap_or_default(), &dir);
            Ok(Arc::new(open(settings).await?) as _)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_the_log() {
    log::all(&*factory(Nats::shared().await)).await.unwrap();
}

#[tokio::test]
async fn keeps_the_contract_of_lanes() {
    lanes::all(&*factory(Nats::shared().await)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_the_history() {
    history::all(&*factory(Nats::shared().await)).await.unwrap();
}

#[tokio::test]
async fn keeps_the_contracts_on_one_server() {
    let nats = Arc::new(Nats::start(Options::single()).await);
    all(&*factory(nats)).await.unwrap();
}

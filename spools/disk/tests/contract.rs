//! The contracts' own suite.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::sync::Arc;

use common::open;
use faceway_testkit::spool::{Engine, Open, all};

fn factory() -> Box<Open<dyn Engine>> {
    Box::new(|dir| {
        Box::pin(async move {
            let spool = open(&dir).await?;
            Ok(Arc::new(spool) as _)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contracts() {
    all(&*factory()).await.unwrap();
}

#[tokio::test]
async fn keeps_the_contracts_on_one_thread() {
    all(&*factory()).await.unwrap();
}

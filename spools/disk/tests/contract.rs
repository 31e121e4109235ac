//! The contract's own suite.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends by a panic"
)]

mod common;

use std::sync::Arc;

use common::open;
use faceway_testkit::lanes::{self, OpenStore};
use faceway_testkit::spool::{Open, all, random_walk};

fn factory() -> Box<Open> {
    Box::new(|dir| {
        Box::pin(async move {
            let spool = open(&dir).await?;
            Ok(Arc::new(spool) as _)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    all(&*factory()).await.unwrap();
}

#[tokio::test]
async fn keeps_the_contract_on_one_thread() {
    all(&*factory()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn walks_at_random() {
    for seed in 100..106 {
        let walked = random_walk(&*factory(), seed, 600).await;
        walked.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    }
}

fn lane_factory() -> Box<OpenStore> {
    Box::new(|dir| {
        Box::pin(async move {
            let spool = open(&dir).await?;
            Ok(Arc::new(spool) as _)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract_of_lanes() {
    lanes::all(&*lane_factory()).await.unwrap();
}

#[tokio::test]
async fn keeps_the_contract_of_lanes_on_one_thread() {
    lanes::all(&*lane_factory()).await.unwrap();
}

//! One look at the gateway.

use std::time::{Duration, Instant};

use faceway::api::Overview;

use super::counters::Counters;
use crate::cli::Failure;
use crate::cli::admin::Admin;

/// A gateway that takes longer is shown as gone until it answers.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What a look has seen.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) taken: Instant,
    pub(super) overview: Overview,
    pub(super) counters: Counters,
}

/// Looks once.
pub(super) async fn poll(admin: &Admin) -> Result<Sample, Failure> {
    let asked = async { tokio::try_join!(admin.get("overview", &[]), admin.metrics()) };
    let (overview, metrics) = tokio::time::timeout(ANSWER_MAX, asked)
        .await
        .map_err(|_| {
            let seconds = ANSWER_MAX.as_secs();
            Failure::trouble(format!("the gateway did not answer within {seconds}s"))
        })??;
    Ok(Sample {
        taken: Instant::now(),
        overview,
        counters: Counters::read(&metrics),
    })
}

//! `faceway health`: for what watches over the process from outside, such as a container's health check.

use std::time::Duration;

use clap::Args;

use super::admin::AdminArgs;
use super::{Ended, Failure, Streams, block_on};

/// Longer than a gateway takes that is well.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Whether the running gateway can keep events: exit code 0 when it can, else 1.
///
/// It asks /readyz, which also says no when the spool is full. It needs no token.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  faceway health --admin http://127.0.0.1:9464")]
pub(crate) struct Health {
    /// Ask only whether the process lives: /healthz
    #[arg(long)]
    live: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Health {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        let page = if self.live { "healthz" } else { "readyz" };
        let text = block_on(async {
            let asked = tokio::time::timeout(ANSWER_MAX, admin.page(page)).await;
            asked.unwrap_or_else(|_| {
                let seconds = ANSWER_MAX.as_secs();
                Err(Failure::trouble(format!("no answer within {seconds}s")))
            })
        })?;
        writeln!(streams.out, "{}", text.trim_end())?;
        Ok(())
    }
}

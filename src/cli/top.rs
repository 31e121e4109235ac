//! `faceway top`: a running gateway as it lives, in a terminal.

mod counters;
mod draw;
mod needs;
mod poll;
mod screen;
mod view;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use faceway_core::{Clock as _, SystemClock};

use super::admin::AdminArgs;
use super::moment::duration;
use super::{Ended, Failure, Streams, block_on};
use poll::Sample;
use view::View;

/// A running gateway as it lives: what comes in, what goes out, what is stuck, since when. What needs you comes first.
///
/// Keys: q, Esc or Ctrl-C ends it; arrows or j and k select an inbound or an outbound, of which more is told below; p
/// holds the picture still; ? explains the columns. Colours are left out when NO_COLOR is set. It shows counts and states,
/// never a person or a device.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  faceway top\n  faceway top --admin http://10.1.0.5:9464 --every 5s\n  faceway top --once"
)]
pub(crate) struct Top {
    /// One picture as plain text, and the end. The same when standard output is no terminal
    #[arg(long)]
    once: bool,
    /// How often to look; rates are those between two looks
    #[arg(long, value_name = "SPAN", default_value = "1s", value_parser = every)]
    every: Duration,
    #[command(flatten)]
    admin: AdminArgs,
}

fn every(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("at least 1s".into()),
        every => Ok(every),
    }
}

/// Columns of the plain picture, which has no terminal to fill.
const PLAIN_WIDTH: u16 = 110;

impl Top {
    pub(crate) fn run(&self, streams: &mut Streams<'_>) -> Ended {
        let admin = self.admin.find()?;
        if !self.once && std::io::stdout().is_terminal() {
            return block_on(screen::live(admin, self.every));
        }
        let (first, second) = block_on(async {
            let first = poll::poll(&admin).await?;
            tokio::time::sleep(self.every).await;
            Ok::<_, Failure>((first, poll::poll(&admin).await?))
        })?;
        let text = plain(admin.place(), first, second);
        write!(streams.out, "{text}")?;
        Ok(())
    }
}

fn plain(place: String, first: Sample, second: Sample) -> String {
    let now = SystemClock.now();
    let mut view = View::new(place, now);
    view.heard(Ok(first), now);
    view.heard(Ok(second), now);
    draw::plain(&view, PLAIN_WIDTH)
}

//! Drives what plays devices and platforms: posts what they send, serves their websockets and their APIs.
//!
//! Which vendors there are it does not know: every one's adapter may have a [`Simulator`](faceway_core::simulator), which
//! makes a [`Source`] of pure functions, and [`Play::start`] sets that to work.

mod api;
mod pace;
mod play;
mod post;
mod pusher;
mod socket;
mod tally;

pub use faceway_core::simulator::Source;
pub use pace::Pace;
pub use play::{Doors, Play, Target};
pub use tally::{Counts, Way};

pub(crate) use tally::Tally;

use tokio::time::Instant;

/// Waits until then; for ever without a moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// A lock whose holder cannot leave anything half done.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

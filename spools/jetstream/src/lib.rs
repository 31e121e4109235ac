//! The spool engine on a NATS cluster: streams that JetStream replicates, and that several gateways share.
//!
//! `README.md` states streams, subjects and forms exactly.
//!
//! **Invariants**
//! * Success is answered after the servers' acknowledgement, and never before.
//! * What decides something is read at a stream's leader: replicas lag.
//! * A lane's change is one atomic batch that names the number of the record before it: all of it is kept, or another one owns
//!   the lane and nothing is.
//! * What a log line says of an event is its sequence number.

mod client;
mod codec;
mod duties;
mod history;
mod janitor;
mod lanes;
mod log;
mod members;
mod names;
mod open;
mod proof;
mod secret;
mod settings;
mod shared;
mod streams;
mod upkeep;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faceway_core::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[doc(hidden)]
pub use duties::Timing;
pub use settings::{Credentials, Durability, JetStreamSettings, OpenError};

use shared::Shared;

/// One gateway's spool on a cluster.
///
/// Close it with [`faceway_core::Log::close`]; when it is only dropped, its caches are as old as the last snapshot.
pub struct JetStreamSpool {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl JetStreamSpool {
    /// Connects, proves what the servers must be, makes the streams where they are not there, and reads the ids that the log
    /// has. It waits for a cluster that does not answer.
    ///
    /// # Errors
    /// When the servers or streams are not as they must be; the text says what to do.
    pub async fn open(
        settings: JetStreamSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        open::open(settings, clock, Timing::default()).await
    }

    /// The same, with other moments of placement: for tests that do not wait as long.
    #[doc(hidden)]
    pub async fn open_with(
        settings: JetStreamSettings,
        clock: Arc<dyn Clock>,
        timing: Timing,
    ) -> Result<Self, OpenError> {
        open::open(settings, clock, timing).await
    }

    async fn close_all(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        duties::leave(&self.shared).await;
        log::snapshot::write(&self.shared);
        self.shared.client.close().await;
    }
}

impl Drop for JetStreamSpool {
    fn drop(&mut self) {
        self.stop.cancel();
        // The record of this incarnation is not renewed any more.
        let life = self.shared.members.life();
        self.shared.duties.lose_all(&life);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The client library's log, which is thrown away: it holds routing keys and bodies, at level `warn` those of every message
//! that is returned (`returned_messages.rs`). What it has to say of trouble comes back as errors, and is told once by who
//! judges them.

use std::sync::LazyLock;

use tracing::dispatcher::{self, Dispatch};
use tracing::instrument::{WithDispatch, WithSubscriber as _};
use tracing::subscriber::NoSubscriber;

/// One for all: making one asks every place that logs whether it is interested.
static NO_LOG: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// `future`, without its log.
pub(crate) fn quiet<F>(future: F) -> WithDispatch<F> {
    future.with_subscriber(NO_LOG.clone())
}

/// Silences the thread that it is called on, for good. The library has one for each connection.
pub(crate) fn mute_thread() {
    std::mem::forget(dispatcher::set_default(&NO_LOG));
}

//! Members: gateways that live, each with a record in MEMBERS.
//!
//! A start of a gateway is an *incarnation*. Its record is valid for [`VALID`] after the beginning of the last publish that was
//! acknowledged; the servers keep it for longer, so a gateway has stopped before another one can see that its record is gone.
//! A gateway also asks itself through the servers: without an answer for [`CUT_OFF`] it has no duty either, as others may have
//! taken it.

mod begin;
mod life;
mod live;
mod look;
mod record;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::lock;

pub(crate) use begin::{is_alone, try_for_a_while};
pub(crate) use life::Life;
pub(crate) use live::{publish, run};
pub(crate) use look::Look;

/// How long an incarnation lives after the beginning of the last publish of its record that was acknowledged.
pub(crate) const VALID: Duration = Duration::from_secs(12);
/// How long a gateway may hear nothing of itself.
pub(crate) const CUT_OFF: Duration = Duration::from_secs(2);
/// How often a record is published.
const RENEW: Duration = Duration::from_secs(2);
/// Between two pings, and between two publishes of a record while none is acknowledged.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// What a gateway knows of itself and of the others.
pub(crate) struct Members {
    /// This gateway's incarnation. Another one follows when it ends.
    life: watch::Sender<Arc<Life>>,
    /// The last look that succeeded.
    look: Mutex<Arc<Look>>,
    /// The server that this gateway's kept record names.
    named: Mutex<String>,
}

impl Default for Members {
    /// Before the first incarnation.
    fn default() -> Self {
        Self {
            life: watch::Sender::new(Arc::new(Life::none())),
            look: Mutex::default(),
            named: Mutex::default(),
        }
    }
}

impl Members {
    pub(crate) fn begins(&self, life: Life) -> Arc<Life> {
        let life = Arc::new(life);
        self.life.send_replace(Arc::clone(&life));
        life
    }

    /// The incarnation that lives, or lived last.
    pub(crate) fn life(&self) -> Arc<Life> {
        Arc::clone(&self.life.borrow())
    }

    /// Whether an answer by way of this server counts: MEMBERS is kept at it, or a record is kept that names it.
    fn counts(&self, server: &str) -> bool {
        let is_peer = self
            .last_look()
            .peers
            .names
            .iter()
            .any(|name| name == server);
        is_peer || *lock(&self.named) == server
    }

    fn named(&self, server: String) {
        *lock(&self.named) = server;
    }

    pub(crate) fn last_look(&self) -> Arc<Look> {
        Arc::clone(&lock(&self.look))
    }
}

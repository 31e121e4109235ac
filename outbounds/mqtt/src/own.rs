//! What we publish besides the messages on their connection: the status.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::flights::Own;
use crate::packet::Publication;
use crate::plan::Plan;

/// What subscribers of the status topic read while the gateway publishes.
const ONLINE: &str = "online";
/// What they read when it does not.
pub(crate) const OFFLINE: &str = "offline";

/// Messages of our own. What a broker refuses is not tried again: some end the connection over it, and with it the
/// deliveries of others.
pub(crate) struct OwnMessages {
    plan: Arc<Plan>,
    status: bool,
}

impl OwnMessages {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self { status: true, plan }
    }

    /// What a new connection begins with.
    pub(crate) fn greeting(&self) -> Option<(Own, Publication)> {
        self.state(ONLINE)
    }

    /// What it ends with.
    pub(crate) fn farewell(&self) -> Option<(Own, Publication)> {
        self.state(OFFLINE)
    }

    /// The broker does not take such messages.
    pub(crate) fn refused(&mut self, own: Own) {
        match own {
            Own::Status if self.status => {
                let host = &self.plan.address.host;
                tracing::warn!(
                    host,
                    "the MQTT broker does not take the status: allow the user to publish to `status_topic`, and restart"
                );
                self.status = false;
                // Else devices would be unavailable in Home Assistant for ever.
                self.plan.no_status.store(true, Ordering::Relaxed);
            }
            Own::Status => {}
        }
    }

    fn state(&self, state: &'static str) -> Option<(Own, Publication)> {
        let topic = self.plan.status_topic.clone().filter(|_| self.status)?;
        let publication = Publication {
            topic,
            payload: Bytes::from_static(state.as_bytes()),
            retain: true,
            content_type: Some("text/plain"),
            expiry_s: None,
            user_properties: Vec::new(),
        };
        Some((Own::Status, publication))
    }
}

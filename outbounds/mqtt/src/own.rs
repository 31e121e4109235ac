//! What we publish besides the messages: the status, and announcements to Home Assistant.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::DeviceKey;

use crate::discovery::Discovery;
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
    discovery: Option<Discovery>,
}

impl OwnMessages {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let discovery = plan
            .home_assistant
            .then(|| Discovery::new(plan.status_topic.clone()));
        Self {
            status: true,
            discovery,
            plan,
        }
    }

    /// What a new connection begins with.
    pub(crate) fn greeting(&mut self) -> Option<(Own, Publication)> {
        if let Some(discovery) = &mut self.discovery {
            discovery.forget();
        }
        self.state(ONLINE)
    }

    /// What it ends with.
    pub(crate) fn farewell(&self) -> Option<(Own, Publication)> {
        self.state(OFFLINE)
    }

    /// What goes before a message of `device`.
    pub(crate) fn announce(
        &mut self,
        device: DeviceKey,
        publication: &Publication,
    ) -> Vec<(Own, Publication)> {
        let Some(discovery) = &mut self.discovery else {
            return Vec::new();
        };
        let announcements = discovery.announce(device, publication).into_iter();
        announcements.map(|one| (Own::Announcement, one)).collect()
    }

    /// The broker does not take such messages.
    pub(crate) fn refused(&mut self, own: Own) {
        let (host, first) = (&self.plan.address.host, self.is_tried(own));
        match own {
            Own::Status => self.status = false,
            Own::Announcement => self.discovery = None,
        }
        if first {
            let advice = match own {
                Own::Status => "the status: allow the user to publish to `status_topic`",
                Own::Announcement => {
                    "announcements to Home Assistant: allow the user to publish to homeassistant/#"
                }
            };
            tracing::warn!(host, "the MQTT broker does not take {advice}, and restart");
        }
    }

    fn is_tried(&self, own: Own) -> bool {
        match own {
            Own::Status => self.status,
            Own::Announcement => self.discovery.is_some(),
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

//! What we say besides the messages: the status, the last will, and announcements to Home Assistant. Nothing of it may
//! keep a message from leaving, so what a broker does not take is left out, each for itself, and told once.

use std::sync::Arc;

use bytes::Bytes;
use faceway_core::DeviceKey;

use crate::dial::Offer;
use crate::discovery::Discovery;
use crate::endings::{Endings, Lasted, Quiet};
use crate::flights::Own;
use crate::packet::Publication;
use crate::plan::Plan;

/// What subscribers of the status topic read while the gateway publishes.
const ONLINE: &str = "online";
/// What they read when it does not.
pub(crate) const OFFLINE: &str = "offline";
/// So often the connection must end at announcements and nothing else before they are left out: once may be chance.
const ENDS_MAX: u8 = 2;

/// What is still said to this broker. What it does not take is not tried again before the next start: each try costs a
/// connection, and with it the deliveries on it.
pub(crate) struct OwnMessages {
    plan: Arc<Plan>,
    offer: Offer,
    discovery: Option<Discovery>,
    /// 0 once the broker has left one of our messages without a confirmation.
    qos: u8,
    /// Announcements go alone, so that it is certain what ended the connection.
    careful: bool,
    /// How often it ended at announcements alone, with none that it outlived between.
    ends: u8,
    endings: Endings,
}

impl OwnMessages {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let discovery = plan
            .home_assistant
            .then(|| Discovery::new(plan.status_topic.clone()));
        Self {
            offer: Offer {
                version: plan.version,
                will: plan.will.is_some(),
                status: plan.status_topic.is_some(),
            },
            discovery,
            qos: plan.own_qos(),
            careful: false,
            ends: 0,
            endings: Endings::new(),
            plan,
        }
    }

    /// What the next connection is opened with.
    pub(crate) fn offer(&self) -> Offer {
        let says = !self.endings.quiet().status;
        Offer {
            will: self.offer.will && says,
            status: self.offer.status && says,
            ..self.offer
        }
    }

    /// From now on connections are opened with this version.
    pub(crate) fn speak(&mut self, version: u8) {
        self.offer.version = version;
    }

    /// From now on connections are opened without what `offer` has less than `before`.
    pub(crate) fn settle_for(&mut self, before: Offer, offer: Offer) {
        let host = &self.plan.address.host;
        let topic = self.plan.status_topic.as_deref().unwrap_or_default();
        if before.version > offer.version {
            tracing::warn!(
                host,
                "the MQTT broker does not speak MQTT 5, so Faceway speaks 3.1.1 with it: write `version = 4`"
            );
        }
        if before.will && !offer.will && offer.status {
            tracing::warn!(
                host,
                topic,
                "the MQTT broker takes no connection with a retained last will, so it is left out, and a gateway that dies stays `online`: allow the user to publish retained messages to this topic, and restart"
            );
        }
        // A broker that ends connections over these may end them over announcements too.
        self.careful |= (before.will, before.status) != (offer.will, offer.status);
        self.offer.version = offer.version;
        self.offer.will &= offer.will || !before.will;
        if before.status && !offer.status {
            self.status_ended("ends the connection at");
        }
    }

    /// The broker keeps no retained messages, and all of ours are.
    pub(crate) fn not_retained(&mut self) {
        let what = match (self.offer.status, self.discovery.is_some()) {
            (true, true) => "the status, the last will and announcements to Home Assistant are",
            (true, false) => "the status and the last will are",
            (false, true) => "announcements to Home Assistant are",
            (false, false) => return,
        };
        let host = &self.plan.address.host;
        tracing::warn!(
            host,
            "the MQTT broker keeps no retained messages: {what} left out, events are not; nothing needs to be done, or let the broker retain and restart"
        );
        (self.offer.status, self.offer.will) = (false, false);
        self.discovery = None;
    }

    /// `online`, for the beginning of a connection, and its QoS.
    pub(crate) fn greeting(&self, offer: Offer) -> Option<(Publication, u8)> {
        let online = offer.status.then(|| self.state(ONLINE)).flatten();
        online.map(|publication| (publication, self.qos))
    }

    /// A new connection begins, and the broker may have forgotten everything.
    pub(crate) fn begin(&mut self) {
        if let Some(discovery) = &mut self.discovery {
            discovery.forget();
        }
    }

    /// What a connection ends with.
    pub(crate) fn farewell(&self) -> Option<(Own, Publication)> {
        let offline = self.state(OFFLINE).filter(|_| self.offer().status);
        offline.map(|publication| (Own::Status, publication))
    }

    /// The QoS of our own messages.
    pub(crate) fn qos(&self) -> u8 {
        self.qos
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
        if self.endings.quiet().announcements {
            return Vec::new();
        }
        let announcements = discovery.announce(device, publication).into_iter();
        announcements.map(|one| (Own::Announcement, one)).collect()
    }

    /// The broker says that it does not take such messages.
    pub(crate) fn refused(&mut self, own: Own) {
        match own {
            Own::Status => self.status_ended("does not take"),
            Own::Announcement => self.announcements_ended("does not take"),
        }
    }

    /// The broker has not confirmed a message of ours. It need not: such messages ask for no confirmation any more.
    pub(crate) fn unconfirmed(&mut self) {
        if self.qos > 0 {
            tracing::debug!(
                host = self.plan.address.host,
                "own messages stay unconfirmed"
            );
        }
        self.qos = 0;
    }

    /// Whether announcements are to go alone on the next connection. With QoS 0 always: what goes out behind one that ends
    /// the connection would count as delivered.
    pub(crate) fn is_careful(&self) -> bool {
        self.careful || self.plan.qos == 0
    }

    /// A connection ended with announcements on it, and nothing else (`alone`) or messages too.
    pub(crate) fn ended(&mut self, alone: bool) {
        self.careful = true;
        self.ends += u8::from(alone);
        if self.ends >= ENDS_MAX {
            self.announcements_ended("ends the connection at");
        }
    }

    /// A connection has outlived announcements.
    pub(crate) fn outlived(&mut self) {
        self.ends = 0;
    }

    /// A connection ended soon after it began, for no reason that is known.
    pub(crate) fn ended_soon(&mut self) {
        self.endings.ended_soon(Quiet {
            status: self.offer.status,
            announcements: self.discovery.is_some(),
        });
    }

    /// A connection has lasted. True: another is needed, to see whether it lasts too with everything that we say.
    pub(crate) fn lasted(&mut self) -> bool {
        let lasted = self.endings.lasted();
        if let Lasted::LeaveOut(quiet) = lasted {
            let does = "ends the connection soon after";
            if quiet.status {
                self.status_ended(does);
            }
            if quiet.announcements {
                self.announcements_ended(does);
            }
        }
        lasted == Lasted::AskAgain
    }

    /// A careful connection ended, and announcements had no part in it.
    pub(crate) fn trust(&mut self) {
        self.careful = false;
    }

    fn announcements_ended(&mut self, does: &str) {
        if self.discovery.take().is_some() {
            let host = &self.plan.address.host;
            tracing::warn!(
                host,
                "the MQTT broker {does} announcements to Home Assistant, so they are left out: allow the user to publish retained messages to homeassistant/#, and restart; or write `home_assistant = false`"
            );
        }
        self.careful = false;
    }

    /// A last will would only ever say `offline`, and announcements would point to a topic where nothing is.
    fn status_ended(&mut self, does: &str) {
        let (host, topic) = (&self.plan.address.host, &self.plan.status_topic);
        let topic = topic.as_deref().unwrap_or_default();
        if self.offer.status {
            tracing::warn!(
                host,
                topic,
                "the MQTT broker {does} the status, so it is left out: allow the user to publish retained messages to this topic, or name another as `status_topic`, and restart"
            );
        }
        (self.offer.status, self.offer.will) = (false, false);
        if let Some(discovery) = &mut self.discovery {
            discovery.without_availability();
        }
    }

    fn state(&self, state: &'static str) -> Option<Publication> {
        Some(Publication {
            topic: self.plan.status_topic.clone()?,
            payload: Bytes::from_static(state.as_bytes()),
            retain: true,
            content_type: Some("text/plain"),
            expiry_s: None,
            user_properties: Vec::new(),
        })
    }
}

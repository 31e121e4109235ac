//! What we say on the connection of the events besides them: the status and the last will. Neither may keep an event from
//! leaving, so what a broker does not take is left out, each for itself, and told once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::dial::Offer;
use crate::endings::{Endings, Lasted};
use crate::packet::Publication;
use crate::plan::Plan;

/// What subscribers of the status topic read while the gateway publishes.
const ONLINE: &str = "online";
/// What they read when it does not.
pub(crate) const OFFLINE: &str = "offline";

/// What is still said to this broker. What it does not take is not tried again before the next start: each try costs a
/// connection, and with it the deliveries on it.
pub(crate) struct OwnMessages {
    plan: Arc<Plan>,
    offer: Offer,
    /// 0 once the broker has left the status without a confirmation.
    qos: u8,
    endings: Endings,
}

impl OwnMessages {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        Self {
            offer: Offer {
                version: plan.version,
                will: plan.will.is_some(),
                status: plan.status_topic.is_some(),
            },
            qos: plan.own_qos(),
            endings: Endings::new(),
            plan,
        }
    }

    /// What the next connection is opened with.
    pub(crate) fn offer(&self) -> Offer {
        let says = !self.endings.is_quiet();
        Offer {
            will: self.offer.will && says,
            status: self.offer.status && says,
            ..self.offer
        }
    }

    /// From now on connections are opened with this version.
    pub(crate) fn speak(&mut self, version: u8) {
        self.offer.version = version;
        self.plan.speak(version);
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
        self.speak(offer.version);
        self.offer.will &= offer.will || !before.will;
        if before.status && !offer.status {
            self.status_ended("ends the connection at");
        }
    }

    /// The broker keeps no retained messages, and the status is one.
    pub(crate) fn not_retained(&mut self) {
        if self.offer.status {
            let host = &self.plan.address.host;
            tracing::warn!(
                host,
                "the MQTT broker keeps no retained messages: the status and the last will are left out, events are not; nothing needs to be done, or let the broker retain and restart"
            );
            self.without_status();
        }
    }

    /// `online`, for the beginning of a connection, and its QoS.
    pub(crate) fn greeting(&self, offer: Offer) -> Option<(Publication, u8)> {
        let online = offer.status.then(|| self.state(ONLINE)).flatten();
        online.map(|publication| (publication, self.qos))
    }

    /// What a connection ends with.
    pub(crate) fn farewell(&self) -> Option<Publication> {
        self.state(OFFLINE).filter(|_| self.offer().status)
    }

    /// The QoS of the status.
    pub(crate) fn qos(&self) -> u8 {
        self.qos
    }

    /// The broker says that it does not take the status.
    pub(crate) fn refused(&mut self) {
        self.status_ended("does not take");
    }

    /// The broker has not confirmed the status. It need not: the next one asks for no confirmation.
    pub(crate) fn unconfirmed(&mut self) {
        if self.qos > 0 {
            tracing::debug!(
                host = self.plan.address.host,
                "the status stays unconfirmed"
            );
        }
        self.qos = 0;
    }

    /// A connection ended soon after it began, for no reason that is known.
    pub(crate) fn ended_soon(&mut self) {
        self.endings.ended_soon(self.offer.status);
    }

    /// A connection has lasted. True: another is needed, to see whether it lasts too with the status.
    pub(crate) fn lasted(&mut self) -> bool {
        let lasted = self.endings.lasted();
        if lasted == Lasted::LeaveOut {
            self.status_ended("ends the connection soon after");
        }
        lasted == Lasted::AskAgain
    }

    fn status_ended(&mut self, does: &str) {
        if self.offer.status {
            let (host, topic) = (&self.plan.address.host, &self.plan.status_topic);
            let topic = topic.as_deref().unwrap_or_default();
            tracing::warn!(
                host,
                topic,
                "the MQTT broker {does} the status, so it is left out: allow the user to publish retained messages to this topic, or name another as `status_topic`, and restart"
            );
        }
        self.without_status();
    }

    /// A last will would only ever say `offline`.
    fn without_status(&mut self) {
        (self.offer.status, self.offer.will) = (false, false);
        // Else devices would be unavailable in Home Assistant for ever.
        self.plan.no_status.store(true, Ordering::Relaxed);
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

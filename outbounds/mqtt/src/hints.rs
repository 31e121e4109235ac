//! What the operator may want to try where a broker ends connections without a word. Each is said once.

use crate::plan::Plan;

/// So many connections in a row must have ended at a message.
const ENDS_MIN: u8 = 3;

/// What is known of this, from one connection to the next.
#[derive(Default)]
pub(crate) struct Hints {
    ends: u8,
    logged_ends: bool,
    logged_qos: bool,
}

impl Hints {
    /// The broker hung up with messages of events on their way, none of which it had confirmed on that connection.
    pub(crate) fn hung_up(&mut self, plan: &Plan, version: u8) {
        self.ends = self.ends.saturating_add(1);
        if self.ends < ENDS_MIN || std::mem::replace(&mut self.logged_ends, true) {
            return;
        }
        let (host, port) = (&plan.address.host, plan.address.port);
        let advice = advice(plan.qos, plan.retain, version);
        tracing::warn!(
            host,
            port,
            "the MQTT broker ends the connection without a word whenever an event is sent: {advice}"
        );
    }

    /// It has confirmed a message.
    pub(crate) fn confirmed(&mut self) {
        (self.ends, self.logged_ends) = (0, false);
    }

    /// It has confirmed a message of QoS 2 as if it were one of QoS 1.
    pub(crate) fn lowered(&mut self, plan: &Plan) {
        if !std::mem::replace(&mut self.logged_qos, true) {
            let (host, port) = (&plan.address.host, plan.address.port);
            tracing::warn!(
                host,
                port,
                "the MQTT broker confirms `qos = 2` as it confirms `qos = 1`, and an event that it has taken counts as delivered: write `qos = 1`, which is what it does"
            );
        }
    }
}

/// What it may not take of a message, as far as the operator can change it.
fn advice(qos: u8, retain: bool, version: u8) -> String {
    let mut advice = Vec::new();
    if qos == 2 {
        advice.push("if it knows no QoS 2, write `qos = 1`");
    }
    if retain {
        advice.push("if it keeps no retained messages, write `retain = false`");
    }
    if version == 4 {
        advice.push(
            "it may not let the user publish to this topic, which MQTT 3.1.1 has no word for",
        );
    }
    advice.push("if another client has our client id too, write another under `client_id`");
    advice.push("its log may say why");
    advice.join("; ")
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn advice_can_be_followed() {
        assert!(advice(2, false, 4).contains("write `qos = 1`"));
        assert!(!advice(1, false, 4).contains("qos"));
        assert!(advice(1, true, 5).contains("write `retain = false`"));
        assert!(advice(1, false, 5).contains("`client_id`"));
    }
}

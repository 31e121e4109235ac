//! SenseNebula Pass and SensePass terminals.
//!
//! The vendor's document is the *Nebula Pass Series Web API Guide* (page "推送配置", push configuration): a terminal posts
//! `{"type": 0 | 1, "data": {…}}` for every recognition and alarm, keeps up to 50,000 of them while no gateway answers, and
//! takes `{"code": 200, …}` for success. Read here: recognitions of API v0.0.8 to 1.3.0 and alarms of 1.3.0.
//!
//! **Shape of `vendor`:** what is left of `data` stands directly under `vendor` (`vendor.mode`), what is left of
//! `data.user` under `vendor.user`, and what stood beside `type` and `data`, where no version puts anything, under
//! `vendor.envelope`.
//!
//! **Invariant:** no answer ever has `data.pass`. Firmware up to API 1.0.0 opens the door on it.

mod alarm;
mod recognition;
pub mod simulate;
mod simulator;
mod subscription;
mod wire;

use std::borrow::Cow;

use faceway_core::simulator::Simulator;
use faceway_core::{
    Adapter, Answer, Arrival, Device, DeviceType, Dialogue, Element, Facts, Kind, Outcome, Reach,
    Reader, Reading, RecordKey, Reject, Setting, SettingKind, Settings, Subscribed, Subscription,
    Text, content_digest, document,
};

use crate::wire::Push;

/// The adapter of SenseNebula Pass and SensePass terminals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nebula;

impl Adapter for Nebula {
    fn name(&self) -> &'static str {
        "nebula"
    }

    fn reach(&self) -> &'static [Reach] {
        &[Reach::Pushed, Reach::Subscribed]
    }

    fn settings(&self) -> &'static [Setting] {
        const { &[DEVICE] }
    }

    fn read<'a>(
        &self,
        arrival: &Arrival<'a>,
        settings: &Settings,
    ) -> Result<Vec<Element<'a>>, Reject> {
        let text = document(arrival.body)?;
        let mut push = Push::parse(text)?;
        let kind = push.kind();
        let mut facts = Facts {
            kind,
            vendor_type: Some(push.vendor_type.clone()),
            device: device(&mut push.data, arrival, settings),
            ..Facts::default()
        };
        let has_time = push.has_time();
        let key = match kind {
            Kind::Recognition => recognition::read(&mut push, &mut facts),
            Kind::Alarm => {
                alarm::read(&mut push, &mut facts);
                None
            }
            _ => None,
        };
        let key = key.unwrap_or_else(|| content_key(text, has_time, &facts));
        let pictures = push.take_pictures(&mut facts);
        push.leave(&mut facts);
        Ok(vec![Ok(Reading {
            key,
            facts,
            pictures,
        })])
    }

    /// The document's table names the text `message`, its sample and all other pages `msg`: both are sent.
    fn answer(&self, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Kept => Answer::json(200, KEPT.as_bytes()),
            Outcome::Busy => Answer::json(503, BUSY.as_bytes()),
            Outcome::Refused(reason) => {
                let body = serde_json::json!({ "code": 400, "msg": reason, "message": reason, "data": {} });
                Answer::json(400, body.to_string().into_bytes())
            }
        }
    }

    fn subscribe(&self, subscription: Subscription) -> Option<Box<dyn Dialogue<Subscribed>>> {
        Some(Box::new(subscription::Keeper::new(subscription)))
    }

    fn simulator(&self) -> Option<&'static dyn Simulator> {
        Some(&simulator::Terminals)
    }
}

const DEVICE: Setting = Setting {
    name: "device",
    kind: SettingKind::Text,
    about: "the terminal's serial number, for firmware that sends none (API v0.0.8, and alarms before 1.2.1's headers)",
};

const KEPT: &str = r#"{"code":200,"msg":"success","message":"success","data":{}}"#;
const BUSY: &str = r#"{"code":503,"msg":"cannot keep it now, send it again","message":"cannot keep it now, send it again","data":{}}"#;

/// Of a record without an id of its own, all that the terminal says tells it apart: two strangers of one second differ in
/// their pictures.
fn content_key(text: &str, has_time: bool, facts: &Facts<'_>) -> RecordKey {
    let device = facts.device.id.as_deref().unwrap_or_default();
    let content = content_digest(text).to_string();
    RecordKey::of_content(has_time, &["content", device, &content])
}

/// Alarms and API v0.0.8 have no serial number in the body; since 1.2.1 the header `sn` has it.
fn device<'a>(data: &mut Reader<'a>, arrival: &Arrival<'a>, settings: &Settings) -> Device<'a> {
    let told = data
        .identifier("deviceSN")
        .or_else(|| arrival.header("sn").map(Cow::Borrowed))
        .or_else(|| settings.text("device").map(|id| Cow::Owned(id.to_owned())));
    Device {
        id: told.or_else(|| sender(data, arrival)),
        device_type: Some(DeviceType::Terminal),
        ..Device::default()
    }
}

fn sender<'a>(data: &mut Reader<'a>, arrival: &Arrival<'_>) -> Option<Text<'a>> {
    let peer = arrival.peer?.to_canonical().to_string();
    data.note("device.id: the sender's address, as no serial number was sent; set `device` on the inbound");
    Some(peer.into())
}

#[cfg(test)]
mod tests {
    use faceway_core::{Adapter as _, Outcome};

    use super::Nebula;

    #[test]
    fn answers_never_open_a_door() {
        for outcome in [
            Outcome::Kept,
            Outcome::Busy,
            Outcome::Refused("\"pass\"\n".into()),
        ] {
            let answer = Nebula.answer(&outcome);
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["data"], serde_json::json!({}));
            assert_eq!(body["msg"], body["message"]);
            assert_eq!(body["code"] == 200, outcome == Outcome::Kept);
            assert_eq!(answer.status == 200, outcome == Outcome::Kept);
        }
    }

    #[test]
    fn success_is_what_the_document_shows() {
        assert_eq!(
            Nebula.answer(&Outcome::Kept).body.as_ref(),
            br#"{"code":200,"msg":"success","message":"success","data":{}}"#
        );
    }
}

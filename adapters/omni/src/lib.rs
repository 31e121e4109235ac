//! OMNI Platform of 3DiVi, 1.13 to 1.18.
//!
//! The vendor's document is the page *Websockets and webhooks* of OMNI Platform 1.18 (docs.3divi.ai): an event is one
//! JSON object, either the body of a webhook request that the platform posts, or one text message of a websocket that
//! Faceway dials. Both have the same shape, so both are read here by the same function.
//!
//! Documented in full is the type `identification`. `non_identification` is the same without `candidates`. The other
//! types (`har`, `roi`, `crossing`, `face_hide_control`) are named by the vendor and never shown: they become
//! [`Kind::Other`] with the camera, the id and the time where these stand in the same places.
//!
//! **Shape of `vendor`:** what is left of the message stands directly there, what is left of its `camera`, `event` and
//! `candidates` under these names. What is left of the candidates is in the order of `match.candidates`.

mod candidates;
mod recognition;
pub mod simulate;
mod simulator;
mod wire;

use std::borrow::Cow;

use faceway_core::simulator::Simulator;
use faceway_core::{
    Adapter, Answer, Arrival, Element, Facts, Kind, Outcome, Reach, Reading, RecordKey, Reject,
    Setting, SettingKind, Settings, content_digest, document, is_unique_id,
};

use crate::wire::{Message, Type};

/// The adapter of OMNI Platform.
#[derive(Clone, Copy, Debug, Default)]
pub struct Omni;

impl Adapter for Omni {
    fn name(&self) -> &'static str {
        "omni"
    }

    /// Webhooks exist since 1.18, websockets in every version.
    fn reach(&self) -> &'static [Reach] {
        &[Reach::Pushed, Reach::Dialled { api_for: &[] }]
    }

    fn settings(&self) -> &'static [Setting] {
        const { &[EVENT_TYPE] }
    }

    fn read<'a>(
        &self,
        arrival: &Arrival<'a>,
        settings: &Settings,
    ) -> Result<Vec<Element<'a>>, Reject> {
        let preset = settings.text("event_type");
        let text = document(arrival.body)?;
        let mut message = Message::parse(text, preset)?;
        let mut facts = Facts {
            kind: match message.about {
                Type::Other => Kind::Other,
                Type::Identification | Type::NonIdentification => Kind::Recognition,
            },
            vendor_type: Some(message.vendor_type.clone()),
            device: message.device(),
            ..Facts::default()
        };
        message.read_event(&mut facts);
        recognition::read(&mut message, &mut facts);
        message.leave(&mut facts);
        Ok(vec![Ok(Reading {
            key: key(text, &facts),
            facts,
            pictures: Vec::new(),
        })])
    }

    /// What the platform makes of an answer is not documented, so success is 200, and trouble an error status.
    fn answer(&self, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Kept => Answer::json(200, br#"{"result":"kept"}"#.as_slice()),
            Outcome::Busy => Answer::json(
                503,
                br#"{"result":"busy","error":"cannot keep it now, send it again"}"#.as_slice(),
            ),
            Outcome::Refused(reason) => {
                let body = serde_json::json!({ "result": "refused", "error": reason });
                Answer::json(400, Cow::Owned(body.to_string().into_bytes()))
            }
        }
    }

    fn simulator(&self) -> Option<&'static dyn Simulator> {
        Some(&simulator::Omni)
    }
}

/// The platform gives every event a UUID. With it the camera, what it is about and who it was are one record; time, score
/// and links are not asked. An event without one is told apart by all that is said.
fn key(text: &str, facts: &Facts<'_>) -> RecordKey {
    let camera = facts.device.id.as_deref().unwrap_or_default();
    match facts.vendor_id.as_deref().filter(|id| is_unique_id(id)) {
        Some(id) => {
            let person = facts.person.id.as_ref();
            let person = person.map_or("", |id| id.reveal());
            let about = facts.vendor_type.as_deref().unwrap_or_default();
            let about = about.to_ascii_lowercase();
            RecordKey::strong(&["event", camera, id], &[&about, person])
        }
        None => {
            let content = content_digest(text).to_string();
            RecordKey::of_content(facts.occurred_at.is_some(), &["content", &content])
        }
    }
}

/// Up to 1.17.1 every type has a websocket of its own, and no page shows a message of it: it may not name its type.
const EVENT_TYPE: Setting = Setting {
    name: "event_type",
    kind: SettingKind::Word(&[
        "identification",
        "non_identification",
        "har",
        "roi",
        "crossing",
    ]),
    about: "the type of messages that do not name it (websockets of one type, up to 1.17.1)",
};

#[cfg(test)]
mod tests {
    use faceway_core::{Adapter as _, Arrival, Outcome, RecordKey, Settings};

    use super::Omni;

    fn key(body: &str) -> RecordKey {
        let headers = http::HeaderMap::new();
        let arrival = Arrival {
            headers: &headers,
            peer: None,
            body: body.as_bytes(),
        };
        let mut read = Omni.read(&arrival, &Settings::default()).unwrap();
        read.remove(0).unwrap().key
    }

    #[test]
    fn a_record_is_itself_by_the_id_of_its_event() {
        let webhook = key(
            r#"{"type":"identification","event":{"id":"e0000000-4f18-4e09-8c11-3a1f00c0ffe1"}}"#,
        );
        assert_eq!(
            webhook,
            key(
                r#"{"event": {"id": "e0000000-4f18-4e09-8c11-3a1f00c0ffe1", "image": "i"}, "type": "identification", "x": 1}"#
            )
        );
        assert_ne!(
            webhook,
            key(
                r#"{"type":"identification","event":{"id":"e0000000-4f18-4e09-8c11-3a1f00c0ffe2"}}"#
            )
        );
        assert_ne!(
            key(r#"{"type":"identification","event":{"image":"i"}}"#),
            key(r#"{"type":"identification","event":{"image":"j"}}"#)
        );
    }

    #[test]
    fn only_what_is_kept_is_answered_with_success() {
        let statuses = [Outcome::Kept, Outcome::Busy, Outcome::Refused("why".into())]
            .map(|outcome| Omni.answer(&outcome).status);
        assert_eq!(statuses, [200, 503, 400]);
    }
}

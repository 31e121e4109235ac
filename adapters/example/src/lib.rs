//! The adapter to copy from. `docs/adding-an-adapter.md` walks through it.
//!
//! The vendor is invented: its cameras post `{"id", "time", "camera", "name", "score"}` for every face that they see.
//! Say here where the vendor's document is, who connects to whom, and what is left under `vendor`.

mod simulator;
mod wire;

use faceway_core::simulator::Simulator;
use faceway_core::{
    Adapter, Answer, Arrival, Category, Device, DeviceType, Element, Facts, Kind, Match,
    MatchStatus, Members, Object, ObjectType, Outcome, Person, Private, Reach, Reading, RecordKey,
    Reject, Settings, content_digest, document,
};

use crate::wire::Sighting;

/// The adapter of the invented cameras.
#[derive(Clone, Copy, Debug, Default)]
pub struct Example;

impl Adapter for Example {
    fn name(&self) -> &'static str {
        "example"
    }

    fn reach(&self) -> &'static [Reach] {
        &[Reach::Pushed]
    }

    /// Pure: no I/O, no clock, no randomness. What cannot be read becomes absence and a warning; only a body without
    /// any meaning is a `Reject`.
    fn read<'a>(
        &self,
        arrival: &Arrival<'a>,
        _settings: &Settings,
    ) -> Result<Vec<Element<'a>>, Reject> {
        let text = document(arrival.body)?;
        let members = Members::parse(text)?;
        let sighting = Sighting::take(members)?;
        Ok(vec![Ok(Reading {
            key: key(&sighting, text),
            facts: facts(sighting),
            pictures: Vec::new(),
        })])
    }

    fn answer(&self, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Kept => Answer::json(200, br#"{"ok":true}"#.as_slice()),
            Outcome::Busy => Answer::json(503, br#"{"ok":false,"why":"busy"}"#.as_slice()),
            Outcome::Refused(why) => {
                let body = serde_json::json!({ "ok": false, "why": why });
                Answer::json(400, body.to_string().into_bytes())
            }
        }
    }

    fn simulator(&self) -> Option<&'static dyn Simulator> {
        Some(&simulator::Cameras)
    }
}

/// The event's id is made from it: never anything that changes when the same record is sent again, and never less than
/// what tells a record from its neighbours. This vendor's ids are numbers that begin anew after a reset, so camera, time
/// and the rest of the content join them. Only an id that is given once for ever (a UUID) needs no more than its device.
fn key(sighting: &Sighting<'_>, text: &str) -> RecordKey {
    let content = content_digest(text).to_string();
    // Without a time the same words on another day would be the same record.
    RecordKey::of_content(sighting.time.is_some(), &["sighting", &content])
}

/// The vendor's words in canonical ones. A stranger has no name.
fn facts(sighting: Sighting<'_>) -> Facts<'_> {
    let (category, status) = match sighting.name {
        Some(_) => (Some(Category::Known), Some(MatchStatus::Matched)),
        None if sighting.name_unread => (None, None),
        None => (Some(Category::Stranger), Some(MatchStatus::Unmatched)),
    };
    Facts {
        kind: Kind::Recognition,
        occurred_at: sighting.time,
        vendor_id: Some(sighting.id),
        device: Device {
            id: Some(sighting.camera),
            device_type: Some(DeviceType::Camera),
            ..Device::default()
        },
        person: Person {
            name: sighting.name.map(Private::new),
            category,
            ..Person::default()
        },
        matched: Match {
            status,
            score: sighting.score,
            ..Match::default()
        },
        object: Object {
            object_type: Some(ObjectType::Face),
            ..Object::default()
        },
        vendor: Private::new(sighting.rest),
        warnings: sighting.warnings,
        ..Facts::default()
    }
}

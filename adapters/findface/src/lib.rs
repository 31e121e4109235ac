//! FindFace Security 2.x to 4.x and FindFace Multi 1.x to 2.x.
//!
//! The vendor's documents are the pages "Webhooks" of both products and the API document of FindFace Multi: the platform
//! posts an **array** of events, and takes HTTP **200** for success, nothing else. It sends a batch again as a whole. Read
//! here: face, body and car events, episodes, counter records and area activations; ids where the verbose mode puts
//! whole objects, and the names of either product.
//!
//! **Shape of `vendor`:** what is left of an event, in its own names. Of the objects `camera`, `camera_group`, the card,
//! `features`, `scores` and `detector_params` only what was not mapped is left; lists that say more than ids and names
//! stay whole.

mod attributes;
mod camera;
mod counts;
mod episode;
mod person;
mod recognition;
pub mod simulate;
mod simulator;
mod verbose;
mod wire;

use faceway_core::simulator::Simulator;
use faceway_core::{
    Adapter, Answer, Arrival, Element, Facts, Kind, Outcome, Raw, Reach, Reading, Reject, Settings,
    Unreadable, document,
};

use crate::wire::Record;

/// The adapter of FindFace Security and FindFace Multi.
#[derive(Clone, Copy, Debug, Default)]
pub struct Findface;

impl Adapter for Findface {
    fn name(&self) -> &'static str {
        "findface"
    }

    fn reach(&self) -> &'static [Reach] {
        &[Reach::Pushed]
    }

    fn read<'a>(&self, arrival: &Arrival<'a>, _: &Settings) -> Result<Vec<Element<'a>>, Reject> {
        let elements = wire::elements(document(arrival.body)?)?;
        Ok(elements.into_iter().map(element).collect())
    }

    /// The page asks for 200 and no other status of success. Nothing is said of the body, so it is empty.
    fn answer(&self, outcome: &Outcome) -> Answer {
        match outcome {
            Outcome::Kept => Answer {
                status: 200,
                content_type: None,
                body: b"".as_slice().into(),
            },
            Outcome::Busy => Answer {
                status: 503,
                content_type: TEXT,
                body: b"cannot keep it now, send it again\n".as_slice().into(),
            },
            Outcome::Refused(reason) => Answer {
                status: 400,
                content_type: TEXT,
                body: format!("{reason}\n").into_bytes().into(),
            },
        }
    }

    fn simulator(&self) -> Option<&'static dyn Simulator> {
        Some(&simulator::Multi)
    }
}

const TEXT: Option<&str> = Some("text/plain; charset=utf-8");

fn element(raw: Raw<'_>) -> Element<'_> {
    let mut record = Record::parse(raw).map_err(|reason| Unreadable {
        reason,
        raw: raw.get().as_bytes(),
    })?;
    let mut facts = Facts {
        kind: record.kind(),
        vendor_id: record.fields.identifier("id"),
        vendor_type: record.vendor_type(),
        ..Facts::default()
    };
    let key = record.key(raw, facts.vendor_id.as_deref());
    match facts.kind {
        Kind::Recognition => recognition::read(&mut record, &mut facts),
        Kind::Episode => episode::read(&mut record, &mut facts),
        Kind::Counter => counts::counter(&mut record, &mut facts),
        Kind::Area => counts::area(&mut record, &mut facts),
        Kind::Alarm | Kind::Other => recognition::read_envelope(&mut record.fields, &mut facts),
    }
    record.leave(&mut facts);
    Ok(Reading {
        key,
        facts,
        pictures: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use faceway_core::{Adapter as _, Arrival, EventId, Outcome, Settings};

    use super::Findface;

    fn ids(body: &str) -> Vec<EventId> {
        let headers = http::HeaderMap::new();
        let arrival = Arrival {
            headers: &headers,
            peer: None,
            body: body.as_bytes(),
        };
        let read = Findface.read(&arrival, &Settings::default()).unwrap();
        let id = |element: faceway_core::Element<'_>| {
            element
                .unwrap()
                .key
                .id("city", faceway_core::Timestamp::from_seconds(0).unwrap())
        };
        read.into_iter().map(id).collect()
    }

    #[test]
    fn records_are_known_by_more_than_their_id() {
        let batch = r#"[
            {"webhook_type":"face_events","event_model_class":"event_created","id":"7"},
            {"webhook_type":"body_events","event_model_class":"event_created","id":"7"},
            {"webhook_type":"face_events","event_model_class":"event_updated","id":"7"},
            {"webhook_type":"human_episodes","event_model_class":"episode_open","id":7,"events_count":1},
            {"webhook_type":"human_episodes","event_model_class":"episode_event","id":7,"events_count":1},
            {"webhook_type":"human_episodes","event_model_class":"episode_event","id":7,"events_count":2},
            {"webhook_type":"human_episodes","event_model_class":"episode_close","id":7,"events_count":2},
            {"webhook_type":"human_episodes","id":7,"events_count":2,"open":true},
            {"webhook_type":"human_episodes","id":7,"events_count":2,"open":false},
            {"webhook_type":"areas","event_model_class":"activation","id":7,"active":true},
            {"webhook_type":"areas","event_model_class":"activation","id":7,"active":false},
            {"webhook_type":"doors","id":7},
            {"webhook_type":"doors","x":7},
            {"face":"","id":"7"}
        ]"#;
        let ids = ids(batch);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 14);
        assert_eq!(ids, self::ids(batch));
    }

    #[test]
    fn the_same_record_is_known_however_it_is_written() {
        let written = [
            r#"[{"webhook_type":"face_events","event_model_class":"event_created","id":"7","camera":1,"created_date":"2026-03-04T10:20:30Z"}]"#,
            r#"[{"id":7,"camera":{"id":1,"name":"Gate"},"event_type":"event_created","created_date":"2026-03-04T10:20:30Z","webhook_type":"face_events"}]"#,
            r#"{"webhook_type":"face_events","created_date":"2026-03-04T10:20:30Z","event_model_class":"event_created","camera":1,"id":"7"}"#,
        ];
        assert_eq!(ids(written[0]), ids(written[1]));
        assert_eq!(ids(written[0]), ids(written[2]));
    }

    #[test]
    fn success_is_200_and_nothing_else_is() {
        assert_eq!(Findface.answer(&Outcome::Kept).status, 200);
        assert_eq!(Findface.answer(&Outcome::Busy).status, 503);
        let refused = Findface.answer(&Outcome::Refused("send it elsewhere".into()));
        assert_eq!(refused.status, 400);
        assert_eq!(refused.body.as_ref(), b"send it elsewhere\n");
    }
}

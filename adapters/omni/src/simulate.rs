//! Messages of an invented OMNI Platform 1.18, for the simulator, the demo and the benchmarks.
//!
//! Pure: the same seed and number always give the same message, so a run can be repeated, and a message sent twice is
//! the same record. A webhook and a websocket carry the same text.
//!
//! Faithful are the shape of the documented types and their defects: a title that is the stream's URL with its
//! credentials, a date with a blank, candidates in no order. `roi` is the documented envelope with another word, as no
//! page shows one.

use faceway_core::Timestamp;
use serde_json::{Value, json};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The text, as a webhook's body or a websocket's message.
    pub body: Vec<u8>,
    /// The vendor's record id: `event.id`.
    pub event_id: String,
    /// The camera's id: `camera.id`.
    pub camera: String,
    /// Its `type`.
    pub event_type: &'static str,
}

/// A platform with cameras.
#[derive(Clone, Debug)]
pub struct Simulation {
    seed: u64,
    cameras: u64,
    platform: String,
}

/// Every so many messages one is of a type that is named by the vendor and not shown.
const OTHER_EVERY: u64 = 40;

/// Invented people: age, gender and watch list. The position makes the profile's id. The wire has no names.
const PEOPLE: [(u8, &str, &str); 8] = [
    (34, "FEMALE", "green.400"),
    (51, "MALE", "green.400"),
    (28, "FEMALE", "green.400"),
    (43, "MALE", "green.400"),
    (39, "MALE", "blue.400"),
    (62, "FEMALE", "blue.400"),
    (25, "MALE", "blue.400"),
    (47, "MALE", "red.400"),
];

/// The cameras' names; the first has none, so that its title is its stream's URL.
const CAMERAS: [Option<&str>; 4] = [None, Some("North gate"), Some("Hall"), Some("Склад")];

impl Simulation {
    /// A platform with `cameras` cameras (at least one). Its pictures are linked under `platform`, such as
    /// `http://omni.example`.
    pub fn new(seed: u64, cameras: u64, platform: &str) -> Self {
        Self {
            seed,
            cameras: cameras.max(1),
            platform: platform.trim_end_matches('/').to_owned(),
        }
    }

    /// The message with this number, as if it happened `at`. Cameras take turns.
    pub fn message(&self, number: u64, at: Timestamp) -> Message {
        let dice = mix(self.seed ^ mix(number));
        let event_id = uuid(dice, mix(dice));
        let camera = number % self.cameras;
        let camera_id = self.id("camera", camera);
        let mut message = json!({
            "type": "",
            "activity_id": uuid(mix(dice ^ 1), dice),
            "camera": self.camera(camera),
        });
        let kind: &'static str = match dice % 100 {
            _ if number % OTHER_EVERY == OTHER_EVERY - 1 => "roi",
            0..70 => "identification",
            _ => "non_identification",
        };
        message["type"] = kind.into();
        if kind == "identification" {
            message["candidates"] = self.candidates(dice);
        }
        message["event"] = self.event(&event_id, dice, at);
        Message {
            body: message.to_string().into_bytes(),
            event_id,
            camera: camera_id,
            event_type: kind,
        }
    }

    fn camera(&self, number: u64) -> Value {
        let stream = format!(
            "rtsp://viewer:sim-{number}@192.0.2.{}:554/main",
            number % 250 + 1
        );
        let name = CAMERAS[(number % 4) as usize];
        json!({
            "id": self.id("camera", number),
            "type": "IP",
            "title": stream,
            "stream": stream,
            "real_name": name,
            "agent_id": self.id("agent", number / 8),
        })
    }

    /// One, and now and then a second that is less alike and may stand first.
    fn candidates(&self, dice: u64) -> Value {
        let who = dice / 128 % 8;
        let best = self.candidate(who, 9000 + dice / 1024 % 1000);
        let mut candidates = vec![best];
        if dice.is_multiple_of(5) {
            let other = self.candidate((who + 3) % 8, 8000 + dice / 4096 % 900);
            candidates.insert((dice / 8 % 2) as usize, other);
        }
        Value::Array(candidates)
    }

    fn candidate(&self, who: u64, score: u64) -> Value {
        let (age, gender, color) = PEOPLE[(who % 8) as usize];
        let sample = self.id("sample", who);
        json!({
            "profile": {
                "id": self.id("profile", who),
                "age": age,
                "gender": gender,
                "avatar_id": sample,
                "main_sample_id": sample,
                "sample_link": format!("{}/get-image/{sample}", self.platform),
            },
            "profile_groups": [{ "id": self.id(color, 0), "color": color }],
            "confidence": score as f64 / 10_000.0,
        })
    }

    fn event(&self, id: &str, dice: u64, at: Timestamp) -> Value {
        let (image, scene) = (uuid(mix(dice ^ 2), dice), uuid(mix(dice ^ 3), dice));
        let link = |id: &str| format!("{}/event-service/get-image/{id}", self.platform);
        json!({
            "id": id,
            "detection_date": date(at),
            "image": image,
            "original_image": scene,
            "image_link": link(&image),
            "original_image_link": link(&scene),
        })
    }

    /// The same thing has the same id in every message.
    fn id(&self, what: &str, number: u64) -> String {
        let what = what.bytes().fold(0, |sum, byte| mix(sum ^ u64::from(byte)));
        let dice = mix(self.seed ^ what ^ mix(number));
        uuid(dice, mix(dice))
    }
}

/// As Python writes it: a blank, microseconds, and the zone as an offset.
fn date(at: Timestamp) -> String {
    let text = at.to_string().replace('T', " ");
    format!("{}000+00:00", text.trim_end_matches('Z'))
}

/// Version 4, variant 1, as the platform makes them.
fn uuid(high: u64, low: u64) -> String {
    let high = high & !0xF000 | 0x4000;
    let low = low & !(0b11 << 62) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF,
    )
}

/// Splitmix64: every bit of the result depends on every bit of `value`.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use faceway_core::{Adapter as _, Arrival, Kind, Settings, Timestamp};

    use super::{Simulation, date};
    use crate::Omni;

    fn at() -> Timestamp {
        Timestamp::from_millis(1_790_000_000_250).unwrap()
    }

    #[test]
    fn messages_are_read_without_a_warning() {
        let headers = http::HeaderMap::new();
        let simulation = Simulation::new(7, 3, "http://omni.example/");
        let (mut statuses, mut ids, mut several) = (HashSet::new(), HashSet::new(), 0);
        for number in 0..400 {
            let message = simulation.message(number, at());
            let arrival = Arrival {
                headers: &headers,
                peer: None,
                body: &message.body,
            };
            let mut read = Omni.read(&arrival, &Settings::default()).unwrap();
            let facts = read.remove(0).unwrap().facts;
            assert!(facts.warnings.is_empty(), "{:?}", facts.warnings);
            assert_eq!(facts.vendor_id.as_deref(), Some(message.event_id.as_str()));
            assert_eq!(facts.device.id.as_deref(), Some(message.camera.as_str()));
            assert_eq!(facts.occurred_at, Some(at()));
            let scores: Vec<_> = facts.matched.candidates.iter().map(|c| c.score).collect();
            assert!(scores.is_sorted_by(|one, other| one >= other));
            several += usize::from(scores.len() > 1);
            statuses.insert(
                (facts.kind == Kind::Recognition).then(|| format!("{:?}", facts.matched.status)),
            );
            ids.insert(message.event_id);
        }
        assert_eq!((statuses.len(), ids.len()), (3, 400));
        assert!(several > 20, "{several}");
    }

    #[test]
    fn the_same_number_gives_the_same_message() {
        let one = Simulation::new(7, 3, "http://omni.example");
        let two = Simulation::new(7, 3, "http://omni.example");
        assert_eq!(one.message(5, at()), two.message(5, at()));
        assert_ne!(one.message(5, at()), two.message(6, at()));
        assert_ne!(
            one.message(5, at()).event_id,
            Simulation::new(8, 3, "http://omni.example")
                .message(5, at())
                .event_id
        );
    }

    #[test]
    fn dates_have_a_blank() {
        assert_eq!(date(at()), "2026-09-21 14:13:20.250000+00:00");
    }
}

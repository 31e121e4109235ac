//! Batches of an invented FindFace Multi 2.1, for the simulator, the demo and the benchmarks.
//!
//! Pure: the same seed and number always give the same batch, so a run can be repeated, and a batch sent again is the
//! same events. The platform has a queue for each type of event, so a batch holds one type.

use std::time::Duration;

use faceway_core::Timestamp;
use serde_json::{Value, json};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The body as the platform posts it: an array, also of one.
    pub body: Vec<u8>,
    /// `webhook_type` of every event in it.
    pub webhook_type: &'static str,
    /// The vendor's ids, in the order sent.
    pub ids: Vec<String>,
}

/// A platform with cameras.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    seed: u64,
    cameras: u64,
    batch_size: u64,
    verbose: bool,
}

/// Invented people: name, watch list. The position is the card's id.
const PEOPLE: [(&str, u64); 8] = [
    ("Hanneke Vorstermann", 1),
    ("Kofi Adjei-Brandt", 1),
    ("Лада Синеокова", 1),
    ("Matteo Quercini", 1),
    ("Yui Tachikawara", 2),
    ("Bertrand Oisel", 2),
    ("Ossian Grimholt", 3),
    ("Дарьян Неверов", 3),
];

const LISTS: [&str; 3] = ["Staff", "Guests", "Do not admit"];

/// Every `webhook_type` that is sent.
pub const WEBHOOK_TYPES: [&str; 6] = [
    "face_events",
    "body_events",
    "car_events",
    "human_episodes",
    "counters",
    "areas",
];

/// The types take turns; most of what a site sees are faces.
const TYPES: [&str; 8] = [
    "face_events",
    "face_events",
    "human_episodes",
    "face_events",
    "body_events",
    "car_events",
    "counters",
    "areas",
];

/// The type of the batch with this number. Each type has a queue of its own.
pub const fn webhook_type(number: u64) -> &'static str {
    TYPES[(number % TYPES.len() as u64) as usize]
}

/// The number of the batch that is the `nth` of its type, from 0.
pub fn nth_of_type(kind: &str, nth: u64) -> u64 {
    let turns = || (0..TYPES.len() as u64).filter(|turn| webhook_type(*turn) == kind);
    let each = (turns().count() as u64).max(1);
    let turn = turns().nth((nth % each) as usize).unwrap_or_default();
    nth / each * TYPES.len() as u64 + turn
}

/// How long the platform waits before attempt `attempt` (from 1) is followed by the next: 0.1 × 2.7ⁿ seconds, at most
/// 100, as its log shows.
pub fn pause_after(attempt: u32) -> Duration {
    let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
    Duration::from_secs_f64((0.1 * 2.7_f64.powi(exponent)).min(100.0))
}

impl Simulation {
    /// A platform with `cameras` cameras, that sends up to `batch_size` events at once (at least one of each).
    pub fn new(seed: u64, cameras: u64, batch_size: u64) -> Self {
        Self {
            seed,
            cameras: cameras.max(1),
            batch_size: batch_size.max(1),
            verbose: false,
        }
    }

    /// Puts cards, lists, cameras and camera groups where else their ids stand (`VERBOSE_WEBHOOKS`).
    #[must_use]
    pub const fn verbose(mut self) -> Self {
        self.verbose = true;
        self
    }

    /// The batch with this number, as if it happened `at`.
    pub fn batch(&self, number: u64, at: Timestamp) -> Batch {
        let webhook_type = webhook_type(number);
        let events: Vec<Value> = (0..self.batch_size)
            .map(|index| {
                let number = number * self.batch_size + index;
                self.event(webhook_type, number, at.plus_millis(index.cast_signed()))
            })
            .collect();
        let ids = events.iter().map(|event| text(&event["id"])).collect();
        Batch {
            body: Value::from(events).to_string().into_bytes(),
            webhook_type,
            ids,
        }
    }

    fn event(&self, webhook_type: &'static str, number: u64, at: Timestamp) -> Value {
        let dice = mix(self.seed ^ mix(number));
        let camera = number % self.cameras + 1;
        let mut event = match webhook_type {
            "human_episodes" => self.episode(dice, camera, number, at),
            "counters" => counter(dice, number, at),
            "areas" => area(dice, number, at),
            _ => self.seen(webhook_type, dice, number, at),
        };
        if !matches!(webhook_type, "human_episodes" | "areas") {
            event["camera"] = self.camera(camera);
            event["camera_group"] = match self.verbose {
                true => json!({ "id": 1, "name": "Site", "active": true, "labels": {} }),
                false => json!(1),
            };
        }
        event["webhook_type"] = webhook_type.into();
        event
    }

    /// A verbose camera's URL has its password in it.
    fn camera(&self, id: u64) -> Value {
        if !self.verbose {
            return id.into();
        }
        json!({
            "id": id,
            "group": 1,
            "active": true,
            "name": format!("Camera {id}"),
            "comment": "",
            "url": format!("rtsp://viewer:simulated@camera-{id}.findface.invalid:554/main"),
        })
    }

    fn card(&self, who: usize) -> (Value, Value) {
        let (name, list) = PEOPLE[who % PEOPLE.len()];
        let id = who % PEOPLE.len() + 1;
        match self.verbose {
            true => (
                json!({ "id": id, "active": true, "name": name, "comment": "", "watch_lists": [list] }),
                json!([{ "id": list, "active": true, "name": LISTS[(list - 1) as usize], "color": "808080" }]),
            ),
            false => (id.into(), json!([list])),
        }
    }

    fn seen(&self, webhook_type: &str, dice: u64, number: u64, at: Timestamp) -> Value {
        let object = webhook_type.trim_end_matches("_events");
        let matched = object == "face" && !dice.is_multiple_of(4);
        let (card, lists) = match matched {
            true => self.card((dice / 8 % 64) as usize),
            false => (Value::Null, json!([])),
        };
        let score = match matched {
            true => 7600 + dice / 512 % 2300,
            false => dice / 512 % 6000,
        };
        let link = |what: &str| {
            format!("http://findface.invalid/uploads/{object}_event/{number}_{object}_{what}.jpg")
        };
        let (left, top) = (dice % 900, dice / 1024 % 500);
        let mut event = json!({
            "id": (4_400_000_000_000_000_000 + dice % 1_000_000_000 * 1_000_000 + number % 1_000_000).to_string(),
            "created_date": at,
            "episode": null, "case": null, "video_archive": null, "external_detector": false, "meta": {},
            "thumbnail": link("thumbnail"), "fullframe": link("full_frame"), "bs_type": "overall",
            "frame_coords_left": left, "frame_coords_top": top,
            "frame_coords_right": left + 180, "frame_coords_bottom": top + 240,
            "matched": matched, "matched_card": card, "matched_lists": lists,
            "matched_object": if matched { "4399000000000000001" } else { "" },
            "matched_cluster": null, "confidence": score as f64 / 10_000.0,
            "cluster_confidence": 0.0, "looks_like_confidence": null,
            "quality": (5000 + dice % 5000) as f64 / 10_000.0, "temperature": null,
            "detector_params": { "track": { "id": format!("sim-{number}") } },
            "features": features(object, dice),
            "acknowledged": true, "acknowledged_date": at, "acknowledged_by": 0, "acknowledged_reaction": "",
            "object_type": object, "event_model_class": "event_created",
        });
        if object == "car" {
            event["license_plate_thumbnail"] = link("license_plate_thumbnail").into();
        }
        event
    }

    /// Three in a row are one visit: it opens, goes on and closes.
    fn episode(&self, dice: u64, camera: u64, number: u64, at: Timestamp) -> Value {
        let turn = (number / self.batch_size / TYPES.len() as u64) % 3;
        let class = ["episode_open", "episode_event", "episode_close"][turn as usize];
        let visit = number / self.batch_size / TYPES.len() as u64 / 3 * self.batch_size
            + number % self.batch_size;
        let (card, lists) = self.card((mix(self.seed ^ visit) % 64) as usize);
        let closed = (turn == 2).then_some(at);
        json!({
            "id": visit + 1,
            "created_date": at.plus_millis(-30_000 * turn.cast_signed()),
            "closed_date": closed,
            "open": closed.is_none(),
            "events_count": turn + 1,
            "cameras": [camera], "camera_groups": [1],
            "matched_lists": lists, "matched_card": card,
            "face_features": {},
            "last_face_event": { "id": dice.to_string(), "created_date": at },
            "acknowledged": true, "video_archive": null, "case": null,
            "event_model_class": class,
        })
    }
}

fn features(object: &str, dice: u64) -> Value {
    let sure = (6000 + dice / 64 % 4000) as f64 / 10_000.0;
    let feature = |name: Value| json!({ "name": name, "confidence": sure });
    let either = |words: [&str; 2]| feature(words[(dice / 16 % 2) as usize].into());
    match object {
        "face" => json!({
            "age": { "name": (18 + dice % 60) as f64, "confidence": 1 },
            "gender": either(["male", "female"]),
            "medmask": either(["none", "correct"]),
            "glasses": either(["none", "eye"]),
            "emotions": either(["neutral", "happy"]),
            "beard": null,
        }),
        "body" => json!({
            "upper_clothes": either(["jacket", "t-shirt"]),
            "top_color": either(["blue", "grey"]),
            "headwear": feature("".into()),
        }),
        _ => json!({
            "color": either(["white", "silver"]),
            "body": either(["sedan", "suv"]),
            "make": either(["skoda", "toyota"]),
            "license_plate_number": feature(format!("SIM{:04}", dice % 10_000).into()),
            "license_plate_country": feature("unknown".into()),
        }),
    }
}

fn counter(dice: u64, number: u64, at: Timestamp) -> Value {
    json!({
        "id": number + 1,
        "created_date": at,
        "counter": dice % 3 + 1,
        "fullframe": format!("http://findface.invalid/uploads/counter/{number}.jpg"),
        "faces_count": dice / 4 % 8, "silhouettes_count": dice / 4 % 8 + dice / 64 % 3, "cars_count": 0,
        "proximity_min": 0.8, "proximity_avg": 1.6, "proximity_max": 2.9,
        "error": false, "error_msg": "",
        "event_model_class": "counter_record_created",
    })
}

fn area(dice: u64, number: u64, at: Timestamp) -> Value {
    json!({
        "id": number + 1,
        "created_date": at,
        "area": dice % 4 + 1,
        "active": dice.is_multiple_of(2),
        "duration": dice / 8 % 120,
        "max_body_count": dice / 1024 % 6 + 1,
        "event_model_class": "area_activation",
    })
}

fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
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

    use faceway_core::{Adapter as _, Arrival, Settings, Timestamp};

    use super::{Simulation, WEBHOOK_TYPES, pause_after, webhook_type};
    use crate::Findface;

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000).unwrap()
    }

    #[test]
    fn batches_are_read_without_a_warning() {
        let headers = http::HeaderMap::new();
        for simulation in [Simulation::new(7, 3, 2), Simulation::new(7, 3, 2).verbose()] {
            let (mut kinds, mut ids) = (HashSet::new(), HashSet::new());
            for number in 0..240 {
                let batch = simulation.batch(number, at());
                let arrival = Arrival {
                    headers: &headers,
                    peer: None,
                    body: &batch.body,
                };
                let read = Findface.read(&arrival, &Settings::default()).unwrap();
                assert_eq!(read.len(), 2);
                for (element, id) in read.into_iter().zip(&batch.ids) {
                    let reading = element.unwrap();
                    let facts = &reading.facts;
                    assert!(facts.warnings.is_empty(), "{:?}", facts.warnings);
                    assert_eq!(facts.vendor_id.as_deref(), Some(id.as_str()));
                    assert!(facts.occurred_at.is_some());
                    kinds.insert((
                        facts.kind.as_str(),
                        facts.vendor_type.clone().unwrap().into_owned(),
                    ));
                    ids.insert(
                        reading
                            .key
                            .id("city", faceway_core::Timestamp::from_seconds(0).unwrap()),
                    );
                }
                assert!(!String::from_utf8(batch.body).unwrap().is_empty());
            }
            assert_eq!(kinds.len(), 8, "{kinds:?}");
            assert_eq!(ids.len(), 480);
        }
    }

    #[test]
    fn every_batch_is_of_a_known_type() {
        let sent: HashSet<&str> = (0..16).map(webhook_type).collect();
        assert_eq!(sent, HashSet::from(WEBHOOK_TYPES));
        let batch = Simulation::new(7, 3, 2).batch(5, at());
        assert_eq!(batch.webhook_type, webhook_type(5));
    }

    #[test]
    fn the_same_number_gives_the_same_batch() {
        let one = Simulation::new(7, 3, 5);
        assert_eq!(one.batch(5, at()), Simulation::new(7, 3, 5).batch(5, at()));
        assert_ne!(one.batch(5, at()), one.batch(13, at()));
        assert_ne!(one.batch(5, at()), Simulation::new(8, 3, 5).batch(5, at()));
    }

    #[test]
    fn pauses_grow_as_in_the_log_of_the_vendors_page() {
        let logged = [
            "0.270", "0.729", "1.968", "5.314", "14.349", "38.742", "100.000", "100.000",
        ];
        for (attempt, pause) in (1..).zip(logged) {
            assert_eq!(format!("{:.3}", pause_after(attempt).as_secs_f64()), pause);
        }
        assert_eq!(pause_after(u32::MAX).as_secs(), 100);
    }
}

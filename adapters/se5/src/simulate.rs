//! Messages of an invented box, for the simulator, the demo and the benchmarks: as the websocket sends them, and as the
//! history pushes the same records.
//!
//! Pure: the same seed and number always give the same record, so a run can be repeated. A simulator of a box must be
//! silent until it is configured ([`crate::connect::Configured`]), and drop what is not read.
//!
//! A v1 record has `event_id` and `video_id`, which the document's own client reads of every message although its table
//! does not name them. What a video's id is, is not said: here it is the camera's. v2's table calls `event_id` mandatory and
//! its sample lacks it: here it is lacking.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faceway_core::Timestamp;
pub use faceway_core::simulator::Picture;
use serde_json::{Value, json};

use crate::connect::{Configured, Protocol};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The message as the websocket sends it or as the history pushes it.
    pub body: String,
    /// The camera's id.
    pub device: String,
}

/// A box with cameras.
#[derive(Clone, Debug)]
pub struct Simulation {
    seed: u64,
    protocol: Protocol,
    devices: u64,
    /// Behind its start marker.
    picture: Option<Vec<u8>>,
}

/// Invented people: name, group, and what they are in v1 and in v2. The position is the user id.
const PEOPLE: [(&str, &str, u8, &str); 11] = [
    ("林栖迟", "研发部", 1, "employee"),
    ("Oskar Lindqvarn", "Workshop", 1, "employee"),
    ("Nadia Bellaroui", "Front desk", 1, "employee"),
    ("周鹤鸣", "行政部", 1, "employee"),
    ("Inês Carvalhosa", "Canteen", 1, "employee"),
    ("Teemu Ristolahti", "Workshop", 1, "employee"),
    ("沈知夏", "访客", 2, "visitor"),
    ("Greta Almkvist", "Visitors", 2, "visitor"),
    ("Victor Grimaud", "Not wanted", 3, "blacklist"),
    ("郭无咎", "黑名单", 3, "blacklist"),
    ("Aurelia Montclair", "Board", 5, "vip"),
];

impl Simulation {
    /// A box of this protocol with `devices` cameras (at least one).
    pub fn new(seed: u64, protocol: Protocol, devices: u64, picture: Picture<'_>) -> Self {
        Self {
            seed,
            protocol,
            devices: devices.max(1),
            picture: match picture {
                Picture::None => None,
                Picture::Jpeg(jpeg) => Some(jpeg.get(2..).unwrap_or_default().to_vec()),
                Picture::Bytes(bytes) => Some(noise(seed, bytes)),
            },
        }
    }

    /// The cameras' ids.
    pub fn devices(&self) -> Vec<String> {
        (0..self.devices)
            .map(|number| self.device(number))
            .collect()
    }

    /// What the box's API answers when it is asked for its cameras.
    pub fn device_list(&self) -> String {
        let devices = (0..self.devices).map(|number| {
            let (id, address) = (self.device(number), address(number));
            match self.protocol {
                Protocol::V1 => {
                    json!({ "device_id": id, "device_ip": address, "device_name": name(number), "device_type": "rtsp" })
                }
                Protocol::V2 => {
                    json!({ "media_device_id": id, "media_device_ip": address, "media_device_name": name(number), "media_device_type": "rtsp" })
                }
            }
        });
        let devices: Vec<Value> = devices.collect();
        match self.protocol {
            Protocol::V1 => json!({ "data": { "devices_list": devices } }).to_string(),
            Protocol::V2 => json!({ "devices": devices }).to_string(),
        }
    }

    /// The record with this number, as if it happened `at`, as the websocket sends it; `None` when its camera was not
    /// configured. Cameras take turns.
    pub fn realtime(&self, number: u64, at: Timestamp, configured: &Configured) -> Option<Record> {
        let device = self.device(number);
        if !configured.devices.contains(&device) {
            return None;
        }
        let seen = Seen::of(self.dice(number));
        let face = self.picture(number, 0, configured.face);
        let enrolled = self.picture(number, 1, configured.enrolled && seen.person.is_some());
        let body = match self.protocol {
            Protocol::V1 => json!({
                "event_id": self.event_id(number),
                "video_id": device,
                "reg_pic": enrolled,
                "ext_data": {
                    "person_type": seen.person_type(),
                    "device_ip": address(number % self.devices),
                    "device_type": "3",
                    "spot_pic": self.picture(number, 2, configured.face),
                    "recognize_face": face,
                },
                "identity_id": seen.id(),
                "device_id": device,
                "identity_info": {},
                "score": seen.score,
                "timestamp": at.as_millis(),
                "group_name": seen.group(),
                "identity_name": seen.name(),
            }),
            Protocol::V2 => json!({
                "register_image": as_url(enrolled),
                "media_device_ip": address(number % self.devices),
                "media_device_type": "rtsp",
                "recognize_face_image": as_url(face),
                "identity_id": seen.id(),
                "user_type": seen.user_type(),
                "media_device_id": device,
                "score": seen.score,
                "timestamp": at.as_millis(),
                "identity_name": seen.name(),
            }),
        };
        let body = body.to_string();
        Some(Record { body, device })
    }

    /// The same record as the history pushes it, with all its pictures.
    pub fn history(&self, number: u64, at: Timestamp) -> Record {
        let device = self.device(number);
        let seen = Seen::of(self.dice(number));
        let known = seen.person.is_some();
        let (face, enrolled, scene) = (
            self.picture(number, 0, true),
            self.picture(number, 1, known),
            self.picture(number, 2, true),
        );
        let box_ = [50, 23, 173, 183];
        let body = match self.protocol {
            Protocol::V1 => json!({
                "event_id": self.event_id(number),
                "video_id": device,
                "recognize_face_attr": { "gender": null, "point": [], "glasses": null, "feature": [], "hat": null, "age": null, "mask": null, "box": box_, "expression": null },
                "spot_pic": scene,
                "score": seen.score,
                "reg_pic": enrolled,
                "out_timestamp": at.as_millis() + 2460,
                "identity_id": seen.id(),
                "timestamp": at.as_millis(),
                "identity_name": seen.name(),
                "want_action": "0",
                "identity_info": {},
                "ep_info": { "ep_type": "rtsp", "ep_name": name(number % self.devices), "device_id": device, "ep_ip": address(number % self.devices), "ep_id": "" },
                "recognize_face": face,
                "dev_sno": "",
                "person_type": seen.person_type(),
                "api_version": "1.0",
            }),
            Protocol::V2 => json!({
                "api_version": "2.0",
                "identity_id": seen.id(),
                "timestamp": at.as_millis(),
                "identity_name": seen.name(),
                "media_device_info": { "media_device_ip": address(number % self.devices), "media_device_type": "rtsp", "media_device_name": name(number % self.devices), "media_device_id": device.replace('-', "") },
                "in_timestamp": at.as_millis(),
                "recognize_face_image": face,
                "ir_image": "",
                "post_action": "0",
                "user_type": seen.user_type(),
                "spot_image": scene,
                "out_timestamp": at.as_millis() + 3570,
                "score": seen.score,
                "reg_image": enrolled,
                "mq_license_key": "SIMULATED00000000000000",
                "recognize_face_attr": { "gender": null, "hat": null, "box": box_, "glasses": null, "feature_binary": "", "mask": "no", "expression": null, "age": "youth", "point": [] },
            }),
        };
        let body = body.to_string();
        Record { body, device }
    }

    fn dice(&self, number: u64) -> u64 {
        mix(self.seed ^ mix(number))
    }

    fn device(&self, number: u64) -> String {
        let number = number % self.devices;
        uuid(mix(self.seed ^ number), mix(self.seed.wrapping_add(number)))
    }

    fn event_id(&self, number: u64) -> String {
        let dice = self.dice(number);
        uuid(mix(!dice), mix(dice))
    }

    fn picture(&self, number: u64, which: u8, wanted: bool) -> String {
        let Some(rest) = self.picture.as_deref().filter(|_| wanted) else {
            return String::new();
        };
        let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xFE, 0, 14];
        bytes.extend_from_slice(format!("{which}{number:011}").as_bytes());
        bytes.extend_from_slice(rest);
        STANDARD.encode(bytes)
    }
}

/// Who stood before a camera.
struct Seen {
    person: Option<usize>,
    score: f64,
}

impl Seen {
    fn of(dice: u64) -> Self {
        let who = (dice % 100) as usize;
        let person = match who {
            0..60 => Some(who % 6),
            60..72 => Some(6 + who % 2),
            72..88 => None,
            88..94 => Some(8 + who % 2),
            _ => Some(10),
        };
        let thousandths = match person {
            Some(_) => 820 + dice / 128 % 180,
            None => 60 + dice / 128 % 600,
        };
        Self {
            person,
            score: thousandths as f64 / 1000.0,
        }
    }

    fn told(&self) -> Option<&'static (&'static str, &'static str, u8, &'static str)> {
        PEOPLE.get(self.person?)
    }

    fn id(&self) -> String {
        self.person
            .map(|person| format!("{:08}", person + 1))
            .unwrap_or_default()
    }

    fn name(&self) -> &'static str {
        self.told().map_or("stranger", |told| told.0)
    }

    fn group(&self) -> &'static str {
        self.told().map_or("", |told| told.1)
    }

    fn person_type(&self) -> u8 {
        self.told().map_or(4, |told| told.2)
    }

    fn user_type(&self) -> &'static str {
        self.told().map_or("stranger", |told| told.3)
    }
}

fn uuid(high: u64, low: u64) -> String {
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFF,
        low >> 52,
        low & 0xFFFF_FFFF_FFFF,
    )
}

fn as_url(base64: String) -> String {
    match base64.is_empty() {
        true => base64,
        false => format!("data:image/jpeg;base64,{base64}"),
    }
}

fn address(device: u64) -> String {
    format!("10.20.{}.{}", device / 250 % 250, device % 250 + 1)
}

fn name(device: u64) -> String {
    format!("Camera {}", device + 1)
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = mix(seed);
    let mut noise: Vec<u8> = (20..bytes)
        .map(|_| {
            dice = mix(dice);
            // 0xFF would begin a marker.
            (dice % 255) as u8
        })
        .collect();
    noise.extend_from_slice(&[0xFF, 0xD9]);
    noise
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

    use faceway_core::{Adapter as _, Arrival, Reading, Settings, Timestamp};

    use super::{Picture, Simulation};
    use crate::Se5;
    use crate::connect::{Configured, Protocol, configuration, device_ids};

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000).unwrap()
    }

    fn read(body: &str) -> Reading<'static> {
        let arrival = Arrival {
            headers: &http::HeaderMap::new(),
            peer: None,
            body: body.as_bytes(),
        };
        let mut read = Se5.read(&arrival, &Settings::default()).unwrap();
        let reading = read.remove(0).unwrap();
        assert!(
            reading.facts.warnings.is_empty(),
            "{body}: {:?}",
            reading.facts.warnings
        );
        Reading {
            key: reading.key,
            facts: faceway_core::Facts {
                person: faceway_core::Person {
                    category: reading.facts.person.category,
                    ..Default::default()
                },
                ..Default::default()
            },
            pictures: reading.pictures,
        }
    }

    #[test]
    fn a_record_is_the_same_by_both_ways() {
        for protocol in [Protocol::V1, Protocol::V2] {
            let simulation = Simulation::new(7, protocol, 3, Picture::Bytes(2048));
            let found = device_ids(simulation.device_list().as_bytes()).unwrap();
            assert_eq!(found, simulation.devices());
            let message = configuration(protocol, &Settings::default(), &found);
            let configured = Configured::read(protocol, &message).unwrap();
            let (mut keys, mut categories) = (HashSet::new(), HashSet::new());
            for number in 0..300_u64 {
                let at = at().plus_millis(i64::try_from(number).unwrap());
                let live = read(&simulation.realtime(number, at, &configured).unwrap().body);
                let later = read(&simulation.history(number, at).body);
                assert_eq!(live.key, later.key);
                assert_eq!(later.pictures[0].bytes.reveal().len(), 2048);
                assert_eq!(live.pictures[0].sha256, later.pictures[0].sha256);
                keys.insert(format!("{:?}", live.key));
                categories.insert(format!("{:?}", live.facts.person.category));
            }
            assert_eq!((keys.len(), categories.len()), (300, 5));
        }
    }

    #[test]
    fn a_box_is_silent_about_cameras_that_nobody_asked_for() {
        let simulation = Simulation::new(7, Protocol::V1, 3, Picture::None);
        let silent = Configured::default();
        assert_eq!(simulation.realtime(0, at(), &silent), None);
        let one = Configured {
            devices: vec![simulation.devices().remove(1)],
            ..Configured::default()
        };
        let told: Vec<u64> = (0..6)
            .filter(|number| simulation.realtime(*number, at(), &one).is_some())
            .collect();
        assert_eq!(told, [1, 4]);
    }

    #[test]
    fn the_same_number_gives_the_same_record() {
        let one = Simulation::new(7, Protocol::V2, 3, Picture::Jpeg(b"\xFF\xD8\xFF\xD9"));
        assert_eq!(one.history(5, at()), one.clone().history(5, at()));
        assert_ne!(one.history(5, at()), one.history(6, at()));
    }
}

//! Pushes of invented terminals, for the simulator, the demo and the benchmarks. API 1.3.0.
//!
//! Pure: the same seed and number always give the same push, so a run can be repeated, and a push sent twice is the same
//! record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faceway_core::Timestamp;
pub use faceway_core::simulator::Picture;
use serde_json::{Value, json};

/// One push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// The body as a terminal posts it.
    pub body: Vec<u8>,
    /// The vendor's record id: `uuid` of a recognition, `trace_id` of an alarm.
    pub uuid: String,
    /// The terminal's serial number, as its header `sn` has it.
    pub device: String,
}

/// A site with terminals.
#[derive(Clone, Debug)]
pub struct Simulation {
    seed: u64,
    devices: u64,
    /// Base64 of the picture, made once; eight digits in it are changed for each push.
    picture: Option<String>,
}

/// Every so many pushes one is an alarm; raised, and the next one cleared.
const ALARM_EVERY: u64 = 40;

/// Invented people: name, groups, and what they are. The position is the user id.
const PEOPLE: [(&str, &str, u8); 12] = [
    ("李晓岚", "研发部", 1),
    ("Jonas Feldweber", "Workshop", 1),
    ("Amara Obi-Lindt", "Front desk", 1),
    ("陈观澜", "行政部", 1),
    ("Tomás Quintavar", "Canteen", 1),
    ("Salla Hietamäki", "Workshop", 1),
    ("Mirela Dobrevska", "Front desk", 1),
    ("Ibrahim Tazerout", "Night shift", 1),
    ("王星渡", "访客", 2),
    ("Pia Sandkvist", "Visitors", 2),
    ("Rupert Grawl", "Not wanted", 5),
    ("赵无名", "黑名单", 5),
];

impl Simulation {
    /// A site with `devices` terminals (at least one).
    pub fn new(seed: u64, devices: u64, picture: Picture<'_>) -> Self {
        let picture = match picture {
            Picture::None => None,
            Picture::Jpeg(jpeg) => Some(commented(jpeg.get(2..).unwrap_or_default())),
            Picture::Bytes(bytes) => Some(commented(&noise(seed, bytes))),
        };
        Self {
            seed,
            devices: devices.max(1),
            picture: picture.map(|bytes| STANDARD.encode(bytes)),
        }
    }

    /// The push with this number, as if it happened `at`. Terminals take turns.
    pub fn push(&self, number: u64, at: Timestamp) -> Push {
        if number % ALARM_EVERY == ALARM_EVERY - 1 {
            return self.alarm(number, at);
        }
        let device = self.device(number);
        let dice = mix(self.seed ^ mix(number));
        let uuid = uuid(dice, mix(dice));
        let data = recognition(dice, &uuid, &device, at);
        Push {
            body: self.body(0, &data, "rgb_image", number),
            uuid,
            device,
        }
    }

    fn device(&self, number: u64) -> String {
        format!("PSC0SIM{:08}", number % self.devices)
    }

    /// Raised on even turns; the next one clears it, on the same terminal.
    fn alarm(&self, number: u64, at: Timestamp) -> Push {
        let turn = number / ALARM_EVERY;
        let device = self.device(turn / 2);
        let dice = mix(self.seed ^ mix(turn / 2));
        let code = [10001, 10002, 10003, 10004, 20003][(dice % 5) as usize];
        let uuid = format!("SIM-{dice:016x}");
        let data = json!({
            "trace_id": uuid,
            "description": " ",
            "code": code,
            "event_time": at.as_millis(),
            "status": if turn.is_multiple_of(2) { 1 } else { 3 },
        });
        Push {
            body: self.body(1, &data, "alarm_photo", number),
            uuid,
            device,
        }
    }

    /// The picture is copied behind the rest, as text: JSON in JSON would be escaped and copied twice.
    fn body(&self, tag: u8, data: &Value, picture_name: &str, number: u64) -> Vec<u8> {
        let data = data.to_string();
        let picture = self.picture.as_deref().unwrap_or(" ");
        let mut body = format!(
            "{{\"type\":{tag},\"data\":{},\"{picture_name}\":\"",
            data.strip_suffix('}').unwrap_or_default(),
        );
        body.reserve(picture.len() + 4);
        let from = body.len();
        body.push_str(picture);
        body.push_str("\"}}");
        let mut body = body.into_bytes();
        if self.picture.is_some() {
            let digits = STANDARD.encode(format!("{number:012}"));
            body[from + COMMENT_AT..from + COMMENT_AT + digits.len()]
                .copy_from_slice(digits.as_bytes());
        }
        body
    }
}

/// Where the comment's twelve bytes stand in the base64: behind the marker, the comment's marker and its length.
const COMMENT_AT: usize = 8;

/// A JPEG of the comment segment and `rest`, which stood behind the start marker.
fn commented(rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xFE, 0, 14];
    bytes.extend_from_slice(b"000000000000");
    bytes.extend_from_slice(rest);
    bytes
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

fn recognition(dice: u64, uuid: &str, device: &str, at: Timestamp) -> Value {
    let who = (dice % 100) as usize;
    let (recognition_type, person) = match who {
        0..64 => (1, Some(who % 8)),
        64..76 => (2, Some(8 + who % 2)),
        76..92 => (3, None),
        92..95 => (4, None),
        _ => (5, Some(10 + who % 2)),
    };
    let score = match person {
        Some(_) => 9000 + dice / 128 % 1000,
        None => 2000 + dice / 128 % 5000,
    };
    let granted = matches!(recognition_type, 1 | 2);
    json!({
        "user": user(person, at),
        "deviceSN": device,
        "recognitionType": recognition_type,
        "entry_mode": 1,
        "abnormal_type": 0,
        "uuid": uuid,
        "recognizeScore": score as f64 / 10_000.0,
        "mask": dice / 1024 % 3,
        "mode": 3,
        "bodyTemperature": 0.0,
        "pass": granted,
        "timestamp": at.as_millis().div_euclid(1000),
    })
}

/// For a stranger the history's sample shows a user of blanks and nulls.
fn user(person: Option<usize>, at: Timestamp) -> Value {
    let Some((number, (name, group, class))) =
        person.and_then(|number| Some((number, PEOPLE.get(number)?)))
    else {
        return json!({ "name": null, "user_id": "", "type": null, "ic_number": "", "id_number": "", "job_number": "" });
    };
    let day = 86_400_000;
    let (from, until) = match class {
        2 => (at.as_millis() - day, at.as_millis() + day),
        _ => (0, 0),
    };
    json!({
        "name": name,
        "ic_number": format!("99{number:06}"),
        "id_number": "",
        "job_number": format!("J{number:04}"),
        "pin": "",
        "user_id": (number + 1).to_string(),
        "remark": "",
        "guest_time_start": from,
        "guest_time_end": until,
        "type": class,
        "groups": [{ "id": class.to_string(), "name": group }],
    })
}

/// Version 4, variant 1, as terminals send it.
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

    use super::{Picture, Simulation};
    use crate::Nebula;

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000).unwrap()
    }

    #[test]
    fn pushes_are_read_without_a_warning() {
        let headers = http::HeaderMap::new();
        let simulation = Simulation::new(7, 3, Picture::Bytes(2048));
        let (mut kinds, mut ids, mut pictures) = (HashSet::new(), HashSet::new(), HashSet::new());
        for number in 0..400 {
            let push = simulation.push(number, at());
            let arrival = Arrival {
                headers: &headers,
                peer: None,
                body: &push.body,
            };
            let mut read = Nebula.read(&arrival, &Settings::default()).unwrap();
            let reading = read.remove(0).unwrap();
            assert!(
                reading.facts.warnings.is_empty(),
                "{:?}",
                reading.facts.warnings
            );
            assert_eq!(reading.facts.vendor_id.as_deref(), Some(push.uuid.as_str()));
            assert_eq!(reading.pictures[0].media_type, Some("image/jpeg"));
            assert_eq!(reading.pictures[0].bytes.reveal().len(), 2048);
            pictures.insert(reading.pictures[0].sha256);
            if reading.facts.kind == Kind::Recognition {
                ids.insert(push.uuid);
                let person = &reading.facts.person;
                kinds.insert(format!("{:?}", person.category));
                assert_eq!(
                    reading.facts.device.id.as_deref(),
                    Some(push.device.as_str())
                );
            } else {
                kinds.insert(format!("{:?}", reading.facts.alarm.state));
            }
        }
        assert_eq!(pictures.len(), 400);
        assert_eq!(ids.len(), 390);
        assert_eq!(kinds.len(), 7, "{kinds:?}");
    }

    #[test]
    fn an_alarm_is_cleared_where_it_was_raised() {
        let simulation = Simulation::new(7, 3, Picture::None);
        let (raised, cleared) = (simulation.push(119, at()), simulation.push(159, at()));
        assert_eq!((raised.uuid, raised.device), (cleared.uuid, cleared.device));
    }

    #[test]
    fn the_same_number_gives_the_same_push() {
        let one = Simulation::new(7, 3, Picture::Jpeg(b"\xFF\xD8\xFF\xD9"));
        let two = Simulation::new(7, 3, Picture::Jpeg(b"\xFF\xD8\xFF\xD9"));
        assert_eq!(one.push(5, at()), two.push(5, at()));
        assert_ne!(one.push(5, at()), two.push(6, at()));
        assert_ne!(
            one.push(5, at()).uuid,
            Simulation::new(8, 3, Picture::None).push(5, at()).uuid
        );
    }
}

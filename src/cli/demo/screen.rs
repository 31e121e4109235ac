//! What the demo prints: one readable line an arrival.

use faceway_core::{Timestamp, visible_line};
use serde_json::Value;

use super::receiver::Arrived;
use crate::cli::words::{counted, span};
use crate::cli::{Ended, Streams};

/// From when on a wait is worth a word.
const WAIT_MS: i64 = 1000;
const NAME_WIDTH: usize = 19;
const DEVICE_WIDTH: usize = 15;
/// Of an id that is longer, so much is shown.
const ID_SHOWN: usize = 8;

/// The headline above the arrivals.
pub(super) fn headline(streams: &mut Streams<'_>) -> Ended {
    let (device, who) = (pad("DEVICE", DEVICE_WIDTH), pad("WHO OR WHAT", NAME_WIDTH));
    writeln!(
        streams.out,
        "UTC       FROM   {device}  {who}  CATEGORY     DOOR     SCORE"
    )?;
    streams.out.flush()?;
    Ok(())
}

/// Prints an arrival.
pub(super) fn tell(arrived: &Arrived, streams: &mut Streams<'_>) -> Ended {
    let line = match arrived.to.as_str() {
        "guard" => guard_line(&arrived.event),
        _ => format!("{}{}", line(&arrived.event), waited(arrived)),
    };
    writeln!(streams.out, "{}", visible_line(line.trim_end()))?;
    streams.out.flush()?;
    Ok(())
}

/// Prints that the receiver has gone.
pub(super) fn tell_down(streams: &mut Streams<'_>) -> Ended {
    writeln!(
        streams.out,
        "---- the ERP is down, it answers 503: its events wait on disk; sources and guard notice nothing ----"
    )?;
    streams.out.flush()?;
    Ok(())
}

/// Prints that it has come back, and how many events waited.
pub(super) fn tell_back(waited: u64, streams: &mut Streams<'_>) -> Ended {
    let waited = counted(waited, "event");
    writeln!(
        streams.out,
        "---- the ERP is back: {waited} waited, and come in the order of their devices ----"
    )?;
    streams.out.flush()?;
    Ok(())
}

fn guard_line(event: &Value) -> String {
    format!(
        "          {}  >> the guard hears: {}",
        whence(event),
        reason(event)
    )
}

fn line(event: &Value) -> String {
    let time = text(event, "/occurred_at")
        .and_then(|time| time.get(11..19))
        .unwrap_or("--:--:--");
    let told = match text(event, "/kind") {
        Some("recognition") => recognition(event),
        Some("alarm") => format!("alarm: {}", alarm(event)),
        Some("episode") => {
            let state = text(event, "/episode/state").unwrap_or("?");
            format!("visit of {}: {state}", who(event))
        }
        Some("counter") => {
            let count = |of| number(event, of).unwrap_or_default();
            let (faces, bodies) = (count("/counter/faces"), count("/counter/bodies"));
            format!("counted: {faces} faces, {bodies} bodies")
        }
        Some("area") => {
            let [id, state] = ["/area/id", "/area/state"].map(|of| text(event, of).unwrap_or("?"));
            format!("area {id}: {state}")
        }
        _ => format!("other: {}", text(event, "/vendor_type").unwrap_or("?")),
    };
    format!("{time}  {}  {told}", whence(event))
}

fn recognition(event: &Value) -> String {
    let name = pad(&who(event), NAME_WIDTH);
    let category = match text(event, "/object/liveness") {
        Some("spoof") => "not alive",
        _ => text(event, "/person/category").unwrap_or("-"),
    };
    let door = match event.pointer("/access/granted").and_then(Value::as_bool) {
        Some(true) => "granted",
        Some(false) => "denied",
        None => "-",
    };
    let score = number(event, "/match/score").map_or("-".into(), |score| format!("{score:.2}"));
    format!("{name}  {category:<11}  {door:<7}  {score}")
}

/// The inbound and the device. A name that is the address of a stream says less than its id.
fn whence(event: &Value) -> String {
    let inbound = text(event, "/inbound").unwrap_or("-");
    let name = text(event, "/device/name").filter(|name| !name.contains("://"));
    let device = match (name, text(event, "/device/id")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(id)) if id.len() > DEVICE_WIDTH => short(id),
        (None, id) => id.unwrap_or("-").to_owned(),
    };
    format!("{inbound:<5}  {}", pad(&device, DEVICE_WIDTH))
}

/// A person's name or id; else what was seen that is not a face.
fn who(event: &Value) -> String {
    let person = text(event, "/person/name").map(str::to_owned);
    let person = person.or_else(|| text(event, "/person/id").map(short));
    let object = text(event, "/object/type").filter(|object| *object != "face");
    let plate = text(event, "/object/attributes/plate/value");
    person
        .or_else(|| plate.map(|plate| format!("vehicle {plate}")))
        .or_else(|| object.map(str::to_owned))
        .unwrap_or_else(|| "-".into())
}

fn short(id: &str) -> String {
    match id.char_indices().nth(ID_SHOWN) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.to_owned(),
    }
}

fn number(event: &Value, path: &str) -> Option<f64> {
    event.pointer(path)?.as_f64()
}

fn alarm(event: &Value) -> String {
    let words = ["/alarm/type", "/alarm/state"]
        .map(|path| text(event, path).unwrap_or("?").replace('_', " "));
    words.join(", ")
}

fn reason(event: &Value) -> String {
    match text(event, "/person/name") {
        Some(name) => format!(
            "{name} is {}",
            text(event, "/person/category").unwrap_or("?")
        ),
        None => alarm(event),
    }
}

/// `  (waited 3s)`, when it did.
fn waited(arrived: &Arrived) -> String {
    let received =
        text(&arrived.event, "/received_at").and_then(|time| time.parse::<Timestamp>().ok());
    match received {
        Some(received) if arrived.at >= received.plus_millis(WAIT_MS) => {
            format!("   (waited {})", span(arrived.at.since(received)))
        }
        _ => String::new(),
    }
}

fn text<'e>(event: &'e Value, path: &str) -> Option<&'e str> {
    event.pointer(path)?.as_str()
}

/// Blanks up to `width` cells of a terminal.
fn pad(text: &str, width: usize) -> String {
    let cells: usize = text
        .chars()
        .map(|letter| if is_wide(letter) { 2 } else { 1 })
        .sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(cells)))
}

/// Chinese, Japanese and Korean letters take two cells.
const fn is_wide(letter: char) -> bool {
    matches!(letter, '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' | '\u{F900}'..='\u{FAFF}' | '\u{FF00}'..='\u{FF60}')
}

#[cfg(test)]
mod tests {
    use faceway_core::Timestamp;
    use serde_json::{Value, json};

    use super::{Arrived, pad, tell};
    use crate::cli::streams::Buffers;

    fn told(to: &str, event: Value, late_ms: i64) -> String {
        let received: Timestamp = "2026-11-22T08:15:30Z".parse().unwrap();
        let arrived = Arrived {
            to: to.into(),
            event,
            at: received.plus_millis(late_ms),
        };
        let (ended, out, _) = Buffers::run("", |streams| tell(&arrived, streams));
        ended.unwrap();
        out
    }

    fn event(more: Value) -> Value {
        let mut event = json!({
            "kind": "recognition", "inbound": "lobby", "occurred_at": "2026-11-22T08:15:29.000Z", "received_at": "2026-11-22T08:15:30.000Z",
            "device": { "id": "PSC0SIM00000001" },
        });
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    }

    #[test]
    fn an_arrival_is_a_line() {
        let person = json!({
            "person": { "name": "陈观澜", "category": "employee" }, "access": { "granted": true }, "match": { "score": 0.934 },
        });
        assert_eq!(
            told("erp", event(person), 20),
            "08:15:29  lobby  PSC0SIM00000001  陈观澜               employee     granted  0.93\n"
        );
        let alarm =
            json!({ "kind": "alarm", "alarm": { "type": "door_held_open", "state": "raised" } });
        assert_eq!(
            told("erp", event(alarm.clone()), 3_400),
            "08:15:29  lobby  PSC0SIM00000001  alarm: door held open, raised   (waited 3s)\n"
        );
        assert_eq!(
            told("guard", event(alarm), 0),
            "          lobby  PSC0SIM00000001  >> the guard hears: door held open, raised\n"
        );
    }

    #[test]
    fn what_other_sources_tell_is_a_line_too() {
        let by = |more: Value, told_as: &str| {
            let line = told("erp", event(more), 0);
            assert_eq!(line.get(34..).unwrap().trim_end(), told_as, "{line}");
        };
        let plate = json!({ "object": { "type": "vehicle", "attributes": { "plate": { "value": "SIM1" } } } });
        by(plate, "vehicle SIM1         -            -        -");
        let person = json!({ "id": "d416121c-9c14-49a2-9d36-5121ad0fd910" });
        by(
            json!({ "person": person }),
            "d416121c…            -            -        -",
        );
        let visit = json!({ "kind": "episode", "person": { "name": "Yui" }, "episode": { "state": "open" } });
        by(visit, "visit of Yui: open");
        by(
            json!({ "kind": "counter", "counter": { "faces": 5, "bodies": 6 } }),
            "counted: 5 faces, 6 bodies",
        );
        by(
            json!({ "kind": "area", "area": { "id": "2", "state": "active" } }),
            "area 2: active",
        );
        by(
            json!({ "kind": "other", "vendor_type": "roi" }),
            "other: roi",
        );
    }

    #[test]
    fn a_device_is_known_by_its_name_or_a_short_id() {
        let device = json!({ "id": "95ce5b09-d142-40c2-81b1-cb7b5284888f", "name": "rtsp://192.0.2.1/main" });
        let of = |device: Value| super::whence(&json!({ "inbound": "mall", "device": device }));
        assert_eq!(of(device), "mall   95ce5b09…      ");
        assert_eq!(
            of(json!({ "id": "7", "name": "Hall" })),
            "mall   Hall           "
        );
        assert_eq!(of(json!({})), "mall   -              ");
    }

    #[test]
    fn a_name_breaks_no_line_and_steers_nothing() {
        let person = json!({ "person": { "name": "A\nB\u{1b}[2J\u{202e}" } });
        let line = told("erp", event(person), 0);
        assert!(line.contains("A\\u000aB\\u001b[2J\\u202e"), "{line:?}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn wide_letters_take_two_cells() {
        assert_eq!(pad("陈观澜", 8), "陈观澜  ");
        assert_eq!(pad("Tomás", 8), "Tomás   ");
    }
}

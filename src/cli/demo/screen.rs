//! What the demo prints: one readable line an arrival.

use faceway_core::Timestamp;
use serde_json::Value;

use super::receiver::Arrived;
use crate::cli::words::{counted, span};
use crate::cli::{Ended, Streams};

/// From when on a wait is worth a word.
const WAIT_MS: i64 = 1000;
const NAME_WIDTH: usize = 18;

/// The headline above the arrivals.
pub(super) fn headline(streams: &mut Streams<'_>) -> Ended {
    let who = pad("WHO", NAME_WIDTH);
    writeln!(
        streams.out,
        "UTC       TERMINAL          {who}  CATEGORY     DOOR     SCORE"
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
    writeln!(streams.out, "{}", line.trim_end())?;
    streams.out.flush()?;
    Ok(())
}

/// Prints that the receiver has gone.
pub(super) fn tell_down(streams: &mut Streams<'_>) -> Ended {
    writeln!(
        streams.out,
        "---- the ERP is down, it answers 503: its events wait on disk; terminals and guard notice nothing ----"
    )?;
    streams.out.flush()?;
    Ok(())
}

/// Prints that it has come back, and how many events waited.
pub(super) fn tell_back(waited: u64, streams: &mut Streams<'_>) -> Ended {
    let waited = counted(waited, "event");
    writeln!(
        streams.out,
        "---- the ERP is back: {waited} waited, and come in the order of their terminals ----"
    )?;
    streams.out.flush()?;
    Ok(())
}

fn guard_line(event: &Value) -> String {
    let device = text(event, "/device/id").unwrap_or("-");
    format!(
        "          {device:<16}  >> the guard hears: {}",
        reason(event)
    )
}

fn line(event: &Value) -> String {
    let time = text(event, "/occurred_at")
        .and_then(|time| time.get(11..19))
        .unwrap_or("--:--:--");
    let device = text(event, "/device/id").unwrap_or("-");
    if text(event, "/kind") == Some("alarm") {
        return format!("{time}  {device:<16}  alarm: {}", alarm(event));
    }
    let name = pad(text(event, "/person/name").unwrap_or("-"), NAME_WIDTH);
    let category = match text(event, "/object/liveness") {
        Some("spoof") => "not alive",
        _ => text(event, "/person/category").unwrap_or("-"),
    };
    let door = match event.pointer("/access/granted").and_then(Value::as_bool) {
        Some(true) => "granted",
        Some(false) => "denied",
        None => "-",
    };
    let score = event.pointer("/match/score").and_then(Value::as_f64);
    let score = score.map_or("-".into(), |score| format!("{score:.2}"));
    format!("{time}  {device:<16}  {name}  {category:<11}  {door:<7}  {score}")
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
            "kind": "recognition", "occurred_at": "2026-11-22T08:15:29.000Z", "received_at": "2026-11-22T08:15:30.000Z",
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
            "08:15:29  PSC0SIM00000001   陈观澜              employee     granted  0.93\n"
        );
        let alarm =
            json!({ "kind": "alarm", "alarm": { "type": "door_held_open", "state": "raised" } });
        assert_eq!(
            told("erp", event(alarm.clone()), 3_400),
            "08:15:29  PSC0SIM00000001   alarm: door held open, raised   (waited 3s)\n"
        );
        assert_eq!(
            told("guard", event(alarm), 0),
            "          PSC0SIM00000001   >> the guard hears: door held open, raised\n"
        );
    }

    #[test]
    fn wide_letters_take_two_cells() {
        assert_eq!(pad("陈观澜", 8), "陈观澜  ");
        assert_eq!(pad("Tomás", 8), "Tomás   ");
    }
}

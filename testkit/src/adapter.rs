//! The suite of the adapter contract: every adapter goes through it, with its own golden cases.
//!
//! A case is a folder `fixtures/<case>/` with
//! * `in.json` (or `in.<anything>`): the body, byte by byte as it comes;
//! * `arrival.json`, where the defaults do not do: `{"inbound", "headers": {}, "peer", "settings": {}, "received_at"}`;
//! * `out.json`: the stamped events as a list, or `{"unreadable": reason}`, or `{"refused": reason}`.
//!
//! `FACEWAY_BLESS=1` writes every `out.json` anew. Then read each of them: the suite cannot know what a vendor means.

mod case;
mod check;
mod discreet;
mod fuzz;
mod garbage;
mod identity;
mod seed;
pub mod shape;

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use faceway_core::{
    Adapter, Arrival, Element, Outcome, Settings, Stamp, Timestamp, encode, schema, stamp,
};
use faceway_decode::{Limits, Scratch, Undecoded, decode};
use http::HeaderMap;
use jsonschema::Validator;
use serde_json::{Value, json};

use case::{Case, folders, read, text};
use check::check_event;
use discreet::{check_reason, check_warnings};
pub use fuzz::{converse_bytes, read_bytes};
pub use garbage::{damaged, garbage};
pub use identity::{ids, only_these_do_not_count};
pub use seed::seeds;

/// All of it: the golden cases, their bodies cut off and damaged, garbage, and the answers.
///
/// # Panics
/// When the adapter breaks its contract, with every breach that was found.
pub fn contract(adapter: &dyn Adapter, fixtures: &Path) {
    golden(adapter, fixtures);
    answers(adapter);
    never_panics(adapter, garbage());
    for folder in folders(fixtures) {
        if let Ok(case) = Case::load(adapter, &folder) {
            never_panics(adapter, damaged(&case.sent.body));
        }
    }
    seed::can_be_seeds(adapter, fixtures);
}

/// Reads every case, checks what the contract asks of any reading, and compares with `out.json`.
///
/// # Panics
/// When a case fails, with all that fail.
pub fn golden(adapter: &dyn Adapter, fixtures: &Path) {
    let folders = folders(fixtures);
    assert!(!folders.is_empty(), "no cases in {}", fixtures.display());
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|folder| {
            let failure = run(adapter, folder).err()?;
            Some(format!("{}: {failure}", folder.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Reads any body: it may be refused or unreadable, but it must not panic, and what is accepted must be a valid event.
///
/// # Panics
/// When a body breaks the contract.
pub fn never_panics(adapter: &dyn Adapter, bodies: impl IntoIterator<Item = Vec<u8>>) {
    let mut sent = Sent::new(adapter, Vec::new());
    for body in bodies {
        sent.body = body;
        let result = examine(adapter, &sent);
        let shown = String::from_utf8_lossy(&sent.body[..sent.body.len().min(400)]);
        assert!(result.is_ok(), "{result:?}\nbody: {shown}");
    }
}

/// What a source is told must tell success from trouble by its status, and be the JSON that it says it is, whatever the
/// reason holds.
///
/// # Panics
/// When an answer breaks this.
pub fn answers(adapter: &dyn Adapter) {
    let refused = Outcome::Refused("a \"reason\" \\ with\nall \u{1} kinds of signs".into());
    for outcome in [Outcome::Kept, Outcome::Busy, refused] {
        let answer = adapter.answer(&outcome);
        let fits = match outcome {
            Outcome::Kept => answer.status == 200,
            Outcome::Busy => answer.status >= 500,
            Outcome::Refused(_) => (400..500).contains(&answer.status),
        };
        assert!(fits, "{outcome:?} is answered {}", answer.status);
        assert_eq!(
            answer.content_type.is_none(),
            answer.body.is_empty(),
            "{outcome:?}: a content type, and a body, or neither"
        );
        if answer.content_type == Some("application/json") {
            let body: Result<Value, _> = serde_json::from_slice(&answer.body);
            assert!(body.is_ok(), "{outcome:?}: {body:?}");
        }
    }
}

/// What is sent in a case or a test of an adapter's own.
pub struct Sent {
    /// Name of the inbound.
    pub inbound: String,
    /// The request's headers.
    pub headers: HeaderMap,
    /// Who sends.
    pub peer: Option<IpAddr>,
    /// The inbound's settings.
    pub settings: Settings,
    /// The gateway's clock.
    pub received_at: Timestamp,
    /// The body.
    pub body: Vec<u8>,
}

impl Sent {
    /// A body with nothing around it, to an inbound that is named after the adapter.
    pub fn new(adapter: &dyn Adapter, body: Vec<u8>) -> Self {
        Self {
            inbound: adapter.name().into(),
            headers: HeaderMap::new(),
            peer: None,
            settings: Settings::default(),
            received_at: RECEIVED_AT,
            body,
        }
    }

    fn arrival(&self) -> Arrival<'_> {
        Arrival {
            headers: &self.headers,
            peer: self.peer,
            body: &self.body,
        }
    }
}

/// 2026-01-02T03:04:05Z.
const RECEIVED_AT: Timestamp = match Timestamp::from_seconds(1_767_323_045) {
    Ok(time) => time,
    Err(_) => unreachable!(),
};

/// Reads `sent` twice, and gives what `out.json` holds.
///
/// # Errors
/// What of the contract was broken.
pub fn examine(adapter: &dyn Adapter, sent: &Sent) -> Result<Value, String> {
    let first = outcome(adapter, sent)?;
    if first != outcome(adapter, sent)? {
        return Err("the same arrival, read twice, gives two results: `read` must be pure".into());
    }
    Ok(first)
}

/// The validator of the canonical event, made once.
pub fn validator() -> &'static Validator {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        let built = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema::event());
        match built {
            Ok(validator) => validator,
            Err(error) => unreachable!("the event's schema is no schema: {error}"),
        }
    });
    &VALIDATOR
}

fn outcome(adapter: &dyn Adapter, sent: &Sent) -> Result<Value, String> {
    let scratch = Scratch::default();
    let mut limits = Limits {
        bytes_max: UNPACKED_BYTES_MAX,
        room: &mut |_| true,
    };
    let read = decode(
        adapter,
        &sent.arrival(),
        &sent.settings,
        &mut limits,
        &scratch,
    );
    let elements = match read {
        Ok(elements) => elements,
        Err(undecoded) => {
            let reason = undecoded.to_string();
            check_reason(adapter, sent, &reason)?;
            return Ok(match undecoded {
                Undecoded::Unreadable(_) | Undecoded::CutOff(_) => json!({ "unreadable": reason }),
                _ => json!({ "refused": reason }),
            });
        }
    };
    if !scratch.is_used() && elements.len() > sent.body.trim_ascii().len() {
        return Err("more records than the body has letters".into());
    }
    elements
        .into_iter()
        .map(|element| element_as_value(adapter, sent, element, &scratch))
        .collect()
}

/// As the gateway's own limit.
const UNPACKED_BYTES_MAX: usize = 16 * 1024 * 1024;

fn element_as_value(
    adapter: &dyn Adapter,
    sent: &Sent,
    element: Element<'_>,
    scratch: &Scratch,
) -> Result<Value, String> {
    let mut reading = match element {
        Ok(reading) => reading,
        Err(unreadable) => {
            check_reason(adapter, sent, &unreadable.reason)?;
            // Anything else could not be read again from the quarantine.
            let raw = unreadable.raw;
            if !sent.body.as_ptr_range().contains(&raw.as_ptr()) && !scratch.holds(raw) {
                return Err("an unreadable element that is no part of the body".into());
            }
            return Ok(json!({ "unreadable": unreadable.reason }));
        }
    };
    let pictures = std::mem::take(&mut reading.pictures);
    let around = Stamp {
        inbound: &sent.inbound,
        adapter: adapter.name(),
        received_at: sent.received_at,
    };
    let stamped = stamp(reading, around);
    let encoded = encode(&stamped);
    // The gateway's writer is quicker, and no other.
    let by_serde_json = serde_json::to_vec(&stamped).map_err(text)?;
    if *encoded.reveal() != by_serde_json {
        return Err("the event is not written as serde_json writes it".into());
    }
    let event: Value = serde_json::from_slice(encoded.reveal())
        .map_err(|error| format!("the event cannot be read again: {error}"))?;
    check_event(&event, &pictures)?;
    check_warnings(adapter, sent, &event)?;
    Ok(event)
}

fn run(adapter: &dyn Adapter, folder: &Path) -> Result<(), String> {
    let case = Case::load(adapter, folder)?;
    let got = examine(adapter, &case.sent)?;
    let got = serde_json::to_string_pretty(&got).map_err(text)? + "\n";
    if std::env::var_os("FACEWAY_BLESS").is_some() {
        return fs::write(&case.out, got).map_err(text);
    }
    let expected = String::from_utf8(read(&case.out)?).map_err(text)?;
    if got == expected {
        return Ok(());
    }
    let difference = expected
        .lines()
        .zip(got.lines())
        .enumerate()
        .find(|(_, (expected, got))| expected != got);
    let difference = difference.map_or("one is longer".to_owned(), |(line, (expected, got))| {
        format!(
            "line {}:\n  expected {}\n  got      {}",
            line + 1,
            expected.trim(),
            got.trim()
        )
    });
    Err(format!(
        "differs from out.json in {difference}\nall that was got:\n{got}"
    ))
}

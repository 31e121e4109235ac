//! The suite of the adapter contract: every adapter goes through it, with its own golden cases.
//!
//! A case is a folder `fixtures/<case>/` with
//! * `in.json` (or `in.<anything>`): the body, byte by byte as it comes;
//! * `arrival.json`, where the defaults do not do: `{"inbound", "headers": {}, "peer", "settings": {}, "received_at"}`;
//! * `out.json`: the stamped events as a list, or `{"unreadable": reason}`, or `{"refused": reason}`.
//!
//! `FACEWAY_BLESS=1` writes every `out.json` anew. Then read each of them: the suite cannot know what a vendor means.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use faceway_core::{
    Adapter, Arrival, Element, Outcome, Picture, Reject, SettingKind, SettingValue, Settings,
    Stamp, Timestamp, encode, schema, stamp,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use jsonschema::Validator;
use serde_json::{Value, json};

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
    match adapter.read(&sent.arrival(), &sent.settings) {
        Ok(elements) => elements
            .into_iter()
            .map(|element| element_as_value(adapter, sent, element))
            .collect(),
        Err(Reject::Unreadable(reason)) => Ok(json!({ "unreadable": discreet(&reason, sent)? })),
        Err(Reject::Refused(reason)) => Ok(json!({ "refused": discreet(&reason, sent)? })),
    }
}

fn element_as_value(
    adapter: &dyn Adapter,
    sent: &Sent,
    element: Element<'_>,
) -> Result<Value, String> {
    let mut reading = match element {
        Ok(reading) => reading,
        Err(unreadable) => return Ok(json!({ "unreadable": discreet(&unreadable.reason, sent)? })),
    };
    let pictures = std::mem::take(&mut reading.pictures);
    let around = Stamp {
        inbound: &sent.inbound,
        adapter: adapter.name(),
        received_at: sent.received_at,
    };
    let encoded = encode(&stamp(reading, around));
    let event: Value = serde_json::from_slice(encoded.reveal())
        .map_err(|error| format!("the event cannot be read again: {error}"))?;
    check_event(&event, &pictures)?;
    Ok(event)
}

/// A reason goes into logs: it must not repeat what was sent.
fn discreet<'r>(reason: &'r str, sent: &Sent) -> Result<&'r str, String> {
    if reason.trim().is_empty() {
        return Err("a reason is blank".into());
    }
    let body: Value = serde_json::from_slice(&sent.body).unwrap_or_default();
    let mut values = Vec::new();
    texts(&body, &mut values);
    values.push(MARKER);
    repeats_none(reason, &values)?;
    Ok(reason)
}

fn repeats_none(text: &str, values: &[&str]) -> Result<(), String> {
    let repeated = values
        .iter()
        .find(|value| value.chars().count() > 1 && text.contains(**value));
    match repeated {
        Some(value) => Err(format!("{text:?} repeats the value {value:?}")),
        None => Ok(()),
    }
}

fn check_event(event: &Value, pictures: &[Picture]) -> Result<(), String> {
    let breaches: Vec<String> = validator()
        .iter_errors(event)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    if !breaches.is_empty() {
        return Err(format!("against the schema: {}", breaches.join("; ")));
    }
    check_no_secrets(event)?;
    check_absence(event)?;
    check_pictures(event, pictures)?;
    check_warnings(event)
}

/// Secrets never enter the event, and pictures leave its text.
fn check_no_secrets(value: &Value) -> Result<(), String> {
    match value {
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            if ["pin", "password", "token"].contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("the event has a member {name:?}"));
            }
            check_no_secrets(value)
        }),
        Value::Array(items) => items.iter().try_for_each(check_no_secrets),
        Value::String(text) if text.starts_with("/9j/") || text.starts_with("data:image/") => {
            Err("the event holds the text of a picture".into())
        }
        _ => Ok(()),
    }
}

/// What was not told is absent: neither null, nor blank, nor empty. Under `vendor` everything is as sent.
fn check_absence(event: &Value) -> Result<(), String> {
    fn check(path: &str, value: &Value) -> Result<(), String> {
        let nothing = match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if nothing {
            return Err(format!("{path} is there and says nothing"));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| check(path, item)),
            Value::Object(members) => members
                .iter()
                .filter(|(name, _)| !(path == "event" && *name == "vendor"))
                .try_for_each(|(name, value)| check(&format!("{path}.{name}"), value)),
            _ => Ok(()),
        }
    }
    check("event", event)
}

/// Every picture is named by the event, and every name has its picture.
fn check_pictures(event: &Value, pictures: &[Picture]) -> Result<(), String> {
    let images = event["images"].as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<&str> = images
        .iter()
        .filter_map(|image| image["sha256"].as_str())
        .collect();
    let kept: Vec<String> = pictures
        .iter()
        .map(|picture| picture.sha256.to_string())
        .collect();
    if named != kept {
        return Err(format!("images name {named:?}, pictures are {kept:?}"));
    }
    Ok(())
}

/// Warnings are shown and logged: they must not repeat what is said about a person.
fn check_warnings(event: &Value) -> Result<(), String> {
    let mut values = Vec::new();
    texts(&event["person"], &mut values);
    // Words such as `stranger` are no personal values.
    values.retain(|value| Some(*value) != event["person"]["category"].as_str());
    values.push(MARKER);
    let mut warnings = Vec::new();
    texts(&event["warnings"], &mut warnings);
    warnings
        .iter()
        .filter(|_| !values.is_empty())
        .try_for_each(|warning| repeats_none(warning, &values))
}

fn texts<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        // Numbers of one or two digits stand in any text.
        Value::String(text) if text.trim().chars().count() > 2 => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(members) => members.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

struct Case {
    sent: Sent,
    out: PathBuf,
}

impl Case {
    fn load(adapter: &dyn Adapter, folder: &Path) -> Result<Self, String> {
        let mut sent = Sent::new(adapter, read(&body_file(folder)?)?);
        let arrival = folder.join("arrival.json");
        if arrival.exists() {
            let around: Value = serde_json::from_slice(&read(&arrival)?).map_err(text)?;
            surround(adapter, &mut sent, &around)
                .map_err(|what| format!("arrival.json: {what}"))?;
        }
        Ok(Self {
            sent,
            out: folder.join("out.json"),
        })
    }
}

fn surround(adapter: &dyn Adapter, sent: &mut Sent, around: &Value) -> Result<(), String> {
    for (name, value) in around.as_object().ok_or("not an object")? {
        match (name.as_str(), value) {
            ("inbound", Value::String(inbound)) => sent.inbound.clone_from(inbound),
            ("peer", Value::String(peer)) => sent.peer = Some(peer.parse().map_err(text)?),
            ("received_at", Value::String(at)) => sent.received_at = at.parse().map_err(text)?,
            ("headers", Value::Object(headers)) => {
                for (name, value) in headers {
                    let name: HeaderName = name.parse().map_err(text)?;
                    let value = value.as_str().ok_or("a header is not a text")?;
                    let value: HeaderValue = value.parse().map_err(text)?;
                    sent.headers.append(name, value);
                }
            }
            ("settings", Value::Object(settings)) => {
                for (name, value) in settings {
                    set(adapter, &mut sent.settings, name, value)?;
                }
            }
            _ => return Err(format!("{name}: unknown, or of another type")),
        }
    }
    Ok(())
}

fn set(
    adapter: &dyn Adapter,
    settings: &mut Settings,
    name: &str,
    value: &Value,
) -> Result<(), String> {
    let mut known = adapter.settings().iter();
    let setting = known
        .find(|setting| setting.name == name)
        .ok_or_else(|| format!("the adapter has no setting {name}"))?;
    let value = match (setting.kind, value) {
        (SettingKind::Texts, Value::Array(items)) => SettingValue::Texts(
            items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        ),
        (kind, Value::String(text)) => kind.parse(text)?,
        (kind, other) => kind.parse(&other.to_string())?,
    };
    settings.set(setting.name, value);
    Ok(())
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

fn folders(fixtures: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn body_file(folder: &Path) -> Result<PathBuf, String> {
    let mut entries = fs::read_dir(folder).map_err(text)?.flatten();
    entries
        .find(|entry| entry.path().file_stem().is_some_and(|stem| stem == "in"))
        .map(|entry| entry.path())
        .ok_or_else(|| "there is no file in.json".into())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Stands for a personal value in [`garbage`]; no reason and no warning may repeat it.
const MARKER: &str = "Markerella";

/// Bodies that no vendor would send and every attacker might: wrong types, wrong encodings, depth, size.
pub fn garbage() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "null",
        "true",
        "0",
        "-",
        "\"Markerella\"",
        "{",
        "}",
        "[]",
        "[[]]",
        "{}",
        "{}{}",
        "{\"\":\"\"}",
        "{\"type\":Markerella}",
        "{\"type\":\"Markerella\",\"data\":{}}",
        "{\"type\":0,\"data\":\"Markerella\"}",
        "{\"type\":0,\"data\":{\"user\":\"Markerella\",\"timestamp\":\"Markerella\"}}",
        "{'type':0}",
        "{\"type\":0,\"data\":{}}\0",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":1e999,\"b\":-1e-999,\"c\":123456789012345678901234567890}",
        "{\"type\":0,\"data\":{\"$serde_json::private::Number\":\"Markerella\"}}",
        "{\"type\":0,\"data\":{\"x\":{\"$serde_json::private::RawValue\":\"Markerella\"}}}",
        "{\"$serde_json::private::Number\":\"Markerella\",\"type\":0,\"data\":{}}",
        "\u{feff}{}",
        "<xml>Markerella</xml>",
        "a=b&c=Markerella",
    ]
    .into_iter()
    .map(|body| body.as_bytes().to_vec())
    .collect();
    bodies.push(vec![0xFF, 0xFE, 0, 0x80]);
    bodies.push(vec![b'['; 100_000]);
    bodies.push(b"{\"a\":".repeat(10_000));
    bodies.push([vec![b'['; 60], vec![b']'; 60]].concat());
    bodies.push(format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000)).into_bytes());
    bodies.push(format!("{{\"a\":{}}}", "9".repeat(100_000)).into_bytes());
    let mut random = Random(1);
    for length in 0..200 {
        bodies.push((0..length).map(|_| random.next() as u8).collect());
    }
    bodies
}

/// `body` cut off at many places, and with single bytes changed.
pub fn damaged(body: &[u8]) -> Vec<Vec<u8>> {
    let mut random = Random(body.len() as u64 + 1);
    let mut bodies = Vec::new();
    let step = (body.len() / 25).max(1);
    for at in (0..body.len()).step_by(step) {
        bodies.push(body[..at].to_vec());
        let mut changed = body.to_vec();
        changed[at] = *random.pick(b"\"\\{}[],:0-9e.tfn \0\xFF");
        bodies.push(changed);
    }
    bodies
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[(self.next() % items.len() as u64) as usize]
    }
}

//! Arrivals and dialogues out of any bytes: what the targets in `fuzz/` run.

use faceway_core::{
    Adapter, ApiAnswer, Dialogue, Setting, SettingKind, SettingValue, Step, Subscription,
};
use http::HeaderValue;
use serde_json::Value;

use super::{Sent, examine};

/// Content types that may change how a body is read. The boundary is the one of the golden cases.
const CONTENT_TYPES: [&str; 10] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=----faceway-case",
    "text/plain; charset=utf-8",
    "application/json; charset=GBK",
    "application/json; charset=big5",
    "application/json; charset=ISO-8859-1",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded; charset=Shift_JIS",
    "application/json; charset=x-ours",
];
/// Ways of packing, one of which no decoder knows.
const CODINGS: [&str; 3] = ["gzip", "deflate", "br"];
/// Bits of the first byte; the lower ones choose a content type, the highest a content coding.
const CONTENT_TYPE: u8 = 0x0F;
const WITH_SN: u8 = 0x10;
const WITH_PEER: u8 = 0x20;
const CODING_SHIFT: u8 = 6;
/// A dialogue that is not over by then asks for ever.
const QUESTIONS_MAX: usize = 50;

/// Reads an arrival out of any bytes, and checks all that the contract promises of any arrival.
///
/// # Panics
/// When the contract is broken.
pub fn read_bytes(adapter: &dyn Adapter, bytes: &[u8]) {
    let sent = Sent::of_bytes(adapter, bytes);
    let result = examine(adapter, &sent);
    let body = String::from_utf8_lossy(&sent.body);
    assert!(
        result.is_ok(),
        "{result:?}\nheaders: {:?}\nsettings: {:?}\nbody: {body}",
        sent.headers,
        sent.settings
    );
}

/// Leads the adapter's dialogues with a device that answers any bytes: they end, and what they end with can be said.
///
/// # Panics
/// When they break this.
pub fn converse_bytes(adapter: &dyn Adapter, bytes: &[u8]) {
    let sent = Sent::of_bytes(adapter, bytes);
    if let Some(messages) = lead(&mut *adapter.greeting(&sent.settings), &sent.body) {
        for message in messages {
            let json: Result<Value, _> = serde_json::from_str(&message);
            assert!(json.is_ok(), "a greeting that is no JSON: {message}");
        }
    }
    let subscription = Subscription {
        username: "admin".into(),
        password: String::from("secret").into(),
        address: String::from("http://gateway:8080/in/lobby?token=x").into(),
    };
    if let Some(mut dialogue) = adapter.subscribe(subscription) {
        lead(&mut *dialogue, &sent.body);
    }
}

/// The answers are parts of `bytes`, each behind its status and its length.
fn lead<T>(dialogue: &mut dyn Dialogue<T>, bytes: &[u8]) -> Option<T> {
    let mut left = bytes;
    let mut step = dialogue.begin();
    for _ in 0..QUESTIONS_MAX {
        match step {
            Step::Ask(request) => assert!(request.path.starts_with('/'), "{}", request.path),
            Step::Done(result) => return Some(result),
            Step::Failed(why) | Step::Denied(why) => {
                assert!(!why.trim().is_empty(), "it failed without a reason");
                return None;
            }
        }
        let (status, body, rest) = answer(left);
        left = rest;
        step = dialogue.hear(&ApiAnswer { status, body });
    }
    assert!(!matches!(step, Step::Ask(_)), "it asks without end");
    None
}

fn answer(bytes: &[u8]) -> (u16, &[u8], &[u8]) {
    let [status, length, rest @ ..] = bytes else {
        return (500, &[], &[]);
    };
    let status = [200, 401, 403, 404, 500, 302, 204, 400][usize::from(status % 8)];
    // The last answer may be long.
    let length = match *length {
        u8::MAX => rest.len(),
        length => usize::from(length).min(rest.len()),
    };
    let (body, rest) = rest.split_at(length);
    (status, body, rest)
}

impl Sent {
    /// An arrival out of any bytes. The first byte chooses headers and sender, one byte each a setting (0: not set), the
    /// rest is the body.
    pub fn of_bytes(adapter: &dyn Adapter, bytes: &[u8]) -> Self {
        let mut bytes = bytes.iter().copied();
        let around = bytes.next().unwrap_or_default();
        let mut sent = Self::new(adapter, Vec::new());
        let content_type = usize::from(around & CONTENT_TYPE).checked_sub(1);
        if let Some(content_type) = content_type {
            let text = CONTENT_TYPES[content_type % CONTENT_TYPES.len()];
            let value = HeaderValue::from_static(text);
            sent.headers.insert(http::header::CONTENT_TYPE, value);
        }
        if let Some(coding) = usize::from(around >> CODING_SHIFT).checked_sub(1) {
            let value = HeaderValue::from_static(CODINGS[coding]);
            sent.headers.insert(http::header::CONTENT_ENCODING, value);
        }
        if around & WITH_SN != 0 {
            sent.headers
                .insert("sn", HeaderValue::from_static("F0-0001"));
        }
        if around & WITH_PEER != 0 {
            sent.peer = Some(std::net::Ipv4Addr::new(192, 0, 2, 7).into());
        }
        for setting in adapter.settings() {
            let chosen = usize::from(bytes.next().unwrap_or_default()).checked_sub(1);
            let mut choices = choices(setting);
            if let Some(chosen) = chosen.filter(|_| !choices.is_empty()) {
                let value = choices.swap_remove(chosen % choices.len());
                sent.settings.set(setting.name, value);
            }
        }
        sent.body = bytes.collect();
        sent
    }

    /// The bytes that [`Self::of_bytes`] makes this arrival from, as near as it comes: a seed.
    pub fn to_bytes(&self, adapter: &dyn Adapter) -> Vec<u8> {
        let content_type = self.headers.get(http::header::CONTENT_TYPE);
        let content_type = CONTENT_TYPES
            .iter()
            .position(|known| content_type.is_some_and(|value| value == known));
        let mut around = content_type.map_or(0, |index| index as u8 + 1);
        let coding = self.headers.get(http::header::CONTENT_ENCODING);
        let coding = CODINGS
            .iter()
            .position(|known| coding.is_some_and(|value| value == known));
        around |= coding.map_or(0, |index| (index as u8 + 1) << CODING_SHIFT);
        around |= self.headers.get("sn").map_or(0, |_| WITH_SN);
        around |= self.peer.map_or(0, |_| WITH_PEER);
        let mut bytes = vec![around];
        for setting in adapter.settings() {
            let choices = choices(setting);
            let value = value_of(&self.settings, setting);
            let chosen = choices
                .iter()
                .position(|choice| Some(choice) == value.as_ref());
            let somehow = value.map_or(0, |_| 1);
            bytes.push(chosen.map_or(somehow, |index| index as u8 + 1));
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The values of a setting that may make a difference.
fn choices(setting: &Setting) -> Vec<SettingValue> {
    match setting.kind {
        SettingKind::Text => vec![SettingValue::Text("entrance".into())],
        SettingKind::Texts => vec![SettingValue::Texts(vec!["entrance".into()])],
        SettingKind::Word(words) => words
            .iter()
            .map(|word| SettingValue::Text((*word).into()))
            .collect(),
        SettingKind::Number(numbers) => numbers
            .iter()
            .map(|number| SettingValue::Number(*number))
            .collect(),
        SettingKind::Words(words) => subsets(words),
    }
}

/// Every list of some of the words, of the first few.
fn subsets(words: &[&str]) -> Vec<SettingValue> {
    let words = &words[..words.len().min(6)];
    let subset = |bits: usize| {
        let chosen = words.iter().enumerate();
        let chosen = chosen.filter(|(index, _)| bits & (1 << index) != 0);
        SettingValue::Texts(chosen.map(|(_, word)| (*word).into()).collect())
    };
    (1..1 << words.len()).map(subset).collect()
}

fn value_of(settings: &faceway_core::Settings, setting: &Setting) -> Option<SettingValue> {
    let name = setting.name;
    let text = settings
        .text(name)
        .map(|text| SettingValue::Text(text.into()));
    let number = || settings.number(name).map(SettingValue::Number);
    let texts = || {
        settings
            .texts(name)
            .map(|texts| SettingValue::Texts(texts.to_vec()))
    };
    text.or_else(number).or_else(texts)
}

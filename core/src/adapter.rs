//! The first contract: a vendor's words in, readings out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::members::CUT_OFF;
use crate::simulator::Simulator;
use crate::{Dialogue, Facts, Picture, Private, RecordKey, Said};

/// One vendor. Pure: no I/O, no clock, no randomness. The same arrival always gives the same readings.
pub trait Adapter: Send + Sync + 'static {
    /// The adapter's name in `[inbound.<adapter>.<name>]`.
    fn name(&self) -> &'static str;

    /// How its sources are reached. It is declared here and done by the gateway.
    fn reach(&self) -> &'static [Reach];

    /// The keys of its own that an inbound of this adapter may have in `routes.toml`.
    fn settings(&self) -> &'static [Setting] {
        &[]
    }

    /// Reads what came in: one element for each record, in the order sent. An element that cannot be read does not take
    /// the others with it.
    ///
    /// # Errors
    /// When the whole of it cannot be read, or is not to be read.
    fn read<'a>(
        &self,
        arrival: &Arrival<'a>,
        settings: &Settings,
    ) -> Result<Vec<Element<'a>>, Reject>;

    /// What the source is told, in the vendor's own way.
    fn answer(&self, outcome: &Outcome) -> Answer;

    /// The text messages that a dialled source must get after every connect, in their order; what has to be known for
    /// them is asked of the source's API, if `routes.toml` names one.
    fn greeting(&self, _settings: &Settings) -> Box<dyn Dialogue<Vec<String>>> {
        Box::new(Said::at_once(Vec::new()))
    }

    /// How a device that is [`Reach::Subscribed`] is brought to post to us: over its own API it is asked where it posts
    /// to, and told otherwise when that is not the address in `subscription`.
    fn subscribe(&self, _subscription: Subscription) -> Option<Box<dyn Dialogue<Subscribed>>> {
        None
    }

    /// What plays its sources, where there is such a thing.
    fn simulator(&self) -> Option<&'static dyn Simulator> {
        None
    }
}

/// How a source is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It posts to us over HTTP.
    Pushed,
    /// We dial its websocket.
    Dialled {
        /// Settings in whose place its HTTP API can be asked: where one of them is missing, `api_url` must be there. Empty
        /// for a source that has no such API.
        api_for: &'static [&'static str],
    },
    /// It posts to us, to the one address that it is told over its own API (`terminals`).
    Subscribed,
}

/// Where a device shall post to, and who may tell it so.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// A user of the device's API.
    pub username: String,
    /// The user's password.
    pub password: Private<String>,
    /// Our address, with the inbound's token where it wants one.
    pub address: Private<String>,
}

/// How a device was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// It posts to us already.
    Already,
    /// It posted elsewhere or nowhere, and has just been told to post to us.
    Now,
    /// It does not tell where it posts to, so it has just been told to post to us, for the first time or once more.
    Untold,
}

/// What came in: one request's body, or one message of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The request's headers; empty for a stream.
    pub headers: &'a http::HeaderMap,
    /// Who sent it, where that is known.
    pub peer: Option<IpAddr>,
    /// The body as it came.
    pub body: &'a [u8],
}

impl<'a> Arrival<'a> {
    /// The text of a header, trimmed; `None` when it is missing, blank or not text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let text = self.headers.get(name)?.to_str().ok()?.trim();
        (!text.is_empty()).then_some(text)
    }
}

/// One record of an arrival.
pub type Element<'a> = Result<Reading<'a>, Unreadable<'a>>;

/// A record in canonical words, not yet stamped with id and time.
#[derive(Debug)]
pub struct Reading<'a> {
    /// What makes the record itself.
    pub key: RecordKey,
    /// What it says.
    pub facts: Facts<'a>,
    /// The pictures that came with it; `facts.images` names each by its digest.
    pub pictures: Vec<Picture>,
}

/// An element that cannot be read. It is kept raw, in quarantine.
#[derive(Debug)]
pub struct Unreadable<'a> {
    /// Why, without any value of the element.
    pub reason: Cow<'static, str>,
    /// The element as sent.
    pub raw: &'a [u8],
}

/// Why a whole arrival gives no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// It cannot be read: it is kept in quarantine and, as no retry can cure it, answered with success.
    #[error("{0}")]
    Unreadable(Cow<'static, str>),
    /// It ends before its last brace: it did not come whole. It is kept in quarantine, and the source hears an error.
    #[error("{0}")]
    CutOff(Cow<'static, str>),
    /// It is something that Faceway must not accept; it is not kept. The text says what to do instead.
    #[error("{0}")]
    Refused(Cow<'static, str>),
}

impl From<crate::Malformed> for Reject {
    fn from(malformed: crate::Malformed) -> Self {
        let reason = malformed.to_string().into();
        match malformed {
            crate::Malformed::NotJson { what: CUT_OFF, .. } => Self::CutOff(reason),
            _ => Self::Unreadable(reason),
        }
    }
}

/// What became of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in it is durable (new, known already, or in quarantine).
    Kept,
    /// It was refused, and this is why.
    Refused(Cow<'static, str>),
    /// It cannot be kept now: the source must send it again.
    Busy,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`; none with an empty body.
    pub content_type: Option<&'static str>,
    /// Body.
    pub body: Cow<'static, [u8]>,
}

impl Answer {
    /// An answer with a JSON body.
    pub fn json(status: u16, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status,
            content_type: Some("application/json"),
            body: body.into(),
        }
    }
}

/// A key of an adapter's own in `[inbound.<adapter>.<name>]`.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// What it may be.
    pub kind: SettingKind,
    /// One line for the schema and for errors.
    pub about: &'static str,
}

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// Any text that is not blank.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these whole numbers.
    Number(&'static [i64]),
    /// A list of texts.
    Texts,
    /// A list of these words.
    Words(&'static [&'static str]),
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// Of [`SettingKind::Text`] and [`SettingKind::Word`].
    Text(String),
    /// Of [`SettingKind::Number`].
    Number(i64),
    /// Of [`SettingKind::Texts`] and [`SettingKind::Words`].
    Texts(Vec<String>),
}

impl SettingKind {
    /// Reads a value from the command line (`--set name=text`; texts are separated by commas).
    ///
    /// # Errors
    /// What would be allowed, in words.
    pub fn parse(self, text: &str) -> Result<SettingValue, String> {
        match self {
            Self::Text if text.trim().is_empty() => Err("a text that is not blank".into()),
            Self::Text => Ok(SettingValue::Text(text.into())),
            Self::Word(words) if words.contains(&text) => Ok(SettingValue::Text(text.into())),
            Self::Word(words) => Err(format!("one of {}", words.join(", "))),
            Self::Number(numbers) => text
                .parse()
                .ok()
                .filter(|number| numbers.contains(number))
                .map(SettingValue::Number)
                .ok_or_else(|| {
                    format!(
                        "one of {}",
                        numbers
                            .iter()
                            .map(i64::to_string)
                            .collect::<Vec<_>>()
                            .join(", ")
                    )
                }),
            Self::Texts => Ok(SettingValue::Texts(
                text.split(',').map(str::to_owned).collect(),
            )),
            Self::Words(words) if text.split(',').all(|word| words.contains(&word)) => {
                Self::Texts.parse(text)
            }
            Self::Words(words) => Err(format!("any of {}, separated by commas", words.join(", "))),
        }
    }
}

/// The settings of one inbound, checked against what its adapter declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, SettingValue>);

impl Settings {
    /// Sets a value. The caller has checked it against [`Setting::kind`].
    pub fn set(&mut self, name: &'static str, value: SettingValue) {
        self.0.insert(name, value);
    }

    /// A text or a word.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(SettingValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(SettingValue::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Option<&[String]> {
        match self.0.get(name) {
            Some(SettingValue::Texts(texts)) => Some(texts),
            _ => None,
        }
    }
}

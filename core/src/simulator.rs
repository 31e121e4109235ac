//! The contract of what plays a vendor's devices or platform: what they send, and when they are content. Pure, as an
//! adapter is: the crate `faceway-simulators` opens the connections, and the command line asks for the rest.
//!
//! A [`Simulator`] stands beside its vendor's adapter (`Adapter::simulator`) and says what may be chosen. With what was
//! chosen it makes a [`Source`], which makes the same record for the same number whenever it is asked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::Timestamp;

/// Plays the devices or the platform of one vendor.
pub trait Simulator: Sync {
    /// What it is, and what may be chosen.
    fn about(&self) -> &'static About;

    /// A source with these choices. All that have a default are there, and every value is of its kind.
    fn source(&self, chosen: &Chosen) -> Box<dyn Source>;
}

/// What a simulator is, in the words of the command line.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// What it does, in a line for the list of all simulators.
    pub summary: &'static str,
    /// Its help: paragraphs, the first one a sentence.
    pub help: &'static str,
    /// Commands that show it. The first one is shown beside those of others.
    pub examples: &'static [&'static str],
    /// What `--to` is for. Every source can post.
    pub to: &'static str,
    /// What others come to with `--listen`.
    pub listen: Option<Listen>,
    /// What `--api-listen` is for, where the API has an address of its own.
    pub api_listen: Option<&'static str>,
    /// Whether pictures are sent, and not only links to them.
    pub sends_pictures: bool,
    /// Choices about the connection.
    pub connection: &'static [Choice],
    /// Choices about the devices.
    pub devices: &'static [Choice],
    /// How it is shown by `faceway demo`.
    pub demo: Demo,
}

/// What others come to.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// What `--listen` is for.
    pub help: &'static str,
    /// Which of both it is.
    pub door: Door,
}

/// Where others come to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Its API, by HTTP: [`Source::api`].
    Api,
    /// Its websocket: [`Source::admit`].
    Websocket,
}

/// A choice of a simulator's own.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Its name, without dashes.
    pub name: &'static str,
    /// How the help names its value; nothing for a flag.
    pub value: &'static str,
    /// One line for the help.
    pub help: &'static str,
    /// What it is unless told otherwise.
    pub default: Option<&'static str>,
    /// What it may be.
    pub kind: ChoiceKind,
    /// Whether it can be chosen only without `--listen`.
    pub not_with_listen: bool,
}

/// What a choice may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceKind {
    /// Chosen or not.
    Flag,
    /// Any text.
    Text,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A number from the first to the second.
    Number(u64, u64),
}

impl Choice {
    /// A choice without a default.
    pub const fn new(
        name: &'static str,
        value: &'static str,
        kind: ChoiceKind,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            value,
            help,
            default: None,
            kind,
            not_with_listen: false,
        }
    }

    /// The same with a default.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }

    /// The same, but only without `--listen`.
    #[must_use]
    pub const fn not_with_listen(self) -> Self {
        Self {
            not_with_listen: true,
            ..self
        }
    }
}

/// How a simulator is shown by `faceway demo`.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// Name of its inbound.
    pub inbound: &'static str,
    /// What it is, for a comment in `routes.toml`.
    pub comment: &'static str,
    /// Further keys of its inbound; `{listen}` and `{api}` stand for the addresses of its websocket and its API.
    pub keys: &'static [(&'static str, &'static str)],
    /// Whether it posts to the inbound.
    pub posts: bool,
    /// Records a second.
    pub rate: f64,
    /// What is chosen.
    pub chosen: &'static [(&'static str, &'static str)],
}

/// What was chosen.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    /// The same seed gives the same people and record ids.
    pub seed: u64,
    /// Where pictures come from.
    pub picture: Picture<'static>,
    /// Whether others come to the source.
    pub listens: bool,
    values: BTreeMap<&'static str, String>,
}

/// Where pictures come from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Picture<'a> {
    /// There are none.
    #[default]
    None,
    /// This JPEG; a comment segment makes every copy's bytes its own.
    Jpeg(&'a [u8]),
    /// Bytes that begin and end as a JPEG and are this many, at least 24.
    Bytes(usize),
}

impl Chosen {
    /// All defaults of a simulator.
    pub fn defaults(about: &About, seed: u64) -> Self {
        let mut chosen = Self {
            seed,
            ..Self::default()
        };
        for choice in about.choices() {
            if let Some(default) = choice.default {
                chosen.set(choice.name, default);
            }
        }
        chosen
    }

    /// Chooses a value; of a flag any.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.values.insert(name, value.into());
    }

    /// A text or a word.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Whether a flag was chosen.
    pub fn flag(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
}

impl About {
    /// All choices of its own.
    pub fn choices(&self) -> impl Iterator<Item = &'static Choice> + use<> {
        self.connection.iter().chain(self.devices)
    }
}

/// Devices or a platform at work. Records have numbers, in the order in which they happen.
pub trait Source: Send + Sync {
    /// How it posts.
    fn posting(&self) -> Posting;

    /// The request with this number, as if its records happened `at`. The same number always makes the same one.
    fn request(&self, number: u64, at: Timestamp) -> Request;

    /// The number of the request that is in this queue behind `earlier` others. Every number is in one queue, once.
    fn in_queue(&self, queue: u64, earlier: u64) -> u64 {
        earlier * self.posting().queues + queue
    }

    /// Whether an answer says that a request was taken; else why not.
    ///
    /// # Errors
    /// The reason in a few words.
    fn taken(&self, status: u16, body: &[u8]) -> Result<(), Cow<'static, str>>;

    /// Lets a client in at the websocket that asked for this path and query, or says with which status and why not.
    ///
    /// # Errors
    /// When it is not let in.
    fn admit(&self, path: &str, query: &str) -> Result<Box<dyn Listener>, (u16, &'static str)> {
        let _ = (path, query);
        Err((404, "no websocket"))
    }

    /// Its API; `to` is where it posts to at first.
    fn api(&self, to: Option<&str>) -> Option<Box<dyn Api>> {
        let _ = to;
        None
    }
}

/// How a source posts.
#[derive(Clone, Debug)]
pub struct Posting {
    /// Requests of one queue leave in their order, one after another; queues do not wait for each other.
    pub queues: u64,
    /// Records of one request.
    pub batch: u64,
    /// Requests that a queue keeps; beyond that the oldest are lost.
    pub kept_max: Option<u64>,
    /// What becomes of a request that is not taken.
    pub again: Again,
    /// Every so many requests are sent once more although they were taken.
    pub twice: Option<u64>,
    /// Why records are lost, for the summary.
    pub why_lost: Cow<'static, str>,
}

impl Posting {
    /// One queue of single records, without a limit.
    pub const fn new(again: Again) -> Self {
        Self {
            queues: 1,
            batch: 1,
            kept_max: None,
            again,
            twice: None,
            why_lost: Cow::Borrowed(""),
        }
    }
}

/// What becomes of a request that is not taken.
#[derive(Clone, Copy, Debug)]
pub enum Again {
    /// It is lost.
    Never,
    /// It is sent again, and later ones of its queue wait for it.
    After {
        /// How long it waits after this attempt, counted from 1.
        pause: fn(u32) -> Duration,
        /// After so many attempts it is lost.
        attempts_max: Option<u32>,
    },
    /// What has happened leaves in cycles; the first request that is not taken ends one.
    Cycle {
        /// From one to the next.
        period: Duration,
        /// Requests in one.
        requests_max: u64,
    },
}

/// A request with JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Headers beside `Content-Type`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Vec<u8>,
}

/// A client of a websocket, as the source knows it.
pub trait Listener: Send {
    /// It sent a text.
    ///
    /// # Errors
    /// What the text should have been.
    fn hear(&mut self, text: &str) -> Result<(), &'static str>;

    /// The record with this number as this client gets it; `None` when it does not.
    fn tell(&self, number: u64, at: Timestamp) -> Option<String>;
}

/// The API of a device.
pub trait Api: Send {
    /// Answers a call.
    fn answer(&mut self, call: &ApiCall<'_>) -> ApiReply;
}

/// A call of a device's API.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// Path.
    pub path: &'a str,
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// Body.
    pub body: &'a [u8],
    /// Since the device was switched on.
    pub now: Duration,
    /// A random number, for what must not be guessed.
    pub random: u128,
}

/// What a device answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiReply {
    /// HTTP status.
    pub status: u16,
    /// JSON; empty for none.
    pub body: String,
    /// Where the source posts to from now on, or that it does not; `None` when nothing changes.
    pub to: Option<Option<String>>,
}

impl ApiReply {
    /// A reply that changes nothing.
    pub const fn new(status: u16, body: String) -> Self {
        Self {
            status,
            body,
            to: None,
        }
    }
}

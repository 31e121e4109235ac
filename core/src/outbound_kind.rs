//! What a protocol declares of itself, so that nothing outside its crate has to know it: its keys in
//! `[outbound.<protocol>.<name>]`, what it writes beside a payload, how its settings are read and how they are opened.
//!
//! The flow: the gateway reads the table by [`OutboundKind::keys`] into [`Values`](crate::Values), reports what is wrong
//! with its place, and calls [`OutboundKind::read`], which checks what only the protocol knows. The [`OutboundSettings`]
//! that come of it are opened when the outbound begins to work, with what only the gateway has ([`OpenContext`]).

mod brokers;
mod opening;
mod reading;

use std::sync::Arc;

pub use brokers::{PASSWORD, PAYLOAD_BYTES_MAX, USERNAME};
pub use opening::{Missing, OpenContext, OpenError, Resources};
pub use reading::{At, Finding, Reading, Weight};

use crate::{Key, Outbound, Shape};

/// The key `tls` of an outbound, read by [`Reading::tls`].
pub const TLS_FILES: Key = Key::new("tls", Shape::Tls, "Own authorities, client certificate.");

/// A protocol by which events leave.
pub struct OutboundKind {
    /// Its name in `[outbound.<protocol>.<name>]`, which is that of its folder too.
    pub name: &'static str,
    /// The page for authors of receivers, which the console serves; `None` where there is nothing to say to them.
    pub readme: Option<Readme>,
    /// What others call it; the error about one of these says the name.
    pub aliases: &'static [&'static str],
    /// The keys of its own. What every outbound has (`format`, `images`, `retry` …) is read for it.
    pub keys: &'static [Key],
    /// Keys that people look for here and that are called otherwise.
    pub meant: &'static [Meant],
    /// Where in the destination an event goes; `None` where the protocol knows no such thing.
    pub address: Option<Address>,
    /// What goes beside each message by the key `headers`; `None` where the protocol has no place for it.
    pub headers: Option<Headers>,
    /// Deliveries at the same time where `concurrency_max` is left out.
    pub concurrency: u32,
    /// What a message with several events is called (`a request`); `None` where each event has a message of its own.
    pub batches: Option<&'static str>,
    /// Checks what only the protocol knows, and makes its settings of it. It is pure, and it goes on behind a mistake to
    /// find further ones: what it gives is opened only when there was none.
    pub read: fn(&Reading<'_>) -> Arc<dyn OutboundSettings>,
}

impl std::fmt::Debug for OutboundKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The settings of one outbound.
pub trait OutboundSettings: Send + Sync + 'static {
    /// Prepares deliveries. Nothing is dialled yet.
    ///
    /// # Errors
    /// When a secret or file is not there, or a setting cannot mean anything.
    fn open(&self, context: &OpenContext<'_>) -> Result<Arc<dyn Outbound>, OpenError>;

    /// Where events go, as a URL; `None` where the destination has none.
    fn url(&self) -> Option<&str> {
        None
    }

    /// The largest payload, in bytes; `None` where the protocol has no limit of its own. A picture that would make a
    /// payload larger is sent as a link.
    fn payload_bytes_max(&self) -> Option<u64> {
        None
    }

    /// Why the attributes of a CloudEvent in binary mode cannot go beside its payload; `None` where they can.
    fn lacks_attributes(&self) -> Option<&'static str> {
        None
    }
}

/// A page of the repository.
#[derive(Clone, Copy, Debug)]
pub struct Readme {
    /// Where it is in the repository: `outbounds/<protocol>/README.md`.
    pub path: &'static str,
    /// What it says, by `include_str!`.
    pub text: &'static str,
}

/// Keys that a table does not have, and what to write in their place.
#[derive(Clone, Copy, Debug)]
pub struct Meant {
    /// What people write.
    pub keys: &'static [&'static str],
    /// What to write instead.
    pub help: &'static str,
}

/// The key that says where in the destination an event goes, and what its text may be.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// The key, of [`Shape::Template`].
    pub key: &'static str,
    /// What people call it: `topic`, `routing key`.
    pub called: &'static str,
    /// The template that counts where the key is left out.
    pub default: &'static str,
    /// What is wrong with the parts of the template that are the same for all events, if anything is: the message about
    /// them, and what to write instead.
    pub wrong: fn(parts: &[&str]) -> Wrong,
    /// Characters that have a meaning in an address. In what a field of the event holds each becomes `_`: a device's name
    /// must neither add a level nor be a wildcard.
    pub meaningful: &'static str,
    /// What an address never begins with, as such addresses are the destination's own; it becomes `_` too.
    pub reserved: Option<char>,
    /// Bytes of an address. An event whose address is longer is buried.
    pub bytes_max: usize,
}

/// A message about a text and what to write instead, where something is wrong with it.
pub type Wrong = Option<(&'static str, &'static str)>;

/// What the key `headers` may hold.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    /// How they are read at the far side.
    pub style: HeaderStyle,
    /// Names, in lower case, that Faceway sets itself.
    pub taken: &'static [&'static str],
}

/// How headers are read at the far side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderStyle {
    /// As HTTP has them: ASCII, so all else of a field is percent-encoded. One receiver gets them, so a value may be a
    /// secret; these and those without placeholders come to the outbound in [`OpenContext::headers`], the others with
    /// each message. Attributes of CloudEvents have `ce-` before their names.
    Http,
    /// Any text, beside a message that every subscriber can read: no secrets. Control characters become `_`.
    Text,
}

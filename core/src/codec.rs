//! How an event is written: once, for the spool and for every receiver. One of the two places that open the fence
//! around personal data (the other is the gateway's rendering).

mod json;

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::{Event, Members, Private};
use json::Json;

/// The value of the field `schema`.
pub const SCHEMA: &str = "faceway.event/1";

/// Writes an event as JSON.
pub fn encode(event: &Event<'_>) -> Private<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    if event.serialize(Json::new(&mut bytes)).is_err() {
        debug_assert!(false, "an event has a type that only serde_json writes");
        bytes.clear();
        // Writing to memory fails only for maps with keys that are no text; the types have none.
        let written = serde_json::to_writer(&mut bytes, event);
        debug_assert!(written.is_ok());
    }
    Private::new(bytes)
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let facts = &self.facts;
        let mut out = serializer.serialize_struct("Event", 21)?;
        out.serialize_field("schema", SCHEMA)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("kind", &facts.kind)?;
        if let Some(occurred_at) = &facts.occurred_at {
            out.serialize_field("occurred_at", occurred_at)?;
        }
        out.serialize_field("received_at", &self.received_at)?;
        out.serialize_field("inbound", &self.inbound)?;
        out.serialize_field("adapter", &self.adapter)?;
        facts.write(&mut out)?;
        out.end()
    }
}

/// What may say nothing, and is then not written.
pub(crate) trait Absent {
    /// Whether it says nothing.
    fn is_absent(&self) -> bool;
}

impl<T> Absent for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T> Absent for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Absent for BTreeMap<K, V> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl Absent for Members<'_> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Absent> Absent for Private<T> {
    fn is_absent(&self) -> bool {
        self.reveal().is_absent()
    }
}

/// A member of the event, as it is written.
pub(crate) trait Member {
    /// Writes it under `name`.
    fn write<S: SerializeStruct>(&self, name: &'static str, out: &mut S) -> Result<(), S::Error>;
}

impl<T: Serialize> Member for T {
    fn write<S: SerializeStruct>(&self, name: &'static str, out: &mut S) -> Result<(), S::Error> {
        out.serialize_field(name, self)
    }
}

impl Member for Private<Members<'_>> {
    fn write<S: SerializeStruct>(&self, name: &'static str, out: &mut S) -> Result<(), S::Error> {
        out.serialize_field(name, self.reveal())
    }
}

/// For `serialize_with` of a private field.
pub(crate) fn revealed<T: Serialize, S: Serializer>(
    value: &Private<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.reveal().serialize(serializer)
}

/// For `serialize_with` of a private field that may be absent.
pub(crate) fn revealed_option<T: Serialize, S: Serializer>(
    value: &Option<Private<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(Private::reveal).serialize(serializer)
}

//! How an event is written: once, for the spool and for every receiver. One of the two places that open the fence
//! around personal data (the other is the gateway's rendering).

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::{Event, Private};

/// The value of the field `schema`.
pub const SCHEMA: &str = "faceway.event/1";

/// Writes an event as JSON.
pub fn encode(event: &Event<'_>) -> Private<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    // Writing to memory fails only for maps with keys that are no text; the types have none.
    let written = serde_json::to_writer(&mut bytes, event);
    debug_assert!(written.is_ok());
    Private::new(bytes)
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let facts = &self.facts;
        let mut out = serializer.serialize_struct("Event", 21)?;
        out.serialize_field("schema", SCHEMA)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("kind", &facts.kind)?;
        macro_rules! told {
            ($($name:literal: $value:expr;)*) => {
                $(if let Some(value) = &$value { out.serialize_field($name, value)?; })*
            };
        }
        told! { "occurred_at": facts.occurred_at; }
        out.serialize_field("received_at", &self.received_at)?;
        out.serialize_field("inbound", &self.inbound)?;
        out.serialize_field("adapter", &self.adapter)?;
        Told(facts).fields(&mut out)?;
        out.end()
    }
}

/// The facts behind the envelope, each only when it was told.
struct Told<'e, 'a>(&'e crate::Facts<'a>);

impl Told<'_, '_> {
    fn fields<S: serde::ser::SerializeStruct>(&self, out: &mut S) -> Result<(), S::Error> {
        let facts = self.0;
        macro_rules! fields {
            ($($name:literal: $told:expr => $value:expr;)*) => {
                $(if $told { out.serialize_field($name, $value)?; })*
            };
        }
        fields! {
            "vendor_id": facts.vendor_id.is_some() => &facts.vendor_id;
            "vendor_type": facts.vendor_type.is_some() => &facts.vendor_type;
            "device": !facts.device.is_empty() => &facts.device;
            "person": !facts.person.is_empty() => &facts.person;
            "match": !facts.matched.is_empty() => &facts.matched;
            "object": !facts.object.is_empty() => &facts.object;
            "access": !facts.access.is_empty() => &facts.access;
            "alarm": !facts.alarm.is_empty() => &facts.alarm;
            "episode": facts.episode.is_some() => &facts.episode;
            "counter": facts.counter.is_some() => &facts.counter;
            "area": facts.area.is_some() => &facts.area;
            "images": !facts.images.is_empty() => &facts.images;
            "vendor": !facts.vendor.reveal().is_empty() => facts.vendor.reveal();
            "warnings": !facts.warnings.is_empty() => &facts.warnings;
        }
        Ok(())
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

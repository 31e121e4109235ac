//! Identity: the same record of the same inbound has the same id, however often it is sent.

use std::borrow::Cow;

use uuid::Uuid;

use crate::{Event, Reading, Timestamp};

/// The id of an event: a name-based UUID (RFC 9562, version 5) of the inbound's name and the vendor's record key.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct EventId(Uuid);

/// The name space of all Faceway ids. It may never change: receivers would see every record as new.
const NAMESPACE: Uuid = Uuid::from_u128(0x8d5c_9a3e_6f1b_4d27_b1a4_7c0e_52f8_d913);

impl EventId {
    /// The id of the record that `key` names at `inbound`.
    pub fn new(inbound: &str, key: &RecordKey) -> Self {
        let mut name = Vec::with_capacity(inbound.len() + 1 + key.0.len());
        name.extend_from_slice(inbound.as_bytes());
        name.push(0);
        name.extend_from_slice(&key.0);
        Self(Uuid::new_v5(&NAMESPACE, &name))
    }

    /// The id of a message with several events: the same for the same events in the same order, and never that of an
    /// event.
    pub fn of_several(events: impl IntoIterator<Item = Self>) -> Self {
        // No inbound has an empty name, so no event's id is made from a name that begins so.
        let mut name = b"\0several".to_vec();
        for event in events {
            name.extend_from_slice(event.as_bytes());
        }
        Self(Uuid::new_v5(&NAMESPACE, &name))
    }

    /// From the 16 bytes of [`EventId::as_bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes, as a store keeps them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl schemars::JsonSchema for EventId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "EventId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uuid" })
    }
}

/// What makes a vendor's record itself: his own record id, or else the fields that identify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordKey(Vec<u8>);

impl RecordKey {
    /// From the identifying `parts`, in a fixed order. The first should name what the parts are (`uuid`, `alarm` …), so
    /// that a record without an id can never collide with another's id. Parts cannot run into each other.
    pub fn of(parts: &[&str]) -> Self {
        let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        for part in parts {
            key.extend_from_slice(part.as_bytes());
            // 0xFF stands in no UTF-8 text, so ("a", "b") and ("ab", "") differ.
            key.push(0xFF);
        }
        Self(key)
    }

    /// Last resort: a digest of the body.
    pub fn digest(body: &[u8]) -> Self {
        let digest = crate::Sha256::of(body);
        Self::of(&["digest", &digest.to_string()])
    }
}

/// Which device of which inbound: the unit in which order is kept. Two devices with the same key (one in 2^64) would
/// wait for each other, nothing worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey(pub u64);

impl DeviceKey {
    /// The key of `device` at `inbound`. It is stored, so its function (FNV-1a) may never change.
    pub fn new(inbound: &str, device: &str) -> Self {
        let bytes = inbound.bytes().chain([0xFF]).chain(device.bytes());
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }
}

/// What the gateway adds to a reading.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// Name of the inbound in `routes.toml`.
    pub inbound: &'a str,
    /// Name of the adapter that read it.
    pub adapter: &'static str,
    /// When the gateway had it.
    pub received_at: Timestamp,
}

/// Makes the canonical event of a reading.
pub fn stamp<'a>(reading: Reading<'a>, stamp: Stamp<'a>) -> Event<'a> {
    Event {
        id: EventId::new(stamp.inbound, &reading.key),
        received_at: stamp.received_at,
        inbound: Cow::Borrowed(stamp.inbound),
        adapter: Cow::Borrowed(stamp.adapter),
        facts: reading.facts,
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceKey, EventId, RecordKey};

    #[test]
    fn ids_stay_what_they_are() {
        let id = EventId::new("lobby", &RecordKey::of(&["uuid", "4d3987c1"]));
        assert_eq!(
            id,
            EventId::new("lobby", &RecordKey::of(&["uuid", "4d3987c1"]))
        );
        assert_ne!(
            id,
            EventId::new("gate", &RecordKey::of(&["uuid", "4d3987c1"]))
        );
        // Written down, because receivers drop what they have seen by it.
        assert_eq!(id.to_string(), "94f278e1-a12c-50fa-8d4e-032e47aa1126");
        assert_eq!(
            DeviceKey::new("lobby", "PSC1"),
            DeviceKey(5_732_316_475_342_846_353)
        );
    }

    #[test]
    fn several_events_have_one_id_by_their_order() {
        let one = |key| EventId::new("lobby", &RecordKey::of(&["uuid", key]));
        let both = EventId::of_several([one("a"), one("b")]);
        assert_eq!(both, EventId::of_several([one("a"), one("b")]));
        assert_ne!(both, EventId::of_several([one("b"), one("a")]));
        assert_ne!(EventId::of_several([one("a")]), one("a"));
        // Written down, because receivers may drop what they have seen by it.
        assert_eq!(both.to_string(), "09730998-3202-528c-be21-07b3265ecaf0");
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(RecordKey::of(&["a", "bc"]), RecordKey::of(&["ab", "c"]));
        assert_ne!(RecordKey::of(&["a", ""]), RecordKey::of(&["a"]));
    }
}

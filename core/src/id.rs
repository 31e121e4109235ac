//! Identity: the same record of the same inbound has the same id, however often it is sent.
//!
//! An id is a UUID of version 8 (RFC 9562, section 5.8) in two halves, both cut from SHA-256:
//!
//! | bytes | what they are a digest of |
//! |---|---|
//! | 0 to 7 ([`RecordId`]) | the inbound's name and what names the record |
//! | 8 to 15 | the same, and what a resend must repeat: who, with which verdict |
//!
//! So an id says two things at once: two ids with the same first half are the same record, and when their second halves
//! differ it was sent with another content. A key that holds for a while only ([`RecordKey::passing`],
//! [`RecordKey::state`]) puts the ten minutes of its first arrival into the first 24 bits of the second half.

use std::borrow::Cow;

use sha2::Digest as _;
use uuid::Uuid;

use crate::{Event, Reading, Timestamp};

/// The id of an event.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct EventId(Uuid);

/// The first half of an id: which record of which inbound it is, whatever it says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RecordId(pub [u8; 8]);

/// The newest event that is known of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Newest {
    /// Its sequence number: of two records the one that was kept later has the higher one.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
}

/// Begins what every id is a digest of. It may never change: receivers would see every record as new.
const NAMESPACE: &[u8] = b"faceway.event.id/1\0";
/// The name space of ids of several events.
const SEVERAL: Uuid = Uuid::from_u128(0x8d5c_9a3e_6f1b_4d27_b1a4_7c0e_52f8_d913);
/// How long a period is. A passing key holds for this one and the next.
const PERIOD_MS: i64 = 600_000;
/// Periods are counted modulo this: 319 years.
const PERIODS: i64 = 1 << 24;

impl EventId {
    /// The id of a message with several events: the same for the same events in the same order, and never that of an
    /// event.
    pub fn of_several(events: impl IntoIterator<Item = Self>) -> Self {
        let mut name = b"\0several".to_vec();
        for event in events {
            name.extend_from_slice(event.as_bytes());
        }
        Self(Uuid::new_v5(&SEVERAL, &name))
    }

    /// From the 16 bytes of [`EventId::as_bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes, as a store keeps them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Which record it is of.
    pub fn record(&self) -> RecordId {
        let mut half = [0; 8];
        half.copy_from_slice(&self.as_bytes()[..8]);
        RecordId(half)
    }

    fn of_halves(record: RecordId, reading: [u8; 8]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&record.0);
        bytes[8..].copy_from_slice(&reading);
        // Version and variant stand at the same bits for every reader of UUIDs.
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The period in an id of a key that holds for a while.
    fn period(&self) -> i64 {
        let bytes = self.as_bytes();
        // Two bits of the first byte belong to the variant, so the period begins behind it.
        i64::from(bytes[9]) << 16 | i64::from(bytes[10]) << 8 | i64::from(bytes[11])
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

/// What makes a vendor's record itself. Of the four kinds an adapter takes the first that its vendor's words allow:
///
/// | | the vendor sends | a resend is | another content |
/// |---|---|---|---|
/// | [`strong`](Self::strong) | an id that is unique for ever, with its device | the same id, person and verdict | a new event, counted as `conflict` |
/// | [`weak`](Self::weak) | a time, and perhaps an id that repeats | the same in everything that is joined | a new event |
/// | [`state`](Self::state) | how a device is, without a time | the same as that device's last report | a new event |
/// | [`passing`](Self::passing) | nothing that tells one from another | the same content within minutes | a new event |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordKey {
    record: Vec<u8>,
    reading: Vec<u8>,
    holds: Holds,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Holds {
    Always,
    Minutes,
    /// Until a later event of its own record, or of one of these.
    UntilNext(Vec<Vec<u8>>),
}

impl RecordKey {
    /// A record that `record` names for ever: an id that its device gives to one record only, with that device. A resend
    /// repeats `reading` too: kind, person, verdict. Time, score and pictures do not belong there.
    pub fn strong(record: &[&str], reading: &[&str]) -> Self {
        Self::new(join(record), join(reading), Holds::Always)
    }

    /// A record that `parts` name together, a time among them: everything that tells it from its neighbours.
    pub fn weak(parts: &[&str]) -> Self {
        Self::new(join(parts), Vec::new(), Holds::Always)
    }

    /// Last resort, where no time is told: the content itself, as `parts`. It holds for ten to twenty minutes, so that the
    /// same words on another day are another record.
    pub fn passing(parts: &[&str]) -> Self {
        Self::new(join(parts), Vec::new(), Holds::Minutes)
    }

    /// A record whose content tells it apart: [`weak`](Self::weak) where a time is told in it, else
    /// [`passing`](Self::passing).
    pub fn of_content(has_time: bool, parts: &[&str]) -> Self {
        match has_time {
            true => Self::weak(parts),
            false => Self::passing(parts),
        }
    }

    /// A report of how a device is, without a time: it is a resend only while it equals the last report of `device`.
    /// `others` are devices whose later reports speak of this one as well.
    pub fn state<'a>(
        device: &[&str],
        reading: &[&str],
        others: impl IntoIterator<Item = &'a [&'a str]>,
    ) -> Self {
        let others = others.into_iter().map(join).collect();
        Self::new(join(device), join(reading), Holds::UntilNext(others))
    }

    const fn new(record: Vec<u8>, reading: Vec<u8>, holds: Holds) -> Self {
        Self {
            record,
            reading,
            holds,
        }
    }

    /// The records whose newest events have to be known before an id can be given, its own first; none where the id
    /// depends on nothing that was kept before.
    pub fn depends_on(&self, inbound: &str) -> Vec<RecordId> {
        let others = match &self.holds {
            Holds::Always => return Vec::new(),
            Holds::Minutes => &[][..],
            Holds::UntilNext(others) => others,
        };
        let all = std::iter::once(&self.record).chain(others);
        all.map(|record| RecordId::of(&digest(inbound, record)))
            .collect()
    }

    /// The id at `inbound`, when nothing of the record is known. `at` is when the gateway had it.
    pub fn id(&self, inbound: &str, at: Timestamp) -> EventId {
        match self.holds {
            Holds::Always => self.lasting_id(inbound),
            _ => self.id_in(inbound, period_of(at)),
        }
    }

    /// The id at `inbound`, when `newest` is known of the records of [`RecordKey::depends_on`], in their order: the known
    /// one for a resend, and otherwise one that no event has.
    pub fn id_after(&self, inbound: &str, at: Timestamp, newest: &[Option<Newest>]) -> EventId {
        let own = newest.first().copied().flatten();
        let (Some(own), true) = (own, self.holds != Holds::Always) else {
            return self.id(inbound, at);
        };
        let now = period_of(at);
        let then = own.id.period();
        let is_the_same = own.id == self.id_in(inbound, then);
        let holds_still = match self.holds {
            Holds::Always => true,
            // A clock that was set back a little makes no new record.
            Holds::Minutes => (-1..=1).contains(&later(now, then)),
            Holds::UntilNext(_) => newest.iter().flatten().all(|known| known.seq <= own.seq),
        };
        if is_the_same && holds_still {
            return own.id;
        }
        // Two reports of one period would have one id otherwise, and receivers would drop the second.
        let next = if later(now, then) > 0 { now } else { then + 1 };
        self.id_in(inbound, next.rem_euclid(PERIODS))
    }

    fn lasting_id(&self, inbound: &str) -> EventId {
        let record = digest(inbound, &self.record);
        let reading = if self.reading.is_empty() {
            half(&record[8..])
        } else {
            half(&sha256(&[&record, &self.reading]))
        };
        EventId::of_halves(RecordId::of(&record), reading)
    }

    fn id_in(&self, inbound: &str, period: i64) -> EventId {
        let record = digest(inbound, &self.record);
        let period = period.to_be_bytes();
        let mut reading = half(&sha256(&[&record, &self.reading, &period]));
        reading[1..4].copy_from_slice(&period[5..]);
        EventId::of_halves(RecordId::of(&record), reading)
    }
}

impl RecordId {
    fn of(digest: &[u8]) -> Self {
        let mut record = half(digest);
        // As it stands in an id: with the version in its place.
        record[6] = record[6] & 0x0f | 0x80;
        Self(record)
    }
}

/// Parts cannot run into each other: 0xFF stands in no UTF-8 text, so ("a", "b") and ("ab", "") differ.
fn join(parts: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        key.extend_from_slice(part.as_bytes());
        key.push(0xFF);
    }
    key
}

fn digest(inbound: &str, record: &[u8]) -> [u8; 32] {
    sha256(&[NAMESPACE, inbound.as_bytes(), &[0], record])
}

fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut hasher = sha2::Sha256::new();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

fn half(digest: &[u8]) -> [u8; 8] {
    let mut half = [0; 8];
    half.copy_from_slice(&digest[..8]);
    half
}

fn period_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(PERIOD_MS).rem_euclid(PERIODS)
}

/// How many periods `now` is later than `then`, on a clock that begins anew after [`PERIODS`].
fn later(now: i64, then: i64) -> i64 {
    (now - then + PERIODS / 2).rem_euclid(PERIODS) - PERIODS / 2
}

/// Whether a vendor's id is one that is given once for ever: a UUID, with or without dashes, and not the blank one.
pub fn is_unique_id(text: &str) -> bool {
    let (mut count, mut first, mut all_alike) = (0, 0, true);
    for sign in text.trim().as_bytes() {
        match sign {
            b'-' => continue,
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' if count == 0 => first = *sign,
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => all_alike &= *sign == first,
            _ => return false,
        }
        count += 1;
    }
    count == 32 && !all_alike
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

/// Makes the canonical event of a reading of which nothing is known.
pub fn stamp<'a>(reading: Reading<'a>, stamp: Stamp<'a>) -> Event<'a> {
    Event {
        id: reading.key.id(stamp.inbound, stamp.received_at),
        received_at: stamp.received_at,
        inbound: Cow::Borrowed(stamp.inbound),
        adapter: Cow::Borrowed(stamp.adapter),
        facts: reading.facts,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DeviceKey, EventId, Newest, RecordKey, is_unique_id};
    use crate::Timestamp;

    const MINUTE: i64 = 60_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + ms).unwrap()
    }

    fn id(key: &RecordKey) -> EventId {
        key.id("lobby", at(0))
    }

    /// Written down, because receivers drop what they have seen by them.
    #[test]
    fn ids_stay_what_they_are() {
        let strong = RecordKey::strong(&["uuid", "PSC1", "4d3987c1"], &["0", "71"]);
        let weak = RecordKey::weak(&["record", "cam-1", "1767250800123"]);
        let passing = RecordKey::passing(&["digest", "a1"]);
        let state = RecordKey::state(&["state", "box"], &["on"], []);
        let written = [strong, weak, passing, state].map(|key| id(&key).to_string());
        assert_eq!(
            written,
            [
                "7f7a0893-769a-87eb-ac4d-28df62ac0010",
                "0bd6e308-0a29-89d8-b113-55d322ef954c",
                "2dc69306-381d-87f6-952d-85a5f6c10006",
                "46cae650-9aa8-8f68-882d-85a565eed283",
            ]
        );
        assert_eq!(
            DeviceKey::new("lobby", "PSC1"),
            DeviceKey(5_732_316_475_342_846_353)
        );
    }

    #[test]
    fn an_id_is_a_uuid_of_version_8() {
        let id = id(&RecordKey::weak(&["a"]));
        let uuid = uuid::Uuid::from_bytes(*id.as_bytes());
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn another_content_of_a_record_has_another_id_with_the_same_half() {
        let one = id(&RecordKey::strong(&["uuid", "u"], &["employee"]));
        let other = id(&RecordKey::strong(&["uuid", "u"], &["stranger"]));
        assert_ne!(one, other);
        assert_eq!(one.record(), other.record());
        let elsewhere = RecordKey::strong(&["uuid", "u"], &["employee"]).id("gate", at(0));
        assert_ne!(one.record(), elsewhere.record());
    }

    #[test]
    fn what_depends_on_others_names_its_own_record_first() {
        let key = RecordKey::state(&["box"], &["on"], [&["cam"][..]]);
        let asked = key.depends_on("lobby");
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0], id(&key).record());
        assert!(RecordKey::weak(&["a"]).depends_on("lobby").is_empty());
        assert_eq!(RecordKey::passing(&["a"]).depends_on("lobby").len(), 1);
    }

    /// The ids that reports get one after another, each with the time at which it comes.
    fn follow<'k>(reports: impl IntoIterator<Item = (&'k RecordKey, i64)>) -> Vec<EventId> {
        let mut newest: Vec<Newest> = Vec::new();
        let mut ids = Vec::new();
        for (key, ms) in reports {
            let known = key.depends_on("lobby").into_iter().map(|record| {
                let of_record = |known: &&Newest| known.id.record() == record;
                newest.iter().rev().find(of_record).copied()
            });
            let id = key.id_after("lobby", at(ms), &known.collect::<Vec<_>>());
            if !ids.contains(&id) {
                let seq = newest.len() as u64;
                newest.push(Newest { seq, id });
            }
            ids.push(id);
        }
        ids
    }

    fn distinct(ids: &[EventId]) -> usize {
        ids.iter().collect::<std::collections::HashSet<_>>().len()
    }

    #[test]
    fn a_changed_state_is_always_new_and_an_equal_one_a_resend() {
        let on = RecordKey::state(&["cam"], &["on"], []);
        let off = RecordKey::state(&["cam"], &["off"], []);
        let ids = follow([(&off, 0), (&on, 1), (&off, 2), (&on, 3), (&off, 4)]);
        assert_eq!(distinct(&ids), 5);
        let ids = follow([
            (&off, 0),
            (&off, 1),
            (&on, 2),
            (&on, 50_000 * MINUTE),
            (&off, 4),
        ]);
        assert_eq!(distinct(&ids), 3);
        assert_eq!((ids[0], ids[2]), (ids[1], ids[3]));
    }

    #[test]
    fn a_report_of_all_cameras_ends_what_one_of_them_said() {
        let one = RecordKey::state(&["cam"], &["off"], [&["box"][..]]);
        let all = RecordKey::state(&["box"], &["on"], [&["cam"][..]]);
        assert_eq!(
            distinct(&follow([(&one, 0), (&all, 1), (&one, 2), (&all, 3)])),
            4
        );
        assert_eq!(
            distinct(&follow([(&one, 0), (&one, 1), (&all, 2), (&all, 3)])),
            2
        );
    }

    #[test]
    fn a_passing_key_holds_for_minutes() {
        let key = RecordKey::passing(&["digest", "a"]);
        assert_eq!(distinct(&follow([(&key, 0), (&key, 9 * MINUTE)])), 1);
        assert_eq!(distinct(&follow([(&key, 0), (&key, 21 * MINUTE)])), 2);
        assert_eq!(distinct(&follow([(&key, 0), (&key, -9 * MINUTE)])), 1);
        assert_eq!(
            distinct(&follow([(&key, 0), (&key, -25 * MINUTE), (&key, 0)])),
            2
        );
    }

    proptest! {
        #[test]
        fn any_walk_of_states_has_an_id_for_each_change(
            walk in prop::collection::vec((0..3_usize, -30..30_i64), 1..60)
        ) {
            let states = ["a", "b", "c"].map(|state| RecordKey::state(&["cam"], &[state], []));
            let ids = follow(walk.iter().map(|(state, ms)| (&states[*state], ms * MINUTE)));
            let mut changes: Vec<usize> = walk.iter().map(|(state, _)| *state).collect();
            changes.dedup();
            prop_assert_eq!(distinct(&ids), changes.len());
        }
    }

    #[test]
    fn several_events_have_one_id_by_their_order() {
        let one = |key| id(&RecordKey::weak(&["uuid", key]));
        let both = EventId::of_several([one("a"), one("b")]);
        assert_eq!(both, EventId::of_several([one("a"), one("b")]));
        assert_ne!(both, EventId::of_several([one("b"), one("a")]));
        assert_ne!(EventId::of_several([one("a")]), one("a"));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(RecordKey::weak(&["a", "bc"]), RecordKey::weak(&["ab", "c"]));
        assert_ne!(RecordKey::weak(&["a", ""]), RecordKey::weak(&["a"]));
    }

    #[test]
    fn only_uuids_are_unique_for_ever() {
        for id in [
            "5a0c7e10-0000-4000-8000-000000000001",
            "5A0C7E10000040008000000000000001",
        ] {
            assert!(is_unique_id(id), "{id}");
        }
        for id in [
            "",
            "7",
            "4355024961160384430",
            "00000000-0000-0000-0000-000000000000",
            "5a0c7e10",
        ] {
            assert!(!is_unique_id(id), "{id}");
        }
    }
}

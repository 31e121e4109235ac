//! The canonical event, version 1: what every adapter makes and every receiver reads. Names, units and meanings are a
//! promise; the golden file `docs/schema/event.json` holds it.
//!
//! A field that the vendor did not tell is absent, never null. So every part is one list of members, from which come the
//! type, what is written and the schema: `members!` leaves out what says nothing, and `facts!` does so for the parts.

mod attributes;
mod device;
mod door;
mod image;
mod object;
mod person;
mod watch;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::codec::{Absent, Member};
use crate::{EventId, Members, Private, Timestamp};

pub use attributes::{AgeGroup, Attribute, AttributeValue, Attributes, Gender, Glasses, Mask};
pub use device::{Device, DeviceType, Group};
pub use door::{Access, AccessMethod, Alarm, AlarmState, AlarmType, DeniedReason};
pub use image::{Image, ImageRole};
pub use object::{Bounds, Liveness, Object, ObjectType};
pub use person::{Candidate, Category, Match, MatchStatus, Person};
pub use watch::{Area, AreaState, Counter, Episode, EpisodeObject, EpisodeState, Proximity};

/// Text that borrows from the body where it can.
pub type Text<'a> = Cow<'a, str>;

/// Text about a person.
pub type PrivateText<'a> = Private<Text<'a>>;

/// A part of the event whose members may all be absent: `member as "name": Type`, the name where it differs from the
/// member's.
macro_rules! members {
    ($(#[$about:meta])* pub struct $name:ident $(<$life:lifetime>)? {
        $($(#[$member_about:meta])* $member:ident $(as $written:literal)?: $type:ty,)*
    }) => {
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
        $(#[$about])*
        pub struct $name $(<$life>)? {
            $(
                $(#[$member_about])*
                #[serde(skip_serializing_if = "crate::codec::Absent::is_absent" $(, rename = $written)?)]
                pub $member: $type,
            )*
        }

        impl $(<$life>)? crate::codec::Absent for $name $(<$life>)? {
            fn is_absent(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

/// The words of a member that has a fixed set of them.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$word_about:meta])* $word:ident),+ $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        $(#[$about])*
        pub enum $name { $($(#[$word_about])* $word),+ }
    };
}

/// The facts: a list as that of `members!`. What is in `head` is written before what the gateway adds.
macro_rules! facts {
    ($(#[$about:meta])* pub struct $name:ident<'a> {
        head { $($(#[$head_about:meta])* $head:ident: $head_type:ty,)* }
        $($(#[$member_about:meta])* $member:ident $(as $written:literal)?: $type:ty,)*
    }) => {
        #[derive(Default, JsonSchema)]
        $(#[$about])*
        pub struct $name<'a> {
            $($(#[$head_about])* pub $head: $head_type,)*
            $(
                $(#[$member_about])*
                #[serde(skip_serializing_if = "Absent::is_absent" $(, rename = $written)?)]
                pub $member: $type,
            )*
        }

        impl $name<'_> {
            /// Writes what the gateway's own fields come before, each member only when it was told.
            pub(crate) fn write<S: SerializeStruct>(&self, out: &mut S) -> Result<(), S::Error> {
                $(if !self.$member.is_absent() {
                    self.$member.write(written!($member $($written)?), out)?;
                })*
                Ok(())
            }
        }
    };
}

/// The name that is written for a member.
macro_rules! written {
    ($member:ident) => {
        stringify!($member)
    };
    ($member:ident $written:literal) => {
        $written
    };
}

use {members, words};

/// One recognition, alarm or other record of a device, in the same words whatever the vendor.
// `Serialize` is the spool's codec: only `crate::encode` and tests call it. Documents of a type are its schema's
// descriptions, which receivers read, so they say nothing of our code.
#[derive(JsonSchema)]
#[schemars(title = "Faceway event, version 1")]
pub struct Event<'a> {
    /// The same for the same record of the same inbound, however often it is sent and whichever gateway takes it: a
    /// UUID of version 8.
    pub id: EventId,
    /// When the gateway had it.
    pub received_at: Timestamp,
    /// Name of the inbound in `routes.toml`.
    pub inbound: Text<'a>,
    /// Which adapter read it: `nebula`, `se5`, `omni`, `findface` …
    pub adapter: Text<'a>,
    /// What the device said.
    #[schemars(flatten)]
    pub facts: Facts<'a>,
}

/// An event's `Debug` tells which one it is and nothing of a person.
impl std::fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("kind", &self.facts.kind)
            .finish_non_exhaustive()
    }
}

facts! {
    /// What a device said, before the gateway adds id and time.
    pub struct Facts<'a> {
        head {
            /// What it is about.
            kind: Kind,
            /// The device's clock; absent if it sent none.
            #[serde(skip_serializing_if = "Option::is_none")]
            occurred_at: Option<Timestamp>,
        }
        /// The vendor's record id.
        vendor_id: Option<Text<'a>>,
        /// The vendor's type tag: `0`, `identification`, `face_events:event_created` …
        vendor_type: Option<Text<'a>>,
        /// The device that saw it.
        device: Device<'a>,
        /// Who it was.
        person: Person<'a>,
        /// The comparison with known persons.
        matched as "match": Match<'a>,
        /// What was seen.
        object: Object<'a>,
        /// The device's decision at a door.
        access: Access,
        /// An alarm of the device.
        alarm: Alarm<'a>,
        /// A visit that several events make up.
        episode: Option<Episode<'a>>,
        /// A count of what is in view.
        counter: Option<Counter<'a>>,
        /// Presence in a watched area.
        area: Option<Area<'a>>,
        /// Pictures.
        images: Vec<Image<'a>>,
        /// What has no canonical word, in the vendor's own names and as sent. Pictures, face templates and secrets are
        /// taken out of it.
        vendor: Private<Members<'a>>,
        /// What the adapter had to guess or could not read.
        warnings: Vec<Text<'a>>,
    }
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "EventKind")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Somebody or something was seen.
    Recognition,
    /// The device is in trouble.
    Alarm,
    /// A visit that several events make up.
    Episode,
    /// A count of what is in view.
    Counter,
    /// Presence in a watched area.
    Area,
    /// Well-formed, but of a type that the adapter has no mapping for.
    #[default]
    Other,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Recognition,
        Self::Alarm,
        Self::Episode,
        Self::Counter,
        Self::Area,
        Self::Other,
    ];

    /// The word in the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recognition => "recognition",
            Self::Alarm => "alarm",
            Self::Episode => "episode",
            Self::Counter => "counter",
            Self::Area => "area",
            Self::Other => "other",
        }
    }
}

//! The canonical event, version 1: what every adapter makes and every receiver reads. Names, units and meanings are a
//! promise; the golden file `docs/schema/event.json` holds it.
//!
//! A field that the vendor did not tell is absent, never null.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{EventId, Members, Private, Sha256, Timestamp, codec};

/// Text that borrows from the body where it can.
pub type Text<'a> = Cow<'a, str>;

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

/// What a device said, before the gateway adds id and time.
#[derive(Default, JsonSchema)]
pub struct Facts<'a> {
    /// What it is about.
    pub kind: Kind,
    /// The device's clock; absent if it sent none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// The vendor's record id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_id: Option<Text<'a>>,
    /// The vendor's type tag: `0`, `identification`, `face_events:event_created` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_type: Option<Text<'a>>,
    /// The device that saw it.
    #[serde(skip_serializing_if = "Device::is_empty")]
    pub device: Device<'a>,
    /// Who it was.
    #[serde(skip_serializing_if = "Person::is_empty")]
    pub person: Person<'a>,
    /// The comparison with known persons.
    #[serde(rename = "match", skip_serializing_if = "Match::is_empty")]
    pub matched: Match<'a>,
    /// What was seen.
    #[serde(skip_serializing_if = "Object::is_empty")]
    pub object: Object<'a>,
    /// The device's decision at a door.
    #[serde(skip_serializing_if = "Access::is_empty")]
    pub access: Access,
    /// An alarm of the device.
    #[serde(skip_serializing_if = "Alarm::is_empty")]
    pub alarm: Alarm<'a>,
    /// A visit that several events make up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub episode: Option<Episode<'a>>,
    /// A count of what is in view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<Counter<'a>>,
    /// Presence in a watched area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<Area<'a>>,
    /// Pictures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image<'a>>,
    /// What has no canonical word, in the vendor's own names and as sent. Pictures, face templates and secrets are
    /// taken out of it.
    #[serde(skip_serializing_if = "is_empty_vendor")]
    pub vendor: Private<Members<'a>>,
    /// What the adapter had to guess or could not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Text<'a>>,
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

/// The device that saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Device<'a> {
    /// Serial number, device id or camera id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    /// What it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<DeviceType>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    /// IP address or host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Text<'a>>,
    /// URL of its video, without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Text<'a>>,
    /// The agent or box that it hangs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Text<'a>>,
    /// The camera groups that it is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group<'a>>,
}

impl Device<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Device::default()
    }
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// An access terminal with a screen.
    Terminal,
    /// A gate or turnstile.
    Gate,
    /// A camera.
    Camera,
    /// A door controller.
    Door,
    /// A box that analyses the video of others.
    Box,
}

/// A group, watch list or profile group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Group<'a> {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
}

/// Text about a person.
pub type PrivateText<'a> = Private<Text<'a>>;

/// Who it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Person<'a> {
    /// The person, card, dossier or profile id; absent for a stranger.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub id: Option<PrivateText<'a>>,
    /// Name.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub name: Option<PrivateText<'a>>,
    /// What he is to the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Groups, watch lists, profile groups that he is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group<'a>>,
    /// Number of the access card.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub card_number: Option<PrivateText<'a>>,
    /// Number at the employer.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub job_number: Option<PrivateText<'a>>,
    /// Number of the identity card.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub id_number: Option<PrivateText<'a>>,
    /// A remark on him.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub remark: Option<PrivateText<'a>>,
    /// From when a visitor may enter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

impl Person<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Person::default()
    }
}

/// What a person is to the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "PersonCategory")]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Works here.
    Employee,
    /// Visits.
    Visitor,
    /// To be welcomed.
    Vip,
    /// Not to be let in.
    Blocklisted,
    /// Compared, and nobody known.
    Stranger,
    /// Known, but the vendor does not say what he is.
    Known,
}

/// The comparison with known persons.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Match<'a> {
    /// Absent when nobody compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<MatchStatus>,
    /// Similarity to the best candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub score: Option<f64>,
    /// All that the vendor sent, best first; the best is also `person`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate<'a>>,
}

impl Match<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Match::default()
    }
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchStatus {
    /// Somebody known.
    Matched,
    /// Nobody known.
    Unmatched,
}

/// Somebody who it may have been.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Candidate<'a> {
    /// Who.
    pub person: Person<'a>,
    /// Similarity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub score: Option<f64>,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "SeenObject")]
pub struct Object<'a> {
    /// What it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub object_type: Option<ObjectType>,
    /// Whether a living face was before the camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Liveness>,
    /// Quality of the picture, only where the vendor documents a scale of 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub quality: Option<f64>,
    /// Where it is in the full frame.
    #[serde(rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// One presence in view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track_id: Option<Text<'a>>,
    /// What it looks like.
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes<'a>,
}

impl Object<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Object::default()
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectType {
    /// A face.
    Face,
    /// A body.
    Body,
    /// A vehicle.
    Vehicle,
}

/// Whether a living face was before the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Living.
    Live,
    /// A photograph, a screen, a mask.
    Spoof,
}

/// A rectangle in pixels of the full frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Bounds {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

/// What an object looks like. A name that is not listed is the vendor's own; its value is text, a number or a boolean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Attributes<'a> {
    /// Age in years.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub age: Option<Private<Attribute<f64>>>,
    /// Where only a group is told.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub age_group: Option<Private<Attribute<AgeGroup>>>,
    /// Gender as the device sees it.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub gender: Option<Private<Attribute<Gender>>>,
    /// Whether a mask is worn.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub mask: Option<Private<Attribute<Mask>>>,
    /// Body temperature in °C.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub temperature_c: Option<Private<Attribute<f64>>>,
    /// Glasses.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub glasses: Option<Private<Attribute<Glasses>>>,
    /// Whether there is a beard.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub beard: Option<Private<Attribute<bool>>>,
    /// Emotion, in the vendor's word.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub emotion: Option<Private<Attribute<Text<'a>>>>,
    /// A vehicle's number plate.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub plate: Option<Private<Attribute<Text<'a>>>>,
    /// Country of the plate.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub plate_country: Option<Private<Attribute<Text<'a>>>>,
    /// A vehicle's maker.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub make: Option<Private<Attribute<Text<'a>>>>,
    /// A vehicle's model.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub model: Option<Private<Attribute<Text<'a>>>>,
    /// A vehicle's colour.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub color: Option<Private<Attribute<Text<'a>>>>,
    /// A vehicle's body.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "codec::revealed_option"
    )]
    pub body: Option<Private<Attribute<Text<'a>>>>,
    /// Others under the vendor's own word; values are text, numbers or booleans.
    #[serde(flatten, serialize_with = "codec::revealed")]
    pub others: Private<BTreeMap<Text<'a>, Attribute<AttributeValue<'a>>>>,
}

impl Attributes<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }
}

/// One thing that an object looks like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "{T}Attribute")]
pub struct Attribute<T> {
    /// What it is.
    pub value: T,
    /// How sure the device is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence: Option<f64>,
}

impl<T> Attribute<T> {
    /// An attribute without a confidence, behind its fence.
    pub fn plain(value: T) -> Private<Self> {
        Private::new(Self {
            value,
            confidence: None,
        })
    }
}

/// The value of an attribute that only the vendor knows.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AttributeValue<'a> {
    /// A word.
    Text(Text<'a>),
    /// A number.
    Number(f64),
    /// Yes or no.
    Bool(bool),
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$word_about:meta])* $word:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$word_about])* $word),+ }
    };
}

words!(
    /// An age group, where only that is told.
    AgeGroup {
        /// Child.
        Child,
        /// Juvenile.
        Juvenile,
        /// Youth.
        Youth,
        /// Middle-aged.
        MiddleAged,
        /// Aged.
        Aged,
    }
);
words!(
    /// Gender as the device sees it.
    Gender {
        /// Male.
        Male,
        /// Female.
        Female,
    }
);
words!(
    /// How a mask is worn.
    Mask {
        /// Over mouth and nose.
        Worn,
        /// Not at all.
        NotWorn,
        /// Not as it should be.
        WornWrongly,
    }
);
words!(
    /// Glasses.
    Glasses {
        /// None.
        None,
        /// For sight.
        Eye,
        /// Against the sun.
        Sun,
    }
);
words!(
    /// What was used at a door.
    AccessMethod {
        /// Face.
        Face,
        /// Access card.
        Card,
        /// Identity card.
        IdCard,
        /// QR code.
        QrCode,
        /// PIN.
        Pin,
        /// Health code.
        HealthCode,
        /// Button at the door.
        Button,
        /// Job number.
        JobNumber,
    }
);
words!(
    /// Why a device denied access.
    DeniedReason {
        /// The face is not that of the identity card.
        PersonIdCardMismatch,
        /// The face is not that of the access card.
        PersonCardMismatch,
        /// The face is not that of the QR code.
        PersonCodeMismatch,
        /// The visitor's permission has not begun or has ended.
        VisitorNotValid,
        /// Not in the hours of access.
        OutsideHours,
        /// The identity card is not valid.
        InvalidIdCard,
        /// The access card is not valid.
        InvalidCard,
        /// The QR code is not valid.
        InvalidQrCode,
        /// Body temperature.
        Temperature,
        /// Wrong PIN.
        WrongPin,
        /// Wrong PIN too many times.
        TooManyWrongPins,
    }
);
words!(
    /// What an alarm is about.
    AlarmType {
        /// The device is being taken off.
        Tamper,
        /// The door was forced.
        ForcedDoor,
        /// The door is held open.
        DoorHeldOpen,
        /// Somebody tries passwords.
        PasswordAttack,
        /// Fire.
        Fire,
    }
);
words!(
    /// What became of an alarm.
    AlarmState {
        /// It began.
        Raised,
        /// It is over.
        Cleared,
        /// It could not be cleared.
        ClearingFailed,
    }
);
words!(
    /// What became of a visit.
    EpisodeState {
        /// It began.
        Open,
        /// One more event of it.
        Event,
        /// It is over.
        Close,
    }
);
words!(
    /// Whose visit.
    EpisodeObject {
        /// A person's.
        Human,
        /// A vehicle's.
        Vehicle,
    }
);
words!(
    /// Presence in an area.
    AreaState {
        /// Somebody is in it.
        Active,
        /// Nobody.
        Inactive,
    }
);
words!(
    /// What a picture shows.
    ImageRole {
        /// The face.
        Face,
        /// The body.
        Body,
        /// The vehicle.
        Vehicle,
        /// The face in infrared.
        Infrared,
        /// The whole scene.
        Scene,
        /// The picture that was enrolled.
        Enrolled,
        /// The number plate.
        Plate,
        /// What happened when the alarm was raised.
        Alarm,
    }
);

/// The device's decision at a door.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Access {
    /// Whether it let the person in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted: Option<bool>,
    /// What was used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<AccessMethod>,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_reason: Option<DeniedReason>,
}

impl Access {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Access::default()
    }
}

/// An alarm of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Alarm<'a> {
    /// What it is about.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub alarm_type: Option<AlarmType>,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<AlarmState>,
    /// The device's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text<'a>>,
}

impl Alarm<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Alarm::default()
    }
}

/// A visit that several events make up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Episode<'a> {
    /// The visit's id; it repeats over open, event and close.
    pub id: Text<'a>,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<EpisodeState>,
    /// Whose visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<EpisodeObject>,
    /// How many events are in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_count: Option<u64>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// A count of what is in view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Counter<'a> {
    /// The counter's id; the record's is `vendor_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    /// Faces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faces: Option<u64>,
    /// Bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies: Option<u64>,
    /// Vehicles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vehicles: Option<u64>,
    /// How far they are from each other, in metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proximity_m: Option<Proximity>,
}

/// Distances in metres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Proximity {
    /// Smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg: Option<f64>,
    /// Greatest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// Presence in a watched area.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Area<'a> {
    /// The area's id; the record's is `vendor_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    /// Whether somebody is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<AreaState>,
    /// How long, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// How many bodies at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies_max: Option<u64>,
}

/// A picture: kept by the gateway under its digest, or a link of the vendor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Image<'a> {
    /// What it shows.
    pub role: ImageRole,
    /// By its first bytes; absent when they tell nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<Text<'a>>,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Digest of the bytes, in lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Where to get it: the vendor's link, or the gateway's, by the outbound's `images` setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Text<'a>>,
}

impl<'a> Image<'a> {
    /// The entry of a picture that the vendor keeps, behind a link without credentials.
    pub const fn linked(role: ImageRole, url: Text<'a>) -> Self {
        Self {
            role,
            media_type: None,
            bytes: None,
            sha256: None,
            url: Some(url),
        }
    }

    /// The entry of a picture that the gateway keeps.
    pub fn kept(role: ImageRole, picture: &crate::Picture) -> Self {
        Self {
            role,
            media_type: picture.media_type.map(Cow::Borrowed),
            bytes: Some(picture.bytes.reveal().len() as u64),
            sha256: Some(picture.sha256),
            url: None,
        }
    }
}

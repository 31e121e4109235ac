//! What a platform makes of many sightings: visits, counts, presence in an area.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Text, members, words};
use crate::Timestamp;

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

members! {
    /// A count of what is in view.
    pub struct Counter<'a> {
        /// The counter's id; the record's is `vendor_id`.
        id: Option<Text<'a>>,
        /// Faces.
        faces: Option<u64>,
        /// Bodies.
        bodies: Option<u64>,
        /// Vehicles.
        vehicles: Option<u64>,
        /// How far they are from each other, in metres.
        proximity_m: Option<Proximity>,
    }
}

members! {
    /// Distances in metres.
    #[derive(Copy)]
    pub struct Proximity {
        /// Smallest.
        min: Option<f64>,
        /// Mean.
        avg: Option<f64>,
        /// Greatest.
        max: Option<f64>,
    }
}

members! {
    /// Presence in a watched area.
    pub struct Area<'a> {
        /// The area's id; the record's is `vendor_id`.
        id: Option<Text<'a>>,
        /// Whether somebody is in it.
        state: Option<AreaState>,
        /// How long, in seconds.
        duration_s: Option<f64>,
        /// How many bodies at most.
        bodies_max: Option<u64>,
    }
}

words!(
    /// Presence in an area.
    AreaState {
        /// Somebody is in it.
        Active,
        /// Nobody.
        Inactive,
    }
);

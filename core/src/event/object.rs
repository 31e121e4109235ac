//! What was seen.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Attributes, Text, members};

members! {
    /// What was seen.
    #[schemars(rename = "SeenObject")]
    pub struct Object<'a> {
        /// What it is.
        object_type as "type": Option<ObjectType>,
        /// Whether a living face was before the camera.
        liveness: Option<Liveness>,
        /// Quality of the picture, only where the vendor documents a scale of 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        quality: Option<f64>,
        /// Where it is in the full frame.
        bounds as "box": Option<Bounds>,
        /// One presence in view.
        track_id: Option<Text<'a>>,
        /// What it looks like.
        attributes: Attributes<'a>,
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

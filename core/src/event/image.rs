//! Pictures.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Text, words};
use crate::Sha256;

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

//! What the box's words and numbers mean.

use faceway_core::{AgeGroup, DeviceType, Gender, Mask};

/// 2, a still IP camera, stands in the SE3's status report only.
pub(crate) const fn device_type(number: i64) -> Option<DeviceType> {
    match number {
        0 => Some(DeviceType::Gate),
        1..=3 => Some(DeviceType::Camera),
        4 => Some(DeviceType::Door),
        _ => None,
    }
}

pub(crate) fn media_type(word: &str) -> Option<DeviceType> {
    matches!(word, "rtsp" | "gb28181" | "photo").then_some(DeviceType::Camera)
}

pub(crate) fn mask(word: &str) -> Option<Mask> {
    match word {
        "yes" => Some(Mask::Worn),
        "no" => Some(Mask::NotWorn),
        _ => None,
    }
}

pub(crate) fn gender(word: &str) -> Option<Gender> {
    match word {
        "male" => Some(Gender::Male),
        "female" => Some(Gender::Female),
        _ => None,
    }
}

pub(crate) fn age_group(word: &str) -> Option<AgeGroup> {
    match word {
        "child" => Some(AgeGroup::Child),
        "juvenile" => Some(AgeGroup::Juvenile),
        "youth" => Some(AgeGroup::Youth),
        "middle-aged" => Some(AgeGroup::MiddleAged),
        "aged" => Some(AgeGroup::Aged),
        _ => None,
    }
}

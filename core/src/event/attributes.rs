//! What an object looks like.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Text, members, words};
use crate::{Private, codec};

members! {
    /// What an object looks like. A name that is not listed is the vendor's own; its value is text, a number or a boolean.
    pub struct Attributes<'a> {
        /// Age in years.
        #[serde(serialize_with = "codec::revealed_option")]
        age: Option<Private<Attribute<f64>>>,
        /// Where only a group is told.
        #[serde(serialize_with = "codec::revealed_option")]
        age_group: Option<Private<Attribute<AgeGroup>>>,
        /// Gender as the device sees it.
        #[serde(serialize_with = "codec::revealed_option")]
        gender: Option<Private<Attribute<Gender>>>,
        /// Whether a mask is worn.
        #[serde(serialize_with = "codec::revealed_option")]
        mask: Option<Private<Attribute<Mask>>>,
        /// Body temperature in °C.
        #[serde(serialize_with = "codec::revealed_option")]
        temperature_c: Option<Private<Attribute<f64>>>,
        /// Glasses.
        #[serde(serialize_with = "codec::revealed_option")]
        glasses: Option<Private<Attribute<Glasses>>>,
        /// Whether there is a beard.
        #[serde(serialize_with = "codec::revealed_option")]
        beard: Option<Private<Attribute<bool>>>,
        /// Emotion, in the vendor's word.
        #[serde(serialize_with = "codec::revealed_option")]
        emotion: Option<Private<Attribute<Text<'a>>>>,
        /// A vehicle's number plate.
        #[serde(serialize_with = "codec::revealed_option")]
        plate: Option<Private<Attribute<Text<'a>>>>,
        /// Country of the plate.
        #[serde(serialize_with = "codec::revealed_option")]
        plate_country: Option<Private<Attribute<Text<'a>>>>,
        /// A vehicle's maker.
        #[serde(serialize_with = "codec::revealed_option")]
        make: Option<Private<Attribute<Text<'a>>>>,
        /// A vehicle's model.
        #[serde(serialize_with = "codec::revealed_option")]
        model: Option<Private<Attribute<Text<'a>>>>,
        /// A vehicle's colour.
        #[serde(serialize_with = "codec::revealed_option")]
        color: Option<Private<Attribute<Text<'a>>>>,
        /// A vehicle's body.
        #[serde(serialize_with = "codec::revealed_option")]
        body: Option<Private<Attribute<Text<'a>>>>,
        /// Others under the vendor's own word; values are text, numbers or booleans.
        #[serde(flatten, serialize_with = "codec::revealed")]
        others: Private<BTreeMap<Text<'a>, Attribute<AttributeValue<'a>>>>,
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

//! `features`: what the object looks like, each `{"name": …, "confidence": …}` or null.

use std::collections::BTreeMap;

use faceway_core::lenient::{is_told, number, on_scale, text};
use faceway_core::reader::members;
use faceway_core::{
    AgeGroup, Attribute, AttributeValue, Attributes, Gender, Glasses, Liveness, Mask, Private, Raw,
    Reader, Text, is_secret_name,
};

/// The event's own words: a vendor's feature of such a name is another thing, and stays.
const OWN: [&str; 14] = [
    "age",
    "age_group",
    "gender",
    "mask",
    "temperature_c",
    "glasses",
    "beard",
    "emotion",
    "plate",
    "plate_country",
    "make",
    "model",
    "color",
    "body",
];

/// Reads `features`, and leaves what it cannot read.
pub(crate) fn read<'a>(fields: &mut Reader<'a>) -> (Attributes<'a>, Option<Liveness>) {
    let mut seen = Seen::default();
    let Some(mut features) = fields.object("features", "features.") else {
        return (seen.attributes, None);
    };
    let names: Vec<String> = features
        .members
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        feature(&mut features, name, &mut seen);
    }
    fields.give_back("features", features);
    seen.attributes.others = Private::new(seen.others);
    (seen.attributes, seen.liveness)
}

#[derive(Default)]
struct Seen<'a> {
    attributes: Attributes<'a>,
    others: BTreeMap<Text<'a>, Attribute<AttributeValue<'a>>>,
    liveness: Option<Liveness>,
}

/// One feature. A name that is `null`, blank or `unknown` says nothing.
fn feature<'a>(features: &mut Reader<'a>, name: String, seen: &mut Seen<'a>) {
    let Some(raw) = features.told(&name) else {
        return;
    };
    let Some(mut feature) = members(raw).filter(|members| members.has("name")) else {
        return warn(features, &name, "not of the documented type");
    };
    let value = feature.peek("name").filter(|raw| !says_nothing(*raw));
    let confidence = feature.peek("confidence").filter(|raw| raw.get() != "null");
    let sure = confidence.and_then(score);
    if let Some(value) = value {
        if !seen.put(&name, value, sure) {
            return warn(features, &name, "an unknown word");
        }
        // There is no word for how sure it is of `liveness`, so that stays.
        if confidence.is_none() || sure.is_some() && name != "liveness" {
            feature.drop("confidence");
        }
    } else {
        feature.drop("confidence");
    }
    if confidence.is_some() && sure.is_none() && value.is_some() {
        warn(features, &name, "confidence: not in 0 to 1");
    }
    feature.drop("name");
    features.members.drop(&name);
    if !feature.is_empty() {
        features
            .members
            .put(name, faceway_core::Rest::Object(feature));
    }
}

/// Names of features that no document tells may be anything, so they are not repeated.
fn warn(features: &mut Reader<'_>, name: &str, what: &str) {
    let named = OWN.contains(&name) || ["medmask", "emotions", "liveness"].contains(&name);
    features.warn(if named { name } else { "*" }, what);
}

fn says_nothing(raw: Raw<'_>) -> bool {
    raw.get() == "null" || text(raw).is_some_and(|text| !is_told(&text) || text == "unknown")
}

fn score(raw: Raw<'_>) -> Option<f64> {
    number(raw).and_then(|number| on_scale(number, 1.0))
}

impl<'a> Seen<'a> {
    /// Puts a feature where it belongs; gives whether there is such a place for it.
    fn put(&mut self, name: &str, raw: Raw<'a>, confidence: Option<f64>) -> bool {
        let slots = &mut self.attributes;
        let value = Value { raw, confidence };
        match name {
            "age" => value.put(&mut slots.age, number),
            "age_group" => value.put(&mut slots.age_group, |raw| word(raw, age_group)),
            "gender" => value.put(&mut slots.gender, |raw| word(raw, gender)),
            "medmask" => value.put(&mut slots.mask, |raw| word(raw, mask)),
            "glasses" => value.put(&mut slots.glasses, |raw| word(raw, glasses)),
            "beard" => value.put(&mut slots.beard, |raw| word(raw, beard)),
            "emotions" => value.put(&mut slots.emotion, short_text),
            "license_plate_number" => value.put(&mut slots.plate, short_text),
            "license_plate_country" => value.put(&mut slots.plate_country, short_text),
            "make" => value.put(&mut slots.make, short_text),
            "model" => value.put(&mut slots.model, short_text),
            "color" => value.put(&mut slots.color, short_text),
            "body" => value.put(&mut slots.body, short_text),
            "liveness" => {
                self.liveness = word(raw, liveness);
                self.liveness.is_some()
            }
            _ => self.put_other(name, raw, confidence),
        }
    }

    fn put_other(&mut self, name: &str, raw: Raw<'a>, confidence: Option<f64>) -> bool {
        let value = short_text(raw)
            .map(AttributeValue::Text)
            .or_else(|| number(raw).map(AttributeValue::Number))
            .or_else(|| raw.get().parse().ok().map(AttributeValue::Bool));
        let fits = is_short(name) && !OWN.contains(&name) && !is_secret_name(name);
        let Some(value) = value.filter(|_| fits) else {
            return false;
        };
        let attribute = Attribute { value, confidence };
        self.others.insert(name.to_owned().into(), attribute);
        true
    }
}

struct Value<'a> {
    raw: Raw<'a>,
    confidence: Option<f64>,
}

impl<'a> Value<'a> {
    fn put<T>(
        self,
        slot: &mut Option<Private<Attribute<T>>>,
        read: impl FnOnce(Raw<'a>) -> Option<T>,
    ) -> bool {
        *slot = read(self.raw).map(|value| {
            Private::new(Attribute {
                value,
                confidence: self.confidence,
            })
        });
        slot.is_some()
    }
}

/// A word, and neither a URL nor a picture.
fn is_short(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= 200 && !text.contains("//")
}

fn short_text(raw: Raw<'_>) -> Option<Text<'_>> {
    text(raw).filter(|text| is_short(text))
}

fn word<T>(raw: Raw<'_>, table: fn(&str) -> Option<T>) -> Option<T> {
    table(&text(raw)?)
}

fn age_group(word: &str) -> Option<AgeGroup> {
    Some(match word {
        "child" => AgeGroup::Child,
        "juvenile" => AgeGroup::Juvenile,
        "youth" => AgeGroup::Youth,
        "middle_aged" => AgeGroup::MiddleAged,
        "aged" => AgeGroup::Aged,
        _ => return None,
    })
}

fn gender(word: &str) -> Option<Gender> {
    match word {
        "male" => Some(Gender::Male),
        "female" => Some(Gender::Female),
        _ => None,
    }
}

fn mask(word: &str) -> Option<Mask> {
    match word {
        "none" => Some(Mask::NotWorn),
        "incorrect" => Some(Mask::WornWrongly),
        "correct" => Some(Mask::Worn),
        _ => None,
    }
}

fn glasses(word: &str) -> Option<Glasses> {
    match word {
        "none" => Some(Glasses::None),
        "eye" => Some(Glasses::Eye),
        "sun" => Some(Glasses::Sun),
        _ => None,
    }
}

fn beard(word: &str) -> Option<bool> {
    match word {
        "beard" => Some(true),
        "none" => Some(false),
        _ => None,
    }
}

fn liveness(word: &str) -> Option<Liveness> {
    match word {
        "real" => Some(Liveness::Live),
        "fake" => Some(Liveness::Spoof),
        _ => None,
    }
}

//! Face, body and car events.

use faceway_core::reader::Zone;
use faceway_core::{
    Attribute, Bounds, Facts, Image, ImageRole, MatchStatus, Object, ObjectType, Reader, Text,
};

use crate::wire::{Record, Topic};
use crate::{attributes, camera, person};

/// Reads an event of something seen.
pub(crate) fn read<'a>(record: &mut Record<'a>, facts: &mut Facts<'a>) {
    let has_quality = record.has_quality_of_0_to_1();
    let Topic::Seen(tagged) = record.topic else {
        return;
    };
    let fields = &mut record.fields;
    let object_type = object_type(fields, tagged);
    read_envelope(fields, facts);
    let (person, status) = person::read(fields, object_type == ObjectType::Face);
    facts.person = person;
    facts.matched.status = status;
    if status == Some(MatchStatus::Matched) {
        facts.matched.score = fields.score("confidence");
    }
    facts.object = object(fields, object_type);
    if has_quality {
        facts.object.quality = fields.score("quality");
    }
    facts.images = images(fields, object_type);
}

/// What every event has, also one of an unknown type.
pub(crate) fn read_envelope<'a>(fields: &mut Reader<'a>, facts: &mut Facts<'a>) {
    facts.occurred_at = fields.written_time("created_date", Zone::Utc);
    facts.device = camera::device(fields);
}

const UNKNOWN: &str = "an unknown word";

/// Told by the tag, else by `object_type`, else by what only one of them has.
fn object_type(fields: &mut Reader<'_>, tagged: Option<ObjectType>) -> ObjectType {
    let word = |word: &str| match word {
        "face" => Some(ObjectType::Face),
        "body" => Some(ObjectType::Body),
        "car" => Some(ObjectType::Vehicle),
        _ => None,
    };
    let Some(tagged) = tagged else {
        return fields
            .word_or_warn("object_type", word, UNKNOWN)
            .word()
            .unwrap_or_else(|| by_shape(fields));
    };
    // One that says something else stays.
    let other = |found: &ObjectType| *found != tagged;
    let raw = fields
        .told("object_type")
        .and_then(faceway_core::lenient::text);
    if raw.as_deref().and_then(word).as_ref().is_some_and(other) {
        fields.warn("object_type", "not that of `webhook_type`");
    } else {
        fields.word_or_warn("object_type", word, UNKNOWN).word();
    }
    tagged
}

/// FindFace Security knows faces only; an event of FindFace Multi comes here only when a relay between has cut it.
fn by_shape(fields: &Reader<'_>) -> ObjectType {
    let features = fields.members.peek("features");
    let features = features
        .and_then(faceway_core::Members::of)
        .unwrap_or_default();
    let has = |names: &[&str]| names.iter().any(|name| features.has(name));
    if fields.members.has("license_plate_thumbnail") || has(&["license_plate_number", "make"]) {
        ObjectType::Vehicle
    } else if has(&["upper_clothes", "lower_clothes", "top_color", "headwear"]) {
        ObjectType::Body
    } else {
        ObjectType::Face
    }
}

fn object<'a>(fields: &mut Reader<'a>, object_type: ObjectType) -> Object<'a> {
    let (mut attributes, liveness) = attributes::read(fields);
    attributes.temperature_c = fields.number("temperature").map(Attribute::plain);
    Object {
        object_type: Some(object_type),
        liveness,
        quality: None,
        bounds: bounds(fields),
        track_id: track_id(fields),
        attributes,
    }
}

/// In pixels of the full frame. An incomplete rectangle stays as sent.
fn bounds(fields: &mut Reader<'_>) -> Option<Bounds> {
    let names = [
        "frame_coords_left",
        "frame_coords_top",
        "frame_coords_right",
        "frame_coords_bottom",
    ];
    let mut edges = [0.0; 4];
    for (edge, name) in edges.iter_mut().zip(names) {
        let raw = fields.told(name)?;
        let Some(number) = faceway_core::lenient::number(raw) else {
            fields.warn(name, "not of the documented type");
            return None;
        };
        *edge = number;
    }
    for name in names {
        fields.members.drop(name);
    }
    let [left, top, right, bottom] = edges;
    Some(Bounds {
        left,
        top,
        right,
        bottom,
    })
}

/// The detector's own words are `scores` in FindFace Security and `detector_params` in FindFace Multi.
fn track_id<'a>(fields: &mut Reader<'a>) -> Option<Text<'a>> {
    let mut found = None;
    for (name, at) in [
        (
            "detector_params",
            ["detector_params.", "detector_params.track."],
        ),
        ("scores", ["scores.", "scores.track."]),
    ] {
        let Some(mut detector) = fields.object(name, at[0]) else {
            continue;
        };
        if found.is_none()
            && let Some(mut track) = detector.object("track", at[1])
        {
            found = track.identifier("id");
            detector.give_back("track", track);
        }
        fields.give_back(name, detector);
    }
    found
}

fn images<'a>(fields: &mut Reader<'a>, object_type: ObjectType) -> Vec<Image<'a>> {
    let role = match object_type {
        ObjectType::Face => ImageRole::Face,
        ObjectType::Body => ImageRole::Body,
        ObjectType::Vehicle => ImageRole::Vehicle,
    };
    let roles = [
        ("thumbnail", role),
        ("face", role),
        ("normalized_photo", ImageRole::Face),
        ("license_plate_thumbnail", ImageRole::Plate),
        ("fullframe", ImageRole::Scene),
        ("frame", ImageRole::Scene),
    ];
    let mut images = Vec::new();
    for (name, role) in roles {
        images.extend(linked(fields, name, role));
    }
    images
}

/// A picture behind a link of the vendor's.
pub(crate) fn linked<'a>(
    fields: &mut Reader<'a>,
    name: &str,
    role: ImageRole,
) -> Option<Image<'a>> {
    Some(Image::linked(role, fields.link(name)?))
}

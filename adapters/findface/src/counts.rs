//! Counter records and area activations.

use faceway_core::{Area, AreaState, Counter, Facts, ImageRole, Proximity};

use crate::recognition::{linked, read_envelope};
use crate::verbose::id_of;
use crate::wire::Record;

/// A count of what a camera had in view.
pub(crate) fn counter<'a>(record: &mut Record<'a>, facts: &mut Facts<'a>) {
    let fields = &mut record.fields;
    read_envelope(fields, facts);
    let proximity = Proximity {
        min: fields.number("proximity_min"),
        avg: fields.number("proximity_avg"),
        max: fields.number("proximity_max"),
    };
    let counter = Counter {
        id: id_of(fields, "counter", "counter."),
        faces: fields.count("faces_count"),
        bodies: fields.count("silhouettes_count"),
        vehicles: fields.count("cars_count"),
        proximity_m: (proximity != Proximity::default()).then_some(proximity),
    };
    facts.counter = (counter != Counter::default()).then_some(counter);
    facts
        .images
        .extend(linked(fields, "fullframe", ImageRole::Scene));
}

/// Presence in a watched area.
pub(crate) fn area<'a>(record: &mut Record<'a>, facts: &mut Facts<'a>) {
    let fields = &mut record.fields;
    read_envelope(fields, facts);
    let area = Area {
        id: id_of(fields, "area", "area."),
        state: fields.flag("active").map(|active| match active {
            true => AreaState::Active,
            false => AreaState::Inactive,
        }),
        duration_s: fields.number("duration"),
        bodies_max: fields.count("max_body_count"),
    };
    facts.area = (area != Area::default()).then_some(area);
    facts
        .images
        .extend(linked(fields, "fullframe", ImageRole::Scene));
}

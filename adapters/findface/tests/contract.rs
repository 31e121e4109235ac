//! The adapter through the suite of its contract, and bodies of the vendor's rough shape with anything in it.

use std::path::Path;

use faceway_adapter_findface::Findface;
use faceway_testkit::adapter::{Sent, contract, examine, shape};
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn holds_the_contract() {
    contract(
        &Findface,
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"),
    );
}

/// Every member that is mapped, at any level, and some that are documented nowhere.
const NAMES: [&str; 76] = [
    "id",
    "name",
    "url",
    "confidence",
    "created_date",
    "closed_date",
    "webhook_type",
    "event_model_class",
    "event_type",
    "object_type",
    "camera",
    "cameras",
    "camera_group",
    "camera_groups",
    "matched",
    "matched_card",
    "matched_dossier",
    "dossier",
    "matched_lists",
    "matched_object",
    "quality",
    "temperature",
    "bs_type",
    "scores",
    "detector_params",
    "track",
    "features",
    "thumbnail",
    "face",
    "fullframe",
    "frame",
    "normalized_photo",
    "license_plate_thumbnail",
    "frame_coords_left",
    "frame_coords_top",
    "frame_coords_right",
    "frame_coords_bottom",
    "open",
    "events_count",
    "last_face_event",
    "best_body_event",
    "events",
    "counter",
    "faces_count",
    "silhouettes_count",
    "cars_count",
    "proximity_min",
    "proximity_avg",
    "proximity_max",
    "area",
    "active",
    "duration",
    "max_body_count",
    "age",
    "age_group",
    "gender",
    "medmask",
    "glasses",
    "beard",
    "emotions",
    "liveness",
    "license_plate_number",
    "license_plate_country",
    "make",
    "model",
    "color",
    "body",
    "plate",
    "mask",
    "headpose_yaw",
    "password",
    "pin",
    "token",
    "embedding",
    "$serde_json::private::Number",
    "",
];

const WORDS: [&str; 34] = [
    "face_events",
    "body_events",
    "car_events",
    "events",
    "human_episodes",
    "car_episodes",
    "counters",
    "areas",
    "episode_open",
    "episode_event",
    "episode_close",
    "face",
    "body",
    "car",
    "male",
    "none",
    "incorrect",
    "eye",
    "real",
    "unknown",
    "",
    " ",
    "2021-07-01T07:52:17+00:00",
    "2025-03-04 10:20:30",
    "http://h/1.jpg?token=x",
    "/9j/4A==",
    "rtsp://u:p@h/1",
    "data:image/png;base64,AA",
    "//@",
    "\u{0}",
    "5",
    "child",
    "beard",
    "https://",
];

fn leaf() -> impl Strategy<Value = Value> {
    shape::leaf(&WORDS, &[1_755_764_183])
}

fn members(value: impl Strategy<Value = Value>, count_max: usize) -> impl Strategy<Value = Value> {
    shape::members(&NAMES, value, count_max)
}

fn batch() -> impl Strategy<Value = Value> {
    let value = leaf().prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            3 => members(inner.clone(), 6),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    });
    let element = (
        members(value.clone(), 30),
        prop::sample::select(&WORDS[..16]),
    )
        .prop_map(|(mut element, tag)| {
            // Most elements have a tag that is known, and some have not.
            if tag != "male" {
                element["webhook_type"] = tag.into();
            }
            element
        });
    prop::collection::vec(prop_oneof![8 => element, 1 => value], 0..4).prop_map(Value::from)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_is_a_valid_event(batch in batch()) {
        let sent = Sent::new(&Findface, batch.to_string().into_bytes());
        let result = examine(&Findface, &sent);
        prop_assert!(result.is_ok(), "{result:?}");
        let shown = result.unwrap_or_default().to_string();
        prop_assert!(!shown.contains("u:p") && !shown.contains("token="), "{shown}");
    }
}

#[test]
fn the_simulator_holds_the_contract() {
    faceway_testkit::simulator::contract(&faceway_adapter_findface::Findface);
}

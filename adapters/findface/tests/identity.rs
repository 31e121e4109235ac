//! Which words of the platform make a record itself.

use std::collections::HashSet;

use faceway_adapter_findface::Findface;
use faceway_testkit::adapter::{ids, only_these_do_not_count};

const CREATED: &str = r#"[{"id":"4401183360077000000","created_date":"2026-03-04T10:20:30.123Z","camera":4,"camera_group":1,
    "thumbnail":"http://192.0.2.5/t1.jpg","fullframe":"http://192.0.2.5/f1.jpg","matched":true,"matched_card":31,"matched_lists":[2],
    "confidence":0.9,"quality":0.8,"features":{"liveness":{"name":"real","confidence":0.9}},"frame_coords_left":1,
    "acknowledged":true,"webhook_type":"face_events","event_model_class":"event_created"}]"#;

/// The verbose mode and the platform's own lists tell these otherwise, or of the same event later.
#[test]
fn of_a_created_event_all_but_its_surroundings_count() {
    let free = [
        "/0/camera_group",
        "/0/fullframe",
        "/0/matched_lists/0",
        "/0/acknowledged",
    ];
    only_these_do_not_count(&Findface, CREATED, &free);
}

#[test]
fn of_an_update_everything_counts() {
    let updated = CREATED.replace("event_created", "event_updated");
    only_these_do_not_count(&Findface, &updated, &[]);
}

#[test]
fn of_episodes_counters_and_areas_everything_counts() {
    for body in [
        r#"[{"webhook_type":"human_episodes","event_model_class":"episode_open","id":7,"events_count":1,"created_date":"2026-03-04T10:20:30Z","camera":3}]"#,
        r#"[{"webhook_type":"counters","id":7,"counter":2,"faces_count":1,"created_date":"2026-03-04T10:20:30Z"}]"#,
        r#"[{"webhook_type":"areas","id":7,"area":2,"active":true,"created_date":"2026-03-04T10:20:30Z"}]"#,
    ] {
        only_these_do_not_count(&Findface, body, &[]);
    }
}

#[test]
fn three_updates_of_one_object_are_three_records() {
    let update = |card| {
        CREATED
            .replace("event_created", "event_updated")
            .replace(":31", card)
    };
    let updates = [":31", ":32", ":33"].map(|card| ids(&Findface, &update(card)));
    assert_eq!(updates.iter().collect::<HashSet<_>>().len(), 3);
}

#[test]
fn an_episode_s_id_after_a_reinstallation_is_another_record() {
    let episode = |year: &str| {
        format!(
            r#"[{{"webhook_type":"human_episodes","event_model_class":"episode_open","id":7,"events_count":1,"created_date":"{year}-03-04T10:20:30Z"}}]"#
        )
    };
    assert_ne!(
        ids(&Findface, &episode("2026")),
        ids(&Findface, &episode("2027"))
    );
}

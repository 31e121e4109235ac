//! Which words of the platform make a record itself.

use faceway_adapter_omni::Omni;
use faceway_testkit::adapter::only_these_do_not_count;

const STRONG: &str = r#"{"type":"identification","activity_id":"a-7","camera":{"id":"cam-7","title":"Yard"},
    "candidates":[{"profile":{"id":"person-7","age":30},"confidence":0.9}],
    "event":{"id":"71000000-4f18-4e09-8c11-3a1f00c0ffe1","detection_date":"2026-03-02 07:15:00.250000+00:00"}}"#;

#[test]
fn with_a_uuid_person_type_and_camera_count() {
    let free = [
        "/activity_id",
        "/camera/title",
        "/candidates/0/profile/age",
        "/candidates/0/confidence",
        "/event/detection_date",
    ];
    only_these_do_not_count(&Omni, STRONG, &free);
}

#[test]
fn without_a_uuid_everything_counts() {
    for id in ["", "7"] {
        let body = STRONG.replace("71000000-4f18-4e09-8c11-3a1f00c0ffe1", id);
        only_these_do_not_count(&Omni, &body, &[]);
    }
}

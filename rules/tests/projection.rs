//! `omit` and `only` on an event's text.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use faceway_rules::Projection;

const EVENT: &str = r#"{"schema":"faceway.event/1","id":"i","kind":"recognition","received_at":"t","person":{"id":"7","name":"Li \"Q\" Wei","groups":[{"id":"a","name":"A"},{"id":"b"}]},"match":{"score":0.10,"candidates":[{"person":{"id":"7","name":"Li"},"score":1.0}]},"object":{"attributes":{"mask":{"value":"worn","confidence":0.7}}},"vendor":{"n":12345678901234567890123,"f":1.50,"e":{},"deep":{"x":1}},"warnings":[]}"#;

fn omit(paths: &[&str]) -> String {
    let projection = Projection::omit(paths.iter().copied()).unwrap();
    String::from_utf8(projection.apply(EVENT.as_bytes()).unwrap()).unwrap()
}

fn only(paths: &[&str]) -> String {
    let projection = Projection::only(paths.iter().copied()).unwrap();
    String::from_utf8(projection.apply(EVENT.as_bytes()).unwrap()).unwrap()
}

#[test]
fn nothing_omitted_changes_no_byte() {
    assert_eq!(
        Projection::default().apply(EVENT.as_bytes()).unwrap(),
        EVENT.as_bytes()
    );
    assert_eq!(omit(&["alarm.type"]), EVENT);
}

#[test]
fn omitted_fields_go_wherever_they_are() {
    let without = omit(&[
        "person.name",
        "match.candidates.person.name",
        "vendor.deep.x",
    ]);
    let expected = EVENT
        .replace(r#""name":"Li \"Q\" Wei","#, "")
        .replace(r#","name":"Li""#, "")
        .replace(r#","deep":{"x":1}"#, "");
    assert_eq!(
        without, expected,
        "numbers and blanks stay as sent, what is emptied goes"
    );
    assert!(!omit(&["vendor"]).contains("vendor"));
    assert!(!omit(&["object.attributes.mask"]).contains("object"));
    assert!(omit(&["object.attributes.mask.confidence"]).contains(r#""mask":{"value":"worn"}"#));
    assert!(omit(&["person.groups.name"]).contains(r#""groups":[{"id":"a"},{"id":"b"}]"#));
    assert!(!omit(&["person.groups.name", "person.groups.id"]).contains("\"groups\""));
}

#[test]
fn only_keeps_what_is_named_and_what_always_stays() {
    let head = r#""schema":"faceway.event/1","id":"i","kind":"recognition""#;
    assert_eq!(only(&["alarm"]), format!("{{{head}}}"));
    assert_eq!(
        only(&["person.groups.id", "vendor.n"]),
        format!(
            r#"{{{head},"person":{{"groups":[{{"id":"a"}},{{"id":"b"}}]}},"vendor":{{"n":12345678901234567890123}}}}"#
        )
    );
    assert_eq!(
        only(&["person.groups", "person.groups.name", "warnings"]),
        format!(
            r#"{{{head},"person":{{"groups":[{{"id":"a","name":"A"}},{{"id":"b"}}]}},"warnings":[]}}"#
        )
    );
}

#[test]
fn a_path_and_one_within_it() {
    assert!(!omit(&["person", "person.name"]).contains("\"groups\""));
    assert!(!omit(&["person.name", "person"]).contains("\"groups\""));
}

#[test]
fn names_are_found_however_they_are_escaped() {
    let projection = Projection::omit(["person.name"]).unwrap();
    let out = projection
        .apply(br#"{"per\u0073on":{"n\u0061me":"Li","id":"7"}}"#)
        .unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"person":{"id":"7"}}"#);
    let twice = projection
        .apply(br#"{"person":{"name":"a"},"person":{"name":"b"}}"#)
        .unwrap();
    assert_eq!(String::from_utf8(twice).unwrap(), "{}");
}

#[test]
fn what_is_no_event_is_refused() {
    let projection = Projection::omit(["vendor"]).unwrap();
    for bad in ["", "5", "[]", "{", "{\"a\":1}x", "{\"person\":{\"a\":}}"] {
        assert!(projection.apply(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in ["id", "schema", "kind", "persn", "person.x"] {
        assert!(Projection::omit([bad]).is_err(), "{bad}");
    }
    assert!(Projection::only(["id"]).is_ok());
}

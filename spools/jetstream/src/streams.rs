//! The streams of a site: what they must be, and whether they are.

use serde_json::{Value, json};

use crate::client::{Client, Failure};
use crate::names::StreamKind;
use crate::settings::{JetStreamSettings, OpenError};

/// Settings that follow `gateway.toml`: a stream that differs in these is changed.
const TUNED: [&str; 3] = ["max_age", "max_bytes", "duplicate_window"];

/// How long the record of a gateway stands that no longer renews it. It is longer than the record is
/// [valid](crate::members::VALID): the gateway has stopped before another one can see that it is gone.
const MEMBER_AGE: std::time::Duration = std::time::Duration::from_secs(14);
const _: () = assert!(MEMBER_AGE.as_secs() >= crate::members::VALID.as_secs() + 2);

/// What must be as it is written here. A stream that differs is refused: it would keep less than was promised.
const EXACT: [&str; 15] = [
    "subjects",
    "retention",
    "max_msgs",
    "max_msgs_per_subject",
    "max_msg_size",
    "discard",
    "discard_new_per_subject",
    "storage",
    "num_replicas",
    "no_ack",
    "sealed",
    "deny_delete",
    "deny_purge",
    "allow_direct",
    "allow_atomic",
];

/// What may not be there at all.
const ABSENT: [&str; 5] = [
    "mirror",
    "sources",
    "subject_transform",
    "persist_mode",
    "republish",
];

/// Whether a stream's age follows `gateway.toml`. The age of the others is as it is written here.
const fn follows(kind: StreamKind) -> bool {
    matches!(kind, StreamKind::Attempts | StreamKind::Quarantine)
}

/// Makes the streams, or proves that they are as they must be.
pub(crate) async fn make(client: &Client, settings: &JetStreamSettings) -> Result<(), OpenError> {
    let made = StreamKind::ALL.map(|kind| make_one(client, settings, kind));
    for made in futures_util::future::join_all(made).await {
        made?;
    }
    Ok(())
}

async fn make_one(
    client: &Client,
    settings: &JetStreamSettings,
    kind: StreamKind,
) -> Result<(), OpenError> {
    let wanted = config(client, settings, kind);
    let name = client.stream(kind);
    let failed = |failure: Failure| match failure {
        Failure::Refused { code, text } => OpenError::Refused(format!(
            "the stream {name} cannot be made: {text} ({code}); spool.jetstream.replicas is {}",
            settings.replicas
        )),
        other => OpenError::Cluster(format!("the stream {name}: {other}")),
    };
    let found = client.make_stream(&wanted).await.map_err(failed)?;
    if let Some(wrong) = first_difference(&wanted, &found, follows(kind)) {
        return Err(OpenError::Refused(format!(
            "the stream {name} is not as this gateway needs it: {wrong}. Put it right with the nats command, or remove the \
             stream if nothing in it is needed"
        )));
    }
    let is_tuned = TUNED.iter().all(|key| same(&wanted[key], &found[key]));
    if !is_tuned && follows(kind) || !same(&wanted["duplicate_window"], &found["duplicate_window"])
    {
        tracing::info!("the stream {name} is changed to what gateway.toml says");
        client.change_stream(&wanted).await.map_err(failed)?;
    }
    Ok(())
}

fn first_difference(wanted: &Value, found: &Value, follows: bool) -> Option<String> {
    let differs = |key: &&&str| !same(&wanted[**key], &found[**key]);
    // Age and size, where `gateway.toml` says nothing of them: what a lane needs would leave, and a gateway would count as gone
    // while it works.
    let is_fixed =
        |key: &&&str| !follows || wanted[**key] == json!(0) || wanted[**key] == json!(-1);
    let fixed = TUNED.iter().take(2).filter(is_fixed);
    if let Some(key) = EXACT.iter().chain(fixed).find(differs) {
        return Some(format!(
            "{key} is {}, and has to be {}",
            found[*key], wanted[*key]
        ));
    }
    let there = |key: &&&str| !same(&Value::Null, &found[**key]);
    let key = ABSENT.iter().find(there)?;
    Some(format!("{key} is {}, and may not be set", found[*key]))
}

/// The servers leave out what is off, empty or 0.
fn same(wanted: &Value, found: &Value) -> bool {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(is_on) => !is_on,
        Value::Number(number) => number.as_i64() == Some(0) || number.as_i64() == Some(-1),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(_) => false,
    };
    wanted == found || nothing(wanted) && nothing(found)
}

fn config(client: &Client, settings: &JetStreamSettings, kind: StreamKind) -> Value {
    let nanos = |duration: std::time::Duration| duration.as_nanos() as u64;
    let mut window = settings.dedup_window;
    let mut config = json!({
        "name": client.stream(kind),
        "subjects": client.names.subjects(kind),
        "retention": "limits",
        "storage": "file",
        "num_replicas": settings.replicas,
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "deny_delete": false,
        "deny_purge": false,
    });
    match kind {
        StreamKind::Events => {
            config["allow_direct"] = true.into();
            config["allow_atomic"] = true.into();
        }
        StreamKind::Blobs => {
            config["allow_direct"] = true.into();
            config["max_msgs_per_subject"] = 1.into();
        }
        StreamKind::State => {
            config["allow_atomic"] = true.into();
            config["max_msgs_per_subject"] = 1.into();
        }
        StreamKind::Lanes => config["max_msgs_per_subject"] = 1.into(),
        StreamKind::Attempts => {
            config["discard"] = "old".into();
            config["max_age"] = nanos(settings.history).into();
            config["max_bytes"] = (settings.bytes_max / 10).into();
            window = window.min(settings.history);
        }
        StreamKind::Quarantine => {
            config["max_age"] = nanos(settings.quarantine).into();
            window = window.min(settings.quarantine);
        }
        StreamKind::Members => {
            config["max_msgs_per_subject"] = 1.into();
            config["max_age"] = nanos(MEMBER_AGE).into();
            window = window.min(MEMBER_AGE);
        }
    }
    config["duplicate_window"] = nanos(window).into();
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_servers_leave_out_is_nothing() {
        assert!(same(&json!(false), &Value::Null) && same(&json!(-1), &json!(0)));
        assert!(!same(&json!(true), &Value::Null) && !same(&json!("new"), &json!("old")));
    }

    #[test]
    fn each_weakness_is_found() {
        let strong =
            json!({ "num_replicas": 3, "storage": "file", "discard": "new", "max_age": 0 });
        assert_eq!(first_difference(&strong, &strong, false), None);
        for (key, weak) in [
            ("num_replicas", json!(1)),
            ("storage", json!("memory")),
            ("discard", json!("old")),
            ("max_age", json!(1_000_000_000)),
            ("persist_mode", json!("async")),
            ("allow_direct", json!(true)),
        ] {
            let mut found = strong.clone();
            found[key] = weak;
            let wrong = first_difference(&strong, &found, false).expect(key);
            assert!(wrong.starts_with(key), "{wrong}");
        }
    }

    #[test]
    fn an_age_follows_the_settings_where_they_have_one() {
        let (wanted, found) = (json!({ "max_age": 5 }), json!({ "max_age": 7 }));
        assert_eq!(first_difference(&wanted, &found, true), None);
        let wrong = first_difference(&wanted, &found, false).expect("it differs");
        assert!(wrong.starts_with("max_age"), "{wrong}");
    }
}

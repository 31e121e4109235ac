//! CloudEvents 1.0: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>, its JSON format, its HTTP and
//! MQTT 5 bindings, and the extension for traces:
//! <https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md>.

use faceway_core::{TRACEPARENT, TRACESTATE, TraceContext, schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{FormatError, JSON, Written};

/// The event as `data` of a JSON object.
pub(super) fn structured(
    event: &[u8],
    trace: Option<&TraceContext>,
) -> Result<Written, FormatError> {
    let data: &RawValue = serde_json::from_slice(event).map_err(|_| FormatError::NotAnEvent)?;
    let envelope = Envelope {
        attributes: Attributes::of(event, trace)?,
        data,
    };
    let body = serde_json::to_vec(&envelope).map_err(|_| FormatError::NotAnEvent)?;
    Ok(Written {
        body: Some(body),
        content_type: "application/cloudevents+json",
        attributes: Vec::new(),
    })
}

/// The event as it is, its attributes beside it. `datacontenttype` is the message's content type.
pub(super) fn binary(event: &[u8], trace: Option<&TraceContext>) -> Result<Written, FormatError> {
    let told = Attributes::of(event, trace)?;
    let attributes = [
        ("specversion", Some(told.specversion.to_owned())),
        ("id", Some(told.id)),
        ("source", Some(told.source)),
        ("type", Some(told.r#type)),
        ("subject", told.subject),
        ("time", told.time),
        ("dataschema", Some(told.dataschema.to_owned())),
        (TRACEPARENT, told.traceparent),
        (TRACESTATE, told.tracestate),
    ];
    let attributes = attributes
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    Ok(Written {
        body: None,
        content_type: JSON,
        attributes: attributes.collect(),
    })
}

#[derive(Serialize)]
struct Envelope<'e> {
    #[serde(flatten)]
    attributes: Attributes,
    data: &'e RawValue,
}

#[derive(Serialize)]
struct Attributes {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'static str,
    dataschema: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
}

/// What is asked of an event. All but the first two may be hidden from an outbound.
#[derive(Deserialize)]
struct Told {
    id: String,
    kind: String,
    inbound: Option<String>,
    occurred_at: Option<String>,
    received_at: Option<String>,
    device: Option<Device>,
}

#[derive(Deserialize)]
struct Device {
    id: Option<String>,
}

impl Attributes {
    fn of(event: &[u8], trace: Option<&TraceContext>) -> Result<Self, FormatError> {
        let told: Told = serde_json::from_slice(event).map_err(|_| FormatError::NotAnEvent)?;
        let device = told.device.and_then(|device| device.id);
        Ok(Self {
            specversion: "1.0",
            id: told.id,
            // The name of an inbound has letters, digits, `-` and `_`, so it is a path of a URI reference as it is.
            source: match told.inbound {
                Some(inbound) => format!("/faceway/{inbound}"),
                None => "/faceway".to_owned(),
            },
            r#type: format!("faceway.{}.v1", told.kind),
            subject: device.filter(|id| !id.is_empty()),
            time: told.occurred_at.or(told.received_at),
            datacontenttype: JSON,
            // Whatever the outbound leaves out, it fits.
            dataschema: schema::ID,
            traceparent: trace.map(|trace| trace.parent().to_owned()),
            tracestate: trace.and_then(TraceContext::state).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{TraceContext, binary, structured};

    const EVENT: &str = r#"{"schema":"faceway.event/1","id":"018f","kind":"alarm","inbound":"lobby","occurred_at":"2026-11-22T08:00:00.000Z","received_at":"2026-11-22T08:00:01.000Z","device":{"id":"Tür 1"},"vendor":{"n":1.50}}"#;

    #[test]
    fn the_event_is_the_data_as_it_is() {
        let written = structured(EVENT.as_bytes(), None).unwrap();
        let text = String::from_utf8(written.body.unwrap()).unwrap();
        assert!(text.ends_with(&format!(r#","data":{EVENT}}}"#)), "{text}");
        let mut value: Value = serde_json::from_str(&text).unwrap();
        value.as_object_mut().unwrap().remove("data");
        let expected = json!({
            "specversion": "1.0", "id": "018f", "source": "/faceway/lobby", "type": "faceway.alarm.v1",
            "subject": "Tür 1", "time": "2026-11-22T08:00:00.000Z", "datacontenttype": "application/json",
            "dataschema": "urn:faceway:event:1",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn what_is_hidden_is_not_among_the_attributes() {
        let written = binary(
            br#"{"schema":"faceway.event/1","id":"018f","kind":"alarm"}"#,
            None,
        )
        .unwrap();
        let names: Vec<_> = written.attributes.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["specversion", "id", "source", "type", "dataschema"]);
        assert_eq!(written.attributes[2].1, "/faceway");
        assert_eq!(written.body, None);
    }

    #[test]
    fn the_trace_of_a_push_is_an_extension() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::stored(&format!("{parent}\nvendor=1")).unwrap();
        let written = structured(EVENT.as_bytes(), Some(&trace)).unwrap();
        let value: Value = serde_json::from_slice(&written.body.unwrap()).unwrap();
        assert_eq!(
            (&value["traceparent"], &value["tracestate"]),
            (&json!(parent), &json!("vendor=1"))
        );
        assert_eq!(value["data"].get("traceparent"), None);
        let written = binary(EVENT.as_bytes(), Some(&trace)).unwrap();
        let last: Vec<_> = written.attributes.iter().rev().take(2).collect();
        assert_eq!(*last[1], ("traceparent", parent.to_owned()));
        assert_eq!(*last[0], ("tracestate", "vendor=1".to_owned()));
    }
}

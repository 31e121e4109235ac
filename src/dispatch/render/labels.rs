//! What goes with a payload: its kind, its address, its headers.

use std::borrow::Cow;
use std::fmt::Write as _;

use faceway_core::outbound_kind::{Address, HeaderStyle};
use faceway_core::{Private, TRACEPARENT, TRACESTATE, TraceContext};
use faceway_rules::{Protocol, Template, View};
use serde_json::Value;

use super::RenderError;

/// Writes the labels of events for one outbound.
pub(super) struct Labels {
    /// Where in the destination events go, and what its text may be.
    address: Option<(Template, Address)>,
    style: Option<HeaderStyle>,
    headers: Vec<(Cow<'static, str>, Template)>,
    /// Whether `headers` of the outbound speaks of a trace of its own.
    own_trace: bool,
    view: View,
}

/// The labels of one event.
pub(super) struct Labelled {
    pub(super) kind: String,
    pub(super) address: Private<String>,
    pub(super) headers: Headers,
}

type Headers = Vec<(Cow<'static, str>, Private<String>)>;

impl Labels {
    pub(super) fn of(protocol: &Protocol) -> Self {
        let headers = protocol.headers();
        let templates = headers.iter().map(|(_, template)| *template);
        let view = View::of(protocol.address().into_iter().chain(templates));
        let owned = |(name, template): &(&str, &Template)| {
            (Cow::Owned((*name).to_owned()), (*template).clone())
        };
        Self {
            address: protocol.address().cloned().zip(protocol.kind().address),
            style: protocol.header_style(),
            headers: headers.iter().map(owned).collect(),
            own_trace: protocol.sets_header(TRACEPARENT) || protocol.sets_header(TRACESTATE),
            view,
        }
    }

    /// Parses of the event only what the labels ask for.
    pub(super) fn label(&self, event: &[u8]) -> Result<Labelled, RenderError> {
        let event = self.view.read(event).map_err(|_| RenderError::Event)?;
        let kind = event.get("kind").and_then(Value::as_str);
        let kind = kind.ok_or(RenderError::Event)?.to_owned();
        let address = self.address.as_ref();
        let address = address.map(|(template, rules)| fill(template, rules, &event));
        let header = |(name, template): &(Cow<'static, str>, Template)| {
            let value = header(self.style, template, &event);
            (name.clone(), Private::new(value))
        };
        Ok(Labelled {
            kind,
            address: Private::new(address.transpose()?.unwrap_or_default()),
            headers: self.headers.iter().map(header).collect(),
        })
    }

    /// The attributes of CloudEvents as the protocol's binding has them: `ce-` before their names and their values
    /// percent-encoded for HTTP (binding 1.0.2, section 3.1.3), as they are for brokers.
    pub(super) fn attributes(&self, attributes: Vec<(&'static str, String)>) -> Headers {
        let http = self.style == Some(HeaderStyle::Http);
        let attribute = |(name, value): (&'static str, String)| {
            if !http {
                return (Cow::Borrowed(name), Private::new(value));
            }
            let mut encoded = String::with_capacity(value.len());
            percent(&mut encoded, &value, |byte| {
                byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%')
            });
            (Cow::Owned(format!("ce-{name}")), Private::new(encoded))
        };
        attributes.into_iter().map(attribute).collect()
    }
}

impl Labels {
    /// The trace that the device's push belongs to, as W3C's headers. What is there
    /// already by that name, by `headers` or as an attribute of CloudEvents, stays.
    pub(super) fn add_trace(&self, headers: &mut Headers, trace: Option<&TraceContext>) {
        if self.own_trace {
            return;
        }
        for (name, value) in trace.into_iter().flat_map(TraceContext::fields) {
            if !headers.iter().any(|(known, _)| known == name) {
                headers.push((Cow::Borrowed(name), Private::new(value.to_owned())));
            }
        }
    }
}

/// An address for an event, in which no field's text means more than itself.
fn fill(template: &Template, rules: &Address, event: &Value) -> Result<String, RenderError> {
    let mut address = template.render(event, |char| rules.meaningful.contains(char));
    if let Some(reserved) = rules.reserved
        && address.starts_with(reserved)
    {
        // No device's name may make an event one of the broker's own messages.
        address.replace_range(..reserved.len_utf8(), "_");
    }
    if address.len() > rules.bytes_max {
        return Err(RenderError::Address);
    }
    Ok(address)
}

/// HTTP has ASCII alone, so there all else of a field is percent-encoded as UTF-8, and `%` with it.
fn header(style: Option<HeaderStyle>, template: &Template, event: &Value) -> String {
    if style != Some(HeaderStyle::Http) {
        return template.render(event, |_| false);
    }
    template.fill(event, |out, text| {
        percent(out, text, |byte| {
            matches!(byte, b' '..=b'~') && byte != b'%'
        });
    })
}

fn percent(out: &mut String, text: &str, stays: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use faceway_rules::parse;

    use super::*;

    fn labels(outbound: &str) -> Labels {
        let plan = parse(outbound, "routes.toml", &crate::config::grammar()).unwrap();
        Labels::of(&plan.outbounds[0].protocol)
    }

    fn event(device: &str, name: &str) -> String {
        serde_json::json!({
            "kind": "recognition", "inbound": "lobby", "device": { "id": device }, "person": { "name": name },
        })
        .to_string()
    }

    fn address(outbound: &str, device: &str) -> Result<String, RenderError> {
        let labelled = labels(outbound).label(event(device, "n").as_bytes())?;
        Ok(labelled.address.into_revealed())
    }

    const MQTT: &str = "[outbound.mqtt.m]\nurl = \"mqtt://b\"\n";
    const AMQP: &str = "[outbound.amqp.a]\nurl = \"amqp://b\"\nexchange = \"e\"\n";

    #[test]
    fn a_topic_has_no_more_levels_than_its_template() {
        assert_eq!(
            address(MQTT, "a/b+c#d.e\0").unwrap(),
            "faceway/lobby/a_b_c_d.e_/recognition"
        );
        let topic = format!("{MQTT}topic = \"{{device.id}}/x\"");
        assert_eq!(address(&topic, "$SYS").unwrap(), "_SYS/x");
        assert_eq!(address(&topic, "").unwrap(), "-/x");
        assert_eq!(
            address(&topic, &"d".repeat(70_000)),
            Err(RenderError::Address)
        );
    }

    #[test]
    fn a_routing_key_has_no_more_words_than_its_template() {
        assert_eq!(address(AMQP, "x").unwrap(), "recognition");
        let key = format!("{AMQP}routing_key = \"{{kind}}.{{device.id}}\"");
        assert_eq!(address(&key, "a.b*c#d/e").unwrap(), "recognition.a_b_c_d/e");
        assert_eq!(address(&key, &"d".repeat(256)), Err(RenderError::Address));
    }

    #[test]
    fn a_header_is_what_its_protocol_can_carry() {
        let value = |outbound: &str, name: &str| {
            let labelled = labels(outbound).label(event("d", name).as_bytes());
            labelled.unwrap().headers.remove(0).1.into_revealed()
        };
        let http = "[outbound.webhook.w]\nurl = \"http://h\"\nheaders = { x-name = \"100% {person.name}\" }";
        assert_eq!(value(http, "Lü 5%\r\nx: y"), "100% L%C3%BC 5%25%0D%0Ax: y");
        let mqtt = format!("{MQTT}headers = {{ x-name = \"<{{person.name}}>\" }}");
        assert_eq!(value(&mqtt, "李伟\r\n"), "<李伟__>");
    }

    #[test]
    fn attributes_of_cloudevents_are_written_by_their_binding() {
        let attributes = || vec![("subject", "Tür \"1\" 5%".to_owned())];
        let http = labels("[outbound.webhook.w]\nurl = \"http://h\"");
        let header = http.attributes(attributes()).remove(0);
        assert_eq!(header.0, "ce-subject");
        assert_eq!(header.1.reveal(), "T%C3%BCr%20%221%22%205%25");
        let mqtt = labels(MQTT).attributes(attributes()).remove(0);
        assert_eq!(
            (&*mqtt.0, mqtt.1.reveal().as_str()),
            ("subject", "Tür \"1\" 5%")
        );
    }

    #[test]
    fn a_trace_goes_on_unless_something_of_that_name_is_there() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::stored(&format!("{parent}\nvendor=1"));
        let added = |outbound: &str, mut headers: Headers| {
            labels(outbound).add_trace(&mut headers, trace.as_ref());
            let headers = headers.into_iter();
            let pairs = headers.map(|(name, value)| (name.into_owned(), value.into_revealed()));
            pairs.collect::<Vec<_>>()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let both = [pair("traceparent", parent), pair("tracestate", "vendor=1")];
        let http = "[outbound.webhook.w]\nurl = \"http://h\"\n";
        for outbound in [http, MQTT, AMQP] {
            assert_eq!(added(outbound, Vec::new()), both);
        }
        // An attribute of CloudEvents has the same name in MQTT.
        let attribute = || (Cow::Borrowed("traceparent"), Private::new("x".to_owned()));
        assert_eq!(
            added(MQTT, vec![attribute()]),
            [pair("traceparent", "x"), pair("tracestate", "vendor=1")]
        );
        for own in ["traceparent = \"x\"", "TraceState = \"{kind}\""] {
            for outbound in [http, MQTT, AMQP] {
                let outbound = format!("{outbound}headers = {{ {own} }}");
                assert_eq!(added(&outbound, Vec::new()), []);
            }
        }
        let mut none = Vec::new();
        labels(MQTT).add_trace(&mut none, None);
        assert!(none.is_empty());
    }
}

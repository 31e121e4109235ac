//! A message as AMQP 0-9-1 carries it.

use bytes::Bytes;
use faceway_core::{Code, EventId, Message, Private, Verdict};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::settings::NAME_BYTES_MAX;

/// Bytes of all headers, names and values: what fits into one frame with room to spare, as a header frame cannot be split.
pub(crate) const HEADERS_BYTES_MAX: usize = 32 * 1024;

/// Rendering has already taken out what the destination may not see; here it is made ready to be sent.
#[derive(Clone)]
pub(crate) struct Parcel {
    pub(crate) id: EventId,
    pub(crate) routing_key: ShortString,
    pub(crate) properties: BasicProperties,
    pub(crate) body: Private<Bytes>,
}

impl Parcel {
    /// Or the verdict, when it can never be sent.
    pub(crate) fn pack(message: &Message, payload_bytes_max: usize) -> Result<Self, Verdict> {
        if message.body.size() > payload_bytes_max {
            return Err(bury("too-large"));
        }
        let short = |text: &str| ShortString::try_new(text).map_err(|_| bury("address"));
        let id = message.id.to_string();
        let properties = BasicProperties::default()
            .with_message_id(short(&id)?)
            .with_type(short(&message.kind)?)
            .with_content_type(short(message.content_type)?)
            .with_timestamp(seconds(message))
            .with_app_id(short("faceway")?)
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers(message, &id)?);
        Ok(Self {
            id: message.id,
            // Revealed to be sent.
            routing_key: short(message.address.reveal())?,
            properties,
            body: message.body.clone(),
        })
    }
}

/// Returned by the broker: no queue takes it.
pub(crate) const UNROUTABLE: &str = "unroutable";

/// Delivery mode 2: a durable queue keeps it on disk.
const PERSISTENT: u8 = 2;

/// What no retry can cure.
pub(crate) fn bury(word: &'static str) -> Verdict {
    Verdict::Bury {
        code: Code::word(word),
    }
}

fn seconds(message: &Message) -> u64 {
    u64::try_from(message.received_at.as_millis() / 1000).unwrap_or_default()
}

/// `id` and `kind` for bindings of a headers exchange and for consumers that see headers only, then what is configured.
fn headers(message: &Message, id: &str) -> Result<FieldTable, Verdict> {
    let own = [("id", id), ("kind", &message.kind)].into_iter();
    // Revealed to be sent.
    let configured = message
        .headers
        .iter()
        .map(|(name, value)| (&**name, value.reveal().as_str()));
    let mut table = FieldTable::default();
    let mut bytes = 0;
    for (name, value) in own.chain(configured) {
        bytes += name.len() + value.len();
        if name.len() > NAME_BYTES_MAX || bytes > HEADERS_BYTES_MAX {
            return Err(bury("address"));
        }
        let name = ShortString::try_new(name).map_err(|_| bury("address"))?;
        table.insert(name, AMQPValue::LongString(value.into()));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use faceway_testkit::outbound::message;

    #[test]
    fn everything_is_where_consumers_look_for_it() {
        let message = message("one");
        let parcel = Parcel::pack(&message, 1000).ok().unwrap();
        let id = message.id.to_string();
        assert_eq!(parcel.routing_key.as_str(), "suite/device/recognition");
        let text = |value: &Option<ShortString>| value.as_ref().unwrap().to_string();
        assert_eq!(text(parcel.properties.message_id()), id);
        assert_eq!(text(parcel.properties.kind()), "recognition");
        assert_eq!(text(parcel.properties.content_type()), "application/json");
        assert_eq!(text(parcel.properties.app_id()), "faceway");
        assert_eq!(*parcel.properties.timestamp(), Some(1_795_334_400));
        assert_eq!(*parcel.properties.delivery_mode(), Some(2));
        let headers = parcel.properties.headers().as_ref().unwrap().inner();
        let names: Vec<_> = headers.keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["id", "kind", "x-site"]);
    }

    /// A client reads a table as a map, and would see either of two.
    #[test]
    fn each_header_is_there_once() {
        let mut message = message("one");
        for (name, value) in [("x-site", "other"), ("id", "another")] {
            message.headers.push((name.into(), value.to_owned().into()));
        }
        let parcel = Parcel::pack(&message, 1000).ok().unwrap();
        let headers = parcel.properties.headers().as_ref().unwrap().inner();
        let names: Vec<_> = headers.keys().map(ShortString::as_str).collect();
        assert_eq!(names, ["id", "kind", "x-site"]);
    }

    #[test]
    fn what_does_not_fit_is_buried() {
        let verdict = |change: fn(&mut Message)| {
            let mut message = message("one");
            change(&mut message);
            Parcel::pack(&message, 1000).err()
        };
        assert_eq!(verdict(|_| ()), None);
        assert_eq!(verdict(|it| it.address = "k".repeat(255).into()), None);
        let address = Some(bury("address"));
        assert_eq!(verdict(|it| it.address = "k".repeat(256).into()), address);
        assert_eq!(
            verdict(|it| it
                .headers
                .push(("n".repeat(256).into(), String::new().into()))),
            address
        );
        assert_eq!(
            verdict(|it| it.headers.push(("n".into(), "v".repeat(32 * 1024).into()))),
            address
        );
        assert_eq!(verdict(|it| it.kind = "k".repeat(256).into()), address);
        assert_eq!(
            verdict(|it| it.body = Bytes::from(vec![0; 1000]).into()),
            None
        );
        assert_eq!(
            verdict(|it| it.body = Bytes::from(vec![0; 1001]).into()),
            Some(bury("too-large"))
        );
    }
}

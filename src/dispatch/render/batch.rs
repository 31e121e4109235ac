//! Several events in one message: a JSON array of what each would be alone.

use bytes::{BufMut as _, Bytes, BytesMut};
use faceway_core::{EventId, Message, Private};

/// Bytes of an array. A receiver has to hold it whole, and servers of many kinds refuse a larger body unasked; an event
/// that is larger by itself goes alone.
pub(in crate::dispatch) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// An array in the making.
pub(super) struct Array {
    content_type: &'static str,
    messages: Vec<Message>,
    bytes: usize,
}

impl Array {
    pub(super) fn new(content_type: &'static str) -> Self {
        Self {
            content_type,
            messages: Vec::new(),
            // The brackets.
            bytes: 2,
        }
    }

    /// Takes one more, if there is room for it; for the first there always is.
    pub(super) fn take(&mut self, message: Message) -> bool {
        // With the comma.
        let bytes = self.bytes + message.body.size() + 1;
        let fits = self.messages.is_empty() || bytes <= BATCH_BYTES_MAX;
        if fits {
            self.bytes = bytes;
            self.messages.push(message);
        }
        fits
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.messages.len()
    }

    /// The message of all; `None` when there is none. One event alone has its own id; of several the id is a new one.
    pub(super) fn into_message(self) -> Option<Message> {
        let mut body = BytesMut::with_capacity(self.bytes);
        for (at, message) in self.messages.iter().enumerate() {
            body.put_u8(if at == 0 { b'[' } else { b',' });
            body.put_slice(message.body.reveal());
        }
        body.put_u8(b']');
        let several = self.messages.len() > 1;
        let id = EventId::of_several(self.messages.iter().map(|message| message.id));
        let mut messages = self.messages.into_iter();
        let mut first = messages.next()?;
        // What is not so of each of them, as the trace of one, would be wrong of the others.
        for message in messages {
            first
                .headers
                .retain(|header| message.headers.contains(header));
        }
        Some(Message {
            id: if several { id } else { first.id },
            content_type: self.content_type,
            body: Private::new(Bytes::from(body)),
            ..first
        })
    }
}

#[cfg(test)]
mod tests {
    use faceway_core::{DeviceKey, RecordKey, Timestamp};

    use super::*;

    fn message(name: &str, body: String) -> Message {
        Message {
            id: RecordKey::weak(&["uuid", name])
                .id("lobby", faceway_core::Timestamp::from_seconds(0).unwrap()),
            kind: "recognition".into(),
            device: DeviceKey(1),
            received_at: Timestamp::from_millis(0).unwrap(),
            address: Private::default(),
            headers: Vec::new(),
            content_type: "application/json",
            body: Private::new(Bytes::from(body)),
        }
    }

    fn array(messages: Vec<Message>) -> (usize, Message) {
        let mut array = Array::new("application/x");
        for message in messages {
            if !array.take(message) {
                break;
            }
        }
        (array.len(), array.into_message().unwrap())
    }

    #[test]
    fn an_array_has_the_events_as_they_are() {
        let (one, two) = (
            message("a", r#"{"n":1.50}"#.into()),
            message("b", "{}".into()),
        );
        let ids = [one.id, two.id];
        let (_, both) = array(vec![one.clone(), two]);
        assert_eq!(both.body.reveal(), r#"[{"n":1.50},{}]"#);
        assert_eq!(both.content_type, "application/x");
        assert_eq!(both.id, EventId::of_several(ids));
        let (_, alone) = array(vec![one]);
        assert_eq!(alone.body.reveal(), r#"[{"n":1.50}]"#);
        assert_eq!(alone.id, ids[0]);
    }

    #[test]
    fn an_array_has_no_more_bytes_than_it_may() {
        let half = "x".repeat(BATCH_BYTES_MAX / 2 - 2);
        let halves = || vec![message("a", half.clone()), message("b", half.clone())];
        let (events, both) = array(halves());
        assert_eq!(events, 2);
        assert!(both.body.size() <= BATCH_BYTES_MAX);
        let more = [halves(), vec![message("c", "{}".into())]].concat();
        assert_eq!(array(more).0, 2, "what does not fit waits");
        let large = message("d", "x".repeat(2 * BATCH_BYTES_MAX));
        assert_eq!(array(vec![large, message("e", "{}".into())]).0, 1);
    }

    #[test]
    fn an_array_has_the_headers_that_all_of_it_have() {
        let with = |name: &str, trace: &str| {
            let mut message = message(name, "{}".into());
            for (name, value) in [("x-site", "north"), ("traceparent", trace)] {
                message
                    .headers
                    .push((name.into(), Private::new(value.into())));
            }
            message
        };
        let names = |messages: Vec<Message>| {
            let (_, message) = array(messages);
            let names = message
                .headers
                .into_iter()
                .map(|(name, _)| name.into_owned());
            names.collect::<Vec<_>>()
        };
        let [a, b, c] = [with("a", "1"), with("b", "1"), with("c", "2")];
        assert_eq!(names(vec![a.clone(), b.clone()]), ["x-site", "traceparent"]);
        assert_eq!(names(vec![a, b, c]), ["x-site"]);
    }
}

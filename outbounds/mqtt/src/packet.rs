//! What is said to a broker and what it says, in words that both versions of the protocol share.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faceway_core::Private;

/// One version of MQTT. Everything is written to the end of `out`.
pub(crate) trait Protocol: Send + Sync {
    /// `CONNECT`, for a clean session.
    fn hello(
        &self,
        hello: &Hello,
        will: Option<&Will>,
        out: &mut BytesMut,
    ) -> Result<(), Malformed>;

    /// `PUBLISH`. Nothing is written if it does not fit.
    fn publish(&self, publish: Publish, out: &mut BytesMut) -> Result<(), TooLarge>;

    /// `SUBSCRIBE` to `filters`, with QoS 0.
    fn subscribe(&self, id: u16, filters: &[&str], out: &mut BytesMut) -> Result<(), Malformed>;

    /// `PUBREL`, the third of the four steps of QoS 2.
    fn release(&self, id: u16, out: &mut BytesMut) -> Result<(), Malformed>;

    /// `PINGREQ`.
    fn ping(&self, out: &mut BytesMut) -> Result<(), Malformed>;

    /// `DISCONNECT`: the broker then forgets the last will.
    fn goodbye(&self, out: &mut BytesMut) -> Result<(), Malformed>;

    /// Takes one packet off the front of `input`, if there is a whole one.
    fn read(&self, input: &mut BytesMut) -> Result<Option<Incoming>, Malformed>;
}

/// What cannot be written or read: the connection is of no use any more.
#[derive(Debug)]
pub(crate) struct Malformed;

/// Larger than the broker's or the protocol's limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// A broker's packets are small: greetings, acknowledgements, and what we have announced ourselves.
pub(crate) const INCOMING_BYTES_MAX: u16 = 32 * 1024;

/// Who we are.
pub(crate) struct Hello {
    pub(crate) client_id: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Private<String>>,
    pub(crate) keep_alive_s: u16,
}

/// The last will: what the broker publishes, retained, when the connection ends without a goodbye.
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: &'static str,
    pub(crate) qos: u8,
}

/// A message as it is published. It has no `Debug`: topic, payload and properties may be about a person.
#[derive(Clone)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) retain: bool,
    /// MQTT 5 only, like everything that follows.
    pub(crate) content_type: Option<&'static str>,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) user_properties: Vec<(String, String)>,
}

/// One `PUBLISH`.
pub(crate) struct Publish {
    pub(crate) publication: Publication,
    pub(crate) qos: u8,
    /// Of the packet; 0 with QoS 0.
    pub(crate) id: u16,
    /// The broker's limit of a whole packet.
    pub(crate) bytes_max: Option<u32>,
}

/// What a broker says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// `CONNACK`.
    Welcome(Welcome),
    /// `CONNACK` with a refusal.
    Refused(Refusal),
    /// `PUBACK`: it has a message of QoS 1, or refuses it.
    Acknowledged(u16, Reason),
    /// `PUBREC`: it has received a message of QoS 2, or refuses it.
    Received(u16, Reason),
    /// `PUBCOMP`: a message of QoS 2 is its own now. False: it does not know of any.
    Completed(u16, bool),
    /// `PINGRESP`.
    Pong,
    /// `SUBACK`: whether every filter was granted.
    Subscribed(bool),
    /// `PUBLISH` to what is subscribed to: topic, payload, and whether the broker had kept it.
    Published(String, Bytes, bool),
    /// `DISCONNECT`, which only MQTT 5 lets a broker say.
    Goodbye(Farewell),
    /// Something that was not asked for and changes nothing.
    Other,
}

/// What a broker lets us do. MQTT 3.1.1 tells nothing of it.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Welcome {
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) window_max: Option<u16>,
    pub(crate) qos_max: Option<u8>,
    pub(crate) no_retain: bool,
    pub(crate) keep_alive: Option<Duration>,
}

/// Why a broker takes no connection: a short word, and what the operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) word: &'static str,
    pub(crate) advice: &'static str,
}

/// Why a broker ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Farewell {
    pub(crate) word: &'static str,
    /// Whether a message was the reason, so that it would be again.
    pub(crate) message: bool,
}

/// What a broker thinks of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Success,
    NoMatchingSubscribers,
    UnspecifiedError,
    ImplementationSpecificError,
    NotAuthorized,
    TopicNameInvalid,
    PacketIdentifierInUse,
    QuotaExceeded,
    PayloadFormatInvalid,
}

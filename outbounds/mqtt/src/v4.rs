//! MQTT 3.1.1 (OASIS, 2014). The broker can refuse a connection, but not a message.

use bytes::BytesMut;
use faceway_core::Private;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Disconnect, LastWill, Login, Packet, PingReq, PubRel,
    Publish as Wire, Subscribe, SubscribeFilter, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error, Protocol as Level, QoS};

use crate::packet::{
    Hello, INCOMING_BYTES_MAX, Incoming, Malformed, Protocol, Publish, Reason, Refusal, TooLarge,
    Welcome, Will,
};
use crate::refusal;

/// The version.
pub(crate) struct V4;

/// The first byte of `CONNACK`.
const CONNACK: u8 = 0x20;
/// What follows its length. That of MQTT 5 is longer.
const CONNACK_BYTES: u8 = 2;

impl Protocol for V4 {
    fn hello(
        &self,
        hello: &Hello,
        will: Option<&Will>,
        out: &mut BytesMut,
    ) -> Result<(), Malformed> {
        let will = will.map(|will| {
            let topic = will.topic.as_str();
            LastWill::new(topic, will.payload, qos(will.qos), true)
        });
        let login = hello.username.as_ref().map(|username| {
            // Revealed to be sent to the broker that it is for.
            let password = hello.password.as_ref().map(Private::reveal);
            Login::new(username, password.cloned().unwrap_or_default())
        });
        let connect = Connect {
            protocol: Level::V4,
            keep_alive: hello.keep_alive_s,
            client_id: hello.client_id.clone(),
            clean_session: true,
            last_will: will,
            login,
        };
        written(connect.write(out))
    }

    fn publish(&self, publish: Publish, out: &mut BytesMut) -> Result<(), TooLarge> {
        let publication = publish.publication;
        let wire = Wire {
            dup: false,
            qos: qos(publish.qos),
            retain: publication.retain,
            topic: publication.topic,
            pkid: publish.id,
            payload: publication.payload,
        };
        if publish
            .bytes_max
            .is_some_and(|max| wire.size() > max as usize)
        {
            return Err(TooLarge);
        }
        wire.write(out).map(drop).map_err(|_| TooLarge)
    }

    fn subscribe(&self, id: u16, filters: &[&str], out: &mut BytesMut) -> Result<(), Malformed> {
        let filter = |filter: &&str| SubscribeFilter::new((*filter).to_owned(), QoS::AtMostOnce);
        let mut subscribe = Subscribe::new_many(filters.iter().map(filter));
        subscribe.pkid = id;
        written(subscribe.write(out))
    }

    fn release(&self, id: u16, out: &mut BytesMut) -> Result<(), Malformed> {
        written(PubRel::new(id).write(out))
    }

    fn ping(&self, out: &mut BytesMut) -> Result<(), Malformed> {
        written(PingReq.write(out))
    }

    fn goodbye(&self, out: &mut BytesMut) -> Result<(), Malformed> {
        written(Disconnect.write(out))
    }

    fn read(&self, input: &mut BytesMut) -> Result<Option<Incoming>, Malformed> {
        if let [CONNACK, length, ..] = input[..]
            && length > CONNACK_BYTES
        {
            input.clear();
            return Ok(Some(Incoming::Refused(refusal::VERSION_4)));
        }
        let before = input.len();
        match Packet::read(input, usize::from(INCOMING_BYTES_MAX)) {
            Ok(packet) => Ok(Some(meaning(packet))),
            // The library says the same of a packet that is shorter inside than outside.
            Err(Error::InsufficientBytes(_)) if input.len() == before => Ok(None),
            Err(_) => Err(Malformed),
        }
    }
}

fn meaning(packet: Packet) -> Incoming {
    match packet {
        Packet::ConnAck(connack) => match refused(connack.code) {
            None => Incoming::Welcome(Welcome::default()),
            Some(refusal) => Incoming::Refused(refusal),
        },
        Packet::PubAck(ack) => Incoming::Acknowledged(ack.pkid, Reason::Success),
        Packet::PubRec(ack) => Incoming::Received(ack.pkid, Reason::Success),
        Packet::PubComp(ack) => Incoming::Completed(ack.pkid, true),
        Packet::PingResp => Incoming::Pong,
        Packet::SubAck(ack) => {
            let granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
            Incoming::Subscribed(ack.return_codes.iter().all(granted))
        }
        Packet::Publish(wire) => Incoming::Published(wire.topic, wire.payload, wire.retain),
        _ => Incoming::Other,
    }
}

/// Return codes of `CONNACK`, section 3.2.2.3.
fn refused(code: ConnectReturnCode) -> Option<Refusal> {
    match code {
        ConnectReturnCode::Success => None,
        ConnectReturnCode::RefusedProtocolVersion => Some(refusal::VERSION_4),
        ConnectReturnCode::BadClientId => Some(refusal::CLIENT_ID),
        ConnectReturnCode::ServiceUnavailable => Some(refusal::UNAVAILABLE),
        ConnectReturnCode::BadUserNamePassword => Some(refusal::CREDENTIALS),
        ConnectReturnCode::NotAuthorized => Some(refusal::NOT_AUTHORIZED),
    }
}

fn qos(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn written(written: Result<usize, Error>) -> Result<(), Malformed> {
    written.map(drop).map_err(|_| Malformed)
}

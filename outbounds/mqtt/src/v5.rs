//! MQTT 5 (OASIS, 2019). The broker tells its limits, and can refuse one message with a reason.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faceway_core::Private;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, Connect, ConnectProperties, ConnectReturnCode as Code, Disconnect,
    DisconnectReasonCode as Bye, Filter, LastWill, Login, Packet, PingReq, PubAckReason,
    PubCompReason, PubRecReason, PubRel, Publish as Wire, PublishProperties, Subscribe,
    SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS};

use crate::packet::{
    Farewell, Hello, INCOMING_BYTES_MAX, Incoming, Malformed, Protocol, Publication, Publish,
    Reason, Refusal, TooLarge, Welcome, Will,
};
use crate::refusal;

/// The version.
pub(crate) struct V5;

/// The first byte of `DISCONNECT`.
const DISCONNECT: u8 = 0xE0;
/// How `CONNACK` of MQTT 3.1.1 begins: two bytes follow. That of MQTT 5 has three at least.
const OLD_CONNACK: [u8; 2] = [0x20, 2];

impl Protocol for V5 {
    fn hello(
        &self,
        hello: &Hello,
        will: Option<&Will>,
        out: &mut BytesMut,
    ) -> Result<(), Malformed> {
        let will = will.map(|will| {
            let topic = will.topic.as_str();
            LastWill::new(topic, will.payload, qos(will.qos), true, None)
        });
        let login = hello.username.as_ref().map(|username| {
            // Revealed to be sent to the broker that it is for.
            let password = hello.password.as_ref().map(Private::reveal);
            Login::new(username, password.cloned().unwrap_or_default())
        });
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(INCOMING_BYTES_MAX.into());
        let connect = Connect {
            keep_alive: hello.keep_alive_s,
            client_id: hello.client_id.clone(),
            clean_start: true,
            properties: Some(properties),
        };
        written(connect.write(&will, &login, out))
    }

    fn publish(&self, publish: Publish, out: &mut BytesMut) -> Result<(), TooLarge> {
        let publication = publish.publication;
        let properties = properties(&publication);
        let wire = Wire {
            dup: false,
            qos: qos(publish.qos),
            retain: publication.retain,
            topic: Bytes::from(publication.topic),
            pkid: publish.id,
            payload: publication.payload,
            properties: Some(properties),
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
        let filter = |filter: &&str| Filter::new(*filter, QoS::AtMostOnce);
        let mut subscribe = Subscribe::new_many(filters.iter().map(filter), None);
        subscribe.pkid = id;
        written(subscribe.write(out))
    }

    fn release(&self, id: u16, out: &mut BytesMut) -> Result<(), Malformed> {
        written(PubRel::new(id, None).write(out))
    }

    fn ping(&self, out: &mut BytesMut) -> Result<(), Malformed> {
        written(PingReq::write(out))
    }

    fn goodbye(&self, out: &mut BytesMut) -> Result<(), Malformed> {
        written(Disconnect::new(Bye::NormalDisconnection).write(out))
    }

    fn read(&self, input: &mut BytesMut) -> Result<Option<Incoming>, Malformed> {
        if input.first() == Some(&DISCONNECT) {
            return goodbye(input);
        }
        if input.starts_with(&OLD_CONNACK) {
            return Ok(old_welcome(input));
        }
        let before = input.len();
        match Packet::read(input, Some(INCOMING_BYTES_MAX.into())) {
            Ok(packet) => Ok(Some(meaning(packet))),
            // The library says the same of a packet that is shorter inside than outside.
            Err(Error::InsufficientBytes(_)) if input.len() == before => Ok(None),
            Err(_) => Err(Malformed),
        }
    }
}

/// A broker of MQTT 3.1.1 refuses a `CONNECT` of a level that it does not know in its own words (3.1.1, section 3.1.2.2).
/// Whatever else it says in them, it does not speak MQTT 5.
fn old_welcome(input: &mut BytesMut) -> Option<Incoming> {
    if input.len() < 4 {
        return None;
    }
    input.clear();
    Some(Incoming::Refused(refusal::VERSION_5))
}

fn properties(publication: &Publication) -> PublishProperties {
    let json = publication
        .content_type
        .is_some_and(|media_type| media_type.contains("json"));
    PublishProperties {
        // JSON is UTF-8 (RFC 8259, section 8.1).
        payload_format_indicator: json.then_some(1),
        message_expiry_interval: publication.expiry_s,
        user_properties: publication.user_properties.clone(),
        content_type: publication.content_type.map(str::to_owned),
        ..PublishProperties::default()
    }
}

fn meaning(packet: Packet) -> Incoming {
    match packet {
        Packet::ConnAck(connack) => greeting(connack),
        Packet::PubAck(ack) => Incoming::Acknowledged(ack.pkid, acknowledged(ack.reason)),
        Packet::PubRec(ack) => Incoming::Received(ack.pkid, received(ack.reason)),
        Packet::PubComp(ack) => Incoming::Completed(ack.pkid, ack.reason == PubCompReason::Success),
        Packet::PingResp(_) => Incoming::Pong,
        Packet::SubAck(ack) => {
            let granted = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
            Incoming::Subscribed(ack.return_codes.iter().all(granted))
        }
        Packet::Publish(wire) => match String::from_utf8(wire.topic.to_vec()) {
            Ok(topic) => Incoming::Published(topic, wire.payload, wire.retain),
            Err(_) => Incoming::Other,
        },
        _ => Incoming::Other,
    }
}

fn greeting(connack: ConnAck) -> Incoming {
    match refused(connack.code) {
        Some(refusal) => Incoming::Refused(refusal),
        None => Incoming::Welcome(connack.properties.map(welcome).unwrap_or_default()),
    }
}

fn welcome(properties: ConnAckProperties) -> Welcome {
    Welcome {
        packet_bytes_max: properties.max_packet_size,
        window_max: properties.receive_max,
        qos_max: properties.max_qos,
        no_retain: properties.retain_available == Some(0),
        keep_alive: properties
            .server_keep_alive
            .map(|seconds| Duration::from_secs(seconds.into())),
    }
}

/// Reason codes of `CONNACK`, section 3.2.2.2.
fn refused(code: Code) -> Option<Refusal> {
    match code {
        Code::Success => None,
        Code::UnsupportedProtocolVersion | Code::RefusedProtocolVersion => Some(refusal::VERSION_5),
        Code::ClientIdentifierNotValid | Code::BadClientId => Some(refusal::CLIENT_ID),
        Code::BadUserNamePassword | Code::BadAuthenticationMethod => Some(refusal::CREDENTIALS),
        Code::NotAuthorized => Some(refusal::NOT_AUTHORIZED),
        Code::Banned => Some(refusal::BANNED),
        Code::ServerUnavailable | Code::ServiceUnavailable => Some(refusal::UNAVAILABLE),
        Code::ServerBusy => Some(refusal::BUSY),
        Code::QuotaExceeded => Some(refusal::QUOTA),
        Code::ConnectionRateExceeded => Some(refusal::RATE),
        Code::UseAnotherServer | Code::ServerMoved => Some(refusal::MOVED),
        Code::TopicNameInvalid => Some(refusal::STATUS_TOPIC),
        Code::RetainNotSupported => Some(refusal::RETAIN),
        Code::QoSNotSupported => Some(refusal::QOS),
        _ => Some(refusal::REJECTED),
    }
}

fn acknowledged(reason: PubAckReason) -> Reason {
    match reason {
        PubAckReason::Success => Reason::Success,
        PubAckReason::NoMatchingSubscribers => Reason::NoMatchingSubscribers,
        PubAckReason::UnspecifiedError => Reason::UnspecifiedError,
        PubAckReason::ImplementationSpecificError => Reason::ImplementationSpecificError,
        PubAckReason::NotAuthorized => Reason::NotAuthorized,
        PubAckReason::TopicNameInvalid => Reason::TopicNameInvalid,
        PubAckReason::PacketIdentifierInUse => Reason::PacketIdentifierInUse,
        PubAckReason::QuotaExceeded => Reason::QuotaExceeded,
        PubAckReason::PayloadFormatInvalid => Reason::PayloadFormatInvalid,
    }
}

fn received(reason: PubRecReason) -> Reason {
    match reason {
        PubRecReason::Success => Reason::Success,
        PubRecReason::NoMatchingSubscribers => Reason::NoMatchingSubscribers,
        PubRecReason::UnspecifiedError => Reason::UnspecifiedError,
        PubRecReason::ImplementationSpecificError => Reason::ImplementationSpecificError,
        PubRecReason::NotAuthorized => Reason::NotAuthorized,
        PubRecReason::TopicNameInvalid => Reason::TopicNameInvalid,
        PubRecReason::PacketIdentifierInUse => Reason::PacketIdentifierInUse,
        PubRecReason::QuotaExceeded => Reason::QuotaExceeded,
        PubRecReason::PayloadFormatInvalid => Reason::PayloadFormatInvalid,
    }
}

/// `DISCONNECT` may end after its length (which means "normal") or after its reason (Mosquitto's does), section 3.14.2.
/// The library takes both for broken packets, so the reason is read here; nothing that follows it is needed.
fn goodbye(input: &mut BytesMut) -> Result<Option<Incoming>, Malformed> {
    let Some(length) = input.get(1) else {
        return Ok(None);
    };
    let reason = match length {
        0 => Some(&0),
        1..128 => input.get(2),
        // A length of several bytes, of which the last is below 128.
        _ => {
            let rest = input.iter().skip(1).take(4);
            match rest.clone().position(|byte| *byte < 128) {
                Some(last) => input.get(2 + last),
                None if rest.len() == 4 => return Err(Malformed),
                None => None,
            }
        }
    };
    let Some(reason) = reason.copied() else {
        return Ok(None);
    };
    // It is the last packet of a connection.
    input.clear();
    let word = Bye::try_from(reason).map_or(UNKNOWN, farewell);
    Ok(Some(Incoming::Goodbye(word)))
}

/// A reason that this version of the protocol does not have.
const UNKNOWN: Farewell = Farewell {
    word: "disconnected",
    message: false,
};

/// Reason codes of `DISCONNECT`, section 3.14.2.1.
fn farewell(reason: Bye) -> Farewell {
    let (word, message) = match reason {
        Bye::PacketTooLarge => ("too-large", true),
        Bye::TopicNameInvalid => ("topic", true),
        Bye::PayloadFormatInvalid => ("payload-format", true),
        Bye::ServerBusy => ("busy", false),
        Bye::ServerShuttingDown => ("shutting-down", false),
        Bye::SessionTakenOver => ("taken-over", false),
        Bye::NotAuthorized => ("not-authorized", false),
        Bye::QuotaExceeded => ("quota", false),
        Bye::MessageRateTooHigh | Bye::ConnectionRateExceeded => ("rate", false),
        Bye::UseAnotherServer | Bye::ServerMoved => ("moved", false),
        Bye::QoSNotSupported => ("qos", false),
        Bye::RetainNotSupported => ("retain", false),
        Bye::KeepAliveTimeout => ("timeout", false),
        _ => return UNKNOWN,
    };
    Farewell { word, message }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Option<Incoming>, usize) {
        let mut input = BytesMut::from(bytes);
        let incoming = V5.read(&mut input).expect("it can be read");
        (incoming, input.len())
    }

    #[test]
    fn what_a_broker_says_is_understood() {
        let accepted = Incoming::Acknowledged(7, Reason::Success);
        assert_eq!(read(&[0x40, 2, 0, 7]), (Some(accepted), 0));
        let unheard = Incoming::Acknowledged(7, Reason::NoMatchingSubscribers);
        assert_eq!(read(&[0x40, 4, 0, 7, 0x10, 0]), (Some(unheard), 0));
        let refused = Incoming::Received(258, Reason::QuotaExceeded);
        assert_eq!(read(&[0x50, 3, 1, 2, 0x97]), (Some(refused), 0));
        let unknown = Incoming::Completed(7, false);
        assert_eq!(read(&[0x70, 3, 0, 7, 0x92]), (Some(unknown), 0));
        let bye = |word, message| Some(Incoming::Goodbye(Farewell { word, message }));
        assert_eq!(read(&[0xE0, 2, 0x95, 0]), (bye("too-large", true), 0));
        assert_eq!(read(&[0xE0, 1, 0x95]), (bye("too-large", true), 0));
        assert_eq!(read(&[0xE0, 0]), (bye("disconnected", false), 0));
        assert_eq!(read(&[0xE0, 1, 0x01]), (bye("disconnected", false), 0));
        let long = [0xE0, 0x80, 0x01, 0x89];
        assert_eq!(read(&long), (bye("busy", false), 0));
        for bytes in [&[0xE0][..], &[0xE0, 1], &[0xE0, 0x80], &[0xE0, 0x80, 1]] {
            assert_eq!(read(bytes), (None, bytes.len()));
        }
        // Half a packet stays where it is.
        assert_eq!(read(&[0x40, 2, 0]), (None, 3));
    }

    #[test]
    fn nonsense_is_an_error_and_no_panic() {
        for bytes in [
            &[0x00, 0x00][..],
            &[0x40, 1, 0],
            &[0x40, 0],
            &[0x40, 3, 0, 7, 0x55],
            &[0x20, 4, 0, 0, 200, 1],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0xE0, 0xFF, 0xFF, 0xFF, 0xFF],
            // More than we have told that we take.
            &[0x30, 0x81, 0x80, 0x02],
        ] {
            let mut input = BytesMut::from(bytes);
            assert!(V5.read(&mut input).is_err(), "{bytes:?}");
        }
    }
}

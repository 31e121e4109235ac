//! What a connection begins with, before any event is on it: the status, and a ping that shows whether the connection has
//! outlived it.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Duration, timeout};

use crate::dial::{Connection, NoConnection, Stream, failed};
use crate::packet::{Incoming, Protocol, Publication, Publish, Reason};

/// How long events wait for the answer to the ping. A broker that is slower, or answers none, gets them all the same.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(2);
/// The packet of the status, the first of a connection.
pub(crate) const STATUS_ID: u16 = 1;

/// What the broker has said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Greeted {
    pub(crate) status: StatusAnswer,
    /// Whether a ping waits for its answer.
    pub(crate) pinged: bool,
}

/// Of the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StatusAnswer {
    /// It is taken, or none was published, or it is not confirmed.
    #[default]
    Settled,
    /// The broker does not take it.
    Refused,
    /// It is published and not confirmed yet.
    Open,
}

/// Publishes `status` with this QoS, if there is one, and pings. A broker reads in order, so its answer to the ping shows
/// that it does not end the connection because of the status.
///
/// # Errors
/// When the connection ends before the answer; `greeted` is what the broker had said by then.
pub(crate) async fn greet(
    connection: &mut Connection,
    status: Option<(Publication, u8)>,
    greeted: &mut Greeted,
) -> Result<(), NoConnection> {
    if let Some((publication, qos)) = status {
        let publish = Publish {
            publication,
            qos,
            id: if qos == 0 { 0 } else { STATUS_ID },
            bytes_max: connection.welcome.packet_bytes_max,
        };
        let protocol = connection.protocol;
        greeted.status = match protocol.publish(publish, &mut connection.output) {
            Ok(()) if qos == 0 => StatusAnswer::Settled,
            Ok(()) => StatusAnswer::Open,
            Err(_) => StatusAnswer::Refused,
        };
    }
    let pinged = connection.protocol.ping(&mut connection.output);
    pinged.map_err(|_| failed("malformed"))?;
    greeted.pinged = true;
    let answered = answered(connection, greeted);
    // What the socket has not taken by then is still in `output`, for the session to write.
    timeout(WAIT_MAX, answered).await.unwrap_or(Ok(()))
}

async fn answered(connection: &mut Connection, greeted: &mut Greeted) -> Result<(), NoConnection> {
    let Connection {
        stream,
        protocol,
        input,
        output,
        ..
    } = connection;
    let written = write(stream, output).await;
    loop {
        take_in(*protocol, input, greeted)?;
        if !greeted.pinged {
            return Ok(());
        }
        // Also after a failed write: what the broker said before it hung up tells why.
        if stream.read_buf(input).await? == 0 {
            written?;
            return Err(failed("closed"));
        }
    }
}

async fn write(stream: &mut Box<dyn Stream>, output: &mut BytesMut) -> io::Result<()> {
    stream.write_all_buf(output).await?;
    stream.flush().await
}

/// Takes in what has come.
fn take_in(
    protocol: &dyn Protocol,
    input: &mut BytesMut,
    greeted: &mut Greeted,
) -> Result<(), NoConnection> {
    while let Some(incoming) = protocol.read(input).map_err(|_| failed("malformed"))? {
        match incoming {
            Incoming::Acknowledged(STATUS_ID, Reason::Success | Reason::NoMatchingSubscribers) => {
                greeted.status = StatusAnswer::Settled;
            }
            Incoming::Acknowledged(STATUS_ID, _) => greeted.status = StatusAnswer::Refused,
            Incoming::Goodbye(farewell) => return Err(failed(farewell.word)),
            Incoming::Pong => greeted.pinged = false,
            _ => {}
        }
    }
    Ok(())
}

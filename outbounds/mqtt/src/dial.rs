//! From an address to a connection that a broker has welcomed.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::failure;
use crate::packet::{Incoming, Protocol, Refusal, Welcome};
use crate::plan::Plan;
use crate::refusal;

/// TCP, or TLS on it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a connection is opened with. A broker that refuses one of these gets the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Of the protocol.
    pub(crate) version: u8,
    /// Whether there is a last will.
    pub(crate) will: bool,
    /// Whether the status is published.
    pub(crate) status: bool,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// No connection, or no encryption on it.
    Reach,
    /// `CONNECT` was sent, and no welcome came.
    Hello,
    /// The status was sent, and the connection did not outlive it.
    Status,
}

/// A connection that can be published on.
pub(crate) struct Connection {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) protocol: &'static dyn Protocol,
    pub(crate) welcome: Welcome,
    /// What came after the welcome.
    pub(crate) input: BytesMut,
    /// What is written and the socket has not taken yet.
    pub(crate) output: BytesMut,
}

/// Why there is none: a word, and what the operator can do, where he can.
#[derive(Debug)]
pub(crate) struct NoConnection {
    pub(crate) word: &'static str,
    pub(crate) advice: Option<&'static str>,
    pub(crate) error: Option<io::Error>,
}

impl NoConnection {
    /// Why TLS was not agreed, in words, where that was the matter.
    pub(crate) fn no_tls(&self, plan: &Plan) -> Option<String> {
        faceway_tls::why(self.error.as_ref()?, plan.tls_keys)
    }
}

impl From<io::Error> for NoConnection {
    fn from(error: io::Error) -> Self {
        let word = failure::word(&error);
        Self {
            error: Some(error),
            ..failed(word)
        }
    }
}

impl From<Refusal> for NoConnection {
    fn from(refusal: Refusal) -> Self {
        Self {
            word: refusal.word,
            advice: Some(refusal.advice),
            error: None,
        }
    }
}

pub(crate) fn failed(word: &'static str) -> NoConnection {
    NoConnection {
        word,
        advice: None,
        error: None,
    }
}

/// Dials the broker and introduces us. The caller bounds the time, and reads in `stage` how far it came.
pub(crate) async fn dial(
    plan: &Plan,
    offer: Offer,
    stage: &mut Stage,
) -> Result<Connection, NoConnection> {
    let tcp = reach(plan).await?;
    let mut stream: Box<dyn Stream> = match &plan.tls {
        None => Box::new(tcp),
        Some((connector, name)) => Box::new(connector.connect(name.clone(), tcp).await?),
    };
    let mut hello = BytesMut::new();
    let protocol = Plan::protocol(offer.version);
    let will = plan.will.as_ref().filter(|_| offer.will);
    let written = protocol.hello(&plan.hello, will, &mut hello);
    written.map_err(|_| failed("malformed"))?;
    *stage = Stage::Hello;
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let mut input = BytesMut::with_capacity(8 * 1024);
    let welcome = welcomed(protocol, &mut *stream, &mut input).await?;
    Ok(Connection {
        stream,
        protocol,
        welcome: fitting(plan, welcome)?,
        input,
        output: BytesMut::new(),
    })
}

/// The first of the host's addresses that answers.
async fn reach(plan: &Plan) -> Result<TcpStream, NoConnection> {
    let host = (plan.address.host.as_str(), plan.address.port);
    let addresses = tokio::net::lookup_host(host).await;
    let mut last = failed("dns");
    for address in addresses.map_err(|_| failed("dns"))? {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

async fn welcomed(
    protocol: &dyn Protocol,
    stream: &mut dyn Stream,
    input: &mut BytesMut,
) -> Result<Welcome, NoConnection> {
    loop {
        let incoming = protocol.read(input).map_err(|_| failed("malformed"))?;
        match incoming {
            Some(Incoming::Welcome(welcome)) => return Ok(welcome),
            Some(Incoming::Refused(refusal)) => return Err(refusal.into()),
            Some(_) => return Err(failed("malformed")),
            None => {}
        }
        if stream.read_buf(input).await? == 0 {
            return Err(failed("closed"));
        }
    }
}

/// What is configured must be what this broker can do, or every message would end the connection.
fn fitting(plan: &Plan, welcome: Welcome) -> Result<Welcome, NoConnection> {
    if welcome.qos_max.is_some_and(|max| plan.qos > max) {
        return Err(refusal::QOS.into());
    }
    if welcome.no_retain && plan.retain {
        return Err(refusal::RETAIN.into());
    }
    Ok(welcome)
}

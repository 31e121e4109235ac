//! Dialling a websocket.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use faceway_core::Private;
use faceway_tls::{ClientTls, Keys};
use futures_util::SinkExt as _;
use http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use super::frames::Frames;
use crate::inbound::converse::why;
use crate::inbound::server::limit_waiting;

/// A source's websocket.
pub(crate) type Socket = WebSocketStream<Wire>;

/// Where a source is, and how much it may send at once.
pub(crate) struct Target {
    /// With the parameters that are secrets.
    uri: Private<Uri>,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    keys: Keys,
    config: WebSocketConfig,
}

/// The bytes below a websocket, and when the last of them came: a large message may be on its way for longer than
/// a peer may be silent.
pub(crate) struct Wire {
    bytes: Box<dyn Bytes>,
    peer: Option<IpAddr>,
    heard_at: Instant,
    frames: Frames,
}

trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// The system gives a connection up when what we send is not acknowledged for this long.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// Many sources are silent most of the time.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// A greeting and a few pings.
const WRITE_BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;

impl Target {
    /// The source at `url`, with further parameters; its messages may have `message_bytes_max`.
    ///
    /// # Errors
    /// When the URL or a certificate cannot be used.
    pub(crate) fn new(
        url: &str,
        query: &[(String, Private<String>)],
        tls: &ClientTls,
        message_bytes_max: u64,
    ) -> anyhow::Result<Self> {
        let plain: Uri = url.parse().context("the URL cannot be used")?;
        let host = plain.host().context("the URL names no host")?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let encrypted = plain.scheme_str() == Some("wss");
        let connector = encrypted.then(|| {
            let config = tls.config(true)?;
            let name = ServerName::try_from(host.clone()).context("the URL's host is no name")?;
            anyhow::Ok((TlsConnector::from(Arc::new(config)), name))
        });
        let bytes_max = usize::try_from(message_bytes_max).unwrap_or(usize::MAX);
        Ok(Self {
            uri: with_query(url, query)?,
            port: plain.port_u16().unwrap_or(if encrypted { 443 } else { 80 }),
            host,
            tls: connector.transpose()?,
            keys: tls.keys(),
            config: WebSocketConfig::default()
                .read_buffer_size(READ_BUFFER_BYTES)
                .write_buffer_size(0)
                .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
                .max_message_size(Some(bytes_max))
                .max_frame_size(Some(bytes_max)),
        })
    }

    /// Connects and sends `greeting`. The caller limits the time. The error is in words, without the address.
    pub(super) async fn connect(&self, greeting: &[String]) -> Result<Socket, String> {
        let wire = self.wire().await?;
        // Revealed to be sent to the source that its parameters are for.
        let request = self.uri.reveal().clone().into_client_request();
        let request = request.map_err(|error| why(&error, self.keys))?;
        let shaken = tokio_tungstenite::client_async_with_config(request, wire, Some(self.config));
        let (mut socket, _) = shaken.await.map_err(|error| refused(&error, self.keys))?;
        for message in greeting {
            let sent = socket.feed(Message::text(message.as_str())).await;
            sent.map_err(|error| why(&error, self.keys))?;
        }
        socket
            .flush()
            .await
            .map_err(|error| why(&error, self.keys))?;
        Ok(socket)
    }

    async fn wire(&self) -> Result<Wire, String> {
        let cannot = |error: std::io::Error| format!("cannot connect: {error}");
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await;
        let tcp = tcp.map_err(cannot)?;
        tcp.set_nodelay(true).map_err(cannot)?;
        limit_waiting(&tcp, UNACKNOWLEDGED_MAX).map_err(cannot)?;
        let peer = tcp.peer_addr().ok();
        let bytes: Box<dyn Bytes> = match &self.tls {
            None => Box::new(tcp),
            Some((connector, name)) => match connector.connect(name.clone(), tcp).await {
                Ok(encrypted) => Box::new(encrypted),
                Err(error) if faceway_tls::why(&error, self.keys).is_some() => {
                    return Err(why(&error, self.keys));
                }
                Err(error) => return Err(format!("no TLS with it: {error}")),
            },
        };
        Ok(Wire {
            bytes,
            peer: peer.map(|peer| peer.ip().to_canonical()),
            heard_at: Instant::now(),
            frames: Frames::default(),
        })
    }
}

fn with_query(url: &str, query: &[(String, Private<String>)]) -> anyhow::Result<Private<Uri>> {
    let mut url = url.to_owned();
    for (name, value) in query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        // Revealed to become part of what only the source is sent.
        for byte in value.reveal().bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(byte));
                }
                byte => url.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    // The parser's error might show the text.
    let uri = url.parse();
    uri.map(Private::new)
        .map_err(|_| anyhow::anyhow!("the URL and `query` make no URL together"))
}

/// Why the source does not want to speak websocket with us.
fn refused(error: &Error, keys: Keys) -> String {
    match error {
        Error::Http(response) => {
            let status = response.status().as_u16();
            let hint = match status {
                401 | 403 => "it does not let us in: check the parameters of `url`, and `query`",
                404 => "it has no websocket there: check the path of `url`",
                _ => "it does not open a websocket",
            };
            format!("it answers {status}: {hint}")
        }
        // A server of TLS 1.3 refuses a client's certificate only here.
        error if faceway_tls::why(error, keys).is_some() => why(error, keys),
        error => format!("no websocket with it: {}", why(error, keys)),
    }
}

impl Wire {
    /// When the last bytes came.
    pub(super) const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Who is on the other side.
    pub(super) const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.bytes).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard_at = Instant::now();
            self.frames.pass(&mut buffer.filled_mut()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}

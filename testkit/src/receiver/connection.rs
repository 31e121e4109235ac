//! One connection of a receiver: requests in, behaviour out.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::state::{Received, State};
use super::{Behaviour, Reply};

pub(super) struct Connection {
    stream: Stream,
    number: usize,
    buffer: BytesMut,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Whether the connection goes on.
type Kept = io::Result<bool>;

impl Connection {
    /// `None` when the handshake fails.
    pub(super) async fn open(
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        number: usize,
    ) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Tls(Box::new(tls.accept(stream).await.ok()?)),
        };
        let buffer = BytesMut::new();
        Some(Self {
            stream,
            number,
            buffer,
        })
    }

    /// Takes requests until one side closes.
    pub(super) async fn serve(mut self, state: &State) -> io::Result<()> {
        let mut close_next = false;
        for turn in 1.. {
            let Some((mut request, content_length)) = self.head(turn).await? else {
                break;
            };
            if close_next {
                self.body(content_length).await?;
                break;
            }
            let mut behaviour = state.decide(&request);
            if !behaviour.is_early() {
                request.body = self.body(content_length).await?;
                behaviour = state.decide_whole(&request).unwrap_or(behaviour);
            }
            let place = state.record(request);
            close_next = matches!(behaviour, Behaviour::AnswerOnce(_));
            if !self.behave(state, place, behaviour).await? {
                break;
            }
        }
        self.io().shutdown().await
    }

    async fn behave(&mut self, state: &State, place: usize, behaviour: Behaviour) -> Kept {
        match behaviour {
            Behaviour::Answer(reply) | Behaviour::AnswerOnce(reply) => {
                self.answer(state, place, &reply).await
            }
            Behaviour::AnswerAfter(pause, reply) => {
                tokio::time::sleep(pause).await;
                self.answer(state, place, &reply).await
            }
            Behaviour::AnswerEarly(reply) => {
                self.answer(state, place, &reply).await?;
                Ok(false)
            }
            Behaviour::Dribble(pause, reply) => {
                for byte in reply.bytes() {
                    tokio::time::sleep(pause).await;
                    self.write(&[byte]).await?;
                }
                state.answered(place, reply.status);
                Ok(true)
            }
            Behaviour::CutAnswer(reply) => {
                let head = reply.head(Some(0));
                self.write(&head[..head.len() / 2]).await?;
                Ok(false)
            }
            Behaviour::Flood(status, bytes) => {
                self.write(&Reply::status(status).head(bytes)).await?;
                state.answered(place, status);
                self.flood(bytes).await
            }
            Behaviour::Raw(bytes) => {
                self.write(&bytes).await?;
                Ok(false)
            }
            Behaviour::Hang => self.hang().await,
            Behaviour::Close => Ok(false),
            Behaviour::Reset | Behaviour::ResetEarly => self.reset(),
        }
    }

    async fn answer(&mut self, state: &State, place: usize, reply: &Reply) -> Kept {
        // Noted first: the sender may act on the answer before this task runs again.
        state.answered(place, reply.status);
        self.write(&reply.bytes()).await?;
        Ok(true)
    }

    async fn flood(&mut self, bytes: Option<u64>) -> Kept {
        let chunk = vec![b'x'; 64 * 1024];
        let mut left = bytes.unwrap_or(u64::MAX);
        while left > 0 {
            let part = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            self.write(&chunk[..part]).await?;
            left -= u64::try_from(part).expect("a length");
        }
        Ok(true)
    }

    /// Until the sender gives up.
    async fn hang(&mut self) -> Kept {
        let mut sink = [0; 1024];
        while self.io().read(&mut sink).await? > 0 {}
        Ok(false)
    }

    fn reset(&mut self) -> Kept {
        let stream = match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        stream.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io().write_all(bytes).await?;
        self.io().flush().await
    }

    /// The head of a request and its content length; `None` when the sender has closed.
    async fn head(&mut self, turn: usize) -> io::Result<Option<(Received, usize)>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await? {
                return Ok(None);
            }
            // What is no HTTP, such as the begin of TLS, is told so as servers do.
            if self
                .buffer
                .first()
                .is_some_and(|first| !first.is_ascii_uppercase())
            {
                self.write(&Reply::status(400).bytes()).await?;
                return Ok(None);
            }
        };
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let mut request = parse(&head).ok_or_else(malformed)?;
        (request.connection, request.turn) = (self.number, turn);
        let content_length = match request.header("content-length") {
            "" => 0,
            text => text.parse().map_err(|_| malformed())?,
        };
        Ok(Some((request, content_length)))
    }

    async fn body(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// Reads some more; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.io().read_buf(&mut buffer).await;
        self.buffer = buffer;
        Ok(read? > 0)
    }

    fn io(&mut self) -> &mut dyn Duplex {
        match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream,
        }
    }
}

fn parse(head: &[u8]) -> Option<Received> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut request_line = lines.next()?.split(' ');
    let (method, target) = (request_line.next()?, request_line.next()?);
    if request_line.next()? != "HTTP/1.1" {
        return None;
    }
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value.trim()).ok()?,
        );
    }
    Some(Received {
        method: method.into(),
        target: target.into(),
        headers,
        body: Bytes::new(),
        connection: 0,
        turn: 0,
        answered: None,
    })
}

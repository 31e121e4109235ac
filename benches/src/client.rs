//! An HTTP/1.1 client that costs little: one kept connection, requests as bytes, answers with a `content-length`.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(4096);
        Ok(Self { stream, buffer })
    }

    /// Sends a whole request; gives the status, and leaves the body to [`Client::body`].
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if whole.is_none() {
                whole = length(&self.buffer)?;
            }
        }
        let status = self.buffer.get(9..12).context("no status")?;
        Ok(std::str::from_utf8(status)?.parse()?)
    }

    /// The last answer's body.
    pub(crate) fn body(&self) -> &[u8] {
        let begin = end_of_head(&self.buffer).unwrap_or(self.buffer.len());
        &self.buffer[begin..]
    }
}

/// A `GET` on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut client = Client::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let status = client.send(request.as_bytes()).await?;
    Ok((status, String::from_utf8_lossy(client.body()).into_owned()))
}

/// The length of an answer whose head is there.
fn length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = end_of_head(answer) else {
        return Ok(None);
    };
    const NAME: &[u8] = b"content-length:";
    let mut lines = answer[..head].split(|byte| *byte == b'\n');
    let line =
        lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME));
    let line = line.context("an answer without content-length")?;
    let body: usize = std::str::from_utf8(&line[NAME.len()..])?.trim().parse()?;
    Ok(Some(head + body))
}

fn end_of_head(answer: &[u8]) -> Option<usize> {
    answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

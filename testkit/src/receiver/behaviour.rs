//! How a receiver can behave towards a request.

use std::time::Duration;

use bytes::Bytes;

/// What a receiver does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers.
    Answer(Reply),
    /// Answers after a while.
    AnswerAfter(Duration, Reply),
    /// Answers one byte at a time, with this pause between bytes.
    Dribble(Duration, Reply),
    /// Answers, keeps the connection, and closes it without an answer when the next request comes over it: what a
    /// sender sees whose kept connection is closed just as it sends.
    AnswerOnce(Reply),
    /// Sends the first half of the answer's head, then closes.
    CutAnswer(Reply),
    /// Answers with this status and a body that does not end before the sender has enough of it, of this
    /// `content-length` or of none.
    Flood(u16, Option<u64>),
    /// Sends these bytes, whatever they are, and closes.
    Raw(Bytes),
    /// Takes the request and never answers.
    Hang,
    /// Takes the request and closes.
    Close,
    /// Takes the request and resets the connection.
    Reset,
    /// Resets the connection when it has the head of the request; the rest stays unread. The request is recorded with an
    /// empty body.
    ResetEarly,
    /// Answers when it has the head of the request, and closes. The request is recorded with an empty body.
    AnswerEarly(Reply),
}

impl Behaviour {
    /// Answers with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Self::Answer(Reply::status(status))
    }

    /// Whether the body is left unread.
    pub(super) fn is_early(&self) -> bool {
        matches!(self, Self::ResetEarly | Self::AnswerEarly(_))
    }
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers beside `content-length`.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

impl Reply {
    /// With an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl ToString, value: impl ToString) -> Self {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn head(&self, content_length: Option<u64>) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Answer\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(bytes) = content_length {
            head.push_str(&format!("content-length: {bytes}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let length = u64::try_from(self.body.len()).expect("a length");
        let mut bytes = self.head(Some(length));
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

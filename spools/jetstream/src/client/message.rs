//! Messages: what is sent, and what is kept.

use async_nats::HeaderMap;
use bytes::Bytes;
use faceway_core::Timestamp;

/// Carries the checksum of a payload.
const CRC: &str = "Fw-Crc";

/// A message to publish.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    /// With the checksum of its payload.
    pub(crate) fn new(subject: String, payload: Bytes) -> Self {
        let mut headers = Headers::default();
        headers.set(CRC, format!("{:08x}", crc32c::crc32c(&payload)));
        Self {
            subject,
            headers,
            payload,
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.set(name, value);
        self
    }

    /// Bytes that it takes up.
    pub(crate) fn size(&self) -> usize {
        // Names and values of headers, roughly.
        self.subject.len() + self.payload.len() + 256
    }
}

/// A message that a stream keeps.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Its number in the stream.
    pub(crate) seq: u64,
    pub(crate) subject: String,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
    /// When a server got it, by the servers' clock; absent in what is followed.
    pub(crate) at: Option<Timestamp>,
}

impl Kept {
    /// Whether the payload is what was written.
    pub(crate) fn is_whole(&self) -> bool {
        crc_fits(&self.headers, &self.payload)
    }
}

/// Whether the payload has the checksum that stands in the headers.
fn crc_fits(headers: &Headers, payload: &[u8]) -> bool {
    let expected = headers.get(CRC);
    let expected = expected.and_then(|text| u32::from_str_radix(text, 16).ok());
    expected == Some(crc32c::crc32c(payload))
}

/// Names and values beside a payload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// A line break would end the header, and the library panics at one, so a value is cut into one line here.
    pub(crate) fn set(&mut self, name: &'static str, value: impl ToString) {
        let value = value.to_string().replace(['\r', '\n'], " ");
        self.0.insert(name, value);
    }

    pub(super) fn of(map: Option<HeaderMap>) -> Self {
        Self(map.unwrap_or_default())
    }

    pub(super) fn into_map(self) -> HeaderMap {
        self.0
    }

    /// Headers as they stand before a payload: a line of the version, then a line each.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut map = HeaderMap::new();
        let text = String::from_utf8_lossy(bytes);
        for line in text.split("\r\n").skip(1) {
            if let Some((name, value)) = line.split_once(':')
                && let Ok(name) = name.parse::<async_nats::HeaderName>()
                && let Ok(value) = value.trim().parse::<async_nats::HeaderValue>()
            {
                map.append(name, value);
            }
        }
        Self(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_stand_on_the_disk() {
        let headers = Headers::parse(b"NATS/1.0\r\nNats-Msg-Id: a:b\r\nFw-At: 7\r\n\r\n");
        assert_eq!(headers.get("Nats-Msg-Id"), Some("a:b"));
        assert_eq!(headers.number::<u64>("Fw-At"), Some(7));
        assert_eq!(headers.get("Fw-Crc"), None);
    }

    #[test]
    fn a_line_break_ends_no_header() {
        let message = Outgoing::new("s".into(), Bytes::from_static(b"x")).with("Fw-X", "a\r\nb");
        assert_eq!(message.headers.get("Fw-X"), Some("a  b"));
        assert!(crc_fits(&message.headers, b"x"));
        assert!(!crc_fits(&message.headers, b"y"));
    }
}

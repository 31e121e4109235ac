//! From the bytes of an arrival to readings, as patiently as it can be done without guessing: what the gateway, `faceway
//! read`, a second reading from quarantine and the tests of the adapters all do with a body.
//!
//! 1. `coding`: the `Content-Encoding` is undone, within limits of what comes out.
//! 2. `charset`: text in another character set becomes UTF-8, when its header or its byte order mark names it.
//! 3. The adapter reads. Nearly every body ends here, and has paid for nothing but a look at two headers.
//! 4. `patient`: what the adapter could not read is mended where there is no doubt what was meant, and of a batch only
//!    the elements that cannot be read are lost.
//!
//! **Invariant:** pure, as the adapters are. A body that is well-formed is read as it was sent.

mod charset;
mod coding;
mod patient;

use std::borrow::Cow;
use std::cell::OnceCell;

use faceway_core::{Adapter, Arrival, Element, Reject, Settings};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

/// What a body that is sent packed may become.
pub struct Limits<'l> {
    /// Bytes that may come out of a body: `limits.body_bytes_max`.
    pub bytes_max: usize,
    /// Asked before memory is taken, with the bytes that are to be taken altogether: whether there is room for them.
    pub room: &'l mut dyn FnMut(usize) -> bool,
}

/// What readings borrow from, when it is not the body as it was sent.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The body without its content coding.
    unpacked: OnceCell<Vec<u8>>,
    /// The same in UTF-8.
    recoded: OnceCell<String>,
    /// The same, mended.
    mended: OnceCell<String>,
}

/// Why an arrival gives no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecoded {
    /// It cannot be read: it is kept in quarantine, as it was sent.
    #[error("{0}")]
    Unreadable(Cow<'static, str>),
    /// It did not come whole: it is kept in quarantine, and its source hears an error.
    #[error("{0}")]
    CutOff(Cow<'static, str>),
    /// The adapter says that it must not be accepted.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    /// It is packed in a way that Faceway does not know: 415.
    #[error("{0}")]
    UnknownCoding(Cow<'static, str>),
    /// More comes out of it than a body may have: 413.
    #[error("unpacked, the body is larger than limits.body_bytes_max of gateway.toml")]
    TooLarge,
    /// Other bodies take all the memory: 503.
    #[error("no memory to unpack it now")]
    NoRoom,
}

impl From<Reject> for Undecoded {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::Unreadable(reason) => Self::Unreadable(reason),
            Reject::CutOff(reason) => Self::CutOff(reason),
            Reject::Refused(reason) => Self::Refused(reason),
        }
    }
}

/// Reads what came in. An element that cannot be read is a part of the body as it was sent, or of what is in `scratch`:
/// then it is to be kept with [`plain_headers`].
///
/// # Errors
/// When the whole of it cannot be read, or is not to be read.
pub fn decode<'a>(
    adapter: &dyn Adapter,
    arrival: &Arrival<'a>,
    settings: &Settings,
    limits: &mut Limits<'_>,
    scratch: &'a Scratch,
) -> Result<Vec<Element<'a>>, Undecoded> {
    let mut body = arrival.body;
    if let Some(unpacked) = unpack(arrival.headers, body, limits)? {
        body = scratch.unpacked.get_or_init(|| unpacked);
    }
    let charset = charset::recode(arrival.headers, body)?;
    if let Some(text) = charset.text {
        body = scratch.recoded.get_or_init(|| text).as_bytes();
    }
    // A C program that sends `strlen + 1` bytes sends the zero as well.
    if body.ends_with(b"\0") {
        let end = body.iter().rposition(|byte| *byte != 0);
        body = &body[..end.map_or(0, |last| last + 1)];
    }
    let plain = Arrival { body, ..*arrival };
    let unknown = charset.unknown.as_deref();
    let mut elements = match patient::read(adapter, &plain, settings, unknown, &scratch.mended) {
        Err(Reject::Unreadable(reason))
            if std::str::from_utf8(body).is_err() && charset::is_open(body) =>
        {
            return Err(Undecoded::CutOff(reason));
        }
        read => read?,
    };
    if let Some(warning) = charset.warning {
        for reading in elements.iter_mut().flatten() {
            reading.facts.warnings.push(warning.into());
        }
    }
    Ok(elements)
}

/// What comes out of a body that is packed, by its `Content-Encoding`; `None` when it is not packed.
///
/// # Errors
/// When it is packed in a way that is not known, or not as it says, or when too much comes out.
pub fn unpack(
    headers: &HeaderMap,
    body: &[u8],
    limits: &mut Limits<'_>,
) -> Result<Option<Vec<u8>>, Undecoded> {
    let coding = coding::of(headers)?;
    let unpacked = coding.map(|coding| coding::unpack(coding, body, limits));
    unpacked.transpose()
}

/// A body in UTF-8, when its byte order mark or its `Content-Type` names another character set; `None` when it is to be
/// read as it is.
///
/// # Errors
/// When it is not in the character set that it names.
pub fn recode(headers: &HeaderMap, body: &[u8]) -> Result<Option<String>, Undecoded> {
    charset::recode(headers, body).map(|recoded| recoded.text)
}

impl Scratch {
    /// Whether what was read is not what was sent: it was packed, or in another character set.
    pub fn is_used(&self) -> bool {
        self.unpacked.get().is_some() || self.recoded.get().is_some()
    }

    /// Whether `part` is a part of what was read in place of what was sent.
    pub fn holds(&self, part: &[u8]) -> bool {
        let texts = self.recoded.get().map(String::as_bytes);
        let mut texts = texts
            .into_iter()
            .chain(self.unpacked.get().map(Vec::as_slice));
        texts.any(|text| text.as_ptr_range().contains(&part.as_ptr()))
    }
}

/// The headers to keep an element with, when it is not a part of what was sent: it is neither packed nor in another
/// character set any more.
pub fn plain_headers(headers: &HeaderMap) -> HeaderMap {
    let mut plain = headers.clone();
    plain.remove(CONTENT_ENCODING);
    plain.remove(CONTENT_LENGTH);
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if let Some((media_type, _)) = kind.and_then(|kind| kind.split_once(';')) {
        let kind = format!("{}; charset=utf-8", media_type.trim());
        match HeaderValue::try_from(kind) {
            Ok(kind) => plain.insert(CONTENT_TYPE, kind),
            Err(_) => plain.remove(CONTENT_TYPE),
        };
    }
    plain
}

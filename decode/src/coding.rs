//! `Content-Encoding`: gzip and deflate, within limits of what comes out of them.

use std::io::{ErrorKind, Read as _};

use faceway_core::Text;
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::{Limits, Undecoded};

/// A way of packing that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// By its definition zlib's format; many send what is inside of that.
    Deflate,
}

/// This much at once.
const STEP_BYTES: usize = 16 * 1024;
/// Of a coding's name this much is repeated.
const NAME_BYTES_MAX: usize = 40;

const CUT_OFF: &str = "cut off: the packed body ends too early (Content-Encoding)";
const NOT_GZIP: &str = "not gzip, as its Content-Encoding says";
const NOT_DEFLATE: &str = "not deflate, as its Content-Encoding says";

/// How a body is packed; `None` when it is not.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Coding>, Undecoded> {
    let mut found = None;
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
            let name = name.trim().to_ascii_lowercase();
            let coding = match name.as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                _ => return Err(unknown(&name)),
            };
            if found.replace(coding).is_some() {
                let reason = "the body is packed more than once (Content-Encoding); send it with one of gzip, deflate, or as it is";
                return Err(Undecoded::UnknownCoding(reason.into()));
            }
        }
    }
    Ok(found)
}

fn unknown(name: &str) -> Undecoded {
    let shown = name.len() <= NAME_BYTES_MAX
        && (name.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let named = match shown {
        true => format!(" {name}"),
        false => String::new(),
    };
    let reason: Text<'_> = format!(
        "the Content-Encoding{named} is not understood; send the body with gzip, deflate, or as it is"
    )
    .into();
    Undecoded::UnknownCoding(reason)
}

/// Undoes it.
pub(crate) fn unpack(
    coding: Coding,
    body: &[u8],
    limits: &mut Limits<'_>,
) -> Result<Vec<u8>, Undecoded> {
    let mut out = Out {
        bytes: Vec::new(),
        limits,
    };
    match coding {
        Coding::Gzip => gunzip(body, &mut out)?,
        Coding::Deflate => inflate(body, &mut out)?,
    }
    Ok(out.bytes)
}

/// What has come out.
struct Out<'o, 'l> {
    bytes: Vec<u8>,
    limits: &'o mut Limits<'l>,
}

impl Out<'_, '_> {
    fn add(&mut self, more: &[u8]) -> Result<(), Undecoded> {
        let needed = self.bytes.len() + more.len();
        if needed > self.limits.bytes_max {
            return Err(Undecoded::TooLarge);
        }
        if needed > self.bytes.capacity() {
            let capacity = (self.bytes.capacity() * 2).max(STEP_BYTES);
            let capacity = capacity.min(self.limits.bytes_max).max(needed);
            if !(self.limits.room)(capacity) {
                return Err(Undecoded::NoRoom);
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }
}

fn unreadable(reason: &'static str) -> Undecoded {
    Undecoded::Unreadable(reason.into())
}

/// Member by member, each with its sum. Zeros behind them are padding.
fn gunzip(body: &[u8], out: &mut Out<'_, '_>) -> Result<(), Undecoded> {
    let mut step = vec![0; STEP_BYTES];
    let mut rest = body;
    loop {
        let mut member = GzDecoder::new(rest);
        loop {
            match member.read(&mut step) {
                Ok(0) => break,
                Ok(length) => out.add(&step[..length])?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Err(Undecoded::CutOff(CUT_OFF.into()));
                }
                Err(_) => return Err(unreadable(NOT_GZIP)),
            }
        }
        rest = member.into_inner();
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
    }
}

fn inflate(body: &[u8], out: &mut Out<'_, '_>) -> Result<(), Undecoded> {
    let mut step = vec![0; STEP_BYTES];
    let mut state = Decompress::new(is_zlib(body));
    loop {
        let before = state.total_out();
        let at = usize::try_from(state.total_in()).unwrap_or(body.len());
        let rest = body.get(at..).unwrap_or_default();
        let flush = match rest.is_empty() {
            true => FlushDecompress::Finish,
            false => FlushDecompress::None,
        };
        let status = state.decompress(rest, &mut step, flush);
        let status = status.map_err(|_| unreadable(NOT_DEFLATE))?;
        let length = usize::try_from(state.total_out() - before).unwrap_or_default();
        out.add(&step[..length])?;
        match status {
            Status::StreamEnd => return Ok(()),
            // It waits for what does not come.
            _ if length == 0 && stays_at(&state, at) => {
                return Err(Undecoded::CutOff(CUT_OFF.into()));
            }
            _ => {}
        }
    }
}

fn stays_at(state: &Decompress, at: usize) -> bool {
    usize::try_from(state.total_in()) == Ok(at)
}

/// The two bytes with which zlib's format begins.
fn is_zlib(body: &[u8]) -> bool {
    match body {
        [method, flags, ..] => {
            method & 0x0F == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::{Coding, of, unpack};
    use crate::{Limits, Undecoded};

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut writer = GzEncoder::new(Vec::new(), Compression::default());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut writer = ZlibEncoder::new(Vec::new(), Compression::default());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut writer = DeflateEncoder::new(Vec::new(), Compression::default());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn within(coding: Coding, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Undecoded> {
        let mut most = 0;
        let mut room = |bytes| {
            most = bytes;
            true
        };
        let mut limits = Limits {
            bytes_max,
            room: &mut room,
        };
        let unpacked = unpack(coding, body, &mut limits);
        assert!(
            most <= bytes_max.max(super::STEP_BYTES),
            "{most} bytes were taken"
        );
        unpacked
    }

    fn coding(values: &[&'static str]) -> Result<Option<Coding>, Undecoded> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("content-encoding", http::HeaderValue::from_static(value));
        }
        of(&headers)
    }

    #[test]
    fn codings_are_known_by_their_names() {
        assert_eq!(coding(&[]), Ok(None));
        assert_eq!(coding(&["identity"]), Ok(None));
        assert_eq!(coding(&["identity, GZIP "]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["x-gzip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["deflate", ""]), Ok(Some(Coding::Deflate)));
        for (values, part) in [
            (["br"].as_slice(), "br is not understood"),
            (&["zstd"], "zstd is not understood"),
            (&["<secret>"], "Content-Encoding is not understood"),
            (&["gzip, gzip"], "more than once"),
            (&["gzip", "deflate"], "more than once"),
        ] {
            let error = coding(values).unwrap_err();
            assert!(matches!(error, Undecoded::UnknownCoding(_)));
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains("gzip, deflate, or as it is"));
        }
    }

    #[test]
    fn a_bomb_stops_early() {
        let zeros = vec![b' '; 4 << 20];
        for (coding, bomb) in [
            (Coding::Gzip, gzip(&zeros)),
            (Coding::Deflate, zlib(&zeros)),
            (Coding::Deflate, raw(&zeros)),
        ] {
            assert_eq!(within(coding, &bomb, 100_000), Err(Undecoded::TooLarge));
            assert_eq!(within(coding, &bomb, zeros.len()), Ok(zeros.clone()));
            let mut room = |bytes| bytes < 1 << 20;
            let mut limits = Limits {
                bytes_max: usize::MAX,
                room: &mut room,
            };
            assert_eq!(unpack(coding, &bomb, &mut limits), Err(Undecoded::NoRoom));
        }
    }

    #[test]
    fn what_is_not_whole_is_not_read() {
        let text = b"{\"a\":1}".repeat(100);
        for (coding, packed) in [
            (Coding::Gzip, gzip(&text)),
            (Coding::Deflate, zlib(&text)),
            (Coding::Deflate, raw(&text)),
        ] {
            for end in 0..packed.len() {
                let result = within(coding, &packed[..end], 1 << 20);
                assert!(
                    matches!(result, Err(Undecoded::CutOff(_))),
                    "{end}: {result:?}"
                );
            }
            let padded = [packed.as_slice(), &[0; 3]].concat();
            assert_eq!(within(coding, &padded, 1 << 20).as_ref(), Ok(&text));
        }
        let mut damaged = gzip(&text);
        let sum = damaged.len() - 6;
        damaged[sum] ^= 1;
        for (coding, body) in [
            (Coding::Gzip, damaged.as_slice()),
            (Coding::Gzip, b"{\"type\":0}"),
            (Coding::Deflate, b"\xFF\xFF\xFF"),
        ] {
            let error = within(coding, body, 1 << 20).unwrap_err().to_string();
            assert!(error.contains("as its Content-Encoding says"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(text in prop::collection::vec(any::<u8>(), 0..20_000), second in prop::collection::vec(any::<u8>(), 0..50)) {
            let most = text.len() + second.len();
            let two = [gzip(&text), gzip(&second)].concat();
            prop_assert_eq!(within(Coding::Gzip, &two, most).unwrap(), [text.as_slice(), &second].concat());
            prop_assert_eq!(within(Coding::Deflate, &zlib(&text), text.len()).unwrap(), text.clone());
            prop_assert_eq!(within(Coding::Deflate, &raw(&text), text.len()).unwrap(), text);
        }

        #[test]
        fn any_bytes_end(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let _ = within(coding, &body, 10_000);
            }
        }
    }
}

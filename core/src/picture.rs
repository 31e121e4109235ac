//! Pictures: base64 decoded once, named by their content.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use sha2::Digest as _;

use crate::Private;

/// SHA-256 of a picture; its text is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    fn digits(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ];
        }
        text
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl std::str::FromStr for Sha256 {
    type Err = PictureError;

    fn from_str(text: &str) -> Result<Self, PictureError> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(PictureError::NotADigest);
        }
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| PictureError::NotADigest)?;
            // `from_str_radix` alone would take "+f".
            if !pair
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
            {
                return Err(PictureError::NotADigest);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| PictureError::NotADigest)?;
        }
        Ok(Self(digest))
    }
}

impl serde::Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl schemars::JsonSchema for Sha256 {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sha256".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}

/// A decoded picture and its name.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Digest of the bytes.
    pub sha256: Sha256,
    /// By magic bytes: `image/jpeg`, `image/png`, `image/webp`, `image/gif`, `image/bmp`; absent when none fits.
    pub media_type: Option<&'static str>,
    /// The decoded bytes.
    pub bytes: Private<Bytes>,
}

/// Why there is no picture. It never loses its event: the adapter notes it in `warnings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Not base64.
    #[error("not base64")]
    NotBase64,
    /// Not 64 lower-case hexadecimal digits.
    #[error("not a SHA-256 in lower-case hexadecimal")]
    NotADigest,
}

/// Vendors differ on padding, so it is taken with and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes a picture as vendors send it: base64, bare or behind `data:…;base64,`, with or without padding, with or
/// without line breaks. Blank text is no picture: `Ok(None)`.
///
/// # Errors
/// When the text is not base64.
pub fn decode_picture(text: &str) -> Result<Option<Picture>, PictureError> {
    let text = text.trim_ascii();
    let text = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").ok_or(PictureError::NotBase64)?.1,
        None => text,
    };
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = match decoded(text.as_bytes()) {
        Some(bytes) => bytes,
        // MIME base64 breaks its lines; that is rare, so only a text that fails pays for looking.
        None => {
            let mut joined = text.as_bytes().to_vec();
            joined.retain(|byte| !byte.is_ascii_whitespace());
            decoded(&joined).ok_or(PictureError::NotBase64)?
        }
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Picture {
        sha256: Sha256::of(&bytes),
        media_type: media_type(&bytes),
        bytes: Private::new(bytes.into()),
    }))
}

/// What base64 stands for. Nearly every picture is written as the standard asks, and its text is as long as the rest of its
/// event a hundred times over; what the vectors refuse, `BASE64` decides.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let strict = match text.len() % 4 {
        0 => base64_simd::STANDARD,
        _ => base64_simd::STANDARD_NO_PAD,
    };
    match strict.decode_to_vec(text) {
        Ok(bytes) => Some(bytes),
        Err(_) => BASE64.decode(text).ok(),
    }
}

/// The media type that the first bytes tell: JPEG, PNG, GIF, BMP or WebP.
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'B', b'M', ..] => Some("image/bmp"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;

    use super::{BASE64, PictureError, Sha256, decode_picture, decoded};

    #[test]
    fn takes_what_vendors_send() {
        for text in [
            "/9j/4A==",
            "/9j/4A",
            " /9j/4A== ",
            "data:image/jpeg;base64,/9j/4A==",
            "/9j/\r\n4A==",
        ] {
            let picture = decode_picture(text).unwrap().unwrap();
            assert_eq!(picture.media_type, Some("image/jpeg"), "{text}");
            assert_eq!(picture.bytes.reveal().len(), 4);
        }
    }

    #[test]
    fn blanks_are_no_picture_and_nonsense_is_an_error() {
        assert!(decode_picture(" ").unwrap().is_none());
        assert!(decode_picture("").unwrap().is_none());
        assert!(decode_picture("data:image/png;base64,").unwrap().is_none());
        assert_eq!(
            decode_picture("我是远程鉴权").unwrap_err(),
            PictureError::NotBase64
        );
        assert_eq!(
            decode_picture("data:image/png,x").unwrap_err(),
            PictureError::NotBase64
        );
    }

    #[test]
    fn digests_have_one_text() {
        let digest = Sha256::of(b"face");
        assert_eq!(digest.to_string().parse::<Sha256>().unwrap(), digest);
        assert!(digest.to_string().to_uppercase().parse::<Sha256>().is_err());
        assert!("+f".repeat(32).parse::<Sha256>().is_err());
    }

    /// Texts that are base64, nearly, or in another alphabet, of lengths that fill vectors and that do not.
    fn nearly_base64() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..200);
        let sign = prop::sample::select(b"=-_+/A\n \0\xFFz".to_vec());
        let changes = prop::collection::vec((any::<prop::sample::Index>(), sign), 0..3);
        (bytes, 0..4_usize, changes).prop_map(|(bytes, cut, changes)| {
            let mut text = base64::engine::general_purpose::STANDARD
                .encode(bytes)
                .into_bytes();
            text.truncate(text.len().saturating_sub(cut));
            for (at, sign) in changes {
                if !text.is_empty() {
                    let at = at.index(text.len());
                    text[at] = sign;
                }
            }
            text
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        /// Vectors make nothing a picture that was none, and nothing another one.
        #[test]
        fn vectors_decode_what_is_decoded_without_them(text in nearly_base64()) {
            prop_assert_eq!(decoded(&text), BASE64.decode(&text).ok());
        }
    }
}

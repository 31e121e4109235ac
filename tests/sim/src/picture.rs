//! Pictures, as devices send them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faceway_core::Sha256;

/// Pictures that devices take.
pub(crate) const PICTURES: u8 = 40;

/// All of them: several events may have the same.
static PAINTED: LazyLock<Vec<Painted>> = LazyLock::new(|| (0..PICTURES).map(paint).collect());

/// A picture.
pub(crate) struct Painted {
    pub(crate) sha256: Sha256,
    pub(crate) bytes: Bytes,
    /// As an event names it.
    pub(crate) named: String,
    /// As a receiver sees it that gets pictures inline.
    pub(crate) inline: String,
}

fn paint(number: u8) -> Painted {
    let bytes = vec![number; 100 + usize::from(number) * 40];
    let sha256 = Sha256::of(&bytes);
    let (encoded, size) = (STANDARD.encode(&bytes), bytes.len());
    Painted {
        sha256,
        bytes: bytes.into(),
        named: format!(
            r#"{{"role":"face","sha256":"{sha256}","media_type":"image/jpeg","bytes":{size}}}"#
        ),
        inline: format!("data:image/jpeg;base64,{encoded}"),
    }
}

impl Painted {
    /// A picture by its number.
    pub(crate) fn of(number: u8) -> Option<&'static Self> {
        PAINTED.get(usize::from(number))
    }

    /// A picture by its name.
    pub(crate) fn named(sha256: Sha256) -> Option<&'static Self> {
        PAINTED.iter().find(|painted| painted.sha256 == sha256)
    }
}

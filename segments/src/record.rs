//! What a frame holds: an event with what is asked about it most.

use crate::frame::{word32, word64};

/// A frame that holds an event.
pub(crate) const KIND_EVENT: u8 = 1;
/// The last frame of a segment that was closed in order: what is missing behind it was never there.
pub(crate) const KIND_CLOSED: u8 = 2;

/// Bytes before the pictures' digests.
const FIXED: usize = 40;
const DIGEST: usize = 32;

/// An event, to append or as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's id.
    pub id: [u8; 16],
    /// The unit of order.
    pub device: u64,
    /// When the gateway got it, in milliseconds since 1970.
    pub at: i64,
    /// Digests of its pictures, 32 bytes each, one behind the other.
    pub images: &'a [u8],
    /// The trace that it belongs to; empty when there is none.
    pub trace: &'a [u8],
    /// The event itself.
    pub body: &'a [u8],
}

impl Event<'_> {
    /// Bytes of its frame's body.
    pub(crate) fn bytes(&self) -> u64 {
        (FIXED + self.images.len() + self.trace.len() + self.body.len()) as u64
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.id);
        into.extend_from_slice(&self.device.to_le_bytes());
        into.extend_from_slice(&self.at.to_le_bytes());
        let (images, trace) = (self.images.len() / DIGEST, self.trace.len());
        into.extend_from_slice(&(images as u32).to_le_bytes());
        into.extend_from_slice(&(trace as u32).to_le_bytes());
        into.extend_from_slice(&self.images[..images * DIGEST]);
        into.extend_from_slice(self.trace);
        into.extend_from_slice(self.body);
    }
}

/// The event in a frame's body; `None` where this program does not know the form.
pub(crate) fn decode(bytes: &[u8]) -> Option<Event<'_>> {
    let images = usize::try_from(word32(bytes, 32)).ok()?;
    let trace = usize::try_from(word32(bytes, 36)).ok()?;
    let rest = bytes.get(FIXED..)?;
    let (images, rest) = rest.split_at_checked(images.checked_mul(DIGEST)?)?;
    let (trace, body) = rest.split_at_checked(trace)?;
    Some(Event {
        id: bytes.first_chunk().copied()?,
        device: word64(bytes, 16),
        at: word64(bytes, 24).cast_signed(),
        images,
        trace,
        body,
    })
}

//! The memory that a packed body takes when it is unpacked: of the same share as all bodies, and no more than one of them
//! may have.

use tokio::sync::OwnedSemaphorePermit;

use super::body;
use crate::context::Context;
use crate::memory::BodyMemory;

/// How large a body may be after it was unpacked, and the memory that it shares with the others.
#[derive(Clone, Debug)]
pub(super) struct Unpacking {
    bytes_max: usize,
    memory: BodyMemory,
}

/// What an unpacked body has taken of the memory, until this is dropped.
pub(super) struct Unpacked<'m> {
    memory: &'m BodyMemory,
    share: Option<OwnedSemaphorePermit>,
}

impl Unpacking {
    /// Within `limits.body_bytes_max` and the memory that all bodies share.
    pub(super) fn new(context: &Context) -> Self {
        Self {
            bytes_max: usize::try_from(context.limits.body_bytes_max).unwrap_or(usize::MAX),
            memory: context.memory.clone(),
        }
    }

    pub(super) const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) const fn begin(&self) -> Unpacked<'_> {
        Unpacked {
            memory: &self.memory,
            share: None,
        }
    }
}

impl Unpacked<'_> {
    /// Makes the share large enough for `bytes`; gives whether that was possible.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        match body::share(self.share.take(), bytes, self.memory) {
            Ok(share) => {
                self.share = share;
                true
            }
            Err(_) => false,
        }
    }
}

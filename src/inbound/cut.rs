//! Bodies that did not come whole. The source hears an error, so that it sends the record again; what came is kept in
//! quarantine, once: a terminal that counts characters instead of bytes sends the same piece again and again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use faceway_core::Sha256;

/// Pieces that are known at a time; an older one is kept once more when it comes again.
const KNOWN_MAX: usize = 64;

/// Digests of the pieces that came last.
#[derive(Debug, Default)]
pub(super) struct Cut(Mutex<VecDeque<Sha256>>);

impl Cut {
    /// The digest of a piece that has not come lately.
    pub(super) fn new_piece(&self, piece: &[u8]) -> Option<Sha256> {
        let digest = Sha256::of(piece);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!known.contains(&digest)).then_some(digest)
    }

    /// The piece of this digest is in quarantine.
    pub(super) fn kept(&self, digest: Sha256) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.pop_front();
        }
        known.push_back(digest);
    }
}

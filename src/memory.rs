//! The memory that bodies may take together, shared by all that reads them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) const PERMIT_BYTES: usize = 1024;
/// Without a share a body may come this far: small bodies, nearly all, never touch the semaphore.
pub(crate) const FREE_BYTES: usize = 16 * 1024;

/// The memory that bodies may take together, in permits of one KiB.
#[derive(Clone, Debug)]
pub struct BodyMemory(Arc<Semaphore>);

impl BodyMemory {
    /// Space for bodies of `bytes` together, and for one of the largest in any case.
    pub fn new(bytes: usize, body_bytes_max: u64) -> Self {
        let one = usize::try_from(body_bytes_max).unwrap_or(usize::MAX);
        let permits = bytes.max(one).div_ceil(PERMIT_BYTES);
        Self(Arc::new(Semaphore::new(
            permits.min(Semaphore::MAX_PERMITS),
        )))
    }

    /// A share for a message that has come already, when there is one; small ones need none.
    pub(crate) async fn wait(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes <= FREE_BYTES {
            return None;
        }
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).ok()?;
        Arc::clone(&self.0).acquire_many_owned(permits).await.ok()
    }

    /// A share at once, when there is one.
    pub(crate) fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(permits).ok()
    }
}

//! What a lane delivers to, and how it is opened once more: what was closed delivers nothing afterwards, and a lane may come back
//! to this gateway.

use std::sync::Arc;

use faceway_core::Outbound;

/// Opens an outbound; nothing is dialled by it.
type Open = dyn Fn() -> anyhow::Result<Arc<dyn Outbound>> + Send + Sync;

/// What a lane delivers to.
#[derive(Clone)]
pub struct Destination {
    pub(super) outbound: Arc<dyn Outbound>,
    open: Arc<Open>,
}

impl Destination {
    /// Opens it by this, now and whenever the lane comes back.
    ///
    /// # Errors
    /// When it cannot be opened: a secret or a certificate is missing.
    pub fn open(
        open: impl Fn() -> anyhow::Result<Arc<dyn Outbound>> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let outbound = open()?;
        let open = Arc::new(open);
        Ok(Self { outbound, open })
    }

    /// Closes it, and opens it once more for the next time.
    ///
    /// # Errors
    /// When it cannot be opened any more; it is closed then.
    pub(super) async fn renew(&mut self) -> anyhow::Result<()> {
        self.outbound.close().await;
        self.outbound = (self.open)()?;
        Ok(())
    }
}

/// One that works again after it was closed.
impl From<Arc<dyn Outbound>> for Destination {
    fn from(outbound: Arc<dyn Outbound>) -> Self {
        let again = Arc::clone(&outbound);
        Self {
            outbound,
            open: Arc::new(move || Ok(Arc::clone(&again))),
        }
    }
}

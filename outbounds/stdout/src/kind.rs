//! `[outbound.stdout.<name>]`: it has no keys of its own.

use std::sync::Arc;

use faceway_core::outbound_kind::{OpenContext, OpenError};
use faceway_core::{Outbound, OutboundKind, OutboundSettings};

use crate::Stdout;

/// What this protocol declares.
pub static KIND: OutboundKind = OutboundKind {
    name: "stdout",
    readme: None,
    aliases: &["console"],
    keys: &[],
    meant: &[],
    address: None,
    headers: None,
    concurrency: 4,
    batches: None,
    read: |_| Arc::new(Settings),
};

struct Settings;

impl OutboundSettings for Settings {
    fn open(&self, _: &OpenContext<'_>) -> Result<Arc<dyn Outbound>, OpenError> {
        Ok(Arc::new(Stdout::standard()))
    }

    fn lacks_attributes(&self) -> Option<&'static str> {
        Some("stdout has no place for the attributes")
    }
}

//! What is at work at one moment, for the admin listener. It is never changed, only replaced by another.

use std::collections::HashMap;
use std::sync::Arc;

use faceway_core::Lane;

use crate::dispatch::LaneHandle;
use crate::inbound::Endpoints;

/// What is at work at one moment.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// The inbounds.
    pub(crate) endpoints: Arc<Endpoints>,
    /// The lanes at work, in the order in which they were opened.
    pub(crate) lanes: Vec<LaneHandle>,
    /// Lanes in the spool whose outbound is no longer in `routes.toml`, and which do not work.
    pub(crate) removed: HashMap<String, Lane>,
}

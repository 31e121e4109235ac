//! A site as it is now, for requests and for those who look. It is never changed, only replaced by another.

use std::collections::HashMap;
use std::sync::Arc;

use faceway_core::Lane;

use crate::api;
use crate::dispatch::LaneHandle;
use crate::inbound::{Admission, Inbound, Status, Terminal};

/// A site as it is now.
#[derive(Default)]
pub(crate) struct View {
    parts: Vec<Arc<Part>>,
    paths: HashMap<String, Way>,
    /// The lanes at work, in the order in which they were opened.
    pub(crate) lanes: Vec<LaneHandle>,
    /// Lanes in the spool whose outbound is no longer in `routes.toml`, and which do not work.
    pub(crate) removed: HashMap<String, Lane>,
}

/// One inbound of it.
pub(crate) struct Part {
    pub(crate) way: Way,
    /// How its source stands, when it is dialled.
    pub(crate) source: Option<Arc<Status>>,
    /// Terminals whose subscription is kept.
    pub(crate) terminals: Vec<Arc<Terminal>>,
    /// What the API tells of it.
    pub(crate) shown: api::Inbound,
}

/// An inbound, and who may push to it.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) inbound: Arc<Inbound>,
    pub(crate) admission: Arc<Admission>,
}

impl View {
    pub(super) fn new(
        parts: impl IntoIterator<Item = Arc<Part>>,
        removed: HashMap<String, Lane>,
        lanes: Vec<LaneHandle>,
    ) -> Self {
        let parts: Vec<_> = parts.into_iter().collect();
        let way = |part: &Arc<Part>| Some((part.shown.path.clone()?, part.way.clone()));
        Self {
            paths: parts.iter().filter_map(way).collect(),
            parts,
            lanes,
            removed,
        }
    }

    /// The inbound at a path.
    pub(crate) fn way(&self, path: &str) -> Option<Way> {
        self.paths.get(path).cloned()
    }

    /// The inbounds, in the order of the file.
    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }

    /// The inbound of this name.
    pub(crate) fn inbound(&self, name: &str) -> Option<&Arc<Inbound>> {
        let part = self.parts.iter().find(|part| part.shown.name == name);
        part.map(|part| &part.way.inbound)
    }
}

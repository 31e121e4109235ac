//! The inbounds at work, each with everything at which it is reached. A set of them is never changed, only replaced.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Admission, Inbound, Status, Terminal};

/// An inbound, with everything at which it is reached.
pub(crate) struct Endpoint {
    pub(crate) inbound: Arc<Inbound>,
    /// Where devices push to it; `None` for a source that is only dialled.
    pub(crate) path: Option<String>,
    /// Who may push there.
    pub(crate) admission: Admission,
    /// How its source stands, when it is dialled.
    pub(crate) source: Option<Arc<Status>>,
    /// Terminals whose subscription is kept.
    pub(crate) terminals: Vec<Arc<Terminal>>,
}

/// The inbounds at work.
#[derive(Default)]
pub(crate) struct Endpoints {
    /// In the order of the file.
    all: Vec<Arc<Endpoint>>,
    by_path: HashMap<String, Arc<Endpoint>>,
}

impl Endpoints {
    /// In this order.
    pub(crate) fn new(all: Vec<Arc<Endpoint>>) -> Self {
        let path = |endpoint: &Arc<Endpoint>| Some((endpoint.path.clone()?, Arc::clone(endpoint)));
        Self {
            by_path: all.iter().filter_map(path).collect(),
            all,
        }
    }

    /// In the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.all.iter()
    }

    /// The one at a path.
    pub(crate) fn at(&self, path: &str) -> Option<&Arc<Endpoint>> {
        self.by_path.get(path)
    }

    /// The one of the inbound with this name.
    pub(crate) fn named(&self, inbound: &str) -> Option<&Arc<Endpoint>> {
        self.iter().find(|endpoint| endpoint.name() == inbound)
    }
}

impl Endpoint {
    /// Name of its inbound.
    pub(crate) fn name(&self) -> &str {
        self.inbound.name()
    }
}

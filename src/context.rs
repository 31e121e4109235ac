//! What components share and none of them makes for itself. The gateway makes it once, at the start.

use std::sync::Arc;
use std::time::Duration;

use faceway_core::{Clock, Duties, LaneStore, Log};

use crate::config::gateway::Limits;
use crate::link::Links;
use crate::memory::BodyMemory;

/// What components share. It is cheap to clone.
///
/// **Invariant:** it holds the log and the lanes, and never the history: only the admin listener gets that. It holds no rules
/// either: inbounds must not know them.
#[derive(Clone)]
pub struct Context {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where events are kept and come from.
    pub log: Arc<dyn Log>,
    /// What each outbound still has to get.
    pub lanes: Arc<dyn LaneStore>,
    /// Which lanes, sources and terminals are this gateway's.
    pub duties: Arc<dyn Duties>,
    /// Signs links to pictures.
    pub links: Arc<Links>,
    /// What bodies, connections and requests may take.
    pub limits: Limits,
    /// What all bodies that are being read may take together.
    pub memory: BodyMemory,
    /// How devices and receivers reach this gateway.
    pub public_url: Arc<str>,
    /// Tells this gateway from others at the same broker.
    pub gateway_id: Arc<str>,
    /// How long what is on its way may take to end once the gateway stops.
    pub grace: Duration,
    /// From 0 to 1: spreads pauses. The simulation decides it by its seed.
    pub chance: fn() -> f64,
}

#[cfg(test)]
impl Context {
    /// With small limits and without a network.
    pub(crate) fn for_tests<E: Log + LaneStore + Duties>(
        engine: &Arc<E>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (config, _) = crate::config::gateway::parse("", "gateway.toml", &[]).unwrap();
        let hour = Duration::from_secs(3600);
        Self {
            log: Arc::clone(engine) as _,
            lanes: Arc::clone(engine) as _,
            duties: Arc::clone(engine) as _,
            links: Arc::new(Links::new("http://x", &[0; 32], hour, Arc::clone(&clock))),
            clock,
            limits: Limits {
                body_bytes_max: 1 << 20,
                ..config.limits
            },
            memory: BodyMemory::new(1 << 20, 2 << 20),
            public_url: "http://x".into(),
            gateway_id: "x".into(),
            grace: Duration::from_secs(60),
            chance: rand::random,
        }
    }
}

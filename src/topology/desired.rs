//! What the two files ask for, as meant, together with what they name beside them.

use faceway_core::Sha256;
use faceway_rules::{Diagnostics, InboundPlan, OutboundPlan, Routes};

use super::fingerprint;
use super::rules_history::Rules;
use super::watch::Refused;
use crate::config::{self, ConfigError, GatewayConfig, Loaded};

/// What a reading of `routes.toml` asks for. One that exists is valid, and its secrets and files were there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desired {
    pub(super) rules: Rules,
    /// In the order of the file.
    pub(super) inbounds: Vec<Entry<InboundPlan>>,
    /// In the order of the file.
    pub(super) outbounds: Vec<Entry<OutboundPlan>>,
}

/// One inbound or outbound. Two entries that are equal do the same work.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry<Plan> {
    pub(super) plan: Plan,
    /// Of all secrets and files that the plan names: these may change while `routes.toml` does not.
    pub(super) fingerprint: Sha256,
}

impl Desired {
    /// Reads the secrets and files that a reading of `routes.toml` names.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub(crate) fn new(routes: Routes) -> anyhow::Result<Self> {
        // Before anything is opened: a secret that changes in between is another at the next reading, and is taken then. Read
        // afterwards, the fingerprint would be of a secret that nothing was opened with, and it would never be.
        let inbound = |plan: InboundPlan| {
            let fingerprint = fingerprint::of_inbound(&plan)?;
            anyhow::Ok(Entry { plan, fingerprint })
        };
        let outbound = |plan: OutboundPlan| {
            let fingerprint = fingerprint::of_outbound(&plan)?;
            anyhow::Ok(Entry { plan, fingerprint })
        };
        let inbounds = routes.inbounds.into_iter().map(inbound);
        let outbounds = routes.outbounds.into_iter().map(outbound);
        Ok(Self {
            inbounds: inbounds.collect::<anyhow::Result<_>>()?,
            outbounds: outbounds.collect::<anyhow::Result<_>>()?,
            rules: Rules {
                text: routes.text,
                set: routes.routes,
            },
        })
    }

    /// Whether the file names this outbound.
    pub(super) fn has_outbound(&self, name: &str) -> bool {
        self.outbounds.iter().any(|entry| entry.plan.name == name)
    }
}

/// Everything that `faceway check` finds out about a file: that it can be read, that it fits `gateway.toml`, that its own
/// tests hold.
pub(super) fn checked(
    loaded: Result<Loaded<Routes>, ConfigError>,
    config: &GatewayConfig,
) -> Result<Routes, Refused> {
    let refused = |error: ConfigError| Refused(error.to_string());
    let loaded = loaded.map_err(refused)?;
    let routes = loaded.value;
    warn(&loaded.warnings);
    warn(&config::together(config, &routes).map_err(refused)?);
    let failures = routes.run_tests();
    if failures.is_empty() {
        return Ok(routes);
    }
    let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
    Err(Refused(failures.join("\n")))
}

fn warn(warnings: &Diagnostics) {
    if !warnings.is_empty() {
        tracing::warn!("routes.toml hardly means what it says:\n{warnings}");
    }
}

//! Whether what a plan names is still what it was: a reload keeps what has not changed, but a secret or a certificate may
//! change while `routes.toml` does not.

use std::path::Path;

use anyhow::Context as _;
use faceway_core::Sha256;
use faceway_rules::{InboundPlan, OutboundPlan, Secret};
use sha2::Digest as _;

use crate::config::secrets;

/// Of all secrets and files that the plan of an inbound names.
///
/// # Errors
/// When a secret or a file cannot be had.
pub(super) fn of_inbound(plan: &InboundPlan) -> anyhow::Result<Sha256> {
    of(&plan.secrets(), &plan.files())
        .with_context(|| format!("cannot open the inbound {}", plan.name))
}

/// Of all secrets and files that the plan of an outbound names.
///
/// # Errors
/// When a secret or a file cannot be had.
pub(super) fn of_outbound(plan: &OutboundPlan) -> anyhow::Result<Sha256> {
    of(&plan.secrets(), &plan.files())
        .with_context(|| format!("cannot open the outbound {}", plan.name))
}

fn of(named: &[(String, &Secret)], files: &[&Path]) -> anyhow::Result<Sha256> {
    let mut digest = sha2::Sha256::new();
    // Each by its own digest: two secrets that share their bytes otherwise would be the same as two others.
    let mut add = |bytes: &[u8]| digest.update(Sha256::of(bytes).0);
    for (key, secret) in named {
        let secret = secrets::resolve(secret).with_context(|| key.clone())?;
        // Revealed to be digested.
        add(secret.reveal().as_bytes());
    }
    for path in files {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        add(&bytes);
    }
    Ok(Sha256(digest.finalize().into()))
}

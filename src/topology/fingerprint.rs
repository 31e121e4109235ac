//! Whether what a plan names is still what it was: a reload keeps what has not changed, but a secret or a certificate may
//! change while `routes.toml` does not.

use std::path::Path;

use anyhow::Context as _;
use faceway_rules::{InboundPlan, OutboundPlan, Secret};
use sha2::{Digest as _, Sha256};

use crate::config::secrets;

/// A digest of all secrets and files that a plan names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// # Errors
    /// When a secret or a file cannot be had.
    pub(super) fn of_inbound(plan: &InboundPlan) -> anyhow::Result<Self> {
        Self::of(&plan.secrets(), &plan.files())
            .with_context(|| format!("cannot open the inbound {}", plan.name))
    }

    /// # Errors
    /// When a secret or a file cannot be had.
    pub(super) fn of_outbound(plan: &OutboundPlan) -> anyhow::Result<Self> {
        Self::of(&plan.secrets(), &plan.files())
            .with_context(|| format!("cannot open the outbound {}", plan.name))
    }

    fn of(named: &[(String, &Secret)], files: &[&Path]) -> anyhow::Result<Self> {
        let mut digest = Sha256::new();
        let mut add = |bytes: &[u8]| digest.update(Sha256::digest(bytes));
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
        Ok(Self(digest.finalize().into()))
    }
}

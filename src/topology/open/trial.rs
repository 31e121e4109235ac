//! Opening everything once and letting go of it: what can be found out without a network is found out by `check` too, all
//! of it at once, each with its place in the file.

use std::path::Path;
use std::sync::Arc;

use faceway_core::outbound_kind::OpenError;
use faceway_core::{Clock, SettingsError, SystemClock};
use faceway_rules::read::Document;
use faceway_rules::{InboundPlan, OutboundPlan, Routes, Secret};
use faceway_tls::TlsError;

use super::inbounds::dialled;
use super::outbounds::outbound;
use crate::config::{ConfigError, GatewayConfig, is_usable, secrets};

/// Tries what the two files name, as far as it is on this machine: a secret or file that is not there is no mistake, as it
/// is only needed where the gateway runs.
///
/// # Errors
/// Everything that cannot be opened.
pub fn trial(config: &GatewayConfig, routes: &Routes) -> Result<(), ConfigError> {
    let document = routes.document();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    for plan in &routes.inbounds {
        if is_here(plan.secrets(), plan.files()) {
            let path = ["inbound", plan.adapter, &plan.name];
            note(&document, &path, inbound(plan, config).err());
        }
    }
    for plan in &routes.outbounds {
        if is_here(plan.secrets(), plan.files()) {
            let path = ["outbound", plan.protocol.name(), &plan.name];
            note(&document, &path, opened(plan, &clock).err());
        }
    }
    let (errors, _) = document.finish();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(ConfigError::Wrong(errors)),
    }
}

fn opened(plan: &OutboundPlan, clock: &Arc<dyn Clock>) -> anyhow::Result<()> {
    outbound(plan, None, "check", "http://gateway", clock).map(drop)
}

fn inbound(plan: &InboundPlan, config: &GatewayConfig) -> anyhow::Result<()> {
    plan.token.as_ref().map(secrets::resolve).transpose()?;
    let dial = plan.dial.as_ref();
    dial.map(|dial| dialled(dial, &config.limits)).transpose()?;
    Ok(())
}

fn is_here(secrets: Vec<(String, &Secret)>, files: Vec<&Path>) -> bool {
    let mut secrets = secrets.into_iter().map(|(_, secret)| secret);
    let all = secrets.all(|secret| match secret {
        Secret::Env(name) => std::env::var_os(name).is_some(),
        Secret::File(path) => is_usable(path),
    });
    all && files.into_iter().all(is_usable)
}

fn note(document: &Document, path: &[&str], error: Option<anyhow::Error>) {
    let Some(error) = error else { return };
    let named = error.chain().find_map(|cause| {
        if let Some(OpenError::Setting(SettingsError { key, problem })) = cause.downcast_ref() {
            return Some((*key, problem));
        }
        let tls: &TlsError = cause.downcast_ref()?;
        Some((tls.setting(), &tls.problem))
    });
    let (key, message) = match named {
        Some((key, problem)) => (key, format!("`{key}` {problem}")),
        None => ("", error.root_cause().to_string()),
    };
    let mut path = path.to_vec();
    path.extend(key.split('.'));
    let span = document.place(&path);
    document.reporter().error(span, message, "");
}

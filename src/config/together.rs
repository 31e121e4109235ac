//! What neither file can tell alone.

use faceway_core::{Adapter, Private, Step, Subscription};
use faceway_rules::{InboundPlan, Routes};

use super::{ConfigError, GatewayConfig};
use crate::inbound::address;

/// Checks the two files against each other.
///
/// # Errors
/// Everything in which they do not fit.
pub fn together(config: &GatewayConfig, routes: &Routes) -> Result<(), ConfigError> {
    let adapters = faceway_adapters::all();
    let terminals = routes
        .inbounds
        .iter()
        .filter(|plan| !plan.terminals.is_empty());
    let errors: Vec<_> = terminals
        .filter_map(|plan| {
            let adapter = adapters.iter().find(|known| known.name() == plan.adapter)?;
            unknown_to_terminals(config, plan).or_else(|| unfit(config, plan, &**adapter))
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ConfigError::Apart(errors))
    }
}

/// The default is good for this machine only.
fn unknown_to_terminals(config: &GatewayConfig, plan: &InboundPlan) -> Option<String> {
    let listen = &config.listen;
    let scheme = if listen.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let port = listen.devices.port();
    listen.public_url_is_default.then(|| {
        format!(
            "[inbound.{}.{}] names `terminals`, which are told where to post to, but gateway.toml does not say how they \
             reach this gateway: write `public_url = \"{scheme}://<address of this machine>:{port}\"` below [listen] \
             there, or set FACEWAY_LISTEN__PUBLIC_URL",
            plan.adapter, plan.name
        )
    })
}

/// What the adapter says of the address before it is told to anybody. The token is not at hand where files are checked.
fn unfit(config: &GatewayConfig, plan: &InboundPlan, adapter: &dyn Adapter) -> Option<String> {
    let subscription = Subscription {
        username: String::new(),
        password: Private::default(),
        address: address(&config.listen.public_url, plan.path.as_deref(), None),
    };
    match adapter.subscribe(subscription)?.begin() {
        Step::Failed(text) | Step::Denied(text) => {
            Some(format!("[inbound.{}.{}]: {text}", plan.adapter, plan.name))
        }
        Step::Ask(_) | Step::Done(_) => None,
    }
}

//! The terminals whose subscription is kept.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use faceway_core::{Adapter, Private, Subscription};
use faceway_rules::{InboundPlan, TerminalPlan};
use faceway_tls::{ClientTls, Trust};

use crate::config::{address, secrets, tls};
use crate::context::Context;
use crate::inbound::{Api, Terminal};

/// The terminals of an inbound. Nothing is dialled yet.
pub(crate) fn of(
    plan: &InboundPlan,
    adapter: &Arc<dyn Adapter>,
    context: &Context,
) -> anyhow::Result<Vec<Arc<Terminal>>> {
    if plan.terminals.is_empty() {
        return Ok(Vec::new());
    }
    let mut configs = TlsConfigs::default();
    let address = our_address(plan, &context.public_url)?;
    let open = |terminal: &TerminalPlan| -> anyhow::Result<Arc<Terminal>> {
        let api = configs.api(terminal);
        let subscription = subscription(terminal, &address);
        let named = || format!("the terminal {} of inbound {}", terminal.url, plan.name);
        Ok(Arc::new(Terminal::new(
            (&plan.name, &plan.gateways),
            terminal,
            (Arc::clone(adapter), subscription.with_context(named)?),
            api.with_context(named)?,
            context.clock.now(),
        )))
    };
    plan.terminals.iter().map(open).collect()
}

fn our_address(plan: &InboundPlan, public_url: &str) -> anyhow::Result<Private<String>> {
    let token = plan.token.as_ref().map(secrets::resolve).transpose();
    let token = token.with_context(|| format!("the token of inbound {}", plan.name))?;
    Ok(address(public_url, plan.path.as_deref(), token))
}

fn subscription(
    terminal: &TerminalPlan,
    address: &Private<String>,
) -> anyhow::Result<Subscription> {
    Ok(Subscription {
        username: terminal.username.clone(),
        password: secrets::resolve(&terminal.password).context("its password")?,
        address: address.clone(),
    })
}

/// Terminals that trust the same share it: authorities are many, and are loaded once.
#[derive(Default)]
struct TlsConfigs(HashMap<(Trust, bool), rustls::ClientConfig>);

impl TlsConfigs {
    fn api(&mut self, terminal: &TerminalPlan) -> anyhow::Result<Api> {
        let trust = tls::terminal(&terminal.trust)?;
        let encrypted = terminal.url.starts_with("https://");
        let key = (trust.clone(), encrypted);
        let config = match self.0.get(&key) {
            Some(config) => config.clone(),
            None => {
                let identity = None;
                let config = ClientTls { trust, identity }.config(encrypted)?;
                self.0.insert(key, config.clone());
                config
            }
        };
        Api::with(&terminal.url, config, faceway_tls::Keys::TERMINAL)
    }
}
